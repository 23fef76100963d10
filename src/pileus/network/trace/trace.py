"""From a wish to a report: find the ends, take the packet there and its answer back, say what stopped it. Pure."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec

from pileus.kit.store import Row
from pileus.network.trace import dns, guest, mend, outside, place
from pileus.network.trace.place import End, Named
from pileus.network.trace.report import ECHO, ECHO6, EPHEMERAL, ICMP, ICMP6, TCP, UDP, Hop, Packet, Report, Stop, Unknown, Verdict
from pileus.network.trace.switch import carry
from pileus.network.trace.walk import Arrival, Walk
from pileus.network.trace.world import World

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody asks: neither `tcp` nor `udp` is a ping."""

    source: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    destination: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    tcp: Port | None = None
    udp: Port | None = None
    size: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0  # bytes of the IP packet, which may not be cut in pieces; 0: a small one


def trace(world: World, servers: Named, wish: Wish) -> Report:
    """Follow a packet. Raises NotFound, Conflict and BadRequest about the ends, and Missing for what has to be asked first."""
    source = place.resolve(world, servers, wish.source)
    target = place.resolve(world, servers, wish.destination, source=source)
    port, own = place.start(world, source, target)
    address = place.finish(world, source, port, target, ipaddress.ip_address(own).version)
    walk = Walk(world, first=port)
    try:
        if target.kind == "name":
            address = dns.look_up(walk, port, own, target.words) if port else _outside_name(world, target.words)
        packet = _packet(wish, own, address)
        verdict = _both_ways(walk, port, packet)
    except Stop as stop:
        place_, name = walk.at
        walk.hops.append(Hop(way=walk.way, place=place_, name=name, mark="stop", words=stop.words))
        verdict = Verdict(passes=False, cause=stop.cause, words=_sentence(stop.words), mend=stop.mend)
    except Unknown as unknown:
        walk.note(str(unknown)[0].lower() + str(unknown)[1:].rstrip("."), "unknown")
        verdict = Verdict(passes=None, cause="unseen", words=str(unknown))
    return Report(
        source=_told(source, own),
        destination=_told(target, address),
        packet=_packet(wish, own, address or own).words,
        hops=tuple(walk.hops),
        verdict=verdict,
    )


def _told(end: End, address: str) -> str:
    return end.words if end.words == address or not address else f"{end.words} ({address})"


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + ("" if words.endswith(".") else ".")


def _outside_name(world: World, name: str) -> str:
    raise Stop("dns-name", "the outside host has no DNS of the cloud's: give an address", "openstack floating ip list")


def _packet(wish: Wish, source: str, target: str) -> Packet:
    version = ipaddress.ip_address(source).version
    number = wish.tcp or wish.udp
    if number:
        protocol, first, last = (TCP if wish.tcp else UDP), EPHEMERAL, number
    else:
        protocol, first, last = (ICMP, 0, ECHO) if version == 4 else (ICMP6, 0, ECHO6)
    return Packet(
        version=4 if version == 4 else 6,
        protocol=protocol,
        source=source,
        target=target,
        source_port=first,
        target_port=last,
        size=wish.size,
    )


def _both_ways(walk: Walk, port: Row | None, packet: Packet) -> Verdict:
    if ipaddress.ip_address(packet.target).version != packet.version:
        raise Stop("version", f"{packet.target} is of another IP version than {packet.source}: the two never meet")
    onward = outside.leave(walk, packet) if port is None else guest.leave(walk, port, packet)
    arrival = carry(walk, onward)
    if not arrival.silent:
        _back(walk, arrival)
    unsure = any(hop.mark == "unknown" for hop in walk.hops)
    answer = "" if packet.protocol == UDP else ", and the answer comes back"
    words = f"{packet.words} from {packet.source} reaches {packet.target}{answer}."
    if unsure:
        words = f"The cloud lets it pass: {words} What the guest itself makes of it could not be heard."
    return Verdict(passes=True, words=words)


def _back(walk: Walk, arrival: Arrival) -> None:
    """The answer: what cannot come back is as good as stopped."""
    walk.way, walk.turns = "back", 0
    answer = arrival.packet.answer()
    if arrival.port is None:
        onward = outside.leave(walk, answer)
    else:
        onward = guest.leave(walk, arrival.port, answer, answer=True, chosen=arrival.via)
    carry(walk, onward)
    outward = [id for id, passed in walk.routers.items() if not passed.inside]
    if passed_by := [id for id in outward if id not in walk.returned and answer.protocol == TCP]:
        name = walk.world.called("router", walk.world.row("router", passed_by[0]))
        words = f"the answer does not come back through router {name}, which so takes the next packet of the connection for a wrong one"
        raise Stop("asymmetric", words, *mend.by_own_router(walk.world, walk.first, passed_by[0], arrival.packet.target))
