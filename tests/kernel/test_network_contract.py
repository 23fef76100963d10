"""The Linux network driver keeps the contract that the fake one keeps too (tests/drivers/test_network_contract.py)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from pileus.drivers.datacenter import Datacenter
from pileus.drivers.linuxnet import Linuxnet, nfnetlink
from pileus.drivers.linuxnet.machine import Machine, read_file
from tests.drivers.network_contract import SCENES

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    async def play(datacenter: Datacenter) -> None:
        await SCENES[name](Linuxnet(datacenter.netns))

    inside(lambda datacenter: asyncio.run(play(datacenter)))


def test_the_kernel_is_asked_for_the_bridge_filter(inside: Any) -> None:
    """With the match that makes a kernel load br_netfilter; here it is there already, and nothing is left behind."""

    def call(datacenter: Datacenter) -> str:
        machine = Machine(datacenter.netns)
        machine.namespaces.create("probe")
        with machine.filter("probe") as netfilter:
            nfnetlink.load_bridge_filter(netfilter)
        machine.need_bridge_filter("probe")
        return machine.namespaces.run("probe", lambda: read_file("/proc/sys/net/bridge/bridge-nf-call-iptables") + str(_tables()))

    assert inside(call) == "1\n0"


def _tables() -> int:
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return len(done.stdout.splitlines())


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Callable[..., str], map: str) -> None:
    print(as_user(map, __file__, "not plain_user", timeout=300))
