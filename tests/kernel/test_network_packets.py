"""Packets between guests of real networks: security groups, anti-spoofing, routers, floating IPs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pileus.drivers.datacenter import Datacenter
from tests.kernel.lan import OTHER, Lan, until

pytestmark = pytest.mark.kernel


def play(inside: Any, scene: Callable[[Lan], Awaitable[None]]) -> None:
    """Run a scene in a lan of its own, inside the datacenter."""

    def call(datacenter: Datacenter) -> None:
        async def main() -> None:
            lan = Lan(datacenter)
            try:
                await lan.start()
                await scene(lan)
            finally:
                lan.close()

        asyncio.run(main())

    inside(call)


PING = {"protocol": "icmp"}


def tcp(low: int, high: int | None = None, **more: Any) -> dict[str, Any]:
    return {"protocol": "tcp", "port_range_min": low, "port_range_max": high or low, **more}


def test_default_deny_and_a_rule(inside: Any) -> None:
    async def scene(lan: Lan) -> None:
        network, subnet = lan.network("10.0.2.0/24")
        closed, open_ = lan.group(), lan.group(PING)
        a, b = lan.port(network, subnet, "10.0.2.1", [closed]), lan.port(network, subnet, "10.0.2.2", [open_])
        await lan.settle(("network", network), ("port", a), ("port", b))
        one, two = lan.guest("a", a), lan.guest("b", b)
        assert one.pings("10.0.2.2")
        assert not two.pings("10.0.2.1")

    play(inside, scene)
