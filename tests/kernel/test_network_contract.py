"""The Linux network driver keeps the contract that the fake one keeps too (tests/drivers/test_network_contract.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pileus.drivers.datacenter import Datacenter
from pileus.drivers.linuxnet import Linuxnet
from tests.drivers.network_contract import SCENES

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    async def play(datacenter: Datacenter) -> None:
        await SCENES[name](Linuxnet(datacenter.netns))

    inside(lambda datacenter: asyncio.run(play(datacenter)))


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Callable[..., str], map: str) -> None:
    print(as_user(map, __file__, "test_scene", timeout=300))
