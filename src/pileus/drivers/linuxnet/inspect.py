"""What hides behind a seal: rules, map elements and sysctls, compared one by one with the text that the driver would write.

A look trusts seals, so that comparing everything costs a millisecond; this is for when somebody asks why packets do not pass. Rules are
counted, chain by chain: one that is missing or too many is found, one that reads otherwise is not. `restore` breaks the seals, and the next
look writes anew.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
from collections import Counter
from collections.abc import Iterable
from functools import partial

from pileus.drivers.linuxnet import network, nfnetlink, nft, root, router, rtnetlink, rules, translation
from pileus.drivers.linuxnet.machine import BRIDGE_INDEX, Machine, find, links, read_file
from pileus.drivers.linuxnet.netlink import Message, attribute
from pileus.errors import HostError
from pileus.network.host import Chains, GroupWant, NetworkWant, PortWant, Route, RouterWant, Want, WireFacts

GET_RULE = (10 << 8) | 7  # NFT_MSG_GETRULE
RULE_TABLE, RULE_CHAIN = 1, 2  # NFTA_RULE_*
FAMILIES = {"inet": nfnetlink.INET, "bridge": nfnetlink.BRIDGE}
LISTENING = "0A"  # a state in /proc/net/tcp
_CHAIN = re.compile(r" chain (\S+) \{")
_TABLE = re.compile(r"table (\S+) \S+ \{")
_RULE = re.compile(r"add rule (\S+) \S+ (\S+) ")
_ADDED = re.compile(r"add chain (\S+) \S+ ([^\s{]+)$")


def flaws(machine: Machine, want: Want) -> list[str]:
    """In words, what is otherwise than wanted although its seal is in place."""
    match want:
        case PortWant():
            return _port(machine, want)
        case GroupWant():
            return _group(machine, want)
        case NetworkWant():
            return _network(machine, want)
        case RouterWant():
            return _router(machine, want)
    return []


def _port(machine: Machine, want: PortWant) -> list[str]:
    name, tap = network.namespace(want.network_id), rules.tap_name(want.id)
    with machine.route(name) as route:
        link = find(route, tap)
        known = {mac for index, mac in _forwarding(route.dump(_get_forwarding())) if link and index == link.index}
    if link is None:
        return []  # which any look sees
    found = _rules(machine, name, rules.guard(want, link.index))
    if want.mac not in known:
        found.append(f"the switch does not know that {want.mac} is behind {tap}")
    return found


def _group(machine: Machine, want: GroupWant) -> list[str]:
    found: list[str] = []
    for id, parts in want.parts.items():
        text = "".join(rules.load_part(part) for part in parts)
        with contextlib.suppress(HostError):  # the network is not there
            found += _rules(machine, network.namespace(id), text)
    return found


def _network(machine: Machine, want: NetworkWant) -> list[str]:
    name = network.namespace(want.id)
    found = _rules(machine, name, rules.skeleton()) + _sysctls(machine, name, network.SYSCTLS)
    if want.uplink:
        with machine.route(None) as route:
            plug = find(route, root.plug(want.id))
        if plug is None or not plug.up or plug.master != BRIDGE_INDEX:
            found.append("its plug on the wire outside is down or not connected")
    return found


def _router(machine: Machine, want: RouterWant) -> list[str]:
    name = router.namespace(want.id)
    found = _rules(machine, name, translation.load_router(want, "", is_new=True)) + _sysctls(machine, name, router.SYSCTLS)
    with machine.route(name) as route:
        there = {
            (destination, nexthop)
            for destination, nexthop, protocol in map(rtnetlink.read_any_route, route.dump(rtnetlink.get_routes()))
            if nexthop and protocol not in (rtnetlink.STATIC, rtnetlink.KERNEL)
        }
    found += [f"somebody has added the route {destination} via {nexthop}" for destination, nexthop in sorted(there)]
    for leg in want.legs:
        plug = rules.LEG + leg.port_id[:11]
        with contextlib.suppress(HostError), machine.route(network.namespace(leg.network_id)) as route:
            link = find(route, plug)
            if link is None or not link.up or link.master != BRIDGE_INDEX:
                found.append(f"the network's end of its leg, {plug}, is down or not on the switch")
    return found


# -- rules ------------------------------------------------------------------------------------------------------------------------


def expected(text: str) -> dict[tuple[str, str], int]:
    """How many rules nft commands leave in each chain, by family and name."""
    found: Counter[tuple[str, str]] = Counter()
    family = chain = ""
    for line in text.splitlines():
        if opened := _TABLE.match(line):
            family = opened[1]
        elif opened := _CHAIN.match(line):
            chain = opened[1]
            found[family, chain] += 0
        elif line.strip() == "}":
            chain = ""
        elif chain and line.startswith("  ") and not line.strip().startswith("type "):
            found[family, chain] += 1
        elif added := _ADDED.match(line):
            found[added[1], added[2]] += 0
        elif added := _RULE.match(line):
            found[added[1], added[2]] += 1
    return {key: count for key, count in found.items() if not key[1].startswith("seal_")}


def _rules(machine: Machine, name: str, text: str) -> list[str]:
    """What of a text is not in the namespace's tables."""
    found: list[str] = []
    with machine.filter(name) as netfilter:
        for (family, chain), count in expected(text).items():
            payload = bytes([FAMILIES[family], 0, 0, 0]) + attribute(RULE_TABLE, rules.TABLE) + attribute(RULE_CHAIN, chain)
            try:
                there = len(netfilter.dump(Message(GET_RULE, 0, payload, f"list rules of {chain}")))
            except HostError:
                there = 0
            if there != count:
                found.append(f"chain {chain} of table {family} {rules.TABLE} has {there} rules in place of {count}")
    return found + [words for line in text.splitlines() if line.startswith("add element ") for words in _element(machine, name, line)]


