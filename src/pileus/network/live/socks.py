"""A SOCKS5 proxy into the public range, for a browser: it listens on loopback, and connects as the outside host does.

Only the user that the cloud belongs to is served (there is no password to give to a browser; the kernel says whose a connection is), and
only floating IPs, the rest of the public network, and the APIs. Source: RFC 1928.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pileus.errors import Conflict, HostError
from pileus.kit.store import Store
from pileus.network.types.names import DOMAIN

log = logging.getLogger("pileus.socks")

VERSION, CONNECT = 5, 1
NO_PASSWORD, NONE_FITS = 0, 0xFF
V4, NAME, V6 = 1, 3, 4
DONE, FAILURE, NOT_ALLOWED, NO_NETWORK, NO_HOST, REFUSED, _, NO_COMMAND, NO_KIND = range(9)
REPLIES = {
    errno.ECONNREFUSED: REFUSED,
    errno.ENETUNREACH: NO_NETWORK,
    errno.EHOSTUNREACH: NO_HOST,
    errno.ETIMEDOUT: NO_HOST,
}
HANDSHAKE = 30.0  # seconds that a client may take to say what it wants
PATIENCE = 20.0  # seconds for a connection to come about
PIECE = 1 << 16
LOOPBACK = "127.0.0.1"
Connect = Callable[[], Awaitable[socket.socket | None]]  # a socket of the outside host


class Refused(Exception):
    """Not to be had; `reply` is RFC 1928's code."""

    def __init__(self, reply: int) -> None:
        super().__init__(f"reply {reply}")
        self.reply = reply


@dataclass(frozen=True)
class Reach:
    """Where the proxy leads: the public range, and the APIs at loopback's `api_port`. `named`: the ids of servers with a host name."""

    store: Store
    public: ipaddress.IPv4Network
    api_port: int
    named: Callable[[str], list[str]]

    def address(self, host: str, port: int) -> str:
        """The address that a client means. Raises Refused."""
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            ip = ipaddress.ip_address(self._named(host.lower().rstrip(".")))
        if isinstance(ip, ipaddress.IPv6Address):
            ip = ip.ipv4_mapped or ip
        if ip.is_loopback and port == self.api_port:
            return LOOPBACK
        if ip not in self.public:
            raise Refused(NOT_ALLOWED)
        return str(ip)

    def _named(self, name: str) -> str:
        """A floating IP by its own name in DNS, or by that of the port or the server it leads to."""
        if name == "localhost":
            return LOOPBACK
        own = "SELECT floating_ip_address AS address FROM floating_ip WHERE dns_name <> '' AND"
        found = self.store.query(f"{own} lower(rtrim(dns_name || '.' || dns_domain, '.')) = ?", name)
        if not found:
            short = name.removesuffix(f".{DOMAIN}")
            sql = "SELECT i.floating_ip_address AS address FROM floating_ip i JOIN port p ON p.id = i.port_id"
            found = self.store.query(f"{sql} WHERE p.gone = 0 AND p.dns_name <> '' AND lower(p.dns_name) = ?", short)
            if not found and (ids := self.named(short)):
                found = self.store.query(f"{sql} WHERE p.gone = 0 AND p.device_id IN ({', '.join('?' * len(ids))})", *ids)
        if len(found) != 1:
            raise Refused(NO_HOST)
        return str(found[0]["address"])


def is_ours(peer: tuple[str, int], port: int, *, table: str = "/proc/self/net/tcp") -> bool:
    """Whether the connection from `peer` to our `port` belongs to the user that this process runs as, or to root of its namespace."""
    mine, theirs = _row(peer), f"{_number(LOOPBACK)}:{port:04X}"
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[1] == mine and words[2] == theirs:
                return int(words[7]) in (os.getuid(), 0)
    return False


def _number(address: str) -> str:
    """An address as /proc/net/tcp writes it: in the machine's order."""
    return f"{struct.unpack('=I', socket.inet_aton(address))[0]:08X}"


def _row(end: tuple[str, int]) -> str:
    return f"{_number(end[0])}:{end[1]:04X}"


