"""A network's switch on the walk: whether it carries the packet, and who has the address that it is for. Pure."""

from __future__ import annotations

from pileus.kit.store import Row
from pileus.network.host import METADATA, NetworkFacts
from pileus.network.reconcile import rows
from pileus.network.reconcile.plan import plan_network
from pileus.network.trace import guest, mend, outside, router
from pileus.network.trace.report import ICMP, ICMP6, TCP, UDP, Packet, Stop
from pileus.network.trace.walk import Arrival, Onward, Walk, check_host

# steps of a network that packets do not wait for
ASIDE = frozenset({"add_address", "drop_address", "add_route", "drop_route", "add_outside", "drop_outside", "drop_uplink"})


def carry(walk: Walk, onward: Onward) -> Arrival:
    """Take a packet from place to place until it has arrived."""
    at: Arrival | Onward = onward
    while isinstance(at, Onward):
        at = over_switch(walk, at)
    return at


def over_switch(walk: Walk, onward: Onward) -> Arrival | Onward:
    """Carry a packet to whoever has the address that it is for."""
    walk.turn()
    world, packet, hop = walk.world, onward.packet, onward.hop
    network = world.row("network", onward.network_id)
    check_network(walk, network, packet)
    owner = world.owner(network["id"], hop)
    if owner is None and hop == METADATA:
        return Arrival(packet, network=network, silent=True)
    if owner is None:
        return _nobody(walk, network, onward)
    kind = owner["device_owner"]
    if kind in rows.FEET:
        return _own_foot(walk, network, packet)
    if kind == rows.PLACE:
        return router.into_floating(walk, owner, packet)
    if kind in rows.LEGS:
        return router.through(walk, owner["device_id"], network, packet)
    return guest.arrive(walk, owner, packet)


def check_network(walk: Walk, network: Row, packet: Packet) -> None:
    """Whether a network's switch carries packets, and one of this size."""
    world, name = walk.world, walk.world.called("network", network)
    walk.enter("network", name)
    if not network["admin_state_up"]:
        words = f"network {name} is switched off (admin state down), so its switch carries nothing"
        raise Stop("network-down", words, f"openstack network set --enable {world.word('network', network)}")
    want, facts = world.network_want(network["id"]), world.facts("network", network["id"])
    assert facts is None or isinstance(facts, NetworkFacts)
    steps = [step.verb for step in plan_network(want, facts) if step.verb not in ASIDE]
    check_host(walk, "network", network, steps)
    if packet.size > network["mtu"]:
        words = f"a packet of {packet.size} bytes is larger than {network['mtu']}, the MTU of network {name}: its switch drops it silently"
        raise Stop("mtu", words, f"openstack network set --mtu {packet.size} {world.word('network', network)}")
    walk.note(f"the switch is up and carries packets of up to {network['mtu']} bytes")


def _nobody(walk: Walk, network: Row, onward: Onward) -> Arrival:
    """Nobody has the address: is it the outside host's, the way out, or a mistake?"""
    world, packet, hop = walk.world, onward.packet, onward.hop
    name = world.called("network", network)
    if network["physical_network"] == rows.WIRE:
        found = outside.on_wire(walk, network, packet, hop)
        if found is not None:
            return found
    if onward.route:
        raise Stop("route-nexthop", f"the route leads to {hop}, and nobody on network {name} has that address", *onward.route)
    if hop != packet.target:
        raise _no_gateway(walk, network, packet, hop)
    if (squatter := _squatter(walk, network, hop)) is not None:
        word = world.word("port", squatter)
        words = (
            f"{world.guest_name(squatter)} uses {hop} besides the address of its port, which anti-spoof does not let it:"
            " the address has to be among the port's allowed address pairs"
        )
        raise Stop("address-pair", words, f"openstack port set --allowed-address ip-address={hop} {word}")
    raise Stop(
        "nobody", f"nobody on network {name} has the address {hop}", f"openstack port list --network {world.word('network', network)}"
    )


def _squatter(walk: Walk, network: Row, address: str) -> Row | None:
    """A guest that says it has an address which is not its port's."""
    if ":" in address:
        return None
    ports = [port for port in walk.world.guests_on(network["id"]) if walk.world.mine(port)]
    return next((port for port in ports[: guest.ASKED_MOST] if guest.has(walk, port, address)), None)


def _no_gateway(walk: Walk, network: Row, packet: Packet, hop: str) -> Stop:
    """A guest sends to its gateway, and there is none."""
    world, name = walk.world, walk.world.called("network", network)
    subnet = world.subnet_of(network["id"], hop)
    legs = [leg for leg in world.legs_on(network["id"]) if subnet and any(a["id"] == subnet["id"] for a in world.addresses(leg["id"]))]
    if subnet and legs and subnet["gateway_ip"] == hop:
        address = next(a["ip_address"] for a in world.addresses(legs[0]["id"]) if a["id"] == subnet["id"])
        words = f"guests on network {name} send to the gateway {hop}, but the router has the address {address} there"
        mended = f"openstack subnet set --gateway {address} {world.word('subnet', subnet)}"
        return Stop("gateway-address", words, mended, *mend.renew(world, walk.first))
    words = f"the guest sends it to {hop}, its way to {packet.target}, and nobody on network {name} has that address"
    if subnet and not legs:
        words = f"no router has an interface on subnet {subnet['name'] or subnet['cidr']}: nobody answers at the gateway {hop}"
        return Stop("no-router", words, *mend.connect(world, subnet, packet.target))
    return Stop("guest-route", words, *mend.renew(world, walk.first))


def _own_foot(walk: Walk, network: Row, packet: Packet) -> Arrival:
    """The host's own address on a network: DHCP, DNS, and it answers pings."""
    walk.enter("cloud", packet.target)
    served = packet.protocol in (ICMP, ICMP6) or (packet.protocol in (TCP, UDP) and packet.target_port == 53)
    if not served and (packet.protocol, packet.target_port) != (UDP, 67):
        raise Stop("cloud-service", f"{packet.target} is the cloud's own address on the network: it answers DHCP, DNS and pings only")
    walk.note("the cloud itself answers there")
    return Arrival(packet, network=network, silent=True)
