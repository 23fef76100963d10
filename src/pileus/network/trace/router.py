"""Routers on the walk: which way a packet takes, what its addresses become, and what is not let through. Pure."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass

import msgspec

from pileus.kit.store import Row
from pileus.network.host import Leg, Route, RouterFacts, RouterWant
from pileus.network.reconcile import rows
from pileus.network.reconcile.plan import plan_router, short
from pileus.network.trace import mend
from pileus.network.trace.report import ICMP, ICMP6, Packet, Stop, Unknown
from pileus.network.trace.walk import Arrival, Onward, Passed, Walk, check_host

ALWAYS = frozenset({"make_namespace", "load_rules"})
OF_LEGS = frozenset({"add_leg", "drop_leg", "set_leg", "add_address", "drop_address"})


@dataclass(frozen=True)
class Way:
    """Where a router sends a packet: out of a leg, to a next hop; by a static route, or none, straight on."""

    leg: Leg
    hop: str
    route: Route | None = None


def into_floating(walk: Walk, place: Row, packet: Packet) -> Arrival | Onward:
    """A floating IP: the router that has it takes the packet in, if there is one."""
    world = walk.world
    floating = world.store.first("floating_ip", {"floating_port_id": place["id"]})
    walk.enter("floating IP", packet.target)
    if floating is None or not world.mine(floating):
        raise Unknown(f"{packet.target} is another project's: what becomes of the packet there is not yours to see.")
    forwards = floating["router_id"] and any(item.address == packet.target for item in world.router_want(floating["router_id"]).forwardings)
    if not floating["port_id"] and not forwards:
        words = f"floating IP {packet.target} is not associated with any port: it leads nowhere"
        raise Stop("floating-ip-unassociated", words, *_associate(walk, floating))
    network = world.row("network", floating["floating_network_id"])
    return through(walk, floating["router_id"], network, packet)


def _associate(walk: Walk, floating: Row) -> tuple[str, ...]:
    """Lead it to the one port that could be meant; when there are several the caller has to choose."""
    world = walk.world
    taken = {row["port_id"] for row in world.store.find("floating_ip", {"project_id": floating["project_id"]})}
    ports = world.store.query(f"SELECT p.* FROM port p WHERE p.project_id = ? AND {rows.BOUND}", floating["project_id"])  # noqa: S608
    free = [port for port in ports if port["id"] not in taken]
    address = floating["floating_ip_address"]
    return tuple(f"openstack floating ip set --port {world.word('port', port)} {address}" for port in free[:1])


def through(walk: Walk, router_id: str, network: Row, packet: Packet) -> Arrival | Onward:
    """Take a packet in from a network, and send it on its way."""
    world = walk.world
    row = world.row("router", router_id)
    name = world.called("router", row)
    walk.enter("router", name)
    if not world.mine(row):
        raise Unknown("It has come to a router of another project: what becomes of it there is not yours to see.")
    if not row["admin_state_up"]:
        words = f"router {name} is switched off (admin state down)"
        raise Stop("router-down", words, f"openstack router set --enable {world.word('router', row)}")
    want = world.router_want(router_id)
    entry = next((leg for leg in want.legs if leg.network_id == network["id"]), None)
    if entry is None:
        words = f"router {name} has no interface on network {world.called('network', network)}"
        subnet = world.subnet_of(network["id"], packet.source) or world.store.first("subnet", {"network_id": network["id"]})
        raise Stop("no-router", words, *(mend.connect(world, subnet, packet.target) if subnet else ()))
    inward = _changed_back(walk, router_id, packet) if walk.way == "back" else _dnat(want, packet)
    if any(inward.target == address.partition("/")[0] for leg in want.legs for address in leg.addresses):
        return _itself(walk, want, row, inward)
    way = _route(walk, row, want, inward)
    _check_router(walk, row, want, (entry, way.leg), inward)
    inside = not entry.external and not way.leg.external
    if walk.way == "back" and router_id not in walk.routers and not inside:
        raise Stop("asymmetric", *_another_way(walk, name, network))
    if entry.external and walk.way == "there" and inward == packet and want.snat and packet.version == 4:
        words = f"router {name} lets nothing in from outside but answers and what is for a floating IP"
        subnet = world.subnet_of(way.leg.network_id, packet.target)
        raise Stop("no-floating-ip", words, *(mend.floating(world, packet.target, subnet) if subnet else ()))
    outward = inward if walk.way == "back" else _snat(walk, want, way.leg, entry, packet, inward)
    if walk.way == "there":
        walk.routers[router_id] = Passed(packet, outward, inside and packet == outward)
    _say(walk, packet, outward, way)
    walk.returned.update({router_id} if walk.way == "back" else ())
    return Onward(way.leg.network_id, outward, way.hop, _mended(walk, row, want, way, inward))


def _mended(walk: Walk, row: Row, want: RouterWant, way: Way, packet: Packet) -> tuple[str, ...]:
    """What mends a route that a user has set, should it lead nowhere: without it, and with the right one if there is no other way."""
    if way.route is None or way.route not in _static(want, row):
        return ()
    away = mend.unroute(walk.world, row, way.route.destination, way.route.nexthop)
    ip = ipaddress.ip_address(packet.target)
    ranges = (ipaddress.ip_network(route.destination) for route in want.routes if route != way.route)
    others = any(ip in network and network.prefixlen for network in ranges)
    inside = walk.world.inner_subnet(packet.target, row["project_id"])
    return (away, *(mend.route(walk.world, row["id"], inside) if inside and not others else ()))


def _static(want: RouterWant, row: Row) -> set[Route]:
    """The routes that a user has set."""
    set_ = {(r["destination"], r["nexthop"]) for r in json.loads(row["routes"])}
    return {route for route in want.routes if (route.destination, route.nexthop) in set_}


def _say(walk: Walk, packet: Packet, outward: Packet, way: Way) -> None:
    changes = []
    if outward.target != packet.target:
        changes.append(f"{packet.target} becomes {outward.target}")
    if outward.source != packet.source:
        changes.append(f"the sender {packet.source} becomes {outward.source}")
    where = f"on to {way.hop}" if way.hop != outward.target else "straight to its target's network"
    by = f", by the route {way.route.destination} via {way.route.nexthop}" if way.route else ""
    walk.note("; ".join([*changes, where + by]))


def _another_way(walk: Walk, name: str, network: Row) -> tuple[str, ...]:
    """The answer comes to a router that has not seen the request."""
    world = walk.world
    words = (
        f"the answer comes to router {name}, which has not seen the request and drops it:"
        " there and back have to go through the same router. The guest's own route decides which"
    )
    last = next(reversed(walk.routers), "")
    leg = next((leg for leg in world.legs_on(network["id"]) if leg["device_id"] == last), None)
    if leg is None:
        return (words,)
    address = next((a for a in world.addresses(leg["id"])), None)
    if address is None:
        return (words,)
    first = walk.routers[last].after.source
    return (words, *mend.host_route(world, network["id"], first, address["ip_address"], walk.last))


# -- addresses ------------------------------------------------------------------------------------------------------------------


def _dnat(want: RouterWant, packet: Packet) -> Packet:
    """Whom a floating IP leads to: as a whole, or this port of it."""
    found = next((item for item in want.floating if item.address == packet.target), None)
    if found is not None:
        return msgspec.structs.replace(packet, target=found.fixed)
    ports = (item for item in want.forwardings if (item.address, item.protocol) == (packet.target, packet.protocol))
    port = next((item for item in ports if item.low <= packet.target_port <= item.high), None)
    if port is None:
        return packet
    return msgspec.structs.replace(packet, target=port.fixed, target_port=port.target(packet.target_port))


def _snat(walk: Walk, want: RouterWant, leg: Leg, entry: Leg, packet: Packet, inward: Packet) -> Packet:
    """What the sender's address becomes on the way out, or where a floating IP was asked for from within."""
    if not leg.external and (entry.external or inward.target == packet.target):
        return inward
    mine = next((item.address for item in want.floating if item.fixed == packet.source), "")
    source = mine or want.snat
    return msgspec.structs.replace(inward, source=source) if source and packet.version == 4 else inward


