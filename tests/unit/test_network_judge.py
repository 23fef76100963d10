"""Which open flows may stay: the judge against rules, groups, prefixes and translations, with a filter's own verdicts written beside."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.network.host import METADATA, Floating, Flow, RouterWant
from pileus.network.reconcile import flow, rows
from pileus.network.types import link_local_of, mac_of
from tests.network_rows import Rows, new_store

OUTSIDE = "198.51.100.1"


def a_flow(source: str, target: str, protocol: int = 6, port: int = 80) -> Flow:
    return Flow(protocol=protocol, source=source, target=target, source_port=40000, target_port=port)


VERDICTS: dict[str, tuple[dict[str, Any], Flow, bool]] = {
    "any": ({}, a_flow(OUTSIDE, "10.0.2.1"), True),
    "a port": ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 90}, a_flow(OUTSIDE, "10.0.2.1", port=85), True),
    "another port": ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 90}, a_flow(OUTSIDE, "10.0.2.1", port=91), False),
    "another protocol": ({"protocol": "udp"}, a_flow(OUTSIDE, "10.0.2.1"), False),
    "by number": ({"protocol": "6"}, a_flow(OUTSIDE, "10.0.2.1"), True),
    "a prefix": ({"remote_ip_prefix": "198.51.100.0/24"}, a_flow(OUTSIDE, "10.0.2.1"), True),
    "another prefix": ({"remote_ip_prefix": "10.0.0.0/8"}, a_flow(OUTSIDE, "10.0.2.1"), False),
    "the other way": ({"direction": "egress"}, a_flow(OUTSIDE, "10.0.2.1"), False),
    "IPv6": ({"ethertype": "IPv6"}, a_flow(OUTSIDE, "10.0.2.1"), False),
    "icmp": ({"protocol": "icmp"}, a_flow(OUTSIDE, "10.0.2.1", 1, 8 * 256), True),
    "icmp by type": ({"protocol": "icmp", "port_range_min": 8}, a_flow(OUTSIDE, "10.0.2.1", 1, 8 * 256), True),
    "icmp by another type": ({"protocol": "icmp", "port_range_min": 0}, a_flow(OUTSIDE, "10.0.2.1", 1, 8 * 256), False),
    "icmp by code": ({"protocol": "icmp", "port_range_min": 3, "port_range_max": 4}, a_flow(OUTSIDE, "10.0.2.1", 1, 3 * 256 + 4), True),
    "nobody's": ({"protocol": "udp"}, a_flow(OUTSIDE, "10.0.2.200"), True),
    "out": ({"protocol": "udp"}, a_flow("10.0.2.1", OUTSIDE), False),
    "DHCP": ({"protocol": "udp"}, Flow(protocol=17, source="10.0.2.1", target=METADATA, source_port=68, target_port=67), True),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(name: str) -> None:
    rule, found, verdict = VERDICTS[name]
    world = Rows(new_store())
    network, subnet = world.network("10.0.2.0/24")
    world.port(network, subnet, "10.0.2.1", [world.group(rule, egress=False)])
    assert flow.Judge(world.store, network).allows(found) is verdict


@pytest.mark.parametrize(
    ("rule", "verdict"), [({"ethertype": "IPv6", "protocol": "tcp"}, True), ({"ethertype": "IPv6", "protocol": "udp"}, False)]
)
def test_link_local_ends_are_ports_too(rule: dict[str, Any], verdict: bool) -> None:
    world = Rows(new_store())
    network, subnet = world.network("fd00:1::/64")
    port = world.port(network, subnet, "fd00:1::1", [world.group(rule, egress=False)])
    own = link_local_of(world.row("port", port)["mac_address"])
    assert mac_of(own) == world.row("port", port)["mac_address"]
    judge = flow.Judge(world.store, network)
    assert judge.allows(a_flow("fe80::1", own)) is verdict
    assert judge.allows(Flow(protocol=17, source=own, target="ff02::1:2", source_port=546, target_port=547))
    assert judge.allows(a_flow("fe80::1", "fe80::f816:3eff:fe99:9999")), "nobody's"


def test_groups_pairs_and_ports_that_are_not_judged() -> None:
    world = Rows(new_store())
    network, subnet = world.network("10.0.2.0/24")
    friends = world.group()
    house = world.group({"remote_group_id": friends})
    world.port(network, subnet, "10.0.2.1", [house])
    pairs = [{"ip_address": "10.0.9.0/24"}]
    world.port(network, subnet, "10.0.2.2", [friends], allowed_address_pairs=pairs)
    world.port(network, subnet, "10.0.2.3", [world.group()])
    world.port(network, subnet, "10.0.2.4", port_security_enabled=0)
    world.port(network, subnet, "10.0.2.5", [world.group(stateful=0)])
    world.port(network, subnet, "10.0.2.6", [house], device_id="", device_owner="")
    allows = flow.Judge(world.store, network).allows
    assert allows(a_flow("10.0.2.2", "10.0.2.1"))
    assert allows(a_flow("10.0.9.9", "10.0.2.1")), "a pair is a member too"
    assert not allows(a_flow("10.0.2.3", "10.0.2.1"))
    assert not allows(a_flow("10.0.2.1", "10.0.9.9")), "and its port's rules hold for it"
    assert allows(a_flow("10.0.2.3", "10.0.2.4"))
    assert allows(a_flow("10.0.2.3", "10.0.2.5"))
    assert not allows(a_flow("10.0.2.3", "10.0.2.6")), "nobody is there now"


def test_translations() -> None:
    want = RouterWant(id="r", snat="192.168.37.5", floating=(Floating("192.168.37.10", "10.0.2.1"),))

    def stands(source: str, target: str, answer_source: str, answer_target: str) -> bool:
        found = Flow(protocol=6, source=source, target=target, answer_source=answer_source, answer_target=answer_target)
        return flow.translated_wrongly(want, [found]) == []

    assert stands(OUTSIDE, "192.168.37.10", "10.0.2.1", OUTSIDE)
    assert not stands(OUTSIDE, "192.168.37.10", "10.0.2.2", OUTSIDE)
    assert not stands(OUTSIDE, "192.168.37.11", "10.0.2.1", OUTSIDE)
    assert stands("10.0.2.1", OUTSIDE, OUTSIDE, "192.168.37.10")
    assert stands("10.0.2.1", OUTSIDE, OUTSIDE, "192.168.37.5"), "begun before it had a floating IP"
    assert not stands("10.0.2.2", OUTSIDE, OUTSIDE, "192.168.37.10"), "another's floating IP"
    assert stands("10.0.2.2", METADATA, "10.0.2.254", "10.0.2.2")
    assert stands("10.0.2.2", "10.0.3.1", "10.0.3.1", "10.0.2.2")


def test_rules_that_cannot_be_written() -> None:
    world = Rows(new_store())
    group = world.group(egress=False)
    world.rule(group, protocol="icmp", ethertype="IPv6")
    world.rule(group, protocol="ip")
    world.rule(group, protocol="nonsense")
    found = rows.rules_of(world.store, group)
    assert sorted(rule.protocol for rule in found) == [-1, 58]
