"""A name on the walk: whom the guest asks for it, whether that can be reached, and what is said. Pure."""

from __future__ import annotations

import ipaddress
import json

from pileus.kit.store import Row
from pileus.network.live import dhcp
from pileus.network.live.directory import Directory
from pileus.network.reconcile import rows
from pileus.network.trace import guest, mend
from pileus.network.trace.report import EPHEMERAL, UDP, Packet, Stop, Unknown
from pileus.network.trace.state import check_state
from pileus.network.trace.switch import carry
from pileus.network.trace.walk import Walk
from pileus.network.trace.world import World


def look_up(walk: Walk, port: Row, own: str, name: str) -> str:
    """The address behind a name, as a guest would find it."""
    world = walk.world
    guest_name = world.guest_name(port)
    walk.enter("guest", guest_name)
    check_state(walk, port)
    guest.check_address(walk, port, own)
    walk.enter("DNS", name)
    servers = _servers(walk, port, own)
    failed: list[Stop] = []
    for server in servers:
        try:
            _reach(walk, port, own, server)
        except Unknown:
            pass  # outside: whether it answers cannot be seen
        except Stop as stop:
            failed.append(stop)
            walk.enter("DNS", server)
            walk.note(f"{guest_name} asks {server} for names, and that cannot be: {stop.words}", "differs")
            continue
        walk.enter("DNS", name)
        return _say(walk, port, server, name)
    raise _no_server(walk, port, own, servers, failed)


def _servers(walk: Walk, port: Row, own: str) -> list[str]:
    """Whom the guest asks: what its lease said when that was seen, else what DHCP would tell it now."""
    lodger = Directory(walk.world.store).by_address(port["network_id"], own)
    data = dhcp.options(lodger).get(6, b"") if lodger else b""
    told = [str(ipaddress.IPv4Address(data[at : at + 4])) for at in range(0, len(data), 4)]
    lease = walk.world.leases(port["id"])
    if lease is not None and list(lease.servers) != told:
        walk.note(f"its lease, {lease.seconds} s old, says {_list(lease.servers)}; DHCP would tell it {_list(told)} now", "differs")
        return list(lease.servers)
    return told


def _list(servers: list[str] | tuple[str, ...]) -> str:
    return ", ".join(servers) or "no DNS server"


def _reach(walk: Walk, port: Row, own: str, server: str) -> None:
    """A question on its way to a server. Raises Stop, and Unknown when it leaves the cloud."""
    inner = Walk(walk.world, first=port)
    packet = Packet(protocol=UDP, source=own, target=server, source_port=EPHEMERAL, target_port=53)
    carry(inner, guest.leave(inner, port, packet))


def _say(walk: Walk, port: Row, server: str, name: str) -> str:
    """What is answered. A server of somebody else's is not asked: what the cloud's own says is taken for it."""
    world = walk.world
    problem, addresses = world.resolved(port["network_id"], name)
    is_own = _is_own(world, port["network_id"], server)
    if addresses:
        walk.note(f"{server} is asked for it, and it is {addresses[0]}")
        return addresses[0]
    if not is_own:
        raise Unknown(f"{server}, which the guest asks for names, can be reached. What it says of {name} cannot be seen from here.")
    if problem == "nobody":
        raise Stop("dns-name", f"nobody knows the name {name}: the cloud's DNS was told so", f"pileus exec -- getent hosts {name}")
    words = f"the cloud's DNS at {server} does not know {name} itself, and has no way to ask the Internet"
    raise Stop("dns-upstream", words, "pileus doctor", "PILEUS_OUTBOUND=auto pileus up")


def _is_own(world: World, network_id: str, server: str) -> bool:
    owner = world.owner(network_id, server)
    return owner is None or owner["device_owner"] in rows.FEET


def _no_server(walk: Walk, port: Row, own: str, servers: list[str], failed: list[Stop]) -> Stop:
    """Nobody can be asked: the subnet names the wrong servers, or the guest an old one."""
    world = walk.world
    name, subnet = world.guest_name(port), world.subnet_of(port["network_id"], own)
    word = world.word("subnet", subnet) if subnet else ""
    renewed = mend.renew(world, port)
    if not servers:
        words = f"{name} knows no DNS server: subnet {word} tells its guests of none (dns_nameservers 0.0.0.0)"
        return Stop("dns-none", words, f"openstack subnet set --no-dns-nameservers {word}", *renewed)
    named = _named(subnet)
    wrong = [server for server in servers if server in named]
    if not wrong:
        if any(server not in named for server in servers) and named != servers and world.leases(port["id"]):
            words = f"{name} still asks {_list(servers)}, as its lease says, and that cannot be reached: {failed[0].words}"
            return Stop("dns-stale", words, *renewed)
        return Stop(failed[0].cause, f"{name} cannot reach the cloud's own DNS: {failed[0].words}", *failed[0].mend)
    words = f"subnet {word} tells its guests to ask {_list(wrong)} for names, and {name} cannot reach that: {failed[0].words}"
    unset = " ".join(f"--dns-nameserver {server}" for server in wrong)
    return Stop("dns-server", words, f"openstack subnet unset {unset} {word}", *renewed)


def _named(subnet: Row | None) -> list[str]:
    """The servers that a subnet names."""
    found: list[str] = json.loads(subnet["dns_nameservers"]) if subnet else []
    return found
