"""Asks every pair at once: pings, TCP and UDP from each guest and from outside to each address, until the answers that are due are there.

What is not answered within moments is asked again, with more patience; an answer that is not due is never waited away. Not here: who
should answer.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.kernel.walk_guests import MARK, Guest, Guests
from tests.kernel.walk_model import OUTSIDE, OUTSIDE_IP, World
from tests.kernel.walk_steps import PORTS

Question = tuple[str, str, str, int]  # source (a port's id or OUTSIDE), target address, protocol, port or 0
PATIENCE = (0.7, 2.0, 6.0)  # seconds for what is due, at each asking
GRACE = 0.15  # seconds in which an answer that is not due would have come
KINDS = (("icmp", 0), *((protocol, port) for protocol in ("tcp", "udp") for port in PORTS))


def questions(world: World) -> list[Question]:
    """Everything that can be asked: each guest every address of either project, gateways, floating IPs and the outside host."""
    fixed = {port.ip for port in world.ports.values()}
    floating = {one.address for one in world.floating.values()}
    asked = [(OUTSIDE, target) for target in floating]
    for port in world.ports.values():
        gateway = world.nets[port.net].gateway
        asked += [(port.id, target) for target in (fixed | floating | {OUTSIDE_IP, gateway}) - {port.ip}]
    return [(source, target, *kind) for source, target in asked for kind in KINDS]


def due(world: World, asked: Iterable[Question]) -> dict[Question, str | None]:
    return {question: world.answers(*question) for question in asked}


def differences(guests: Guests, wanted: dict[Question, str | None]) -> list[str]:
    """What is answered otherwise than it should be, in words."""
    left = wanted
    for patience in PATIENCE:
        got = Round(guests, left, patience).run()
        if wrong := {question for question, answer in got.items() if answer is not None and not same(left[question], answer)}:
            return [words(guests, question, left[question], got[question]) for question in sorted(wrong)]
        left = {question: due for question, due in left.items() if due is not None and got.get(question) is None}
        if not left:
            return []
    return [words(guests, question, due, None) for question, due in sorted(left.items())]


def same(due: str | None, answer: str) -> bool:
    """An echo reply does not say who sent it."""
    return due == answer or (due is not None and answer == "pong")


def words(guests: Guests, question: Question, due: str | None, got: str | None) -> str:
    source, target, protocol, port = question
    asking = guests.all[source]
    who = f"{asking.ip} ({source[:8]}, project {asking.project})"
    return f"{who} -> {target} {protocol} {port or ''}: {(due or 'nobody')[:8]} should answer, {(got or 'nobody')[:8]} does"


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


@dataclass
class Round:
    """One asking of all questions at once."""

    guests: Guests
    wanted: dict[Question, str | None]
    patience: float
    got: dict[Question, str | None] = field(default_factory=dict)
    poll: select.epoll = field(default_factory=select.epoll)
    handlers: dict[int, tuple[str, Guest, socket.socket]] = field(default_factory=dict)
    connections: dict[int, Question] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)  # of echo requests, by guest
    opened: list[socket.socket] = field(default_factory=list)

    def run(self) -> dict[Question, str | None]:
        try:
            for guest in self.guests.all.values():
                self.watch("replies", guest, guest.replies)
                for server in guest.servers:
                    self.watch("server", guest, server)
                if guest.ear:
                    self.watch("ear", guest, guest.ear)
            by_source: dict[str, list[Question]] = {}
            for question in self.wanted:
                by_source.setdefault(question[0], []).append(question)
            for source, asked in by_source.items():
                self.ask(self.guests.all[source], asked)
            self.wait()
        finally:
            for sock in self.opened:
                sock.close()
            self.poll.close()
        return {question: self.got.get(question) for question in self.wanted}

    def watch(self, what: str, guest: Guest, sock: socket.socket, events: int = select.EPOLLIN) -> None:
        self.handlers[sock.fileno()] = what, guest, sock
        self.poll.register(sock.fileno(), events)

    def ask(self, guest: Guest, asked: list[Question]) -> None:
        """Send everything this guest has to ask."""
        by_tcp = [question for question in asked if question[2] == "tcp"]

        def make() -> list[socket.socket]:
            kinds = [socket.SOCK_DGRAM, *[socket.SOCK_STREAM] * len(by_tcp)]
            return [socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK) for kind in kinds]

        client, *streams = self.guests.netns.run(guest.namespace, make)
        self.opened += [client, *streams]
        for sock in (client, *streams):
            sock.bind(("", guest.source_port()))
        self.watch("client", guest, client)
        for sock, question in zip(streams, by_tcp, strict=True):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT is left
            if sock.connect_ex((question[1], question[3])) in (0, errno.EINPROGRESS):
                self.connections[sock.fileno()] = question
                self.watch("stream", guest, sock)
        self.numbers[guest.id] = number = guest.source_port() or 1
        for index, question in enumerate(asked):
            body = MARK + bytes((guest.project & 255, 0)) + struct.pack("!H", question[3]) + socket.inet_aton(question[1])
            with contextlib.suppress(OSError):
                if question[2] == "udp":
                    client.sendto(body, (question[1], question[3]))
                elif question[2] == "icmp":
                    head = struct.pack("!BBHHH", 8, 0, 0, number, index)
                    head = struct.pack("!BBHHH", 8, 0, checksum(head + body), number, index)
                    guest.replies.sendto(head + body, (question[1], 0))

    def wait(self) -> None:
        """Until all that is due has come, and a moment for what is not; or until patience ends."""
        end = time.monotonic() + self.patience
        missing = {question for question, answer in self.wanted.items() if answer is not None}
        quiet: float | None = None
        while (now := time.monotonic()) < end:
            if quiet is None and missing <= self.got.keys():
                quiet = now + GRACE
            if quiet is not None and now >= quiet:
                return
            for fd, _ in self.poll.poll(min(end - now, 0.02), 256):
                self.hear(fd)

    def hear(self, fd: int) -> None:
        what, guest, sock = self.handlers[fd]
        if what == "server":
            self.guests.serve(guest, sock)
        elif what == "ear":
            self.guests.listen(guest)
        elif what == "stream":
            self.poll.unregister(fd)
            with contextlib.suppress(OSError):
                if said := sock.recv(100).decode():
                    self.got[self.connections[fd]] = said
        else:
            with contextlib.suppress(OSError):
                while True:
                    data, _ = sock.recvfrom(2000)
                    self.answered(guest, data) if what == "client" else self.replied(guest, data)

    def answered(self, guest: Guest, data: bytes) -> None:
        if data.startswith(MARK):
            target, port = socket.inet_ntoa(data[8:12]), struct.unpack("!H", data[6:8])[0]
            self.got[guest.id, target, "udp", port] = data[12:].decode()

    def replied(self, guest: Guest, data: bytes) -> None:
        head = (data[0] & 15) * 4
        kind, _, _, number, _ = struct.unpack_from("!BBHHH", data, head)
        body = data[head + 8 :]
        if kind == 0 and number == self.numbers.get(guest.id) and body.startswith(MARK):
            self.got[guest.id, socket.inet_ntoa(body[8:12]), "icmp", 0] = "pong"
