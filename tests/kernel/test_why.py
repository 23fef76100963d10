"""`pileus why` against planted faults: healthy, broken, named, mended by the commands it printed, healthy again; packets prove each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.kernel.faults import FAMILIES, Fault
from tests.kernel.town import CLIENTS, Town, play

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not CLIENTS.exists(), reason="the openstack client is not installed: make clients"),
]


async def check(town: Town, fault: Fault) -> None:
    """One fault from end to end."""
    assert await asyncio.to_thread(fault.works, town), f"{fault.name}: not healthy to begin with"
    assert await town.passes(fault.ask) is fault.passes, f"{fault.name}: {await town.why(fault.ask)}"
    await fault.plant(town)
    await town.quiet()
    assert not await _works(town, fault), f"{fault.name}: the fault changes nothing"
    status, told = await town.why(fault.ask)
    verdict = told["verdict"]
    print(f"{fault.name}: {verdict['cause']}: {verdict['words']}\n   mend: {verdict['mend']}")
    assert (status, verdict["passes"], verdict["cause"]) == (6, False, fault.cause), f"{fault.name}: {told}"
    assert verdict["mend"], f"{fault.name}: {told}"
    if fault.repair:
        await fault.repair(town)
    for line in () if fault.repair else verdict["mend"]:
        code, out, err = await town.run(line)
        assert code == 0, f"{fault.name}: {line}: {out}{err}"
    for _ in range(20):
        if await _works(town, fault):
            break
        await asyncio.sleep(0.2)
    else:
        raise AssertionError(f"{fault.name}: not mended by {verdict['mend']}; now: {await town.why(fault.ask)}")
    assert await town.passes(fault.ask) is fault.passes, f"{fault.name}, mended: {await town.why(fault.ask)}"
    if fault.after:
        await fault.after(town)


async def _works(town: Town, fault: Fault) -> bool:
    try:
        return await asyncio.to_thread(fault.works, town)
    except AssertionError:  # the server does not run
        return False


@pytest.mark.parametrize("family", FAMILIES)
def test_faults(inside: Any, family: str) -> None:
    """Healthy, broken, named, mended by what was printed, healthy."""

    async def scene(town: Town) -> None:
        before, faults = FAMILIES[family]
        if before is not None:
            await before(town)
            await town.quiet()
        for fault in faults:
            await check(town, fault)

    play(inside, scene)
