"""A port on the walk: its tap, and what anti-spoof lets its guest send. Pure."""

from __future__ import annotations

import ipaddress

from pileus.kit.store import Row
from pileus.network.host import PortFacts
from pileus.network.reconcile.plan import plan_port
from pileus.network.trace.report import Packet, Stop
from pileus.network.trace.walk import Walk, check_host

NEEDED = frozenset({"make_tap", "guard", "attach"})  # steps of a port that packets wait for


def check_tap(walk: Walk, port: Row) -> None:
    """Whether the guest's cable is plugged in."""
    world = walk.world
    walk.enter("tap", f"tap{port['id'][:11]}")
    name, word = world.guest_name(port), world.word("port", port)
    if not port["device_id"]:
        raise Stop("unbound", f"no server uses port {port['name'] or port['id']}", f"openstack server add port SERVER {word}")
    if not port["admin_state_up"]:
        raise Stop(
            "port-down",
            f"the port of {name} is switched off (admin state down): its cable is pulled",
            f"openstack port set --enable {word}",
        )
    if not world.port_want(port["id"]).tap:
        raise _not_carried(walk, port)
    if port["host_error"]:
        words = f"the port of {name} could not be made on the host: {port['host_error']}"
        raise Stop("drift", words, f"pileus mend port {port['id']}")
    facts = world.facts("port", port["id"])
    assert facts is None or isinstance(facts, PortFacts)
    steps = [step.verb for step in plan_port(world.port_want(port["id"]), facts) if step.verb in NEEDED]
    check_host(walk, "port", port, steps or ([] if facts and facts.network else ["make_tap"]))
    walk.note("plugged into the switch, up")


def _not_carried(walk: Walk, port: Row) -> Stop:
    """A port of a trunk that is switched off, or that no server has."""
    world = walk.world
    trunk = next(
        iter(world.store.query("SELECT t.* FROM trunk t JOIN sub_port s ON s.trunk_id = t.id WHERE s.port_id = ?", port["id"])), None
    )
    if trunk is not None and not trunk["admin_state_up"]:
        words = f"trunk {trunk['name'] or trunk['id']}, which carries the port, is switched off (admin state down)"
        return Stop("trunk-down", words, f"openstack network trunk set --enable {world.word('trunk', trunk)}")
    return Stop("unbound", f"no server uses the port that carries {port['name'] or port['id']}", "openstack network trunk list")


def check_sender(walk: Walk, port: Row, packet: Packet) -> None:
    """Anti-spoof: a guest sends from its port's addresses and its allowed address pairs only."""
    world = walk.world
    walk.enter("anti-spoof", f"tap{port['id'][:11]}")
    want = world.port_want(port["id"])
    if not want.secure:
        walk.note("port security is off: the guest may send from any address")
        return
    source = ipaddress.ip_address(packet.source)
    if packet.source in want.addresses:
        walk.note(f"{packet.source} is the port's own address")
        return
    if any(source in ipaddress.ip_network(pair.prefix, strict=False) for pair in want.pairs):
        walk.note(f"{packet.source} is among the port's allowed address pairs")
        return
    own, name, word = ", ".join(want.addresses) or "no address", world.guest_name(port), world.word("port", port)
    if (walk.first is not None and port["id"] != walk.first["id"]) or walk.way == "back":
        words = (
            f"{name} is to send a packet of {packet.source}, as a router does, and port security lets it send only as {own}:"
            " a guest that is a router needs port security off"
        )
        raise Stop("port-security", words, f"openstack port set --no-security-group --disable-port-security {word}")
    words = f"{name} sends as {packet.source}, and its port has {own}: anti-spoof drops that"
    raise Stop("address-pair", words, f"openstack port set --allowed-address ip-address={packet.source} {word}")
