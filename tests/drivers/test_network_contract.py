"""The fake network driver keeps the contract. The real one: tests/kernel/test_network_contract.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.drivers.fake.host import FakeHost
from pileus.drivers.fake.network import FakeNetworks
from tests.drivers.network_contract import SCENES


@pytest.mark.parametrize("name", SCENES)
async def test_scene(name: str, tmp_path: Path) -> None:
    host = FakeHost(tmp_path / "host.json")
    await SCENES[name](FakeNetworks(host))
    host.close()  # a slow machine writes a moment later
    again = FakeHost(tmp_path / "host.json")
    assert await FakeNetworks(again).observe_all("network") == await FakeNetworks(host).observe_all("network"), "it is on the disk"
