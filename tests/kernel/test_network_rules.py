"""What the API takes for a rule, the kernel takes too: every protocol, by name and by number, in one transaction."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import Any

import pytest

from pileus.drivers.linuxnet import machine, rules
from pileus.network.host import Chains
from pileus.network.reconcile import rows
from pileus.network.types.rules import ICMP, PROTOCOLS, WITH_PORTS, Protocol, number_of
from tests.kernel.lan import Lan, play

pytestmark = pytest.mark.kernel


def all_rules() -> list[dict[str, Any]]:
    """Rules with every protocol that the API takes, names for both versions of IP; with ports or types where it takes those."""
    accepted = Protocol()
    names = [accepted.parse(name) for name in (None, *PROTOCOLS)]
    found: list[dict[str, Any]] = [
        {"protocol": name, "ethertype": version, "direction": direction}
        for name in names
        for version, direction in (("IPv4", "ingress"), ("IPv6", "ingress"), ("IPv4", "egress"))
    ]
    found += [{"protocol": accepted.parse(str(number)), "remote_ip_prefix": "10.0.0.0/8"} for number in range(256)]
    found += [{"protocol": name, "port_range_min": 5, "port_range_max": 7} for name in sorted(WITH_PORTS)]
    icmp = [name for name in PROTOCOLS if number_of(name) in ICMP]
    found += [{"protocol": name, "ethertype": "IPv6", "port_range_min": 128, "port_range_max": 0} for name in icmp]
    return found


async def every_protocol(lan: Lan) -> None:
    network, subnet = lan.network("10.0.2.0/24")
    group = lan.group(*all_rules(), egress=False)
    port = lan.port(network, subnet, "10.0.2.1", [group])
    await lan.settle(("network", network), ("port", port))
    wanted = rows.rules_of(lan.store, group)
    assert {rule.protocol for rule in wanted} == {-1, *range(1, 256)}
    assert len(machine.chunks(rules.load_part(Chains(group=group, rules=wanted)))) == 1
    for way, direction in (("in", "ingress"), ("out", "egress")):
        command = ["nft", "list", "chain", "inet", rules.TABLE, rules.group_chain(group, way)]
        listed = lan.datacenter.netns.run(f"net-{network}", partial(subprocess.check_output, command, text=True))
        assert listed.count(" accept\n") == sum(rule.direction == direction for rule in wanted)


def test_every_protocol_makes_a_rule(inside: Any) -> None:
    play(inside, every_protocol)
