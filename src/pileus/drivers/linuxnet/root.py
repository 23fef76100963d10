"""The datacenter's own namespace: `br-ext`, the public network's wire, with the gateway on it, and the host `outside` at its other end.

`outside` stands for the student's own computer. What leaves the datacenter is masqueraded towards whatever has the default route.
"""

from __future__ import annotations

import errno
import ipaddress

from pileus.drivers.linuxnet import nfnetlink, rtnetlink, rules
from pileus.drivers.linuxnet.machine import BRIDGE_INDEX, Machine, find
from pileus.drivers.linuxnet.netlink import NetlinkError
from pileus.errors import HostError
from pileus.network.host import digest

WIRE = "br-ext"
OUTSIDE = "outside"  # the namespace, and its link on the wire; in there the link is called DEVICE
DEVICE = "eth0"
MTU = 1500
MAC = "fa:16:3f:ff:ff:01"
SYSCTLS = {"net/bridge/bridge-nf-call-iptables": "0", "net/bridge/bridge-nf-call-ip6tables": "0", "net/ipv4/ip_forward": "1"}


def gateway(public: ipaddress.IPv4Network) -> str:
    return str(public.network_address + 1)


def outside(public: ipaddress.IPv4Network) -> str:
    """The outside host's address: the last of the public network."""
    return str(public.broadcast_address - 1)


def prepare(machine: Machine, public: ipaddress.IPv4Network) -> None:
    """Make wire and outside host, or find that they are there. Raises HostError."""
    machine.need_bridge_filter(None)
    machine.sysctls(None, SYSCTLS)
    with machine.route(None) as route:
        bridge = rtnetlink.add_bridge(WIRE, BRIDGE_INDEX, mac=MAC, mtu=MTU, up=True)
        route.request(bridge, ignore=(errno.EEXIST, errno.EBUSY))
        route.request(
            rtnetlink.set_link(BRIDGE_INDEX, up=True),
            rtnetlink.add_address(BRIDGE_INDEX, f"{gateway(public)}/{public.prefixlen}"),
        )
    _masquerade(machine, public)
    machine.namespaces.create(OUTSIDE)
    if machine.link(OUTSIDE, DEVICE) is None:
        with machine.handle(OUTSIDE) as fd, machine.route(None) as route:
            route.request(rtnetlink.add_veth(OUTSIDE, DEVICE, peer_netns=fd, mtu=MTU, master=BRIDGE_INDEX))
    with machine.route(None) as route:
        if far_end := find(route, OUTSIDE):
            route.request(rtnetlink.set_link(far_end.index, up=True, master=BRIDGE_INDEX))
    with machine.route(OUTSIDE) as route:
        link = find(route, DEVICE)
        if link is None:
            raise HostError(f"{DEVICE} of {OUTSIDE} is not there although it was just made")
        route.request(
            rtnetlink.set_link(link.index, up=True),
            rtnetlink.add_address(link.index, f"{outside(public)}/{public.prefixlen}"),
            rtnetlink.add_route("0.0.0.0/0", nexthop=gateway(public)),
        )


def observe_outside(machine: Machine) -> frozenset[str]:
    """The outside host's own addresses and routes in IPv6, as the host contract writes them."""
    with machine.route(OUTSIDE) as route:
        link = find(route, DEVICE)
        if link is None:
            return frozenset()
        addresses = [cidr for index, cidr in map(rtnetlink.read_address, route.dump(rtnetlink.get_addresses())) if index == link.index]
        ways = filter(None, map(rtnetlink.read_route, route.dump(rtnetlink.get_routes())))
        routes = [f"{destination} via {nexthop}" for destination, nexthop, _ in ways if ":" in nexthop]
    return frozenset([*(cidr for cidr in addresses if ":" in cidr and not cidr.startswith("fe80:")), *routes])


def change_outside(machine: Machine, add: bool, item: str) -> None:
    destination, _, nexthop = item.partition(" via ")
    with machine.route(OUTSIDE) as route:
        link = find(route, DEVICE)
        if link is None:
            raise HostError(f"{DEVICE} of {OUTSIDE} is not there")
        if nexthop and add:
            route.request(rtnetlink.add_route(destination, nexthop=nexthop))
        elif nexthop:
            route.request(rtnetlink.delete_route(destination, nexthop=nexthop), ignore=(errno.ESRCH,))
        elif add:
            route.request(rtnetlink.add_address(link.index, destination))
        else:
            route.request(rtnetlink.delete_address(link.index, destination), ignore=(errno.EADDRNOTAVAIL,))


def _masquerade(machine: Machine, public: ipaddress.IPv4Network) -> None:
    text = f"""table inet {rules.TABLE}
delete table inet {rules.TABLE}
table inet {rules.TABLE} {{
 chain postrouting {{
  type nat hook postrouting priority 100; policy accept;
  ip saddr {public} oifname != "{WIRE}" masquerade
 }}
}}
"""
    words = digest(rules.VERSION, text)
    with machine.filter(None) as netfilter:
        if nfnetlink.seal(netfilter, rules.TABLE, rules.SKELETON) == words:
            return
    machine.nft(None, text + rules.seal(rules.SKELETON, words))


def plug(network_id: str) -> str:
    return f"up{network_id[:11]}"


def join(machine: Machine, network_id: str, name: str, uplink: str) -> None:
    """Connect the bridge of the network namespace `name` with the wire."""
    far_end = plug(network_id)
    with machine.handle(None) as fd, machine.route(name) as route:
        pair = rtnetlink.add_veth(uplink, far_end, peer_netns=fd, mtu=MTU, master=BRIDGE_INDEX)
        route.request(pair, ignore=(errno.EEXIST,))
    with machine.route(None) as route:
        if link := find(route, far_end):
            route.request(rtnetlink.set_link(link.index, up=True, master=BRIDGE_INDEX))


def leave(machine: Machine, network_id: str) -> None:
    with machine.route(None) as route:
        if link := find(route, plug(network_id)):
            try:
                route.request(rtnetlink.delete_link(link.index))
            except NetlinkError as error:
                if error.number != errno.ENODEV:
                    raise
