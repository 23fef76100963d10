"""The metadata service's door at 169.254.169.254: HTTP/1.1, small and strict, that says which port asks.

What the answer is, is the handler's business (compute). A guest is known by its network and its address, which it cannot forge.
Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from pileus.kit.store import Row

log = logging.getLogger("pileus.network")

HEAD_MAX = 8192  # bytes of request line and headers
BODY_MAX = 65536
IDLE = 30.0  # seconds that a guest may take for a request, and between two
CONNECTIONS = 64  # of one guest at a time
METHODS = ("GET", "HEAD", "PUT", "POST")
_LINE = re.compile(rb"([A-Z]+) (/[\x21-\x7e]*) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*?)[ \t]*")


@dataclass(frozen=True)
class MetadataRequest:
    """What a guest asks. `port`: its row; `path`: with the query; header names are in lower case."""

    port: Row
    address: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class MetadataResponse:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


MetadataHandler = Callable[[MetadataRequest], Awaitable[MetadataResponse]]
Finder = Callable[[str], Row | None]  # the port that has an address


class Refused(Exception):
    """A request that cannot be answered; the connection ends with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(HTTPStatus(status).phrase)
        self.status = status


@dataclass(frozen=True)
class Head:
    method: str
    path: str
    headers: dict[str, str]
    keep: bool


def read_head(data: bytes) -> Head:
    """A request's line and headers, as they came up to the empty line. Raises Refused."""
    first, *lines = data[:-4].split(b"\r\n")
    line = _LINE.fullmatch(first)
    if not line:
        raise Refused(400)
    headers: dict[str, str] = {}
    for text in lines:
        found = _FIELD.fullmatch(text)
        if not found:
            raise Refused(400)
        name = found[1].decode().lower()
        if name in headers and name in ("content-length", "host"):
            raise Refused(400)
        headers[name] = found[2].decode("latin-1")
    if line[1].decode() not in METHODS:
        raise Refused(405)
    if "transfer-encoding" in headers:
        raise Refused(501)
    connection = headers.get("connection", "").lower()
    keep = connection != "close" if line[3] == b"1" else connection == "keep-alive"
    return Head(line[1].decode(), line[2].decode(), headers, keep)


def body_length(head: Head) -> int:
    text = head.headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit():
        raise Refused(400)
    if int(text) > BODY_MAX:
        raise Refused(413)
    return int(text)


def written(response: MetadataResponse, *, keep: bool, head_only: bool) -> bytes:
    phrase = HTTPStatus(response.status).phrase if response.status in set(HTTPStatus) else ""
    headers = {"Content-Type": "text/plain; charset=UTF-8", **response.headers, "Content-Length": str(len(response.body))}
    if not keep:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {response.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if head_only else response.body)


class Relay:
    """One listener's connections."""

    def __init__(self, find: Finder, handler: MetadataHandler) -> None:
        self._find, self._handler = find, handler
        self._count: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        address = str(writer.get_extra_info("peername")[0])
        self._count[address] = self._count.get(address, 0) + 1
        try:
            if self._count[address] <= CONNECTIONS:
                await self._requests(reader, writer, address)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the guest has gone, or says nothing
        finally:
            self._count[address] -= 1
            if not self._count[address]:
                del self._count[address]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        keep = True
        while keep:
            head_only = False
            try:
                async with asyncio.timeout(IDLE):
                    head = await self._head(reader)
                    body = await reader.readexactly(body_length(head))
                keep, head_only = head.keep, head.method == "HEAD"
                response = await self._answer(head, body, address)
            except Refused as refused:
                keep, response = False, MetadataResponse(refused.status, str(refused).encode())
            writer.write(written(response, keep=keep, head_only=head_only))
            async with asyncio.timeout(IDLE):
                await writer.drain()

    async def _head(self, reader: asyncio.StreamReader) -> Head:
        try:
            return read_head(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.LimitOverrunError:
            raise Refused(431) from None

    async def _answer(self, head: Head, body: bytes, address: str) -> MetadataResponse:
        port = self._find(address)
        if port is None:
            return MetadataResponse(404, b"no port of this cloud has your address")
        try:
            return await self._handler(MetadataRequest(port, address, head.method, head.path, head.headers, body))
        except Exception:
            log.exception("metadata for port %s failed", port["id"])
            return MetadataResponse(500, b"the metadata service failed; see the control plane's log")
