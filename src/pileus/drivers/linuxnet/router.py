"""A router on the host: a namespace `rtr-<id>` with a leg (a veth pair) on each of its networks, routes, and address translation."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence
from functools import partial

from pileus.drivers.linuxnet import network, nfnetlink, rtnetlink, rules, translation
from pileus.drivers.linuxnet.machine import BRIDGE_INDEX, Machine, find, links
from pileus.drivers.linuxnet.netlink import Message
from pileus.errors import HostError
from pileus.network.host import Leg, LegFacts, Neighbour, Route, RouterFacts, RouterWant, Step, Want

PREFIX = "rtr-"
INSIDE, OUTSIDE = "qr-", "qg-"  # legs in the router's namespace
GROUP = 11  # of legs in the router's namespace, so that they can be deleted together
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}
SYSCTLS6 = {
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/all/accept_ra": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/addr_gen_mode": "0",  # a leg's link-local address is the one that its MAC gives
    "net/ipv6/conf/all/keep_addr_on_down": "1",
}
GONE = (errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV)


def namespace(router_id: str) -> str:
    return PREFIX + router_id


def leg_name(port_id: str, *, external: bool) -> str:
    return (OUTSIDE if external else INSIDE) + port_id[:11]


def observe(machine: Machine, want: RouterWant | Want) -> RouterFacts | None:
    name = namespace(want.id)
    wanted = {leg.network_id for leg in want.legs} if isinstance(want, RouterWant) else set()
    networks = frozenset(id for id in wanted if machine.exists(network.namespace(id)))
    own = {address for leg in want.legs for address in leg.addresses} if isinstance(want, RouterWant) else set()
    with machine.sight(name) as sight:
        if sight is None:
            return RouterFacts(networks=networks) if networks else None
        route, netfilter = sight
        found = {link.index: link for link in links(route) if link.name[:3] in (INSIDE, OUTSIDE)}
        addresses: dict[int, set[str]] = {}
        for index, cidr in map(rtnetlink.read_address, route.dump(rtnetlink.get_addresses())):
            if cidr in own or not cidr.startswith("fe80:"):
                addresses.setdefault(index, set()).add(cidr)
        routes = list(filter(None, map(rtnetlink.read_route, route.dump(rtnetlink.get_routes()))))
        neighbours = list(filter(None, map(rtnetlink.read_neighbour, route.dump(rtnetlink.get_neighbours()))))
        seals = tuple(nfnetlink.seal(netfilter, rules.TABLE, chain) for chain in (rules.SKELETON, translation.FLOATING))
    legs = {
        link.name[3:]: LegFacts(up=link.up, mac=link.mac, mtu=link.mtu, addresses=frozenset(addresses.get(index, ())))
        for index, link in found.items()
    }
    return RouterFacts(
        exists=True,
        networks=networks,
        legs=legs,
        routes=frozenset(Route(destination, nexthop) for destination, nexthop, _ in routes if nexthop),
        neighbours=frozenset(Neighbour(found[index].name[3:], ip, mac) for index, ip, mac in neighbours if index in found),
        rules=_unseal(want, seals),
    )


def _unseal(want: RouterWant | Want, seals: tuple[str, ...]) -> str:
    """The digest that the host contract speaks of, when the seals are those of a table made for it by this version."""
    if isinstance(want, RouterWant) and not want.gone and seals == translation.router_words(want):
        return want.rules
    return " ".join(seals).strip()


def observe_all(machine: Machine) -> dict[str, RouterFacts]:
    ids = [name.removeprefix(PREFIX) for name in machine.namespaces.names() if name.startswith(PREFIX)]
    return {id: facts for id in ids if (facts := observe(machine, Want(id=id)))}


def apply(machine: Machine, want: Want, steps: Sequence[Step]) -> None:
    name = namespace(want.id)
    for step in steps:
        match step.verb:
            case "make_namespace":
                _make_namespace(machine, name)
            case "load_rules":
                assert isinstance(want, RouterWant)
                with machine.filter(name) as netfilter:
                    before = nfnetlink.seal(netfilter, rules.TABLE, rules.SKELETON)
                    is_new = not before and not nfnetlink.has_tables(netfilter)
                machine.nft(name, translation.load_router(want, before, is_new=is_new))
            case "add_leg":
                _add_leg(machine, name, step.value)
            case "drop_leg":
                _drop_leg(machine, name, step.value)
            case "remove":
                _remove(machine, name)
    if changes := [step for step in steps if step.verb in CHANGES]:
        _change(machine, name, changes)


CHANGES = {"set_leg", "add_address", "drop_address", "add_route", "drop_route", "add_neighbour", "drop_neighbour"}


def _make_namespace(machine: Machine, name: str) -> None:
    machine.namespaces.create(name)
    machine.sysctls(name, SYSCTLS)
    with contextlib.suppress(HostError):  # a kernel without IPv6 routes none
        machine.sysctls(name, SYSCTLS6)


def _add_leg(machine: Machine, name: str, leg: Leg) -> None:
    there, here = network.namespace(leg.network_id), leg_name(leg.port_id, external=leg.external)
    other = rules.LEG + leg.port_id[:11]
    with machine.handle(name) as fd, machine.route(there) as route:
        master = BRIDGE_INDEX
        pair = rtnetlink.add_veth(other, here, peer_netns=fd, peer_mac=leg.mac, peer_group=GROUP, mtu=leg.mtu, master=master)
        route.request(pair, ignore=(errno.EEXIST,))
        link = find(route, other)
        if link is None:
            raise HostError(f"{other} is not there although it was just made")
        route.request(rtnetlink.set_bridge_port(link.index, learning=False), rtnetlink.add_forwarding(link.index, leg.mac))


def _drop_leg(machine: Machine, name: str, leg: str) -> None:
    """Both ends go together."""
    with machine.route(name) as route:
        for prefix in (INSIDE, OUTSIDE):
            if link := find(route, prefix + leg):
                route.request(rtnetlink.delete_link(link.index), ignore=GONE)


def _remove(machine: Machine, name: str) -> None:
    """The legs first, all at once: each link by itself would take the kernel some 25 ms."""
    if machine.exists(name):
        with machine.route(name) as route:
            route.request(rtnetlink.delete_group(GROUP), ignore=GONE)
        machine.namespaces.delete(name)


def _change(machine: Machine, name: str, steps: Sequence[Step]) -> None:
    """Everything that is one rtnetlink request, in one batch; new addresses are announced afterwards."""
    with machine.route(name) as route:
        found = {link.name[3:]: link for link in links(route)}
        messages = [message for step in steps if (message := _message(step, found))]
        route.request(*messages, ignore=GONE)
    for step in steps:
        if step.verb == "add_address":
            leg, cidr = step.value
            link = found.get(leg)
            if link and ":" not in cidr:
                address = cidr.partition("/")[0]
                sock = machine.namespaces.run(name, partial(announce, link.name, link.mac, address))
                machine.closer.later(name, sock.close)  # which the kernel lets wait for some 15 ms


def _message(step: Step, found: dict[str, rtnetlink.Link]) -> Message | None:
    value = step.value
    if step.verb == "add_route":
        outside = next((link.index for link in found.values() if link.name.startswith(OUTSIDE)), 0)
        return rtnetlink.add_route(value.destination, nexthop=value.nexthop, index=outside if value.nexthop.startswith("fe80:") else 0)
    if step.verb == "drop_route":
        return rtnetlink.delete_route(value.destination, nexthop=value.nexthop)
    leg = value.leg[:11] if isinstance(value, Neighbour) else value[0]
    if leg not in found:
        return None
    index = found[leg].index
    match step.verb:
        case "set_leg":
            _, up, mtu, mac = value
            return rtnetlink.set_link(index, up=up, mtu=mtu, mac=mac)
        case "add_address":
            return rtnetlink.add_address(index, value[1])
        case "drop_address":
            return rtnetlink.delete_address(index, value[1])
        case "add_neighbour":
            return rtnetlink.add_neighbour(index, value.address, value.mac)
        case _:
            return rtnetlink.delete_neighbour(index, value.address)


def announce(device: str, mac: str, address: str) -> socket.socket:
    """Tell everybody on the link (of the namespace of the calling thread) that we are `address` now: a gratuitous ARP, RFC 5227.

    Returns the socket, to be closed.
    """
    own, ip = bytes.fromhex(mac.replace(":", "")), ipaddress.IPv4Address(address).packed
    frame = b"\xff" * 6 + own + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + own + ip + b"\0" * 6 + ip
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with contextlib.suppress(OSError):  # a leg that is down has nobody to tell
        sock.bind((device, 0))
        sock.send(frame)
    return sock
