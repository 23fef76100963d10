"""Which steps lead from what a host has to what a row wants: small rules, `(want, facts) -> steps`, in order. Pure.

    network         make_namespace, set_bridge, load_rules, add_/drop_address (value: CIDR), add_/drop_route (prefix on the link),
                    add_uplink, drop_uplink, add_/drop_outside (CIDR, or "PREFIX via ADDRESS"), remove
    port            make_tap, guard, limit (value: egress or ingress), attach, remove_tap, unguard
    security_group  load_part (network, Part), drop_part (network, name of the part)
    router          make_namespace, load_rules, add_leg (Leg), drop_leg (port), set_leg (port, up, mtu, mac),
                    add_/drop_address (port, CIDR), add_/drop_route (Route), add_/drop_neighbour (Neighbour), remove

Ports of a router are named by the first 11 characters of their id, as a host's device names have room for no more.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from pileus.network.host import (
    GroupFacts,
    GroupWant,
    LegFacts,
    Neighbour,
    NetworkFacts,
    NetworkWant,
    PortFacts,
    PortWant,
    Route,
    RouterFacts,
    RouterWant,
    Step,
)

LINK_LOCAL = "fe80:"
RULES = "current"  # what the facts of a network say of a filter that this version of the driver has made


def short(port_id: str) -> str:
    return port_id[:11]


def _differences(verb: str, wanted: Iterable[str], there: Iterable[str]) -> list[Step]:
    """Drop what is too much, then add what is missing."""
    want, have = set(wanted), set(there)
    return [Step(f"drop_{verb}", item) for item in sorted(have - want)] + [Step(f"add_{verb}", item) for item in sorted(want - have)]


# -- network ------------------------------------------------------------------------------------------------------------------


def plan_network(want: NetworkWant, facts: NetworkFacts | None) -> list[Step]:
    if want.gone:
        drops = [Step("drop_outside", item) for item in sorted(facts.outside)] if facts else []
        return [*drops, *([Step("drop_uplink")] if facts and facts.uplink else []), *([Step("remove")] if facts else [])]
    made = [] if facts else [Step("make_namespace")]
    facts = facts or NetworkFacts()
    return made + [step for rule in NETWORK_RULES for step in rule(want, facts)]


def _bridge(want: NetworkWant, facts: NetworkFacts) -> list[Step]:
    return [] if (facts.up, facts.mtu) == (want.up, want.mtu) else [Step("set_bridge")]


def _filter(want: NetworkWant, facts: NetworkFacts) -> list[Step]:
    return [] if facts.rules == RULES else [Step("load_rules")]


def _addresses(want: NetworkWant, facts: NetworkFacts) -> list[Step]:
    """A kernel drops the link-local addresses of a link that is down."""
    wanted = [address for address in want.addresses if want.up or not address.startswith(LINK_LOCAL)]
    return _differences("address", wanted, facts.addresses)


def _on_link(want: NetworkWant, facts: NetworkFacts) -> list[Step]:
    return _differences("route", want.on_link if want.up else (), facts.on_link)  # a kernel drops routes of a link that is down


def _uplink(want: NetworkWant, facts: NetworkFacts) -> list[Step]:
    if want.uplink == facts.uplink:
        return []
    return [Step("add_uplink" if want.uplink else "drop_uplink")]


def _outside(want: NetworkWant, facts: NetworkFacts) -> list[Step]:
    """Addresses before the ways that go through them."""
    gone = [Step("drop_outside", item) for item in sorted(facts.outside - set(want.outside))]
    return gone + [Step("add_outside", item) for item in want.outside if item not in facts.outside]


NETWORK_RULES = (_filter, _bridge, _addresses, _on_link, _uplink, _outside)


# -- port ---------------------------------------------------------------------------------------------------------------------


def plan_port(want: PortWant, facts: PortFacts | None) -> list[Step]:
    """Nothing can be done before the network is there."""
    if facts is None or not facts.network:
        return []
    if want.gone or not want.tap:
        return [*([Step("remove_tap")] if facts.tap or facts.egress else []), *([Step("unguard")] if facts.guard else [])]
    return [step for rule in PORT_RULES for step in rule(want, facts)]


def _tap(want: PortWant, facts: PortFacts) -> list[Step]:
    if facts.tap and facts.branch != want.branch:
        return [Step("remove_tap"), Step("make_tap")]
    return [] if facts.tap else [Step("make_tap")]


def _stays(want: PortWant, facts: PortFacts) -> bool:
    """Whether the tap that is there is the one that will be."""
    return facts.tap and facts.branch == want.branch


def _guard(want: PortWant, facts: PortFacts) -> list[Step]:
    """A new tap is a stranger to the filter, whatever its name."""
    return [] if _stays(want, facts) and facts.guard == want.guard else [Step("guard")]


def _limits(want: PortWant, facts: PortFacts) -> list[Step]:
    """Before anything passes; a new tap has none."""
    wanted = {"egress": want.quality.egress, "ingress": want.quality.ingress}
    have = {"egress": facts.egress, "ingress": facts.ingress} if _stays(want, facts) else {"egress": None, "ingress": None}
    return [Step("limit", way) for way in wanted if wanted[way] != have[way]]


def _attach(want: PortWant, facts: PortFacts) -> list[Step]:
    """After the guard, so that nothing passes unguarded; again when the MAC may have changed."""
    as_wanted = _stays(want, facts) and facts.attached and (facts.up, facts.mtu, facts.roams) == (want.up, want.mtu, want.roams)
    return [] if as_wanted and facts.guard == want.guard else [Step("attach")]


PORT_RULES = (_tap, _guard, _limits, _attach)


# -- security group -------------------------------------------------------------------------------------------------------------


def plan_group(want: GroupWant, facts: GroupFacts | None) -> list[Step]:
    """In the networks that are there; in others the ports will ask again when they come."""
    there = facts.parts if facts else {}
    steps = [
        Step("load_part", (network, part))
        for network, parts in sorted(want.parts.items())
        if network in there
        for part in parts
        if there[network].get(part.name) != part.digest
    ]
    for network, found in sorted(there.items()):
        wanted = {part.name for part in want.parts.get(network, ())}
        own = [name for name in (f"rules:{want.id}", f"members:{want.id}") if name in found]
        steps += [Step("drop_part", (network, name)) for name in own if name not in wanted]
    return steps


# -- router ---------------------------------------------------------------------------------------------------------------------


def plan_router(want: RouterWant, facts: RouterFacts | None) -> list[Step]:
    """Legs on networks that are not there yet are left out."""
    facts = facts or RouterFacts()
    if want.gone:
        return [Step("remove")] if facts.exists else []
    made = [] if facts.exists else [Step("make_namespace")]
    return made + [step for rule in ROUTER_RULES for step in rule(want, facts)]


def _translation(want: RouterWant, facts: RouterFacts) -> list[Step]:
    """Before any leg: there is no moment at which packets pass as they should not."""
    return [] if facts.rules == want.rules else [Step("load_rules")]


def _legs(want: RouterWant, facts: RouterFacts) -> list[Step]:
    wanted = {short(leg.port_id): leg for leg in want.legs}
    steps = [Step("drop_leg", name) for name in sorted(facts.legs) if name not in wanted]
    for name, leg in sorted(wanted.items()):
        if leg.network_id not in facts.networks:
            continue
        have = facts.legs.get(name)
        if have is None:
            steps.append(Step("add_leg", leg))
        up = want.up and leg.up
        if have is None or (have.up, have.mtu, have.mac) != (up, leg.mtu, leg.mac):
            steps.append(Step("set_leg", (name, up, leg.mtu, leg.mac)))
    return steps


def _leg_addresses(want: RouterWant, facts: RouterFacts) -> list[Step]:
    steps: list[Step] = []
    for leg in want.legs:
        if leg.network_id in facts.networks:
            have = facts.legs.get(short(leg.port_id), LegFacts()).addresses
            wanted = [address for address in leg.addresses if (want.up and leg.up) or not address.startswith(LINK_LOCAL)]
            changes = _differences("address", wanted, have)
            steps += [Step(step.verb, (short(leg.port_id), step.value)) for step in changes]
    return steps


def _routes(want: RouterWant, facts: RouterFacts) -> list[Step]:
    """Of several ways to one place the last said is the way; a leg that goes down or comes up takes its routes with it."""
    wanted = {route.destination: route for route in want.routes} if want.up else {}
    gone = [route for route in sorted(facts.routes) if wanted.get(route.destination) != route]
    new = [route for route in sorted(wanted.values()) if route not in facts.routes and _reachable(route, want, facts)]
    return [Step("drop_route", route) for route in gone] + [Step("add_route", route) for route in new]


def _reachable(route: Route, want: RouterWant, facts: RouterFacts) -> bool:
    """A kernel takes no route whose next hop it cannot reach: wait for the leg."""
    hop = ipaddress.ip_address(route.nexthop)
    if hop.is_link_local:  # of the next router outside: only such a gateway may be one
        return any(leg.external and leg.up for leg in want.legs if leg.network_id in facts.networks)
    legs = (leg for leg in want.legs if leg.up and leg.network_id in facts.networks)
    return any(hop in ipaddress.ip_interface(address).network for leg in legs for address in leg.addresses)


def _neighbours(want: RouterWant, facts: RouterFacts) -> list[Step]:
    there = {short(leg.port_id) for leg in want.legs if leg.network_id in facts.networks}
    wanted = {Neighbour(short(n.leg), n.address, n.mac) for n in want.neighbours if short(n.leg) in there}
    gone = [n for n in facts.neighbours - wanted if n.leg in facts.legs and n.leg in there]
    replaced = {(n.leg, n.address) for n in wanted}
    steps = [Step("drop_neighbour", n) for n in sorted(gone) if (n.leg, n.address) not in replaced]
    return steps + [Step("add_neighbour", n) for n in sorted(wanted - facts.neighbours)]


ROUTER_RULES = (_translation, _legs, _leg_addresses, _routes, _neighbours)


def verbs(steps: Sequence[Step]) -> set[str]:
    return {step.verb for step in steps}
