"""Networks on the fake host: everything of the real driver that does not need a packet.

Keeps the Protocol `Networks` of network/host.py. Facts are kept as the contract has them; open flows are whatever a test puts there.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from pileus.drivers.fake.host import FakeHost
from pileus.errors import HostError
from pileus.network.host import (
    Chains,
    Facts,
    Flow,
    GroupFacts,
    GroupWant,
    Heard,
    Kind,
    Knock,
    Leg,
    LegFacts,
    Members,
    NetworkFacts,
    NetworkWant,
    Note,
    PortFacts,
    PortWant,
    Route,
    RouterFacts,
    RouterWant,
    Service,
    Step,
    Want,
    WireFacts,
)

F = TypeVar("F", NetworkFacts, PortFacts, RouterFacts)
SHORT = 11  # characters of a port's id in a host's names


class FakeNetworks:
    """`host` is shared with the other fake drivers; `public` is the public network's range."""

    def __init__(self, host: FakeHost, public: str = "192.168.37.0/24") -> None:
        self._host = host
        self._public = ipaddress.ip_network(public)

    def _part(self, name: str) -> dict[str, Any]:
        return self._host.part(name)

    def _get(self, part: str, key: str, kind: type[F]) -> F | None:
        found = self._part(part).get(key)
        return None if found is None else msgspec.convert(found, kind)

    def _put(self, part: str, key: str, facts: NetworkFacts | PortFacts | RouterFacts) -> None:
        self._part(part)[key] = msgspec.to_builtins(facts)

    async def prepare(self) -> None:
        self._part("wire")["there"] = True
        self._host.save()

    # -- observing --------------------------------------------------------------------------------------------------------

    async def observe(self, want: Want) -> Facts | None:
        match want:
            case NetworkWant():
                return self._get("networks", want.id, NetworkFacts)
            case PortWant():
                return self._port(want)
            case GroupWant():
                return self._group(want)
            case RouterWant():
                return self._router(want)
        raise TypeError(f"not a want of this driver: {want!r}")

    def _port(self, want: PortWant) -> PortFacts | None:
        if want.network_id not in self._part("networks"):
            return None if want.gone or not want.tap else PortFacts()
        return self._get("ports", _place(want), PortFacts) or PortFacts(network=True)

    def _group(self, want: GroupWant) -> GroupFacts | None:
        own = (f"rules:{want.id}", f"members:{want.id}")
        parts: dict[str, dict[str, str]] = {}
        for network, found in self._part("filters").items():
            names = {*own, *(part.name for part in want.parts.get(network, ()))}
            here = {name: words for name, words in found.items() if name in names}
            if here or network in want.parts:
                parts[network] = here
        return GroupFacts(parts=parts) if parts else None

    def _router(self, want: RouterWant) -> RouterFacts | None:
        networks = frozenset(leg.network_id for leg in want.legs) & self._part("networks").keys()
        facts = self._get("routers", want.id, RouterFacts)
        if facts is None:
            return RouterFacts(networks=networks) if networks else None
        return msgspec.structs.replace(facts, networks=networks)

    async def observe_all(self, kind: Kind) -> dict[str, Facts]:
        found: dict[str, Facts] = {}
        match kind:
            case "network":
                found.update({id: msgspec.convert(facts, NetworkFacts) for id, facts in self._part("networks").items()})
            case "router":
                found.update({id: msgspec.convert(facts, RouterFacts) for id, facts in self._part("routers").items()})
            case "port":
                found.update({place: msgspec.convert(facts, PortFacts) for place, facts in self._part("ports").items()})
            case "security_group":
                names = {name.partition(":")[2] for parts in self._part("filters").values() for name in parts}
                found.update({id: facts for id in names if (facts := self._group(GroupWant(id=id)))})
        return found

    # -- changing ---------------------------------------------------------------------------------------------------------

    async def apply(self, want: Want, steps: Sequence[Step]) -> None:
        for step in steps:
            await self._host.step(f"{type(want).__name__.removesuffix('Want').lower()} {want.id}", step.verb)
            match want:
                case NetworkWant():
                    self._change_network(want, step)
                case PortWant():
                    self._change_port(want, step)
                case GroupWant():
                    self._change_group(step)
                case RouterWant():
                    self._change_router(want, step)
            self._host.save()

    def _change_network(self, want: NetworkWant, step: Step) -> None:
        facts = self._get("networks", want.id, NetworkFacts) or NetworkFacts()
        changes: dict[str, Any] = {}
        match step.verb:
            case "set_bridge":
                changes = {"up": want.up, "mtu": want.mtu}
            case "load_rules":
                changes = {"rules": "current"}
                self._part("filters")[want.id] = {}
                for place in [place for place in self._part("ports") if place.startswith(want.id)]:
                    self._part("ports")[place]["guard"] = ""
            case "add_address" | "drop_address":
                changes = {"addresses": _changed(facts.addresses, step)}
            case "add_route" | "drop_route":
                changes = {"on_link": _changed(facts.on_link, step)}
            case "add_outside" | "drop_outside":
                changes = {"outside": _changed(facts.outside, step)}
            case "add_uplink" | "drop_uplink":
                changes = {"uplink": step.verb == "add_uplink"}
            case "remove":
                self._remove_network(want.id)
                return
        self._put("networks", want.id, msgspec.structs.replace(facts, **changes))

    def _remove_network(self, id: str) -> None:
        for part in ("networks", "filters", "flows"):
            self._part(part).pop(id, None)
        for place in [place for place in self._part("ports") if place.startswith(f"{id}/")]:
            del self._part("ports")[place]
        for router, legs in self._part("legs").items():
            for leg in [leg for leg, network in legs.items() if network == id]:
                del legs[leg]
                self._part("routers")[router]["legs"].pop(leg, None)

    def _change_port(self, want: PortWant, step: Step) -> None:
        place = _place(want)
        facts = self._get("ports", place, PortFacts) or PortFacts(network=True)
        changes: dict[str, Any] = {}
        match step.verb:
            case "make_tap":
                changes = {"tap": True, "branch": want.branch, "attached": False, "up": False, "mtu": 0, "egress": None, "ingress": None}
            case "limit":
                changes = {step.value: getattr(want.quality, step.value)}
            case "guard":
                if want.network_id not in self._part("filters"):
                    raise HostError(f"network {want.network_id} has no filter to guard port {want.id} with")
                changes = {"guard": want.guard}
            case "attach":
                changes = {"attached": True, "up": want.up, "mtu": want.mtu, "roams": want.roams}
            case "remove_tap":
                changes = {
                    "tap": False,
                    "branch": "",
                    "attached": False,
                    "up": False,
                    "mtu": 0,
                    "roams": False,
                    "egress": None,
                    "ingress": None,
                }
            case "unguard":
                changes = {"guard": ""}
        facts = msgspec.structs.replace(facts, **changes)
        if facts.nothing:
            self._part("ports").pop(place, None)
        else:
            self._put("ports", place, facts)

    def _change_group(self, step: Step) -> None:
        network, value = step.value
        filters = self._part("filters").setdefault(network, {})
        if isinstance(value, Chains | Members):
            filters[value.name] = value.digest
        else:
            filters.pop(value, None)

    def _change_router(self, want: RouterWant, step: Step) -> None:
        if step.verb == "remove":
            for part in ("routers", "legs", "flows"):
                self._part(part).pop(want.id, None)
            return
        facts = self._get("routers", want.id, RouterFacts) or RouterFacts(exists=True)
        value = step.value
        match step.verb:
            case "load_rules":
                facts = msgspec.structs.replace(facts, rules=want.rules)
            case "add_route" | "drop_route":
                facts = msgspec.structs.replace(facts, routes=_changed(facts.routes, step))
            case "add_neighbour" | "drop_neighbour":
                kept = {n for n in facts.neighbours if (n.leg, n.address) != (value.leg, value.address)}
                facts = msgspec.structs.replace(facts, neighbours=frozenset({*kept, value} if step.verb == "add_neighbour" else kept))
            case "add_leg" | "drop_leg" | "set_leg" | "add_address" | "drop_address":
                facts = self._change_leg(want, facts, step)
        self._put("routers", want.id, facts)

    def _change_leg(self, want: RouterWant, facts: RouterFacts, step: Step) -> RouterFacts:
        legs, value = dict(facts.legs), step.value
        where = self._part("legs").setdefault(want.id, {})
        if isinstance(value, Leg):
            if value.network_id not in self._part("networks"):
                raise HostError(f"network {value.network_id} is not there")
            name = value.port_id[:SHORT]
            legs[name], where[name] = LegFacts(mac=value.mac, mtu=value.mtu), value.network_id
        elif step.verb == "drop_leg":
            legs.pop(value, None)
            where.pop(value, None)
            neighbours = frozenset(n for n in facts.neighbours if n.leg != value)
            return msgspec.structs.replace(facts, legs=legs, neighbours=neighbours)
        elif step.verb == "set_leg":
            name, up, mtu, mac = value
            legs[name] = msgspec.structs.replace(legs[name], up=up, mtu=mtu, mac=mac)
        else:
            name, cidr = value
            addresses = legs[name].addresses
            legs[name] = msgspec.structs.replace(legs[name], addresses=_changed(addresses, Step(step.verb, cidr)))
        return msgspec.structs.replace(facts, legs=legs)

    # -- flows and what needs packets ---------------------------------------------------------------------------------------

    async def flows(self, kind: Literal["network", "router"], id: str) -> list[Flow]:
        return [msgspec.convert(flow, Flow) for flow in self._part("flows").get(id, [])]

    async def cut(self, kind: Literal["network", "router"], id: str, flows: Sequence[Flow]) -> None:
        if flows:
            await self._host.step(f"{kind} {id}", "cut")
            ended = [msgspec.to_builtins(flow) for flow in flows]
            self._part("flows")[id] = [flow for flow in self._part("flows").get(id, []) if flow not in ended]
            self._host.save()

    def put_flow(self, id: str, flow: Flow) -> None:
        """An open flow in the namespace of a network or router, as guests' packets would make one."""
        self._part("flows").setdefault(id, []).append(msgspec.to_builtins(flow))
        self._host.save()

    def open_tap(self, port_id: str) -> int:
        """A descriptor that goes nowhere."""
        for place, facts in self._part("ports").items():
            if place.partition("/")[2] == port_id[:SHORT] and facts["tap"]:
                return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        raise HostError(f"port {port_id} has no tap yet")

    async def leg_socket(self, router_id: str, port_id: str) -> socket.socket | None:
        return None

    async def listen(self, kind: Service, id: str) -> dict[str, socket.socket]:
        return {}

    async def notes(self, network_id: str) -> socket.socket | None:
        return None

    def read_notes(self, sock: socket.socket) -> Iterable[Note]:
        return ()

    async def outward(self) -> socket.socket | None:
        return None

    # -- looking closer -----------------------------------------------------------------------------------------------------

    def put_flaw(self, id: str, words: str) -> None:
        """Something that is otherwise than the facts of an object say, as somebody's hand would leave it."""
        self._part("flaws").setdefault(id, []).append(words)
        self._host.save()

    def put_heard(self, port_id: str, heard: Heard) -> None:
        """What the guest on a port says to a knock; one of which nothing was said cannot be heard."""
        self._part("heard")[port_id] = msgspec.to_builtins(heard)
        self._host.save()

    async def flaws(self, want: Want) -> list[str]:
        return list(self._part("flaws").get(want.id, []))

    async def restore(self, want: Want) -> None:
        await self._host.step(f"{type(want).__name__.removesuffix('Want').lower()} {want.id}", "restore")
        self._part("flaws").pop(want.id, None)
        self._host.save()

    async def knock(self, want: PortWant, knock: Knock) -> Heard | None:
        found = self._part("heard").get(want.id)
        return None if found is None else msgspec.convert(found, Heard)

    async def wire(self) -> WireFacts:
        """All is well there, and everything listens."""
        outside, gateway = str(self._public[-2]), str(self._public[1])
        routes = frozenset({Route("0.0.0.0/0", gateway)})
        return WireFacts(outside=outside, gateway=gateway, way_out=True, routes=routes, listening=frozenset(range(1, 1 << 16)))

    async def outside(self) -> socket.socket | None:
        return None


def _place(want: PortWant) -> str:
    return f"{want.network_id}/{want.id[:SHORT]}"


def _changed(have: frozenset[Any], step: Step) -> frozenset[Any]:
    return have | {step.value} if step.verb.startswith("add_") else have - {step.value}