def _element(machine: Machine, name: str, line: str) -> list[str]:
    """A map's or set's element that is to be there."""
    try:
        said = machine.namespaces.run(name, partial(nft.run, "get" + line.removeprefix("add"), partial(machine.closer.later, name)))
    except HostError:
        return [f"an element is missing: {line.removeprefix('add element ')}"]
    value = line.partition(" : ")[2].removesuffix(" }").strip()
    same = not value or value.isdigit() or value in said
    return [] if same else [f"an element reads otherwise than {line.removeprefix('add element ')}"]


def _sysctls(machine: Machine, name: str, wanted: dict[str, str]) -> list[str]:
    def read() -> list[str]:
        there = {key: read_file(f"/proc/sys/{key}").strip() for key in wanted}
        return [
            f"sysctl {key.replace('/', '.')} is {there[key] or 'missing'}, not {value}"
            for key, value in wanted.items()
            if there[key] != value
        ]

    return machine.namespaces.run(name, read)


def _get_forwarding() -> Message:
    return Message(rtnetlink.GETNEIGH, 0, rtnetlink.neighbour_header(rtnetlink.AF_BRIDGE), "list forwarding")


def _forwarding(answers: Iterable[bytes]) -> Iterable[tuple[int, str]]:
    return (pair for payload in answers if (pair := rtnetlink.read_forwarding(payload)))


# -- restoring ----------------------------------------------------------------------------------------------------------------------


def restore(machine: Machine, want: Want) -> None:
    """Break the seals of an object, and set right what no step of a look does."""
    match want:
        case PortWant():
            _restore_port(machine, want)
        case GroupWant():
            for id, parts in want.parts.items():
                _break(
                    machine,
                    network.namespace(id),
                    [rules.part_seal(part) for part in parts if isinstance(part, Chains) or part.group == want.id],
                )
        case NetworkWant():
            name = network.namespace(want.id)
            machine.sysctls(name, network.SYSCTLS)
            if want.uplink:
                with machine.route(None) as route:
                    if plug := find(route, root.plug(want.id)):
                        route.request(rtnetlink.set_link(plug.index, up=True, master=BRIDGE_INDEX))
            if _rules(machine, name, rules.skeleton()):
                _break(machine, name, [rules.SKELETON])
        case RouterWant():
            _restore_router(machine, want)


