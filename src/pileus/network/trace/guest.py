"""Guests on the walk: whether one runs, has its address, which next hop it chooses, and what it says to a packet that arrives. Pure.

A guest is asked by knocking at its tap; one that cannot be heard is taken to be as DHCP tells it to be.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import msgspec

from pileus.kit.store import Row
from pileus.network.host import METADATA, Heard, Knock
from pileus.network.reconcile import rows
from pileus.network.trace import mend, tap
from pileus.network.trace.group import judge
from pileus.network.trace.report import ICMP, TCP, UDP, Packet, Stop, Unknown
from pileus.network.trace.state import check_state
from pileus.network.trace.walk import Arrival, Onward, Walk

SCANNED_MOST = 1024  # addresses of a subnet that a guest is asked for, to see which one it has taken
ASKED_MOST = 32  # guests that are asked whether they have an address
STRANGER = "192.0.2.1"  # stands for any address in the Internet (RFC 5737): nothing is ever sent in the name of a real one


@dataclass(frozen=True)
class Choice:
    """The next hop a guest takes, and in which words it is known. `own`: it is not what DHCP tells it."""

    hop: str
    words: str
    own: bool = False


def leave(walk: Walk, port: Row, packet: Packet, *, answer: bool = False, chosen: str = "") -> Onward:
    """Let a guest send a packet. `chosen`: the MAC it was heard to send to."""
    world = walk.world
    walk.enter("guest", world.guest_name(port))
    if not answer:
        check_state(walk, port)
        check_address(walk, port, packet.source)
    choice = next_hop(walk, port, packet, chosen)
    walk.note(choice.words)
    tap.check_tap(walk, port)
    tap.check_sender(walk, port, packet)
    judge(walk, port, packet, "egress", answer=answer)
    return Onward(port["network_id"], packet, choice.hop)


def arrive(walk: Walk, port: Row, packet: Packet) -> Arrival | Onward:
    """Deliver a packet to a guest's port; one that is for another address it passes on."""
    world = walk.world
    if not world.mine(port):
        judge_of_stranger(walk, port)
    answer = walk.way == "back"
    judge(walk, port, packet, "ingress", answer=answer)
    tap.check_tap(walk, port)
    want = world.port_want(port["id"])
    target = ipaddress.ip_address(packet.target)
    own = packet.target in want.addresses or any(target in ipaddress.ip_network(pair.prefix, strict=False) for pair in want.pairs)
    walk.enter("guest", world.guest_name(port))
    check_state(walk, port)
    if not own:
        return _pass_on(walk, port, packet)
    if answer:
        walk.note("gets the answer")
        return Arrival(packet, port)
    walk.last = port
    check_address(walk, port, packet.target)
    return Arrival(packet, port, via=_serve(walk, port, packet))


def judge_of_stranger(walk: Walk, port: Row) -> None:
    walk.enter("guest", "another project's")
    raise Unknown("It has come to another project's port: what that lets in is not yours to see.")


def _pass_on(walk: Walk, port: Row, packet: Packet) -> Onward:
    """A guest that is a router: it sends the packet on by whichever of its cards leads there."""
    world = walk.world
    cards = world.store.find("port", {"device_id": port["device_id"]}, order="place") or [port]
    out = next((card for card in cards if world.subnet_of(card["network_id"], packet.target)), None)
    walk.note(f"is to pass it on to {packet.target}, as a router would")
    if out is None and walk.way == "there":
        tap.check_sender(walk, port, packet.answer())
        raise Unknown(f"{world.guest_name(port)} has it, for {packet.target} behind it. What becomes of it there cannot be seen from here.")
    out = out or port
    tap.check_sender(walk, out, packet)
    judge(walk, out, packet, "egress", answer=walk.way == "back")
    choice = _by_rows(walk, out, packet.target)
    if choice is None:
        raise Stop("guest-route", f"{world.guest_name(port)} knows no way to {packet.target}", *mend.renew(world, port))
    return Onward(out["network_id"], packet, choice.hop)


# -- the address --------------------------------------------------------------------------------------------------------------------


def has(walk: Walk, port: Row, address: str) -> bool:
    """Whether a guest says that it has an address."""
    heard = walk.world.heard(port["id"], Knock(addresses=(address,)))
    return heard is not None and address in heard.answers


def check_address(walk: Walk, port: Row, address: str) -> None:
    """Whether a guest has taken its address."""
    world = walk.world
    if ":" in address:
        return
    heard = world.heard(port["id"], Knock(addresses=(address,)))
    if heard is None or address in heard.answers:
        return
    if address not in world.port_want(port["id"]).addresses:
        return  # a pair's, which another guest may have just now
    name, subnet = world.guest_name(port), world.subnet_of(port["network_id"], address)
    other = _uses(walk, port, subnet) if subnet else ""
    if other:
        words = f"{name} uses the address {other}, but its port has {address}: anti-spoof drops what it sends, and nothing finds it"
        raise Stop("guest-address", words, *mend.renew(world, port))
    lease = world.leases(port["id"])
    if subnet and not subnet["enable_dhcp"]:
        words = f"{name} has not taken its address {address}: DHCP is switched off on subnet {subnet['name'] or subnet['cidr']}"
        raise Stop("dhcp-off", words, f"openstack subnet set --dhcp {world.word('subnet', subnet)}", *mend.renew(world, port))
    told = f"DHCP gave it {lease.address} {lease.seconds} s ago" if lease else "it has not asked DHCP for it since the cloud was started"
    words = f"{name} does not answer at its address {address} ({told}): its system hangs, is still starting, or its card is not set up"
    show = world.guest_word(port)
    raise Stop("guest-silent", words, f"openstack console log show {show}" if show else "", *mend.renew(world, port))