class Socks:
    """The proxy. `open` and `close` as often as one likes."""

    def __init__(self, connect: Connect, reach: Reach) -> None:
        self._connect, self._reach = connect, reach
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._eye = ThreadPoolExecutor(1, "socks")  # its own: nobody else's work makes a browser wait

    @property
    def port(self) -> int:
        """Where it listens; 0: nowhere."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server and self._server.sockets else 0

    async def open(self, port: int) -> int:
        """Listen on a port of 127.0.0.1, in place of any other; returns it. Raises Conflict, and HostError without an outside host."""
        if self.port == port and port:
            return port
        sock = await self._connect()
        if sock is None:
            raise Conflict("This cloud runs on the fake drivers: there is no public network that a proxy could lead to.")
        sock.close()
        try:
            server = await asyncio.start_server(self._serve, LOOPBACK, port)
        except OSError as error:
            raise Conflict(f"Port {port} of {LOOPBACK} cannot be listened on: {error.strerror}.") from None
        self.close()
        self._server = server
        log.info("SOCKS5 proxy at %s:%s", LOOPBACK, self.port)
        return self.port

    def close(self) -> None:
        """Stop listening, and end what is open."""
        if self._server:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()

    # -- one connection ---------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far = await self._begin(reader, writer)
            if far is not None:
                await relay((reader, writer), far)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client has gone, or says nothing
        finally:
            writer.close()

    async def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        peer, here = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        if not await asyncio.get_running_loop().run_in_executor(self._eye, is_ours, peer[:2], here[1]):
            log.warning("SOCKS5: a connection from another user's process was refused")
            return None
        async with asyncio.timeout(HANDSHAKE):
            version, count = await reader.readexactly(2)
            methods = await reader.readexactly(count)
            fits = version == VERSION and NO_PASSWORD in methods
            writer.write(bytes((VERSION, NO_PASSWORD if fits else NONE_FITS)))
            if not fits:
                await writer.drain()
                return None
            try:
                host, port = await _wanted(reader)
            except Refused as refused:
                await _say(writer, refused.reply)
                return None
        try:
            address = self._reach.address(host, port)
            sock = await self._connected(address, port)
        except Refused as refused:
            await _say(writer, refused.reply)
            return None
        await _say(writer, DONE, sock.getsockname())
        return await asyncio.open_connection(sock=sock)

    async def _connected(self, address: str, port: int) -> socket.socket:
        try:
            sock = await self._connect()
        except HostError:
            raise Refused(FAILURE) from None
        if sock is None:
            raise Refused(NO_NETWORK)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except TimeoutError:
            sock.close()
            raise Refused(NO_HOST) from None
        except OSError as error:
            sock.close()
            raise Refused(REPLIES.get(error.errno or 0, FAILURE)) from None
        except BaseException:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


async def _wanted(reader: asyncio.StreamReader) -> tuple[str, int]:
    """The host and port that a request names. Raises Refused."""
    version, command, _, kind = await reader.readexactly(4)
    if version != VERSION:
        raise Refused(FAILURE)
    if kind == V4:
        host = socket.inet_ntop(socket.AF_INET, await reader.readexactly(4))
    elif kind == V6:
        host = socket.inet_ntop(socket.AF_INET6, await reader.readexactly(16))
    elif kind == NAME:
        data = await reader.readexactly((await reader.readexactly(1))[0])
        host = data.decode("ascii", errors="replace")
    else:
        raise Refused(NO_KIND)
    port = int.from_bytes(await reader.readexactly(2))
    if command != CONNECT:
        raise Refused(NO_COMMAND)
    return host, port


async def _say(writer: asyncio.StreamWriter, reply: int, bound: tuple[str, int] = ("0.0.0.0", 0)) -> None:  # noqa: S104 - an answer's field
    writer.write(bytes((VERSION, reply, 0, V4)) + socket.inet_aton(bound[0]) + struct.pack("!H", bound[1]))
    await writer.drain()


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def relay(one: Ends, two: Ends) -> None:
    """Carry bytes both ways; who has said all is still listened to (half-close). Ends when both have, or one breaks off."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(one[0], two[1]))
            group.create_task(_carry(two[0], one[1]))
    except* OSError:
        pass
    finally:
        two[1].close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
