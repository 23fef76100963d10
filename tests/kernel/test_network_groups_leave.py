"""Security groups leave a network with the last port that is in them, also when they name each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pileus.drivers.linuxnet import group as groups
from tests.kernel.lan import Lan, play

pytestmark = pytest.mark.kernel


async def scene(lan: Lan) -> None:
    one, two = lan.group(), lan.group()
    lan.rule(one, remote_group_id=two)
    lan.rule(two, remote_group_id=one)
    lan.rule(one, remote_group_id=one)
    network, subnet = lan.network("10.0.2.0/24")
    ports = [lan.port(network, subnet, f"10.0.2.{number}", [group]) for number, group in ((1, one), (2, two))]
    await lan.settle(("network", network), ("security_group", one), ("security_group", two), *(("port", port) for port in ports))
    assert parts(lan, network, one) == parts(lan, network, two) == {"rules", "members"}
    for port in ports:
        lan.remove_port(port)
        lan.loop.wake("port", port)
    for group in (one, two):
        lan.loop.wake("security_group", group)
    for _ in range(20):  # what is refused for a moment is asked for again
        await lan.loop.settle()
        if not lan.loop.reasons:
            break
        await asyncio.sleep(0.2)
    assert not lan.loop.reasons
    assert parts(lan, network, one) == parts(lan, network, two) == set()


def parts(lan: Lan, network: str, group: str) -> set[str]:
    """What of a group is in a network's filter."""
    found = groups.observe_all(lan.driver._machine).get(group)
    return {name.partition(":")[0] for name in (found.parts.get(network, {}) if found else {})}


def test_groups_that_name_each_other_leave(inside: Any) -> None:
    play(inside, scene)