def _uses(walk: Walk, port: Row, subnet: Row) -> str:
    """The address that a guest has in place of its own."""
    network = ipaddress.ip_network(subnet["cidr"])
    if network.version == 6 or network.num_addresses > SCANNED_MOST:
        return ""
    heard = walk.world.heard(port["id"], Knock(addresses=tuple(map(str, network.hosts()))))
    return min(heard.answers, default="") if heard else ""


# -- the way --------------------------------------------------------------------------------------------------------------------------


def next_hop(walk: Walk, port: Row, packet: Packet, chosen: str = "") -> Choice:
    """Where a guest sends what is for an address: as it is heard to do, else as DHCP told it."""
    world, target = walk.world, packet.target
    told = _by_rows(walk, port, target)
    if told and told.hop == target:
        return told
    heard = None if chosen or packet.version == 6 else _hear_route(walk, port, packet)
    mac = chosen or (heard.via if heard else "")
    name = world.guest_name(port)
    if owner := world.by_mac(port["network_id"], mac):
        hop = next((a["ip_address"] for a in world.addresses(owner["id"]) if a["ip_version"] == packet.version), "")
        if hop and told and hop != told.hop and told.hop not in {a["ip_address"] for a in world.addresses(owner["id"])}:
            return Choice(hop, f"sends it to {hop}, by a route of its own (DHCP tells {told.hop})", own=True)
        if hop:
            return Choice(told.hop if told else hop, f"sends it to {told.hop if told else hop}, as it was heard to do")
    elif mac and told and world.owner(port["network_id"], told.hop) and not world.paired_macs(port["network_id"]):
        words = f"{name} sends it to the MAC {mac}, which nobody on its network has any more: it remembers a router that is gone"
        raise Stop("stale-neighbour", f"{words}, and will ask again within a minute", *mend.renew(world, port))
    if heard and not heard.reply and (asked := sorted(heard.asked - {packet.source})):
        return Choice(asked[0], f"asks for {asked[0]}, its next hop", own=True)
    if told is None or (heard is not None and not heard.reply and _hears_neighbours(walk, port, packet.source)):
        raise _no_way(walk, port, packet, told, name)
    return told


def _by_rows(walk: Walk, port: Row, target: str) -> Choice | None:
    """What DHCP tells a guest: who is on its own subnet, the subnet's routes, its gateway."""
    ip = ipaddress.ip_address(target)
    best: tuple[int, Choice] | None = None
    if target == METADATA:
        return Choice(target, "sends it to the cloud itself, on its own network")
    for address in walk.world.addresses(port["id"]):
        if address["ip_version"] != ip.version:
            continue
        if ip in ipaddress.ip_network(address["cidr"]):
            return Choice(target, f"sends it straight to {target}, which is on its own subnet")
        for route in msgspec.json.decode(address["host_routes"]):
            network = ipaddress.ip_network(route["destination"])
            if ip in network and (best is None or network.prefixlen > best[0]):
                best = network.prefixlen, Choice(route["nexthop"], f"sends it to {route['nexthop']}, by the subnet's route to {network}")
        if address["gateway_ip"] and best is None:
            best = -1, Choice(address["gateway_ip"], f"sends it to its gateway {address['gateway_ip']}")
    return best[1] if best else None


def _hear_route(walk: Walk, port: Row, packet: Packet) -> Heard | None:
    """Ask a guest in the target's name: whom it sends the answer to is its next hop."""
    ip = ipaddress.ip_address(packet.target)
    source = STRANGER if ip.is_global else packet.target
    return walk.world.heard(port["id"], Knock(source=source, target=packet.source))


def _hears_neighbours(walk: Walk, port: Row, own: str) -> bool:
    """Whether a guest that does not answer a stranger answers a neighbour: then it is the way that it lacks."""
    heard = walk.world.heard(port["id"], Knock(source=_neighbour(walk, port, own), target=own))
    return heard is not None and bool(heard.reply or heard.asked)


def _neighbour(walk: Walk, port: Row, own: str) -> str:
    """An address on the guest's own subnet: the router's, else one that nobody has."""
    subnet = walk.world.subnet_of(port["network_id"], own)
    assert subnet is not None
    network = ipaddress.ip_network(subnet["cidr"])
    last = network.broadcast_address - 1 if network.version == 4 else network.network_address + 1
    return str(last if str(last) != own else last - 1)


