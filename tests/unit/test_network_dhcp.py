"""DHCP without a socket: packets written and read, the answer a port gives, options that a port's owner chose."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.network.live import dhcp
from pileus.network.live.dhcp import ACK, DISCOVER, INFORM, NAK, OFFER, RELEASE, REQUEST, Packet
from pileus.network.live.directory import Lodger

MAC = "fa:16:3e:00:00:01"


def lodger(**changes: Any) -> Lodger:
    port = {"dns_name": changes.pop("dns_name", ""), "extra_dhcp_opts": json.dumps(changes.pop("extra", []))}
    subnet = {"cidr": "10.0.2.0/24", "gateway_ip": "10.0.2.254", "dns_nameservers": "[]", "host_routes": "[]"}
    for column in list(subnet):
        if column in changes:
            subnet[column] = changes.pop(column)
    return Lodger(port, "10.0.2.5", subnet, mtu=1450, foot=changes.pop("foot", "169.254.169.254"))


def request(kind: int, **changes: Any) -> Packet:
    options = {53: bytes([kind])}
    for code, name in ((50, "asked"), (54, "server")):
        if name in changes:
            options[code] = socket.inet_aton(changes.pop(name))
    return Packet(1, 7, MAC, options=options, **changes)


def test_a_packet_survives_the_wire() -> None:
    packet = Packet(1, 0xDEADBEEF, MAC, 0x8000, "10.0.0.1", secs=3, options={53: b"\1", 61: b"\1" + b"x" * 300, 12: b""})
    data = dhcp.encode(packet)
    assert len(data) >= dhcp.SMALLEST
    assert dhcp.decode(data) == packet


@given(st.binary(max_size=400))
def test_rubbish_is_no_packet(data: bytes) -> None:
    assert dhcp.decode(data) is None


@given(st.binary(max_size=80))
def test_rubbish_for_options_never_raises(data: bytes) -> None:
    whole = dhcp.encode(request(DISCOVER))
    found = dhcp.decode(whole[:240] + data)
    assert found is None or found.kind


ANSWERS: dict[str, tuple[Packet, int | None]] = {
    "discover": (request(DISCOVER), OFFER),
    "selecting": (request(REQUEST, asked="10.0.2.5", server="169.254.169.254"), ACK),
    "another server was chosen": (request(REQUEST, asked="10.0.2.5", server="10.0.2.1"), None),
    "wrong address": (request(REQUEST, asked="10.0.2.6", server="169.254.169.254"), NAK),
    "after a reboot": (request(REQUEST, asked="10.0.2.5"), ACK),
    "after a reboot elsewhere": (request(REQUEST, asked="192.168.1.5"), NAK),
    "renewing": (request(REQUEST, ciaddr="10.0.2.5"), ACK),
    "renewing what is another's": (request(REQUEST, ciaddr="10.0.2.6"), NAK),
    "nothing asked": (request(REQUEST), NAK),
    "inform": (request(INFORM, ciaddr="10.0.2.5"), ACK),
    "inform of a stranger": (request(INFORM, ciaddr="10.0.2.9"), None),
    "release": (request(RELEASE, ciaddr="10.0.2.5"), None),
    "a relay's": (request(DISCOVER, giaddr="10.0.2.9"), None),
    "a server's": (replace(request(DISCOVER), op=2), None),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name: str) -> None:
    asked, kind = ANSWERS[name]
    answer = dhcp.answer(asked, lodger())
    assert (answer and answer.packet.kind) == kind
    if answer is None:
        return
    assert answer.packet.options[54] == socket.inet_aton("169.254.169.254")
    granted = kind in (OFFER, ACK) and asked.kind != INFORM
    assert answer.packet.yiaddr == ("10.0.2.5" if granted else "0.0.0.0")
    assert (51 in answer.packet.options) == granted, "only who gets an address gets a time"


def test_where_an_answer_goes() -> None:
    def target(asked: Packet) -> str:
        answer = dhcp.answer(asked, lodger())
        assert answer
        return answer.target

    assert target(request(DISCOVER)) == "10.0.2.5"
    assert target(request(DISCOVER, flags=0x8000)) == "255.255.255.255"
    assert target(request(REQUEST, ciaddr="10.0.2.5")) == "10.0.2.5"
    assert target(request(REQUEST, asked="10.0.2.6")) == "255.255.255.255"


def test_a_stranger_gets_no_word() -> None:
    assert dhcp.answer(request(DISCOVER), None) is None


def test_options_of_a_plain_port() -> None:
    found = dhcp.options(lodger())
    assert found[1] == socket.inet_aton("255.255.255.0")
    assert found[3] == socket.inet_aton("10.0.2.254")
    assert found[6] == socket.inet_aton("169.254.169.254")
    assert found[12] == b"host-10-0-2-5"
    assert found[26] == struct.pack("!H", 1450)
    assert found[121] == bytes.fromhex("20a9fea9fe00000000" + "000a0002fe")


def test_options_of_a_port_with_everything() -> None:
    routes = json.dumps([{"destination": "10.7.0.0/16", "nexthop": "10.0.2.9"}, {"destination": "0.0.0.0/0", "nexthop": "10.0.2.1"}])
    found = dhcp.options(lodger(dns_name="web", foot="10.0.2.2", host_routes=routes, dns_nameservers='["10.0.2.3", "10.0.2.4"]'))
    assert found[12] == b"web"
    assert found[6] == socket.inet_aton("10.0.2.3") + socket.inet_aton("10.0.2.4")
    assert found[121] == bytes.fromhex("100a070a000209" + "000a000201" + "20a9fea9fe0a000202"), (
        "a default route of one's own is the only one"
    )
    nothing = dhcp.options(lodger(gateway_ip=None, dns_nameservers='["0.0.0.0"]'))
    assert not {3, 6} & nothing.keys()
    assert nothing[121] == bytes.fromhex("20a9fea9fe00000000")


def test_chosen_options() -> None:
    chosen = {
        "mtu": ("1300", {26: b"\x05\x14"}),
        "42": ("10.0.2.8,10.0.2.9", {42: b"\x0a\0\2\x08\x0a\0\2\x09"}),
        "17": ("/srv/root", {17: b"/srv/root"}),
        "bootfile-name": ("pxelinux.0", {67: b"pxelinux.0"}),
        "domain-search": ("a.example,b.example", {119: b"\1a\7example\0\1b\7example\0"}),
        "classless-static-route": ("10.8.0.0/16,10.0.2.7", {121: b"\x10\x0a\x08\x0a\0\2\x07"}),
        "ip-forward-enable": ("1", {19: b"\1"}),
        "router": ("not an address", {}),
        "mtu-of-mine": ("5", {}),
        "255": ("5", {}),
    }
    for name, (value, expected) in chosen.items():
        assert dhcp.extra([{"opt_name": name, "opt_value": value, "ip_version": 4}]) == expected
    assert dhcp.extra([{"opt_name": "mtu", "opt_value": "1300", "ip_version": 6}]) == {}


def test_a_chosen_option_wins_but_never_over_the_lease() -> None:
    words = {"26": "9000", "51": "10.9.9.9", "66": "10.0.2.66", "67": "boot"}
    extra = [{"opt_name": name, "opt_value": value} for name, value in words.items()]
    answer = dhcp.answer(request(DISCOVER), lodger(extra=[*extra, {"opt_name": "mtu", "opt_value": "1200"}]))
    assert answer
    assert answer.packet.options[26] == struct.pack("!H", 1200)
    assert answer.packet.options[51] == struct.pack("!I", dhcp.LEASE)
    assert (answer.packet.siaddr, answer.packet.file) == ("10.0.2.66", b"boot")
