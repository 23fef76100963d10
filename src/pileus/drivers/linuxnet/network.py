"""A network on the host: a namespace `net-<id>` with a bridge, the host's own addresses on it, and the skeleton of its packet filter."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Sequence
from hashlib import blake2b
from itertools import groupby

from pileus.drivers.linuxnet import nfnetlink, root, rtnetlink, rules
from pileus.drivers.linuxnet.machine import BRIDGE, BRIDGE_INDEX, Machine, find
from pileus.drivers.linuxnet.netlink import Message
from pileus.errors import HostError
from pileus.network.host import METADATA, METADATA6, NetworkFacts, NetworkWant, Step, Want

PREFIX = "net-"
UPLINK = rules.UPLINK
SYSCTLS = {
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "1",
    "net/ipv4/ip_forward": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
SYSCTLS6 = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}  # of the host's own foot, not of guests
FOOT6 = f"net/ipv6/conf/{BRIDGE}"
# before the host has an IPv6 address on a network: it learns nothing from routers there, and makes no address by itself (addr_gen_mode)
OPEN6 = {
    f"{FOOT6}/accept_ra": "0",
    f"{FOOT6}/autoconf": "0",
    f"{FOOT6}/accept_dad": "0",
    f"{FOOT6}/addr_gen_mode": "1",
    f"{FOOT6}/keep_addr_on_down": "1",
    f"{FOOT6}/disable_ipv6": "0",
}


def namespace(network_id: str) -> str:
    return PREFIX + network_id


def bridge_mac(network_id: str) -> str:
    """The host's own MAC on a network: always the same, so that a guest's ARP cache survives what we rebuild."""
    return "fa:16:3f:" + blake2b(network_id.encode(), digest_size=3).digest().hex(":")


def observe(machine: Machine, network_id: str) -> NetworkFacts | None:
    name = namespace(network_id)
    with machine.sight(name) as sight:
        if sight is None:
            return None
        route, netfilter = sight
        bridge = find(route, BRIDGE)
        if bridge is None:
            return NetworkFacts()
        addresses = {text for index, text in map(rtnetlink.read_address, route.dump(rtnetlink.get_addresses())) if index == bridge.index}
        found = filter(None, map(rtnetlink.read_route, route.dump(rtnetlink.get_routes())))
        on_link = frozenset(destination for destination, nexthop, index in found if not nexthop and index == bridge.index)
        uplink = find(route, UPLINK) is not None
        seal = nfnetlink.seal(netfilter, rules.TABLE, rules.SKELETON)
    addresses = {cidr for cidr in addresses if cidr != f"{METADATA}/32" and (cidr == f"{METADATA6}/64" or not cidr.startswith("fe80:"))}
    return NetworkFacts(
        up=bridge.up,
        mtu=bridge.mtu,
        addresses=frozenset(addresses),
        on_link=on_link,
        uplink=uplink,
        outside=root.observe_outside(machine) if uplink else frozenset(),
        rules="current" if seal == rules.skeleton_digest() else seal,
    )


def observe_all(machine: Machine) -> dict[str, NetworkFacts]:
    ids = [name.removeprefix(PREFIX) for name in machine.namespaces.names() if name.startswith(PREFIX)]
    return {id: facts for id in ids if (facts := observe(machine, id))}


def apply(machine: Machine, want: Want, steps: Sequence[Step]) -> None:
    """Steps that are rtnetlink requests and follow each other are one batch."""
    name = namespace(want.id)
    for is_request, some in groupby(steps, key=lambda step: step.verb in REQUESTS and not _opens_ipv6(step)):
        if is_request:
            with machine.route(name) as route:
                route.request(*(message for step in some for message in _requests(want, step)), ignore=HARMLESS)
        else:
            for step in some:
                _do(machine, want, name, step)


def _do(machine: Machine, want: Want, name: str, step: Step) -> None:
    match step.verb:
        case "make_namespace":
            _make_namespace(machine, name)
        case "load_rules":
            with machine.filter(name) as netfilter:
                is_new = not nfnetlink.has_tables(netfilter)
            machine.nft(name, rules.load_skeleton(is_new=is_new))
        case "add_address":
            machine.sysctls(name, OPEN6)
            with machine.route(name) as route:
                route.request(*_requests(want, step), ignore=HARMLESS)
        case "add_uplink":
            root.join(machine, want.id, name, UPLINK)
        case "add_outside" | "drop_outside":
            root.change_outside(machine, step.verb == "add_outside", step.value)
        case "drop_uplink":
            root.leave(machine, want.id)
        case "remove":
            machine.namespaces.delete(name)


def _opens_ipv6(step: Step) -> bool:
    """A network has no IPv6 of the host's own before it needs it."""
    return step.verb == "add_address" and ":" in step.value


def _make_namespace(machine: Machine, name: str) -> None:
    machine.namespaces.create(name)
    machine.need_bridge_filter(name)
    machine.sysctls(name, SYSCTLS)
    with contextlib.suppress(HostError):  # a kernel without IPv6 has nothing to shut off
        machine.sysctls(name, SYSCTLS6)


REQUESTS = {"set_bridge", "add_address", "drop_address", "add_route", "drop_route"}
HARMLESS = (errno.EEXIST, errno.EBUSY, errno.ESRCH, errno.EADDRNOTAVAIL)  # the bridge is there already, the route or address not


def _requests(want: Want, step: Step) -> list[Message]:
    match step.verb:
        case "add_address":
            return [rtnetlink.add_address(BRIDGE_INDEX, step.value)]
        case "drop_address":
            return [rtnetlink.delete_address(BRIDGE_INDEX, step.value)]
        case "add_route":
            return [rtnetlink.add_route(step.value, index=BRIDGE_INDEX)]
        case "drop_route":
            return [rtnetlink.delete_route(step.value, index=BRIDGE_INDEX)]
    assert isinstance(want, NetworkWant)
    return [
        rtnetlink.add_bridge(BRIDGE, BRIDGE_INDEX, mac=bridge_mac(want.id), mtu=want.mtu, up=want.up),
        rtnetlink.set_link(BRIDGE_INDEX, up=want.up, mtu=want.mtu),
        rtnetlink.add_address(BRIDGE_INDEX, f"{METADATA}/32"),
    ]
