"""Netlink: requests in batches, dumps, and errors with the kernel's own words. The messages are next door (rtnetlink, nfnetlink).

A socket belongs to the network namespace it was made in and may then be used from any thread.
Source: https://docs.kernel.org/userspace-api/netlink/intro.html, <linux/netlink.h>.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from pileus.errors import HostError

ROUTE, NETFILTER = 0, 12  # protocols
REQUEST, ACK, EXCL, CREATE, REPLACE, APPEND, DUMP = 0x1, 0x4, 0x200, 0x400, 0x100, 0x800, 0x300
ERROR, DONE = 2, 3
MULTI, CAPPED, ACK_TLVS = 0x2, 0x100, 0x200
SOL_NETLINK, CAP_ACK, EXT_ACK, GET_STRICT_CHK = 270, 10, 11, 12
NESTED, TYPE_MASK = 0x8000, 0x3FFF
BATCH = 100  # requests in one send: should all be refused, the answers must fit the receive buffer
ANSWER = 1 << 16  # bytes; the kernel sends 32 KiB at once at the most
TIMEOUT = 10  # seconds; an answer takes microseconds, the removal of a link some 20 ms

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


class NetlinkError(HostError):
    """The kernel refused a request. `number` is its errno."""

    def __init__(self, number: int, what: str, words: str = "") -> None:
        super().__init__(f"{what}: {os.strerror(number)}{f' ({words})' if words else ''}")
        self.number = number


class Message(NamedTuple):
    """A request. `what` says in words what it asks for, for errors."""

    type: int
    flags: int
    payload: bytes
    what: str = "request"


def attribute(kind: int, value: bytes | str | int) -> bytes:
    """One attribute: text ends with a null, a number has 32 bits in the machine's order."""
    data = value.encode() + b"\0" if isinstance(value, str) else struct.pack("=I", value) if isinstance(value, int) else value
    return _ATTRIBUTE.pack(len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(attributes))


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from `offset` on, by kind without its flags; of several of a kind the last."""
    found: dict[int, bytes] = {}
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode(errors="replace")


class Netlink:
    """One socket. Make it in the namespace that it is to speak to."""

    def __init__(self, protocol: int) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # Python's own way is a poll before each call
            self.socket.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", TIMEOUT, 0))
        self.socket.setsockopt(SOL_NETLINK, EXT_ACK, 1)
        self.socket.setsockopt(SOL_NETLINK, CAP_ACK, 1)
        if protocol == ROUTE:
            self.socket.setsockopt(SOL_NETLINK, GET_STRICT_CHK, 1)
        self._count = 0

    def close(self) -> None:
        self.socket.close()

    def request(self, *messages: Message, ignore: Collection[int] = ()) -> None:
        """Carry out requests in order, many in one send. Later ones are tried even when an earlier one failed.

        Raises NetlinkError for the first that failed with an errno that is not in `ignore`.
        """
        for start in range(0, len(messages), BATCH):
            some = messages[start : start + BATCH]
            self._batch(some, len(some), ignore)  # the kernel goes by their order: when it has done the last it has done all

    def transaction(self, begin: Message, *messages: Message, end: Message) -> None:
        """Netfilter's kind of batch: all of it or nothing. Raises NetlinkError for the first that was refused."""
        opening = _HEADER.pack(16 + len(begin.payload), begin.type, REQUEST, 0, 0) + begin.payload
        closing = _HEADER.pack(16 + len(end.payload), end.type, REQUEST, 0, 0) + end.payload
        self._batch(messages, 1, (), opening, closing)

    def _batch(self, messages: Sequence[Message], asked: int, ignore: Collection[int], opening: bytes = b"", closing: bytes = b"") -> None:
        """Of every so many messages (`asked`) one is acknowledged; those that fail are answered in any case."""
        waiting: dict[int, Message] = {}
        data = bytearray(opening)
        for place, message in enumerate(messages, 1):
            self._count += 1
            waiting[self._count] = message
            flags = message.flags | REQUEST | (0 if place % asked else ACK)
            data += _HEADER.pack(16 + len(message.payload), message.type, flags, self._count, 0) + message.payload
        self._send(bytes(data) + closing, messages[0].what)
        failed: NetlinkError | None = None
        last = self._count
        while last in waiting:
            for kind, flags, count, payload in self._receive():
                message_ = waiting.pop(count, None) if kind == ERROR else None
                if message_ is None:
                    continue
                number = -struct.unpack_from("=i", payload)[0]
                if number and number not in ignore and failed is None:
                    failed = NetlinkError(number, message_.what, _words(flags, payload))
        if failed:
            raise failed

    def dump(self, message: Message) -> list[bytes]:
        """The payloads of all answers to a question. Raises NetlinkError."""
        return self._ask(message, DUMP)

    def get(self, message: Message) -> bytes | None:
        """The answer to a question about one thing; None when it is not there. Raises NetlinkError."""
        try:
            return next(iter(self._ask(message, ACK)), None)
        except NetlinkError as error:
            if error.number in (errno.ENOENT, errno.ENODEV):
                return None
            raise

    def _ask(self, message: Message, flags: int) -> list[bytes]:
        self._count += 1
        header = _HEADER.pack(16 + len(message.payload), message.type, message.flags | flags | REQUEST, self._count, 0)
        self._send(header + message.payload, message.what)
        found: list[bytes] = []
        while True:
            for kind, more, count, payload in self._receive():
                if count != self._count:
                    continue
                if kind == DONE:
                    return found
                if kind == ERROR:
                    if number := -struct.unpack_from("=i", payload)[0]:
                        raise NetlinkError(number, message.what, _words(more, payload))
                    return found
                found.append(payload)

    def _send(self, data: bytes, what: str) -> None:
        try:
            self.socket.send(data)
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, what) from None

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        """(type, flags, sequence number, payload) of each message of one datagram."""
        try:
            data = self.socket.recv(ANSWER)
        except BlockingIOError:
            raise NetlinkError(errno.ETIMEDOUT, "netlink answer") from None
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, "netlink answer") from None
        offset = 0
        while offset + 16 <= len(data):
            length, kind, flags, count, _ = _HEADER.unpack_from(data, offset)
            yield kind, flags, count, data[offset + 16 : offset + length]
            offset += (length + 3) & ~3


def _words(flags: int, payload: bytes) -> str:
    """The extended acknowledgement's message, if there is one."""
    if not flags & ACK_TLVS:
        return ""
    skip = 16 if flags & CAPPED else struct.unpack_from("=I", payload, 4)[0]
    return text(attributes(payload, 4 + skip).get(1, b""))
