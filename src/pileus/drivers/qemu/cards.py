"""Network cards of a machine that runs: which there are, one more, one less. By QEMU's monitor.

Not here: those it starts with (argv.py). Source: https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from pileus.compute.host import SLOTS, Nic, Refused
from pileus.drivers.qemu.argv import CARD, card, netdev, slot
from pileus.drivers.qemu.qmp import Qmp
from pileus.errors import HostError

LET_GO_SECONDS = 2.0  # a guest that is awake lets go of a card in a tenth of this
DEVICES = "/machine/peripheral"  # where QEMU's objects have those that were given a name


async def plugged(qmp: Qmp) -> frozenset[str] | None:
    """The ports whose cards the machine has; None when it is one that was started without places to plug them into."""
    names = await _names(qmp)
    return frozenset(name.removeprefix(CARD) for name in names if name.startswith(CARD)) if slot(0) in names else None


async def plug(qmp: Qmp, nic: Nic, open_tap: Callable[[str], int]) -> None:
    """Put a card in. Raises Refused, and HostError when the port has no tap."""
    names = await _names(qmp)
    if f"{CARD}{nic.port}" in names:
        return
    taken = {await _place(qmp, name) for name in names if name.startswith(CARD)}
    free = next((slot(n) for n in range(SLOTS) if slot(n) in names and slot(n) not in taken), None)
    if free is None:
        raise Refused(f"all {SLOTS} places for network cards are taken", nic.port)
    with contextlib.suppress(HostError):
        await qmp("netdev_del", id=netdev(nic.port))  # of a plug that a crash cut short, or of a card that has left
    tap = await asyncio.to_thread(open_tap, nic.port)
    try:
        await qmp.hand_over("tap", tap)
    finally:
        os.close(tap)
    await qmp("netdev_add", type="tap", id=netdev(nic.port), fd="tap")
    try:
        await qmp("device_add", **card(nic, free))
    except HostError as error:
        with contextlib.suppress(HostError):
            await qmp("netdev_del", id=netdev(nic.port))
        raise Refused(str(error), nic.port) from None


async def unplug(qmp: Qmp, port: str) -> None:
    """Ask the guest to let go of a card. One that does not within LET_GO_SECONDS may do so later; it is asked again then."""
    with contextlib.suppress(HostError):  # it has left, or has been asked and QEMU will not ask again so soon
        await qmp("device_del", id=f"{CARD}{port}")
    if f"{CARD}{port}" not in await _names(qmp) or await qmp.event("DEVICE_DELETED", LET_GO_SECONDS, device=f"{CARD}{port}"):
        with contextlib.suppress(HostError):
            await qmp("netdev_del", id=netdev(port))


async def _names(qmp: Qmp) -> set[str]:
    """Of the devices there are. (What the bus tells is less: what is behind a port it knows only once the guest's firmware has looked.)"""
    return {each["name"] for each in await qmp("qom-list", path=DEVICES)}


async def _place(qmp: Qmp, name: str) -> str:
    """The port of the bus that a card is in: its bus is called `/machine/peripheral/<port>/<port>`."""
    bus: str = await qmp("qom-get", path=f"{DEVICES}/{name}", property="parent_bus")
    return bus.rpartition("/")[2]
