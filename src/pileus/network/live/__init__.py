"""What answers guests while they wait: DHCP and DNS on every network, the metadata relay on networks and routers, advertisements of these.

Fed by rows (Directory) and by sockets (the driver) only, so that it could be a process of its own. Not here: what the metadata are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pileus.kit.context import Cloud
from pileus.kit.store import Row
from pileus.network.host import METADATA6, Networks, Service
from pileus.network.live import dhcp, dhcp6, dns
from pileus.network.live.advertiser import Advertiser
from pileus.network.live.directory import Directory
from pileus.network.live.journal import Journal
from pileus.network.live.relay import HEAD_MAX, MetadataHandler, MetadataRequest, MetadataResponse, Relay
from pileus.network.live.upstream import Upstream
from pileus.network.trace.world import Lease

__all__ = ["Live", "MetadataHandler", "MetadataRequest", "MetadataResponse"]
log = logging.getLogger("pileus.network")

IP_PKTINFO = 8  # ip(7): with each datagram, the address it came to; Python 3.11 does not name it
PACKET_MAX = 4096
BURST = 64  # datagrams read in one turn
DNS_TCP_IDLE = 10.0  # seconds


async def _nothing(request: MetadataRequest) -> MetadataResponse:
    return MetadataResponse(404, b"this cloud has no metadata")


@dataclass
class Served:
    """What one namespace holds of us."""

    sockets: list[socket.socket] = field(default_factory=list)  # for datagrams; a server closes its own
    servers: list[asyncio.Server] = field(default_factory=list)
    relays: list[Relay] = field(default_factory=list)


class Live:
    """The responders of all namespaces. `resolvers`: DNS servers that the datacenter reaches through its way out, if it has one; `journal`:
    the file for what is noted of packets."""

    def __init__(
        self,
        cloud: Cloud,
        driver: Networks,
        metadata: MetadataHandler | None = None,
        *,
        resolvers: Sequence[str] = (),
        journal: Path | None = None,
    ) -> None:
        self._driver = driver
        self._journal = Journal(cloud, driver, journal) if journal else None
        self._metadata = metadata or _nothing
        self._directory = Directory(cloud.store)
        self._upstream = Upstream(driver.outward, resolvers)
        self._advertiser = Advertiser(self._directory, driver.leg_socket)
        self._served: dict[tuple[Service, str], Served] = {}
        self._leases: dict[str, tuple[float, dhcp.Packet]] = {}  # by port: when DHCP last granted it something, and what
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, kind: Service, id: str) -> None:
        """Answer in a namespace from now on; nothing happens when that is so already. Raises HostError."""
        if (kind, id) in self._served:
            return
        served = self._served[kind, id] = Served()
        try:
            await self._open(kind, id, served)
        except BaseException:
            self._served.pop((kind, id), None)
            self._close(served)
            raise
        if self._served.get((kind, id)) is not served:  # closed while we were at it
            self._close(served)
        elif kind == "network":
            await self.take_notes(id)

    async def take_notes(self, network_id: str) -> None:
        """Write down from now on what is noted in a network; nothing happens when that is so already."""
        if self._journal:
            await self._journal.open(network_id)

    async def _open(self, kind: Service, id: str, served: Served) -> None:
        sockets = await self._driver.listen(kind, id)
        loop = asyncio.get_running_loop()
        for name, answer in (("dhcp", self._dhcp6 if kind == "network6" else self._dhcp), ("dns", self._dns)):
            if sock := sockets.get(name):
                served.sockets.append(sock)
                loop.add_reader(sock, self._read, sock, partial(answer, id, sock))
        if sock := sockets.get("dns_tcp"):
            served.servers.append(await asyncio.start_server(partial(self._dns_stream, id), sock=sock))
        if sock := sockets.get("metadata"):
            relay = Relay(partial(self._lodger, kind, id), self._metadata)
            served.relays.append(relay)
            served.servers.append(await asyncio.start_server(relay.serve, sock=sock, limit=HEAD_MAX))

    async def advertise(self, router_id: str, legs: Collection[str], renewed: Collection[str] = ()) -> None:
        """Speak for these legs of a router from now on, and for no others; `renewed`: those that were made anew. Raises HostError."""
        await self._advertiser.advertise(router_id, legs, renewed)

    def withdraw(self, router_id: str, keep: Collection[str]) -> None:
        """Take leave on all legs of a router but these, while they are still there."""
        self._advertiser.withdraw(router_id, keep)

    def close(self, kind: Service, id: str) -> None:
        """Let go of a namespace: as long as a socket is open there, it lives."""
        if kind == "router":
            self._advertiser.close(id)
        elif kind == "network":
            self.close("network6", id)
            if self._journal:
                self._journal.close(id)
        if served := self._served.pop((kind, id), None):
            self._close(served)

    def _close(self, served: Served) -> None:
        for relay in served.relays:
            relay.close()
        for server in served.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for sock in served.sockets:
            loop.remove_reader(sock)
            sock.close()

    def stop(self) -> None:
        """Let go of everything."""
        for kind, id in list(self._served):
            self.close(kind, id)
        self._advertiser.stop()
        if self._journal:
            self._journal.stop()
        for task in self._tasks:
            task.cancel()
        self._upstream.close()

    # -- datagrams --------------------------------------------------------------------------------------------------------

    def _read(self, sock: socket.socket, answer: Callable[[bytes, tuple[Any, ...], str], None]) -> None:
        """Answer what has come: bytes, whom from, and the address of ours it was sent to."""
        for _ in range(BURST):
            try:
                data, control, _, peer = sock.recvmsg(PACKET_MAX, 64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.warning("a socket of a network fails: %s", error)
                return
            try:
                answer(data, peer, _meant(control))
            except Exception:
                log.exception("no answer to %s", peer)

    def _dhcp(self, network_id: str, sock: socket.socket, data: bytes, peer: tuple[Any, ...], here: str) -> None:
        request = dhcp.decode(data)
        if request is None:
            return
        lodger = self._directory.by_mac(network_id, request.mac, dhcp.asked_address(request))
        if answer := dhcp.answer(request, lodger):
            _send(sock, dhcp.encode(answer.packet), (answer.target, dhcp.CLIENT_PORT), answer.source)
            if answer.packet.kind == dhcp.ACK and lodger:
                self._leases[lodger.port["id"]] = (time.monotonic(), answer.packet)

    def _dhcp6(self, network_id: str, sock: socket.socket, data: bytes, peer: tuple[Any, ...], here: str) -> None:
        request = dhcp6.decode(data)
        if request is None:
            return
        lodgers = self._directory.by_mac6(network_id, dhcp6.client_mac(request, peer[0]))
        if answer := dhcp6.answer(request, lodgers, dhcp6.server_id(network_id)):
            _send(sock, dhcp6.encode(answer), (peer[0], dhcp6.CLIENT_PORT, *peer[2:]), METADATA6)

    def _dns(self, network_id: str, sock: socket.socket, data: bytes, peer: tuple[Any, ...], here: str) -> None:
        question = dns.read(data)
        if question is None:
            return
        own = dns.answer(question, network_id, self._directory)
        if own is not None:
            _send(sock, own, peer, here)
            return

        async def forward() -> None:
            reply = await self._upstream.ask(data) or dns.reply(question, dns.SERVFAIL, own=False)
            if sock.fileno() >= 0:
                _send(sock, reply, peer, here)

        task = asyncio.get_running_loop().create_task(forward())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dns_stream(self, network_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            while True:
                async with asyncio.timeout(DNS_TCP_IDLE):
                    data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                question = dns.read(data)
                if question is None:
                    break
                reply = dns.answer(question, network_id, self._directory) or await self._upstream.ask(data)
                reply = reply or dns.reply(question, dns.SERVFAIL, own=False)
                writer.write(struct.pack("!H", len(reply)) + reply)
                async with asyncio.timeout(DNS_TCP_IDLE):
                    await writer.drain()
        writer.close()

    # -- what is told to whoever asks why ----------------------------------------------------------------------------------

    def lease(self, port_id: str) -> Lease | None:
        """What DHCP last told a port since the start."""
        if port_id not in self._leases:
            return None
        since, packet = self._leases[port_id]
        data = packet.options.get(6, b"")
        return Lease(
            address=packet.yiaddr,
            seconds=int(time.monotonic() - since),
            servers=tuple(socket.inet_ntoa(data[at : at + 4]) for at in range(0, len(data) - 3, 4)),
        )

    async def resolve(self, network_id: str, name: str) -> tuple[str, tuple[str, ...]]:
        """What a network's DNS says of a name: ("", addresses), ("nobody", ()) or ("no answer", ())."""
        query = dns.query(name)
        question = dns.read(query)
        if question is None:
            return "nobody", ()
        reply = dns.answer(question, network_id, self._directory) or await self._upstream.ask(query)
        if reply is None or dns.code(reply) == dns.SERVFAIL:
            return "no answer", ()
        found = dns.addresses(reply)
        return ("", found) if found else ("nobody", ())

    # -- metadata ---------------------------------------------------------------------------------------------------------

    def _lodger(self, kind: Service, id: str, address: str) -> Row | None:
        if kind != "router":
            return self._directory.port_of(id, address.partition("%")[0])
        lodger = self._directory.behind(id, address)
        return lodger.port if lodger else None


def _meant(control: list[tuple[int, int, bytes]]) -> str:
    """The address of ours that a datagram was sent to."""
    for level, kind, value in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return socket.inet_ntoa(value[4:8])
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return socket.inet_ntop(socket.AF_INET6, value[:16])
    return ""


def _send(sock: socket.socket, data: bytes, target: tuple[Any, ...], source: str) -> None:
    """Send from one of our addresses. A guest that is not there is no failure of ours."""
    if ":" in source:
        how = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, socket.inet_pton(socket.AF_INET6, source) + struct.pack("=I", 0))
    else:
        how = (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, socket.inet_aton(source), b"\0" * 4))
    with contextlib.suppress(OSError):
        sock.sendmsg([data], [how], 0, target)
