"""Security groups on the walk: which rule lets the packet pass, or why none does. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Literal

import msgspec

from pileus.kit.store import Row
from pileus.network.host import GroupFacts, Rule
from pileus.network.reconcile.flow import Judge
from pileus.network.reconcile.plan import plan_group
from pileus.network.trace import mend
from pileus.network.trace.report import TCP, UDP, Packet, Stop
from pileus.network.trace.walk import Walk, check_host

Direction = Literal["egress", "ingress"]
WAY = {"egress": "out", "ingress": "in"}


def judge(walk: Walk, port: Row, packet: Packet, direction: Direction, *, answer: bool = False) -> None:
    """Let a port's groups judge a packet. `answer`: it belongs to a flow that was let pass when it began."""
    world = walk.world
    want = world.port_want(port["id"])
    groups = [world.row("security_group", id) for id in want.groups]
    walk.enter("security group", ", ".join(world.called("security_group", group) for group in groups) or "none")
    if not want.secure:
        walk.note("port security is off: nothing is filtered")
        return
    if not groups:
        word = world.word("port", port)
        mended = f"openstack port set --security-group {_default(walk, port)} {word}"
        raise Stop("no-security-group", f"the port of {world.guest_name(port)} is in no security group, which lets nothing pass", mended)
    if answer and want.stateful:
        walk.note("an answer to what was let pass")
        return
    seer = Judge(world.store, port["network_id"])
    other = packet.target if direction == "egress" else packet.source
    for group in groups:
        for rule in seer.rules(group["id"]):
            if seer.matches(rule, packet.flow, other, direction):
                _check_group(walk, group, port["network_id"])
                walk.note(f"{world.called('security_group', group)} lets it {WAY[direction]}: {words_of(walk, rule)}")
                return
    raise _refusal(walk, port, groups, packet, direction, seer, answer=answer)


def _default(walk: Walk, port: Row) -> str:
    found = walk.world.store.first("security_group", {"project_id": port["project_id"], "name": "default"})
    return walk.world.word("security_group", found) if found else "default"


def _check_group(walk: Walk, group: Row, network_id: str) -> None:
    """Whether the host has the group's rules in this network."""
    facts = walk.world.facts("security_group", group["id"])
    assert facts is None or isinstance(facts, GroupFacts)
    steps = plan_group(walk.world.group_want(group["id"]), facts)
    check_host(walk, "security_group", group, [step.verb for step in steps if step.verb == "load_part" and step.value[0] == network_id])


def words_of(walk: Walk, rule: Rule) -> str:
    """A rule in words."""
    kind = {-1: "anything", 1: "ICMP", 58: "ICMPv6", TCP: "TCP", UDP: "UDP"}.get(rule.protocol, f"protocol {rule.protocol}")
    ports = "" if rule.low < 0 else f" {rule.low}" if rule.high in (-1, rule.low) else f" {rule.low}-{rule.high}"
    side = "from" if rule.direction == "ingress" else "to"
    if rule.group:
        return f"{kind}{ports} {side} members of {_group_name(walk, rule.group)}"
    return f"{kind}{ports} {side} {'anywhere' if rule.prefix in ('', '0.0.0.0/0', '::/0') else rule.prefix}"


def _group_name(walk: Walk, id: str) -> str:
    """A security group, or an address group, that a rule names."""
    world = walk.world
    if found := world.store.get("security_group", id):
        return world.called("security_group", found)
    ranges = world.store.get("address_group", id)
    return f"address group {world.called('address_group', ranges)}" if ranges else id


def _refusal(walk: Walk, port: Row, groups: list[Row], packet: Packet, direction: Direction, seer: Judge, *, answer: bool) -> Stop:
    """No rule fits: which one nearly does says what is wrong."""
    world, way = walk.world, WAY[direction]
    other = packet.target if direction == "egress" else packet.source
    rules = [rule for group in groups for rule in seer.rules(group["id"]) if rule.direction == direction]
    names = ", ".join(world.called("security_group", group) for group in groups)
    group = next((g for g in groups if g["name"] != "default"), groups[0])
    word, side = world.word("security_group", group), "from" if direction == "ingress" else "to"
    if answer:
        words = f"{names} is stateless: answers are judged as if they were first packets, and no rule lets this one {way}"
        return Stop("stateless", words, mend.rule(packet, direction, word, other, answer=True))
    near = [rule for rule in rules if seer.matches(msgspec.structs.replace(rule, prefix="", group=""), packet.flow, other, direction)]
    if far := [rule for rule in near if rule.prefix and not rule.group]:
        words = f"{names} lets {packet.words} {way} only {side} {_any_of(rule.prefix for rule in far)}, and this is {side} {other}"
        return Stop("remote-prefix", words, mend.rule(packet, direction, word, other))
    if strangers := [rule for rule in near if rule.group]:
        return _no_member(walk, port, packet, direction, strangers[0], names, word, other)
    if not rules:
        words = f"{names} has no rule that lets anything {way}"
        return Stop(f"no-{direction}-rule", words, mend.rule(packet, direction, word, ""))
    words = f"no rule of {names} lets {packet.words} {way} {side} {other}"
    if ports := [rule for rule in rules if seer.matches(msgspec.structs.replace(rule, low=-1, high=-1), packet.flow, other, direction)]:
        words += f"; there is one for {words_of(walk, ports[0])}"
    return Stop(f"no-{direction}-rule", words, mend.rule(packet, direction, word, ""))


def _no_member(walk: Walk, port: Row, packet: Packet, direction: Direction, rule: Rule, names: str, word: str, other: str) -> Stop:
    """A rule fits, but for the group that the other side has to be in."""
    world = walk.world
    side = "from" if direction == "ingress" else "to"
    words = f"{names} lets {packet.words} {WAY[direction]} only {side} members of {_group_name(walk, rule.group)}, and {other} is none"
    if (ranges := world.store.get("address_group", rule.group)) is not None:
        widened = f"openstack address group set --address {ipaddress.ip_network(other)} {world.word('address_group', ranges)}"
        return Stop("remote-group", words, widened if world.mine(ranges) else mend.rule(packet, direction, word, other))
    remote = world.row("security_group", rule.group)
    whose = world.owner(port["network_id"], other)
    if whose is None and walk.first and other in world.port_want(walk.first["id"]).addresses:
        whose = walk.first  # from another network, as it was sent
    if whose is not None and world.mine(whose) and whose["port_security_enabled"] and remote["name"] != "default":
        joined = f"openstack port set --security-group {world.word('security_group', remote)} {world.word('port', whose)}"
        return Stop("remote-group", words, joined)
    return Stop("remote-group", words, mend.rule(packet, direction, word, ""))


def _any_of(prefixes: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(prefixes))
