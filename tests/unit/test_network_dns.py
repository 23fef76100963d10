"""DNS without a socket: queries read, the names of a network's ports, and that nothing a guest sends raises."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pileus.network.live import dns
from pileus.network.live.directory import Directory
from tests.network_rows import Rows, new_store


def query(name: str, kind: int = dns.A, *, flags: int = 0x0100) -> bytes:
    return struct.pack("!HHHHHH", 77, flags, 1, 0, 0, 0) + dns.written(name) + struct.pack("!HH", kind, 1)


def read_answer(data: bytes, question: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """(code, records) of an answer to a question."""
    id, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", data)
    assert (id, questions) == (77, 1)
    assert flags & dns.RESPONSE
    offset = len(question)
    assert data[12:offset] == question[12:]
    records = []
    for _ in range(answers):
        name, kind, _, _, length = struct.unpack_from("!HHHIH", data, offset)
        assert name == 0xC00C
        records.append((kind, data[offset + 12 : offset + 12 + length]))
        offset += 12 + length
    assert offset == len(data)
    return flags & 15, records


class Net:
    """A network with two ports."""

    def __init__(self) -> None:
        rows = Rows(new_store())
        self.id, subnet = rows.network("10.0.2.0/24")
        other, others = rows.network("10.0.2.0/24")
        rows.port(self.id, subnet, "10.0.2.1", dns_name="Adder")
        rows.port(self.id, subnet, "10.0.2.2")
        rows.port(other, others, "10.0.2.3", dns_name="stranger")
        self.directory = Directory(rows.store)

    def ask(self, name: str, kind: int = dns.A) -> tuple[int, list[tuple[int, bytes]]] | None:
        data = query(name, kind)
        question = dns.read(data)
        assert question
        answer = dns.answer(question, self.id, self.directory)
        return None if answer is None else read_answer(answer, data)


def addresses(*texts: str) -> list[tuple[int, bytes]]:
    return [(dns.A, ipaddress.ip_address(text).packed) for text in texts]


def test_names_and_addresses() -> None:
    net = Net()
    assert net.ask("adder.openstacklocal") == (0, addresses("10.0.2.1"))
    assert net.ask("ADDER.OpenStackLocal") == (0, addresses("10.0.2.1"))
    assert net.ask("adder") == (0, addresses("10.0.2.1"))
    assert net.ask("host-10-0-2-2.openstacklocal") == (0, addresses("10.0.2.2"))
    assert net.ask("adder.openstacklocal", dns.AAAA) == (0, []), "it is there, but not in IPv6"
    assert net.ask("1.2.0.10.in-addr.arpa", dns.PTR) == (0, [(dns.PTR, dns.written("Adder.openstacklocal"))])
    assert net.ask("2.2.0.10.in-addr.arpa", dns.PTR) == (0, [(dns.PTR, dns.written("host-10-0-2-2.openstacklocal"))])


def test_what_is_not_there_and_whom_to_ask() -> None:
    net = Net()
    for name in ("stranger", "host-10-0-2-3", "nobody.openstacklocal", "a.b.openstacklocal", "host-10-0-2-999"):
        assert net.ask(name) == (dns.NXDOMAIN, []), name
    assert net.ask("3.2.0.10.in-addr.arpa", dns.PTR) == (dns.NXDOMAIN, [])
    assert net.ask("openstacklocal", dns.AAAA) == (0, [])
    for name in ("example.org", "a.openstacklocal.example.org", "8.8.8.8.in-addr.arpa", "8.in-addr.arpa", ""):
        assert net.ask(name) is None, f"{name} is somebody else's"


def test_other_kinds_of_queries() -> None:
    net = Net()
    status = query("adder", flags=0x1000)
    question = dns.read(status)
    assert question
    answer = dns.answer(question, net.id, net.directory)
    assert answer
    assert read_answer(answer, status) == (dns.NOTIMP, [])
    assert dns.read(query("adder", flags=0x8000)) is None, "an answer is no query"


@given(st.binary(max_size=100))
def test_rubbish_never_raises(data: bytes) -> None:
    dns.read(data)
    dns.read(query("x")[:12] + data)


@given(st.lists(st.text(max_size=12), max_size=5))
def test_any_name_gets_an_answer_or_none(labels: Sequence[str]) -> None:
    encoded = [label.encode()[:60] for label in labels]
    name = b"".join(bytes([len(label)]) + label for label in encoded if label)
    data = query("")[:12] + name + b"\0" + struct.pack("!HH", 1, 1)
    question = dns.read(data)
    assert question
    net = NET
    answer = dns.answer(question, net.id, net.directory)
    assert answer is None or answer[:2] == data[:2]


NET = Net()
