"""Asks the Internet's DNS for guests, through the datacenter's way out. Not here: what a network knows itself (dns.py)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence

PORT = 53
PATIENCE = 2.0  # seconds for one server
PACKET_MAX = 4096
WAITING_MAX = 1000  # questions under way; more are refused
HEADER = 12  # bytes of a message before its question


class Upstream:
    """One socket for all guests. Each question goes out under a number of our own, to one server after the other."""

    def __init__(self, make: Callable[[], Awaitable[socket.socket | None]], resolvers: Sequence[str]) -> None:
        self._make = make
        self._resolvers = tuple(resolvers)
        self._socket: socket.socket | None = None
        self._waiting: dict[int, tuple[str, bytes, asyncio.Future[bytes]]] = {}

    async def ask(self, query: bytes) -> bytes | None:
        """The first server's answer, under the query's own number; None when there is none to be had."""
        if not self._resolvers or len(self._waiting) >= WAITING_MAX or not await self._open():
            return None
        for server in self._resolvers:
            if answer := await self._ask(query, server):
                return query[:2] + answer[2:]
        return None

    def close(self) -> None:
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    async def _open(self) -> bool:
        if self._socket is None:
            sock = await self._make()
            if sock is None:
                return False
            if self._socket is not None:  # another question was faster
                sock.close()
                return True
            sock.bind(("", 0))
            self._socket = sock
            asyncio.get_running_loop().add_reader(sock, self._read, sock)
        return True

    async def _ask(self, query: bytes, server: str) -> bytes | None:
        number = secrets.randbelow(1 << 16)
        while number in self._waiting:
            number = secrets.randbelow(1 << 16)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (server, query, future)
        try:
            assert self._socket is not None
            with contextlib.suppress(OSError):
                self._socket.sendto(number.to_bytes(2) + query[2:], (server, PORT))
                async with asyncio.timeout(PATIENCE):
                    return await future
        except TimeoutError:
            pass
        finally:
            del self._waiting[number]
        return None

    def _read(self, sock: socket.socket) -> None:
        while True:
            try:
                data, (address, port) = sock.recvfrom(PACKET_MAX)
            except OSError:
                return
            server, query, future = self._waiting.get(int.from_bytes(data[:2]), ("", b"", None))
            if future is None or (address, port) != (server, PORT) or future.done():
                continue
            if data[HEADER : HEADER + 8] == query[HEADER : HEADER + 8] and data[2:3] >= b"\x80":  # an answer, and to that question
                future.set_result(data)
