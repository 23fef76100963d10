"""The packet tests can fail: with one part of the network's protection switched off, the scene or check that is about it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pileus.drivers.linuxnet import port, rules, translation
from pileus.network.host import PortWant
from pileus.network.live.advertiser import Advertiser
from pileus.network.reconcile import Reconciler
from pileus.network.reconcile.flow import Flows
from tests.kernel import test_network_ipv6, test_network_packets, test_network_spoofing
from tests.kernel.lan import Lan, play

pytestmark = pytest.mark.kernel
Mutation = Callable[[], None]


def antispoof_off() -> None:
    rules.antispoof = lambda want: ["accept"]  # type: ignore[assignment]


def antispoof_without(words: str) -> Mutation:
    """All of the anti-spoofing but the rules with these words."""

    def mutate() -> None:
        real = rules.antispoof

        def mutant(want: PortWant) -> list[str]:
            found = real(want)
            left = [rule for rule in found if words not in rule]
            assert len(left) < len(found), "the mutation changes nothing"
            return left

        rules.antispoof = mutant

    return mutate


def any_double() -> None:
    """Whoever has no address yet may ask for any."""
    real = rules.antispoof
    rules.antispoof = lambda want: ["meta protocol ip6 ip6 saddr :: icmpv6 type 135 accept", *real(want)]


def chain_off(way: str) -> Mutation:
    """A port's chain for one way lets everything pass."""

    def mutate() -> None:
        real = rules._judgement
        rules._judgement = lambda want, its_way: ["accept"] if its_way == way else real(want, its_way)  # type: ignore[assignment]

    return mutate


def text_without(name: str, words: str) -> Mutation:
    """A text of the rules without these words."""

    def mutate() -> None:
        real = getattr(rules, name)

        def mutant(*args: Any) -> str:
            found: str = real(*args)
            assert words in found, "the mutation changes nothing"
            return found.replace(words, "")

        setattr(rules, name, mutant)

    return mutate


def flows_never_judged() -> None:
    async def nothing(self: Flows, network_id: str) -> None:
        return None

    Flows.judge = nothing  # type: ignore[method-assign]


def translations_never_judged() -> None:
    async def nothing(self: Flows, want: Any) -> None:
        return None

    Flows.hold_router = nothing  # type: ignore[method-assign]


def members_never_told() -> None:
    async def nothing(self: Reconciler, *args: Any) -> None:
        return None

    Reconciler._tell = nothing  # type: ignore[method-assign]


def frames_flooded() -> None:
    port.rtnetlink.set_bridge_port = lambda index, learning: port.rtnetlink.set_link(index)  # type: ignore[attr-defined]


async def spoofing(check: str, lan: Lan) -> None:
    one, two = await test_network_spoofing.pair(lan)
    test_network_spoofing.check_plain(one, two)
    test_network_spoofing.CHECKS[check](one, two)


SPOOFING = {
    **{f"anti-spoof off: {name}": (antispoof_off, name) for name in test_network_spoofing.CHECKS if name != "plain"},
    "without the DHCP server rule": (antispoof_without("udp sport 67"), "dhcp_server"),
    "without the router advertisement rule": (antispoof_without("{ 134, 137 }"), "router_advertisement"),
    "without the tag rule": (antispoof_without("vlan"), "other_protocols"),
}
SCENES: dict[str, tuple[Mutation, str]] = {
    "ingress chain off": (chain_off("in"), "default_deny_and_stateful_answers"),
    "egress chain off": (chain_off("out"), "egress_rules"),
    "flows never judged": (flows_never_judged, "a_rule_opens_at_once_and_its_removal_ends_open_flows"),
    "a flow may begin without SYN": (text_without("skeleton", rules.NOT_SYN), "an_ended_flow_is_not_revived_by_the_server"),
    "members never told": (members_never_told, "remote_group"),
    "ports' translations never judged": (translations_never_judged, "ports_of_a_floating_ip"),
    "translations never judged": (translations_never_judged, "floating_ip_both_ways_and_its_end"),
}


def no_farewell() -> None:
    """A router that goes says nothing."""
    Advertiser.withdraw = lambda self, router_id, keep: self.close(router_id)  # type: ignore[method-assign]


IPV6: dict[str, tuple[Mutation, str]] = {
    "anti-spoof off": (antispoof_off, "a_guest_speaks_only_for_itself"),
    "without the router advertisement rule": (antispoof_without("{ 134, 137 }"), "a_guest_speaks_only_for_itself"),
    "without the DHCPv6 server rule": (antispoof_without("udp sport 547"), "a_guest_speaks_only_for_itself"),
    "without the neighbour advertisement rule": (antispoof_without("type 136 drop"), "a_guest_speaks_only_for_itself"),
    "doubles of anybody's address looked for": (any_double, "a_guest_speaks_only_for_itself"),
    "ingress chain off": (chain_off("in"), "groups_of_ipv6"),
    "neighbours not let in": (text_without("skeleton", f"  meta nfproto ipv6 icmpv6 type {rules._ND_IN} accept\n"), "groups_of_ipv6"),
    "no farewell": (no_farewell, "slaac_and_a_router"),
}


@pytest.mark.parametrize("name", IPV6)
def test_ipv6_is_noticed(inside: Any, name: str) -> None:
    mutation, scene = IPV6[name]
    _must_fail(inside, mutation, test_network_ipv6.SCENES[scene])


@pytest.mark.parametrize("name", SPOOFING)
def test_spoofing_is_noticed(inside: Any, name: str) -> None:
    mutation, check = SPOOFING[name]
    _must_fail(inside, mutation, lambda lan: spoofing(check, lan))


@pytest.mark.parametrize("name", SCENES)
def test_an_open_door_is_noticed(inside: Any, name: str) -> None:
    mutation, scene = SCENES[name]
    _must_fail(inside, mutation, test_network_packets.SCENES[scene])


def test_a_router_that_lets_everybody_in_is_noticed(inside: Any) -> None:
    def mutate() -> None:
        real = translation.table
        translation.table = lambda want: real(want).replace("\n  drop\n", "\n  accept\n")  # type: ignore[assignment]

    _must_fail(inside, mutate, test_network_packets.SCENES["the_way_out_is_translated_and_the_way_in_is_silent"])


def test_flooded_frames_are_noticed(inside: Any) -> None:
    _must_fail(inside, frames_flooded, test_network_spoofing.frames_for_one_guest)


def _must_fail(inside: Any, mutate: Mutation, scene: Callable[[Lan], Awaitable[None]]) -> None:
    """Play a scene in a child process in which the product is a mutant."""

    async def mutated(lan: Lan) -> None:
        mutate()
        await scene(lan)

    with pytest.raises((AssertionError, pytest.fail.Exception)) as caught:
        play(inside, mutated)
    assert "changes nothing" not in str(caught.value)