def _restore_port(machine: Machine, want: PortWant) -> None:
    """The seal of another tap than the one that is there is left: it says what has to be taken away with it, and any look sees it."""
    name, tap = network.namespace(want.network_id), rules.tap_name(want.id)
    with machine.sight(name) as sight:
        if sight is None:
            return
        route, netfilter = sight
        link, words = find(route, tap), nfnetlink.seal(netfilter, rules.TABLE, rules.port_seal(tap))
        if link is not None:
            route.request(rtnetlink.add_forwarding(link.index, want.mac), ignore=(errno.EINVAL, errno.EOPNOTSUPP))
    if link is not None and words == rules.port_words(want, link.index):
        _break(machine, name, [rules.port_seal(tap)])


def _restore_router(machine: Machine, want: RouterWant) -> None:
    name = router.namespace(want.id)
    machine.sysctls(name, router.SYSCTLS)
    _break(machine, name, [rules.SKELETON, translation.FLOATING])
    with machine.route(name) as route:
        for payload in route.dump(rtnetlink.get_routes()):
            destination, nexthop, protocol = rtnetlink.read_any_route(payload)
            if nexthop and protocol not in (rtnetlink.STATIC, rtnetlink.KERNEL):
                route.request(rtnetlink.delete_any_route(destination, nexthop), ignore=router.GONE)
    for leg in want.legs:
        with contextlib.suppress(HostError), machine.route(network.namespace(leg.network_id)) as route:
            if link := find(route, rules.LEG + leg.port_id[:11]):
                route.request(rtnetlink.set_link(link.index, up=True, master=BRIDGE_INDEX))


def _break(machine: Machine, name: str, seals: list[str]) -> None:
    """Chains that are not there have been broken already; a namespace that is not there has none."""
    with contextlib.suppress(HostError), machine.filter(name) as netfilter:
        there = [seal for seal in seals if nfnetlink.seal(netfilter, rules.TABLE, seal)]
    if there:
        machine.nft(name, "".join(f"delete chain inet {rules.TABLE} {seal}\n" for seal in there))


# -- the wire ------------------------------------------------------------------------------------------------------------------------


def wire(machine: Machine, public: ipaddress.IPv4Network) -> WireFacts:
    """The wire outside, and the host on it."""
    with machine.route(None) as route:
        bridge = find(route, root.WIRE)
        plug = find(route, root.OUTSIDE)
        way_out = any(map(rtnetlink.is_default, route.dump(rtnetlink.get_routes())))
    with machine.route(root.OUTSIDE) as route:
        device = next((link for link in links(route) if link.name == root.DEVICE), None)
        routes = frozenset(Route(where, hop) for where, hop, _ in map(rtnetlink.read_any_route, route.dump(rtnetlink.get_routes())) if hop)
    listening = machine.namespaces.run(root.OUTSIDE, _listening)
    up = all(link is not None and link.up for link in (bridge, plug, device))
    return WireFacts(up=up, outside=root.outside(public), gateway=root.gateway(public), way_out=way_out, routes=routes, listening=listening)


def _listening() -> frozenset[int]:
    """TCP ports of the namespace of the calling thread on which a connection from elsewhere is accepted."""
    found: set[int] = set()
    for name in ("tcp", "tcp6"):
        for line in read_file(f"/proc/thread-self/net/{name}").splitlines()[1:]:
            words = line.split()
            address, _, port = words[1].partition(":")
            if words[3] == LISTENING and not address.endswith("7F"):  # 127.x.x.x, in the machine's order
                found.add(int(port, 16))
    return frozenset(found)


def outside(machine: Machine) -> socket.socket:
    """A TCP socket of the outside host."""
    return machine.namespaces.run(
        root.OUTSIDE, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    )
