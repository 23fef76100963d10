"""Knocking at a guest: a first packet or ARP probes put on its tap, and what the guest sends in answer, heard there.

What is sent on the tap goes to the guest and nowhere else. An answer to what the network's filter has not seen begins no flow: the filter
drops it. Pure but for `ask`; that blocks.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field
from functools import partial

from pileus.drivers.linuxnet import network, rules
from pileus.drivers.linuxnet.machine import Machine
from pileus.errors import HostError
from pileus.network.host import Heard, Knock, PortWant

IP, ARP, EVERYTHING = 0x0800, 0x0806, 3
OUTGOING = 4  # packet(7): PACKET_OUTGOING, what we sent ourselves
PATIENCE = 1.0  # seconds; a guest answers in milliseconds, an emulated one on a busy machine in tenths
AGAIN = 0.4  # seconds after which the question is put once more
ICMP, TCP, UDP = 1, 6, 17
SYN, RST, ACK = 0x02, 0x04, 0x10
EVERYBODY = b"\xff" * 6
PROHIBITED = (9, 10, 13)  # codes of "unreachable" that a firewall sends
PORT_UNREACHABLE = 3
Reading = tuple[str, bytes]


def ask(machine: Machine, want: PortWant, knock: Knock) -> Heard | None:
    """Knock, and listen for the answer. None when there is no tap to knock at."""
    name, tap = network.namespace(want.network_id), rules.tap_name(want.id)
    try:
        sock = machine.namespaces.run(name, partial(_open, tap))
    except (HostError, OSError):
        return None
    try:
        return _Talk(sock, want, knock, bytes.fromhex(network.bridge_mac(want.network_id).replace(":", ""))).run()
    except OSError:
        return None  # the tap is down, or has gone
    finally:
        machine.closer.later(name, sock.close)


def _open(tap: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
    try:
        sock.bind((tap, EVERYTHING))
    except OSError:
        sock.close()
        raise
    return sock


@dataclass
class _Talk:
    """One question and what is heard of it."""

    sock: socket.socket
    want: PortWant
    knock: Knock
    mac: bytes  # ours
    number: int = field(default_factory=lambda: 40000 + secrets.randbelow(20000))  # the source port, or the echo's identifier
    answers: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    found: Reading = ("", b"")

    def run(self) -> Heard:
        start = time.monotonic()
        self._send()
        again = start + AGAIN
        while (now := time.monotonic()) < start + PATIENCE and not self._is_done():
            if again and now >= again:
                self._send()
                again = 0.0
            self.sock.settimeout(max((min(again, start + PATIENCE) if again else start + PATIENCE) - now, 0.001))
            try:
                data, address = self.sock.recvfrom(2048)
            except TimeoutError:
                continue
            if address[2] != OUTGOING:
                self._hear(data)
        reply, via = self.found
        kind = reply if reply in ("answer", "refused", "prohibited", "unreachable") else ""
        return Heard(answers=frozenset(self.answers), reply=kind, via=via.hex(":"), asked=frozenset(self.asked))  # type: ignore[arg-type]

    def _is_done(self) -> bool:
        if self.knock.addresses:
            return len(self.answers) == len(self.knock.addresses)
        return bool(self.found[0])

    def _send(self) -> None:
        for address in self.knock.addresses:
            self.sock.send(probe(self.mac, address))
        if not self.knock.addresses:
            target = bytes.fromhex(self.want.mac.replace(":", ""))
            self.sock.send(target + self.mac + struct.pack("!H", IP) + first_packet(self.knock, self.number))

    def _hear(self, data: bytes) -> None:
        kind = int.from_bytes(data[12:14])
        if kind == ARP and len(data) >= 42:
            operation, sender, wanted = data[20:22], socket.inet_ntoa(data[28:32]), socket.inet_ntoa(data[38:42])
            if operation == b"\0\2" and sender in self.knock.addresses:
                self.answers.add(sender)
            elif operation == b"\0\1" and wanted != sender:
                self.asked.add(wanted)
        elif kind == IP and not self.knock.addresses and (said := read(data[14:], self.knock, self.number)):
            self.found = said, data[:6]
            if said == "answer" and self.knock.protocol == TCP:
                sequence = int.from_bytes(data[14 + (data[14] & 15) * 4 :][8:12])
                self.sock.send(data[6:12] + self.mac + struct.pack("!H", IP) + hang_up(self.knock, self.number, sequence))


def probe(mac: bytes, address: str) -> bytes:
    """An ARP probe (RFC 5227): whoever has the address answers, whatever else it thinks of its network."""
    body = struct.pack("!HHBBH", 1, IP, 6, 4, 1) + mac + b"\0" * 4 + b"\0" * 6 + socket.inet_aton(address)
    return EVERYBODY + mac + struct.pack("!H", ARP) + body


def first_packet(knock: Knock, number: int) -> bytes:
    """The IPv4 packet that begins a flow."""
    if knock.protocol == ICMP:
        echo = struct.pack("!BBHHH", 8, 0, 0, number, 1) + b"pileus why"
        return _ip(knock, echo[:2] + struct.pack("!H", _sum(echo)) + echo[4:])
    if knock.protocol == UDP:
        return _ip(knock, _checked(knock, struct.pack("!HHHH", number, knock.port, 8, 0), 6))
    return _ip(knock, _checked(knock, struct.pack("!HHIIBBHHH", number, knock.port, 1, 0, 5 << 4, SYN, 1024, 0, 0), 16))


def hang_up(knock: Knock, number: int, sequence: int) -> bytes:
    """The end of a connection that the guest has accepted."""
    return _ip(knock, _checked(knock, struct.pack("!HHIIBBHHH", number, knock.port, sequence, 0, 5 << 4, RST, 0, 0, 0), 16))


def read(packet: bytes, knock: Knock, number: int) -> str:
    """What a packet of the guest's says to the knock; empty when it is about something else."""
    if len(packet) < 28 or packet[0] >> 4 != 4:
        return ""
    length = (packet[0] & 15) * 4
    protocol, body = packet[9], packet[length:]
    if socket.inet_ntoa(packet[16:20]) != knock.source or len(body) < 8:
        return ""
    if protocol == ICMP and body[0] == 3:
        return _unreachable(body, knock)
    if socket.inet_ntoa(packet[12:16]) != knock.target or protocol != knock.protocol:
        return ""
    if protocol == ICMP:
        return "answer" if body[0] == 0 and int.from_bytes(body[4:6]) == number else ""
    source, target = struct.unpack_from("!HH", body)
    if (source, target) != (knock.port, number):
        return ""
    if protocol == UDP or len(body) < 14:
        return "answer"
    return "refused" if body[13] & RST else "answer" if body[13] & SYN and body[13] & ACK else ""


def _unreachable(body: bytes, knock: Knock) -> str:
    inner = body[8:]
    if len(inner) < 20 or socket.inet_ntoa(inner[16:20]) != knock.target or inner[9] != knock.protocol:
        return ""
    if body[1] in PROHIBITED:
        return "prohibited"
    return "refused" if body[1] == PORT_UNREACHABLE else "unreachable"


def _ip(knock: Knock, body: bytes) -> bytes:
    ends = ipaddress.IPv4Address(knock.source).packed + ipaddress.IPv4Address(knock.target).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, knock.protocol, 0) + ends
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + body


def _checked(knock: Knock, segment: bytes, at: int) -> bytes:
    """A TCP or UDP segment with its checksum, which is at this offset."""
    ends = ipaddress.IPv4Address(knock.source).packed + ipaddress.IPv4Address(knock.target).packed
    total = _sum(ends + struct.pack("!BBH", 0, knock.protocol, len(segment)) + segment)
    return segment[:at] + struct.pack("!H", total or 0xFFFF) + segment[at + 2 :]


def _sum(data: bytes) -> int:
    """The Internet checksum, RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