def _changed_back(walk: Walk, router_id: str, packet: Packet) -> Packet:
    passed = walk.routers.get(router_id)
    if passed is None:
        return packet  # it has not seen the request
    back = passed.before.answer()
    return msgspec.structs.replace(packet, source=back.source, target=back.target, source_port=back.source_port)


def _itself(walk: Walk, want: RouterWant, row: Row, packet: Packet) -> Arrival:
    """A packet for one of the router's own addresses."""
    if any(item.address == packet.target for item in want.forwardings) and packet.protocol not in (ICMP, ICMP6):
        words = f"floating IP {packet.target} leads single ports inwards, and {packet.words} is none of them"
        raise Stop("no-port-forwarding", words, f"openstack floating ip port forwarding list {packet.target}")
    if packet.protocol not in (ICMP, ICMP6):
        name = walk.world.called("router", row)
        raise Stop("router-service", f"{packet.target} is router {name}'s own address: it answers pings, and nothing else")
    _check_router(walk, row, want, want.legs, packet)
    walk.note("answers by itself")
    return Arrival(packet, silent=True)


# -- ways -------------------------------------------------------------------------------------------------------------------------


def _route(walk: Walk, row: Row, want: RouterWant, packet: Packet) -> Way:
    """The longest prefix that fits, as the kernel chooses; of an interface and a route of one length the interface."""
    world, target = walk.world, ipaddress.ip_address(packet.target)
    found: list[tuple[int, int, Way]] = []
    for leg in want.legs:
        for address in leg.addresses:
            network = ipaddress.ip_interface(address).network
            if target in network and network.prefixlen < network.max_prefixlen:
                found.append((network.prefixlen, 1, Way(leg, packet.target)))
    connected = bool(found)
    for route in want.routes:
        leg_ = next((leg for leg in want.legs if _is_on(leg, route.nexthop)), None)
        if leg_ and target in ipaddress.ip_network(route.destination):
            found.append((ipaddress.ip_network(route.destination).prefixlen, 0, Way(leg_, route.nexthop, route)))
    name = world.called("router", row)
    if not found:
        raise _no_route(walk, row, packet.target, name)
    way = max(found, key=lambda item: item[:2])[2]
    if way.route is not None and connected and _leads_astray(walk, way):
        words = (
            f"router {name} has an interface on {packet.target}'s own subnet, but its route {way.route.destination} via {way.hop}"
            " covers that address more closely, and so is the one that is taken"
        )
        raise Stop("route-overlap", words, mend.unroute(world, row, way.route.destination, way.route.nexthop))
    _not_outside(walk, row, way, packet, name)
    return way


