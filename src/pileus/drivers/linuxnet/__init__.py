"""The Linux network driver: networks, ports, routers and security groups as namespaces, bridges, taps, veths and nft rules.

What it owns: everything inside the datacenter's network namespaces. What it does not: making namespaces (it is handed an object that does),
DHCP, DNS and metadata (network/live), guests. Keeps the Protocol `Networks` of network/host.py.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar

from pileus.drivers.linuxnet import group, inspect, knock, network, nfnetlink, notes, port, root, router, rtnetlink
from pileus.drivers.linuxnet.machine import BRIDGE, BRIDGE_INDEX, Machine, Namespaces, read_file
from pileus.drivers.linuxnet.sockets import listener, listeners6, solicitations
from pileus.errors import HostError
from pileus.network.host import (
    METADATA,
    METADATA6,
    RELAY_PORT,
    Facts,
    Flow,
    GroupWant,
    Heard,
    Kind,
    Knock,
    NetworkWant,
    Note,
    PortWant,
    RouterWant,
    Service,
    Step,
    Want,
    WireFacts,
)

FLOW_COUNT = "/proc/sys/net/netfilter/nf_conntrack_count"
LONG = {"remove", "remove_tap", "drop_leg", "drop_uplink"}  # steps for which the kernel takes some 25 ms
LONG_AT_ONCE = 8  # it takes hardly longer for many than for one
T = TypeVar("T")
__all__ = ["Linuxnet"]


class Linuxnet:
    """`public`: the public network's range, as "192.168.37.0/24". Work is done in the namespaces' thread; the methods wait for it."""

    def __init__(self, namespaces: Namespaces, public: str = "192.168.37.0/24") -> None:
        self._machine = Machine(namespaces)
        self._public = ipaddress.IPv4Network(public)
        self._threads = ThreadPoolExecutor(LONG_AT_ONCE, "linuxnet")
        self._networks: dict[str, str] = {}  # where ports are, by the first 11 characters of their ids
        self._places: dict[str, set[str]] = {}  # networks that a group may have parts in

    async def _do(self, call: Callable[[], T], *, long: bool = False) -> T:
        """Do something wholly in the namespaces' thread; what takes `long` in another, so that it goes there for moments only."""
        try:
            if long:
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
            return await asyncio.wrap_future(self._machine.namespaces.submit(None, call))
        except OSError as error:
            raise HostError(f"network: {error}") from error

    async def prepare(self) -> None:
        await self._do(lambda: root.prepare(self._machine, self._public))

    async def observe(self, want: Want) -> Facts | None:
        return await self._do(lambda: self._observe(want))

    def _observe(self, want: Want) -> Facts | None:
        match want:
            case NetworkWant():
                return network.observe(self._machine, want.id)
            case RouterWant():
                return router.observe(self._machine, want)
            case PortWant():
                facts = port.observe(self._machine, want)
                if facts and facts.tap:
                    self._networks[want.id[:11]] = want.network_id
                return facts
            case GroupWant():
                places = self._places.setdefault(want.id, set())
                places.update(want.parts)
                return group.observe(self._machine, want, places)
        raise TypeError(f"not a want of this driver: {want!r}")

    async def observe_all(self, kind: Kind) -> dict[str, Facts]:
        return await self._do(lambda: self._observe_all(kind))

    def _observe_all(self, kind: Kind) -> dict[str, Facts]:
        found: dict[str, Facts] = {}
        match kind:
            case "network":
                found.update(network.observe_all(self._machine))
            case "router":
                found.update(router.observe_all(self._machine))
            case "security_group":
                groups = group.observe_all(self._machine)
                self._places.update({id: set(facts.parts) for id, facts in groups.items()})
                found.update(groups)
            case "port":
                for name in self._machine.namespaces.names():
                    if name.startswith(network.PREFIX):
                        id = name.removeprefix(network.PREFIX)
                        ports = port.observe_all(self._machine, id)
                        self._networks.update(dict.fromkeys(ports, id))
                        found.update({f"{id}/{short}": facts for short, facts in ports.items()})
        return found

    async def apply(self, want: Want, steps: Sequence[Step]) -> None:
        if steps:
            long = any(step.verb in LONG for step in steps)
            await self._do(lambda: self._apply(want, steps), long=long)

    def _apply(self, want: Want, steps: Sequence[Step]) -> None:
        match want:
            case NetworkWant():
                network.apply(self._machine, want, steps)
            case RouterWant():
                router.apply(self._machine, want, steps)
            case PortWant():
                self._networks[want.id[:11]] = want.network_id
                port.apply(self._machine, want, steps)
            case GroupWant():
                self._places.setdefault(want.id, set()).update(want.parts)
                group.apply(self._machine, steps)

    async def flows(self, kind: Literal["network", "router"], id: str) -> list[Flow]:
        def read() -> list[Flow]:
            with self._machine.sight(name) as sight:
                if sight is None or self._machine.namespaces.run(name, partial(read_file, FLOW_COUNT)).strip() == "0":
                    return []
                return nfnetlink.flows(sight[1])

        name = _namespace(kind, id)
        return await self._do(read, long=True)

    async def cut(self, kind: Literal["network", "router"], id: str, flows: Sequence[Flow]) -> None:
        def forget() -> None:
            with self._machine.filter(_namespace(kind, id)) as netfilter:
                nfnetlink.forget(netfilter, list(flows))

        if flows:
            await self._do(forget)

    def open_tap(self, port_id: str) -> int:
        """Blocks for some 0.1 ms."""
        found = self._networks.get(port_id[:11])
        if found is None:
            raise HostError(f"port {port_id} has no tap yet")
        return port.open_tap(self._machine, found, port_id)

    async def listen(self, kind: Service, id: str) -> dict[str, socket.socket]:
        if kind == "network6":
            make6 = partial(listeners6, METADATA6, BRIDGE, BRIDGE_INDEX)
            return await self._do(lambda: self._machine.namespaces.run(network.namespace(id), make6))
        name = _namespace(kind, id)
        if kind == "router":
            return {
                "metadata": await self._do(lambda: self._machine.namespaces.run(name, lambda: listener(socket.SOCK_STREAM, RELAY_PORT)))
            }

        def make() -> dict[str, socket.socket]:
            return {
                "dhcp": listener(socket.SOCK_DGRAM, 67, device=BRIDGE),
                "dns": listener(socket.SOCK_DGRAM, 53, device=BRIDGE),
                "dns_tcp": listener(socket.SOCK_STREAM, 53, device=BRIDGE),
                "metadata": listener(socket.SOCK_STREAM, 80, METADATA, BRIDGE),
            }

        return await self._do(lambda: self._machine.namespaces.run(name, make))

    async def leg_socket(self, router_id: str, port_id: str) -> socket.socket | None:
        device = router.leg_name(port_id, external=False)
        return await self._do(lambda: self._machine.namespaces.run(router.namespace(router_id), lambda: solicitations(device)))

    async def notes(self, network_id: str) -> socket.socket | None:
        name = network.namespace(network_id)
        return await self._do(lambda: self._machine.namespaces.run(name, notes.listen))

    def read_notes(self, sock: socket.socket) -> Iterable[Note]:
        return notes.read(sock)

    async def outward(self) -> socket.socket | None:
        def make() -> socket.socket | None:
            with self._machine.route(None) as route:
                if not any(map(rtnetlink.is_default, route.dump(rtnetlink.get_routes()))):
                    return None
            return self._machine.namespaces.run(None, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))

        return await self._do(make)

    async def flaws(self, want: Want) -> list[str]:
        return await self._do(lambda: inspect.flaws(self._machine, want), long=True)

    async def restore(self, want: Want) -> None:
        await self._do(lambda: inspect.restore(self._machine, want))

    async def knock(self, want: PortWant, knock_: Knock) -> Heard | None:
        return await self._do(lambda: knock.ask(self._machine, want, knock_), long=True)

    async def wire(self) -> WireFacts:
        return await self._do(lambda: inspect.wire(self._machine, self._public), long=True)

    async def outside(self) -> socket.socket | None:
        return await self._do(lambda: inspect.outside(self._machine))

    def close(self) -> None:
        """End this driver's threads; what it made stays."""
        self._threads.shutdown()
        self._machine.closer.close()


def _namespace(kind: Literal["network", "router"], id: str) -> str:
    return network.namespace(id) if kind == "network" else router.namespace(id)
