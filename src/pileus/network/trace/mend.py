"""The commands that mend: lines of `openstack` and `pileus`, ready to paste. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pileus.kit.store import Row
from pileus.network.reconcile import rows
from pileus.network.trace.report import ICMP, ICMP6, TCP, UDP, Packet
from pileus.network.trace.world import World

PROTOCOLS = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMP6: "ipv6-icmp"}


def look_again(kind: str, id: str) -> str:
    """Have the control plane compare an object with the host, and build anew what differs."""
    return f"pileus mend {kind.replace('_', '-')} {id}"


def after_a_lost_tap(world: World, port: Row) -> str:
    """A guest that held the tap holds a dead one; a new one it opens when it starts."""
    word = world.guest_word(port)
    return f"openstack server reboot --hard --wait {word}" if word else ""


def rule(packet: Packet, direction: str, group: str, other: str, *, answer: bool = False) -> str:
    """A rule that lets a packet pass. `other`: only to or from this address; empty: any."""
    parts = ["openstack security group rule create", f"--{direction}"]
    if packet.version == 6:
        parts.append("--ethertype IPv6")
    parts.append(f"--protocol {PROTOCOLS[packet.protocol]}")
    if packet.protocol in (TCP, UDP):
        parts.append(f"--dst-port {'1024:65535' if answer else packet.target_port}")
    if other:
        parts.append(f"--remote-ip {ipaddress.ip_network(other)}")
    return " ".join([*parts, group])


def renew(world: World, port: Row | None) -> tuple[str, ...]:
    """A guest takes what DHCP tells it when it starts; later only at half of its lease's time."""
    word = world.guest_word(port) if port else ""
    return (f"openstack server reboot --wait {word}",) if word else ()


def host_route(world: World, network_id: str, source: str, hop: str, port: Row | None) -> tuple[str, ...]:
    """Let the guests of a network know the way to a sender's subnet."""
    own = next((a for a in world.addresses(port["id"])), None) if port else None
    theirs = world.inner_subnet(source)
    if own is None or theirs is None:
        return ()
    subnet = world.row("subnet", own["id"])
    return (
        f"openstack subnet set --host-route destination={theirs['cidr']},gateway={hop} {world.word('subnet', subnet)}",
        *renew(world, port),
    )


def by_own_router(world: World, port: Row | None, router_id: str, target: str) -> tuple[str, ...]:
    """Let a guest send to the neighbouring router itself, not to its gateway that would send it on over the same network."""
    theirs = world.inner_subnet(target)
    if port is None or theirs is None:
        return ()
    beyond = {leg["device_id"] for leg in world.legs_on(theirs["network_id"])}
    for leg in world.legs_on(port["network_id"]):
        if leg["device_id"] != router_id and leg["device_id"] in beyond and (own := world.addresses(leg["id"])):
            return host_route(world, port["network_id"], target, own[0]["ip_address"], port)
    return ()


def connect(world: World, subnet: Row, target: str) -> tuple[str, ...]:
    """Give a subnet a router, one that leads to the target if there is one."""
    word = world.word("subnet", subnet)
    own = world.store.find("router", {"project_id": subnet["project_id"]}, order="rowid")
    inside = world.inner_subnet(target, subnet["project_id"])

    def leads(router: Row) -> bool:
        legs = world.store.find("port", {"device_id": router["id"], "device_owner": rows.LEGS})
        near = {leg["network_id"] for leg in legs}
        return inside["network_id"] in near if inside else bool(router["gateway_port_id"])

    best = next((router for router in own if leads(router)), next(iter(own), None))
    if best is not None:
        return (f"openstack router add subnet {world.word('router', best)} {word}", *_gateway(world, best, not inside))
    public = f" --external-gateway {public_word(world)}" if not inside else ""
    other = f"openstack router add subnet router1 {world.word('subnet', inside)}" if inside and inside["id"] != subnet["id"] else ""
    return (f"openstack router create{public} router1", f"openstack router add subnet router1 {word}", other)


def _gateway(world: World, router: Row, needed: bool) -> tuple[str, ...]:
    return (gateway(world, router),) if needed and not router["gateway_port_id"] else ()


def gateway(world: World, router: Row) -> str:
    return f"openstack router set --external-gateway {public_word(world)} {world.word('router', router)}"


def public_word(world: World) -> str:
    public = world.public() or world.store.first("network", {"external": 1})
    return world.word("network", public) if public else "public"


def route(world: World, router_id: str, subnet: Row) -> tuple[str, ...]:
    """Let a router know the way to a subnet: by its neighbour that is on it, else by an interface of its own."""
    router = world.store.get("router", router_id) if router_id else None
    if router is None:
        return ()
    word = world.word("router", router)
    near = {leg["network_id"] for leg in world.store.find("port", {"device_id": router_id, "device_owner": rows.LEGS})}
    for other in world.legs_on(subnet["network_id"]):
        for leg in world.store.find("port", {"device_id": other["device_id"], "device_owner": rows.LEGS}, order="rowid"):
            if other["device_id"] != router_id and leg["network_id"] in near:
                hop = next((a["ip_address"] for a in world.addresses(leg["id"]) if a["ip_version"] == subnet["ip_version"]), "")
                if hop:
                    return (f"openstack router set --route destination={subnet['cidr']},gateway={hop} {word}",)
    return (f"openstack router add subnet {word} {world.word('subnet', subnet)}",)


def unroute(world: World, router: Row, destination: str, nexthop: str) -> str:
    return f"openstack router unset --route destination={destination},gateway={nexthop} {world.word('router', router)}"


def floating(world: World, address: str, subnet: Row) -> tuple[str, ...]:
    """A floating IP for an address: one that leads nowhere yet, else a new one."""
    port = world.owner(subnet["network_id"], address)
    if port is None:
        return ()
    free = world.store.first("floating_ip", {"project_id": port["project_id"], "port_id": None})
    word = world.word("port", port)
    if free is not None:
        return (f"openstack floating ip set --port {word} {free['floating_ip_address']}",)
    return (f"openstack floating ip create --port {word} {public_word(world)}",)


def translate(world: World, routers: Iterable[str]) -> tuple[str, ...]:
    """Switch address translation on where the packet left."""
    for id in routers:
        router = world.store.get("router", id)
        if router and router["gateway_port_id"] and not router["enable_snat"]:
            network = world.row("network", router["gateway_network_id"])
            word = world.word("network", network)
            return (f"openstack router set --external-gateway {word} --enable-snat {world.word('router', router)}",)
    return ()
