"""DNS for one network: messages read and written, and the names that rows give. Pure but for rows; sockets are elsewhere.

Known are the network's own ports, by name and by address, in the domain that DHCP announces. Everything else is asked upstream.
Source: RFC 1034, 1035, 2308.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from pileus.network.live.directory import Directory
from pileus.network.types.names import DOMAIN

A, PTR, AAAA, ANY = 1, 12, 28, 255
INTERNET = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 0, 1, 2, 3, 4
RESPONSE, AUTHORITATIVE, RECURSION_DESIRED, RECURSION_AVAILABLE = 0x8000, 0x0400, 0x0100, 0x0080
TTL = 60  # seconds
_HEADER = struct.Struct("!HHHHHH")


@dataclass(frozen=True)
class Question:
    """A query with its one question. `raw` is the question as it came."""

    id: int
    flags: int
    name: str  # lower case, without the last dot
    type: int
    kind: int  # class
    raw: bytes

    @property
    def opcode(self) -> int:
        return self.flags >> 11 & 15


def read(data: bytes) -> Question | None:
    """A query, or None for what is none."""
    if len(data) < _HEADER.size:
        return None
    id, flags, count, _, _, _ = _HEADER.unpack_from(data)
    if flags & RESPONSE or count != 1:
        return None
    labels: list[str] = []
    offset = _HEADER.size
    while offset < len(data) and data[offset]:
        size = data[offset]
        if size > 63 or offset + 1 + size > len(data):
            return None  # a query's name is not compressed
        labels.append(data[offset + 1 : offset + 1 + size].decode("ascii", errors="replace").lower())
        offset += 1 + size
    if offset + 5 > len(data) or sum(map(len, labels)) + len(labels) > 254:
        return None
    type, kind = struct.unpack_from("!HH", data, offset + 1)
    return Question(id, flags, ".".join(labels), type, kind, data[_HEADER.size : offset + 5])


def reply(question: Question, code: int, answers: list[tuple[int, bytes]] | None = None, *, own: bool = True) -> bytes:
    """An answer with records (type, data) for the question's own name."""
    records = answers or []
    flags = RESPONSE | RECURSION_AVAILABLE | (question.flags & RECURSION_DESIRED) | (AUTHORITATIVE if own else 0) | code
    data = _HEADER.pack(question.id, flags, 1, len(records), 0, 0) + question.raw
    for type, value in records:
        data += struct.pack("!HHHIH", 0xC00C, type, INTERNET, TTL, len(value)) + value
    return data


def query(name: str) -> bytes:
    """A question for a name's IPv4 address."""
    return _HEADER.pack(0, RECURSION_DESIRED, 1, 0, 0, 0) + written(name) + struct.pack("!HH", A, INTERNET)


def code(message: bytes) -> int:
    """An answer's verdict, NOERROR to NOTIMP."""
    return message[3] & 15 if len(message) >= _HEADER.size else SERVFAIL


def addresses(message: bytes) -> tuple[str, ...]:
    """The IPv4 addresses in an answer, whatever names they are of: those of aliases come with it."""
    found: list[str] = []
    try:
        _, _, questions, answers, _, _ = _HEADER.unpack_from(message)
        at = _HEADER.size
        for _ in range(questions):
            at = _after_name(message, at) + 4
        for _ in range(answers):
            at = _after_name(message, at)
            type, kind, _, size = struct.unpack_from("!HHIH", message, at)
            if (type, kind, size) == (A, INTERNET, 4):
                found.append(str(ipaddress.IPv4Address(message[at + 10 : at + 14])))
            at += 10 + size
    except (struct.error, IndexError, ValueError):
        return ()
    return tuple(found)


def _after_name(message: bytes, at: int) -> int:
    """Where a name ends: at its null, or behind a pointer."""
    while size := message[at]:
        if size >= 0xC0:
            return at + 2
        at += 1 + size
    return at + 1


def written(name: str) -> bytes:
    """A name as a message holds it, without compression."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def answer(question: Question, network_id: str, directory: Directory) -> bytes | None:
    """What the network itself knows; None: somebody else must be asked."""
    if question.opcode != 0:
        return reply(question, NOTIMP, own=False)
    if question.kind != INTERNET:
        return None
    if question.name.endswith(".arpa"):
        return _reverse(question, network_id, directory)
    if not question.name:
        return None
    domains = directory.domains(network_id)
    if question.name in domains:
        return reply(question, NOERROR)
    domain = next((domain for domain in domains if question.name.endswith(f".{domain}")), None)
    if domain is None and "." in question.name:
        return None
    name = question.name.removesuffix(f".{domain}")
    addresses = [ipaddress.ip_address(text) for text in directory.by_name(network_id, name)]
    if not addresses:
        return reply(question, NXDOMAIN)
    types = {4: A, 6: AAAA}
    wanted = [(types[ip.version], ip.packed) for ip in addresses if question.type in (types[ip.version], ANY)]
    return reply(question, NOERROR, wanted)


def _reverse(question: Question, network_id: str, directory: Directory) -> bytes | None:
    address = address_of(question.name)
    if address is None:
        return None
    lodger = directory.by_address(network_id, str(address))
    if lodger is None:
        return reply(question, NXDOMAIN) if address.is_private else None  # RFC 6303: nobody outside knows
    if question.type not in (PTR, ANY):
        return reply(question, NOERROR)
    return reply(question, NOERROR, [(PTR, written(f"{lodger.host_name}.{DOMAIN}"))])


def address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a name below in-addr.arpa or ip6.arpa stands for, when it is a whole one."""
    labels = name.split(".")[:-2]
    try:
        if name.endswith(".in-addr.arpa"):
            return ipaddress.IPv4Address(".".join(reversed(labels)))
        if name.endswith(".ip6.arpa") and len(labels) == 32:
            return ipaddress.IPv6Address(int("".join(reversed(labels)), 16))
    except ValueError:
        return None
    return None
