"""Parts of `pileus why` by themselves: what is put on a tap and read there, rules that are counted, whose a connection is, formats."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import yaml

from pileus.cli import why
from pileus.drivers.linuxnet import inspect, knock, rules
from pileus.network.host import Chains, Knock, PortWant, Rule
from pileus.network.live import dns
from pileus.network.live.socks import is_ours

A, B = "10.0.2.5", "10.0.2.6"


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("protocol", [1, 6, 17])
def test_a_first_packet_has_its_checksums(protocol: int) -> None:
    packet = knock.first_packet(Knock(source=A, target=B, protocol=protocol, port=80), 40001)
    assert checksum(packet[:20]) == 0xFFFF
    assert int.from_bytes(packet[2:4]) == len(packet)
    body = packet[20:]
    if protocol == 1:
        assert (body[0], checksum(body)) == (8, 0xFFFF)
    else:
        ends = socket.inet_aton(A) + socket.inet_aton(B) + struct.pack("!BBH", 0, protocol, len(body))
        assert checksum(ends + body) == 0xFFFF
        assert struct.unpack_from("!HH", body) == (40001, 80)


def said(kind: str, protocol: int, number: int = 40001) -> bytes:
    """What a guest would answer."""
    back = Knock(source=B, target=A, protocol=protocol, port=number)
    if kind in ("port", "admin", "host"):
        code = {"port": 3, "admin": 13, "host": 1}[kind]
        inner = knock.first_packet(Knock(source=A, target=B, protocol=protocol, port=80), number)
        return knock._ip(Knock(source=B, target=A, protocol=1), bytes((3, code, 0, 0, 0, 0, 0, 0)) + inner)
    if protocol == 1:
        return knock._ip(back, struct.pack("!BBHHH", 0, 0, 0, number, 1))
    if protocol == 17:
        return knock._ip(back, struct.pack("!HHHH", 80, number, 8, 0))
    flags = {"accept": 0x12, "reset": 0x14, "data": 0x18}[kind]
    return knock._ip(back, struct.pack("!HHIIBBHHH", 80, number, 7, 2, 5 << 4, flags, 0, 0, 0))


@pytest.mark.parametrize(
    ("kind", "protocol", "heard"),
    [
        ("accept", 6, "answer"),
        ("reset", 6, "refused"),
        ("data", 6, ""),
        ("echo", 1, "answer"),
        ("datagram", 17, "answer"),
        ("port", 17, "refused"),
        ("admin", 6, "prohibited"),
        ("host", 1, "unreachable"),
    ],
)
def test_what_a_guest_answers(kind: str, protocol: int, heard: str) -> None:
    asked = Knock(source=A, target=B, protocol=protocol, port=80)
    assert knock.read(said(kind, protocol), asked, 40001) == heard
    assert knock.read(said(kind, protocol), asked, 40002) == "" or kind in ("port", "admin", "host")
    assert knock.read(said(kind, protocol), Knock(source="10.0.2.7", target=B, protocol=protocol, port=80), 40001) == ""


def test_rubbish_is_no_answer() -> None:
    asked = Knock(source=A, target=B, protocol=6, port=80)
    whole = said("accept", 6)
    for size in range(len(whole)):
        assert knock.read(whole[:size], asked, 40001) in ("", "answer")
    assert knock.read(b"\x60" + whole[1:], asked, 40001) == ""


def test_rules_are_counted_as_the_driver_writes_them() -> None:
    want = PortWant(id="0" * 8 + "-0000-0000-0000-" + "0" * 12, network_id="n", mac="fa:16:3e:00:00:01", addresses=(A,), groups=("g",))
    found = inspect.expected(rules.guard(want, 7))
    tap = rules.tap_name(want.id)
    assert found["inet", f"in_{tap}"] == 2, "one jump, and drop"
    assert found["bridge", f"from_{tap}"] == 1 + len(rules.antispoof(want)), "the mark comes first"
    skeleton = inspect.expected(rules.skeleton())
    assert skeleton["inet", "input"] > 4
    assert all(not chain.startswith("seal") for _, chain in skeleton)
    group = Chains(group="11111111-1111-4111-8111-111111111111", rules=(Rule(direction="ingress", version=4, protocol=6, low=80, high=80),))
    counts = inspect.expected(rules.load_part(group))
    assert counts == {("inet", rules.group_chain(group.group, "in")): 1, ("inet", rules.group_chain(group.group, "out")): 0}


def test_whose_a_connection_is(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = "   0: 0100007F:{port:04X} 0100007F:0438 01 00000000:00000000 00:00000000 00000000 {uid:>5}        0 1 1 x\n"
    table = tmp_path / "tcp"
    table.write_text(head + row.format(port=5000, uid=os.getuid()) + row.format(port=5001, uid=54321))
    assert is_ours(("127.0.0.1", 5000), 1080, table=str(table))
    assert not is_ours(("127.0.0.1", 5001), 1080, table=str(table))
    assert not is_ours(("127.0.0.1", 5002), 1080, table=str(table))
    assert not is_ours(("127.0.0.1", 5000), 1081, table=str(table))
    assert not is_ours(("127.0.0.1", 5000), 1080, table=str(tmp_path / "none"))


def test_addresses_in_an_answer() -> None:
    question = dns.read(dns.query("a.b"))
    assert question is not None
    assert dns.addresses(dns.reply(question, 0, [(dns.A, b"\x0a\0\2\5"), (dns.AAAA, b"\0" * 16)])) == ("10.0.2.5",)
    assert dns.addresses(dns.reply(question, dns.NXDOMAIN)) == ()
    whole = dns.reply(question, 0, [(dns.A, b"\x0a\0\2\5")])
    for size in range(len(whole)):
        assert dns.addresses(whole[:size]) == ()
    assert dns.code(b"") == dns.SERVFAIL


TRACE: dict[str, Any] = {
    "source": "web (10.0.2.5)",
    "destination": "db: the second",
    "packet": "TCP 80",
    "hops": [
        {"way": "there", "place": "guest", "name": "web", "mark": "ok", "words": "sends it, straight"},
        {"way": "back", "place": "security group", "name": "open", "mark": "stop", "words": 'no "rule"'},
    ],
    "verdict": {"passes": False, "cause": "stateless", "words": "No.", "mend": ["openstack x", "openstack y"]},
}


def test_every_format_tells_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(format: str) -> str:
        why._show(TRACE, format)
        return capsys.readouterr().out

    assert json.loads(shown("json")) == TRACE
    assert yaml.safe_load(shown("yaml")) == TRACE
    table = shown("table")
    assert "XX  security group open" in table
    assert table.splitlines()[-2:] == ["  openstack x", "  openstack y"]
    lines = list(csv.reader(io.StringIO(shown("csv"))))
    assert lines[0] == ["way", "mark", "place", "name", "words"]
    assert lines[2] == ["back", "stop", "security group", "open", 'no "rule"']
    assert [line[-1] for line in lines if line[0] == "mend"] == ["openstack x", "openstack y"]
    assert [line.split("\t") for line in shown("value").splitlines()] == lines[1:]