def _is_on(leg: Leg, address: str) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_interface(own).network for own in leg.addresses)


def _leads_astray(walk: Walk, way: Way) -> bool:
    owner = walk.world.owner(way.leg.network_id, way.hop)
    return owner is None or owner["device_owner"] not in rows.LEGS


def _not_outside(walk: Walk, row: Row, way: Way, packet: Packet, name: str) -> None:
    """What is for a subnet of the cloud does not go out by the default route."""
    world = walk.world
    if not way.leg.external or way.route is None or ipaddress.ip_network(way.route.destination).prefixlen:
        return
    inside = world.inner_subnet(packet.target, row["project_id"])
    if inside is not None:
        where = inside["name"] or inside["cidr"]
        words = f"router {name} knows no way to subnet {where}, where {packet.target} is: its default route sends the packet outside"
        raise Stop("no-route", words, *mend.route(world, row["id"], inside))


def _no_route(walk: Walk, row: Row, target: str, name: str) -> Stop:
    """To a subnet of the project by its router, to anything else by a gateway."""
    world = walk.world
    inside = world.inner_subnet(target, row["project_id"])
    if inside is not None:
        return Stop("no-route", f"router {name} knows no way to {target}", *mend.route(world, row["id"], inside))
    if not row["gateway_port_id"]:
        words = f"router {name} has no external gateway: it knows no way to {target}, or to anything else outside"
        return Stop("no-external-gateway", words, mend.gateway(world, row))
    return Stop("no-route", f"router {name} knows no way to {target}")


# -- the host -----------------------------------------------------------------------------------------------------------------------


def _check_router(walk: Walk, row: Row, want: RouterWant, legs: tuple[Leg, ...], packet: Packet) -> None:
    """Whether the host has what this packet needs of the router."""
    facts = walk.world.facts("router", row["id"])
    assert facts is None or isinstance(facts, RouterFacts)
    names = {short(leg.port_id) for leg in legs}
    target = ipaddress.ip_address(packet.target)
    missing = []
    for step in plan_router(want, facts):
        value = step.value
        of_legs = step.verb in OF_LEGS and (
            short(value.port_id) if isinstance(value, Leg) else value if isinstance(value, str) else value[0]
        )
        on_way = isinstance(value, Route) and target in ipaddress.ip_network(value.destination)
        if step.verb in ALWAYS or of_legs in names or on_way:
            missing.append(step.verb)
    absent = [leg for leg in legs if leg.network_id not in (facts.networks if facts else ())]
    check_host(walk, "router", row, missing or ["add_leg" for _ in absent])