def _no_way(walk: Walk, port: Row, packet: Packet, told: Choice | None, name: str) -> Stop:
    """A guest does not know where to send a packet, or its answer."""
    world = walk.world
    subnet = world.subnet_of(port["network_id"], packet.source)
    if told is not None:
        words = f"{name} has no route to {packet.target}, although DHCP tells it to go by {told.hop}: it took its lease before that was set"
        return Stop("guest-route", words, *mend.renew(world, port))
    where = (subnet["name"] or subnet["cidr"]) if subnet else "its subnet"
    words = f"{name} has no route to {packet.target}: subnet {where} has no gateway"
    legs = [a for leg in world.legs_on(port["network_id"]) for a in world.addresses(leg["id"]) if subnet and a["id"] == subnet["id"]]
    if subnet is None:
        return Stop("no-gateway", words)
    first = next(iter(ipaddress.ip_network(subnet["cidr"]).hosts()))
    gateway = legs[0]["ip_address"] if legs else str(first)
    return Stop("no-gateway", words, f"openstack subnet set --gateway {gateway} {world.word('subnet', subnet)}", *mend.renew(world, port))


# -- the service -------------------------------------------------------------------------------------------------------------------


def _serve(walk: Walk, port: Row, packet: Packet) -> str:
    """What a guest says to a packet that has arrived; returns the MAC it sends its answer to, when that was heard."""
    world = walk.world
    if packet.version == 6:
        walk.note("arrives", "unknown")
        return ""
    ip = ipaddress.ip_address(packet.source)
    source = STRANGER if ip.is_global else packet.source
    knock = Knock(source=source, target=packet.target, protocol=packet.protocol, port=_port_of(packet))
    heard = world.heard(port["id"], knock)
    name = world.guest_name(port)
    if heard is None:
        walk.note("arrives; the guest itself cannot be heard", "unknown")
        return ""
    if heard.reply == "answer":
        walk.note("arrives, and is answered" if packet.protocol == ICMP else f"arrives, and {packet.words} is answered")
        return heard.via
    if heard.reply == "refused":
        raise Stop("service", *_nobody_listens(walk, port, packet, name))
    if heard.reply in ("prohibited", "unreachable"):
        raise Stop(
            "guest-firewall",
            f"{name} itself refuses {packet.words} (a firewall inside the guest): the cloud has delivered it",
            *_log_in(walk, port),
        )
    if heard.asked - {packet.target}:
        walk.note(f"arrives; {name} does not find the next hop for its answer", "unknown")
        return ""
    if not _by_rows_on_link(walk, port, packet.source) and _hears_neighbours(walk, port, packet.target):
        back = packet.answer()
        walk.way = "back"
        raise _no_way(walk, port, back, _by_rows(walk, port, back.target), name)
    if packet.protocol == UDP:
        walk.note("arrives; nothing refuses it, which is all that UDP tells", "unknown")
        return ""
    words = f"the cloud delivers {packet.words} to {name}, which says nothing at all: a firewall inside the guest drops it"
    raise Stop("guest-firewall", words, *_log_in(walk, port))


def _port_of(packet: Packet) -> int:
    return packet.target_port if packet.protocol in (TCP, UDP) else 0


def _by_rows_on_link(walk: Walk, port: Row, target: str) -> bool:
    choice = _by_rows(walk, port, target)
    return choice is not None and choice.hop == target


def _log_in(walk: Walk, port: Row) -> tuple[str, ...]:
    word = walk.world.guest_word(port)
    return (f"pileus ssh {word}",) if word else ()


def _nobody_listens(walk: Walk, port: Row, packet: Packet, name: str) -> tuple[str, ...]:
    """The words, and what helps: another guest that does listen, when a floating IP may lead to the wrong one."""
    world = walk.world
    words = f"{packet.words} arrives at {name}, and nothing listens there: the guest itself refuses it, the cloud is not to blame"
    floating = world.store.first("floating_ip", {"port_id": port["id"]})
    passed = next(iter(walk.routers.values()), None)
    if floating and passed and passed.before.target == floating["floating_ip_address"] and packet.protocol == TCP:
        for other in _others(walk, port):
            address = next((a["ip_address"] for a in world.addresses(other["id"]) if a["ip_version"] == 4), "")
            heard = address and world.heard(other["id"], Knock(source=packet.source, target=address, protocol=TCP, port=packet.target_port))
            if heard and heard.reply == "answer":
                words += f". Floating IP {passed.before.target} leads to {name}; it is {world.guest_name(other)} that listens"
                return words, f"openstack floating ip set --port {world.word('port', other)} {passed.before.target}"
    return (words, *_log_in(walk, port))


def _others(walk: Walk, port: Row) -> list[Row]:
    """The project's other guests, as many as are asked."""
    sql = f"SELECT p.* FROM port p WHERE p.project_id = ? AND p.id <> ? AND {rows.BOUND} ORDER BY p.rowid"  # noqa: S608
    return walk.world.store.query(sql, port["project_id"], port["id"])[:ASKED_MOST]
