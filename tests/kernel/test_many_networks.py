"""More networks than there are low file descriptors: libnftables ends a process in which its own socket has a number above 1023."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.kernel.lan import Lan, play

pytestmark = pytest.mark.kernel
MANY = 280


async def scene(lan: Lan) -> None:
    networks = [lan.network(f"10.{1 + number // 200}.{number % 200}.0/24")[0] for number in range(MANY)]
    await lan.settle(*(("network", network) for network in networks))
    assert len(os.listdir("/proc/self/fd")) > 1100, "too few for this test to mean anything"
    one, two = await lan.pair([lan.group({})], [lan.group({})])
    assert one.pings("10.0.2.2")
    two.listen(80)
    assert one.reaches("10.0.2.2", 80)


def test_more_networks_than_low_descriptors(inside: Any) -> None:
    play(inside, scene)
