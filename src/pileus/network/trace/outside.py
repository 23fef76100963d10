"""The student's own computer on the walk, and the wire between it and the cloud. Pure."""

from __future__ import annotations

import ipaddress

from pileus.kit.store import Row
from pileus.network.trace import mend
from pileus.network.trace.report import TCP, Packet, Stop, Unknown
from pileus.network.trace.walk import Arrival, Onward, Walk


def on_wire(walk: Walk, network: Row, packet: Packet, hop: str) -> Arrival | None:
    """The outside host, or the way to the Internet; None when `hop` is neither."""
    wire = walk.world.wire()
    if hop not in (wire.outside, wire.gateway):
        return None
    walk.enter("wire", "")
    if not wire.up:
        words = "the wire of the public network is down on the host: somebody has switched off a link of it, br-ext or outside"
        raise Stop("drift", words, "pileus mend wire")
    if hop == wire.outside and packet.target == wire.outside:
        return arrive(walk, packet, network)
    walk.enter("way out", "")
    if packet.target == wire.gateway:
        walk.note("the public network's gateway, which is the cloud's own, answers")
        return Arrival(packet, network=network, silent=True)
    if inside := walk.world.inner_subnet(packet.target):
        raise _astray(walk, inside, packet)
    if not wire.way_out:
        words = "the cloud has no way out to the Internet: the setting outbound is none, or neither slirp4netns nor pasta is there"
        raise Stop("no-way-out", words, "pileus doctor", "PILEUS_OUTBOUND=auto pileus up")
    raise Unknown(f"It leaves the cloud. What becomes of it on the way to {packet.target} cannot be seen from here.")


def _astray(walk: Walk, subnet: Row, packet: Packet) -> Stop:
    """A packet for a subnet of the cloud that has been sent out."""
    where = subnet["name"] or subnet["cidr"]
    if not walk.routers and walk.first is None:
        words = f"{packet.target} is an address inside the cloud (subnet {where}): from outside only floating IPs can be reached"
        return Stop("no-floating-ip", words, *mend.floating(walk.world, packet.target, subnet))
    last = next(reversed(walk.routers), "")
    words = f"{packet.target} is in subnet {where}, to which the router has no route: it sends the packet out by its default route instead"
    return Stop("no-route", words, *mend.route(walk.world, last, subnet))


def arrive(walk: Walk, packet: Packet, network: Row) -> Arrival:
    """The student's own computer."""
    walk.enter("outside", packet.target)
    if walk.way == "there" and packet.protocol == TCP and packet.target_port not in walk.world.wire().listening:
        words = (
            f"on the outside host nothing listens on TCP {packet.target_port}: it refuses the connection itself, the cloud is not to blame"
        )
        raise Stop("service", words, f"pileus exec -- python3 -m http.server {packet.target_port}")
    walk.note("arrives at the outside host")
    return Arrival(packet, network=network)


def leave(walk: Walk, packet: Packet) -> Onward:
    """What the outside host sends: to whoever is on the wire itself, by a route of its own, or to the gateway."""
    world, wire, public = walk.world, walk.world.wire(), walk.world.public()
    walk.enter("outside", wire.outside)
    if public is None:
        raise Stop("no-public", "there is no external network on the wire that the outside host is on", "openstack network list --external")
    if not wire.up:
        raise Stop(
            "drift", "the wire of the public network is down on the host: somebody has switched off a link of it", "pileus mend wire"
        )
    target = ipaddress.ip_address(packet.target)
    if world.subnet_of(public["id"], packet.target):
        walk.note("sends it straight over the public network")
        return Onward(public["id"], packet, packet.target)
    fitting = [route for route in wire.routes if target in ipaddress.ip_network(route.destination)]
    best = max(fitting, key=lambda route: ipaddress.ip_network(route.destination).prefixlen, default=None)
    if best is None or (best.nexthop == wire.gateway and walk.way == "back"):
        words = f"the outside host has no route to {packet.target}: an address from inside the cloud means nothing out there"
        raise Stop("no-return-outside", words, *mend.translate(world, walk.routers))
    walk.note(f"sends it to {best.nexthop}")
    return Onward(public["id"], packet, best.nexthop)
