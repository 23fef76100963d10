"""Network cards of a machine that runs: which there are, one more, one less. By QEMU's monitor.

Not here: those it starts with (argv.py). Source: https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from pileus.compute.host import SLOTS, Nic, Refused
from pileus.drivers.qemu.argv import CARD, card, netdev, slot
from pileus.drivers.qemu.qmp import Qmp
from pileus.errors import HostError

LET_GO_SECONDS = 2.0  # a guest that is awake lets go of a card in a tenth of this
Places = dict[str, str | None]  # slot -> the port of the card in it, None when it is free


async def plugged(qmp: Qmp) -> frozenset[str] | None:
    """The ports whose cards the machine has; None when it is one that was started without places to plug them into."""
    places = await _places(qmp)
    return frozenset(port for port in places.values() if port) if places else None


async def plug(qmp: Qmp, nic: Nic, open_tap: Callable[[str], int]) -> None:
    """Put a card in. Raises Refused, and HostError when the port has no tap."""
    places = await _places(qmp)
    if nic.port in places.values():
        return
    free = next((name for name, port in places.items() if port is None), None)
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
    if port not in (await _places(qmp)).values() or await qmp.event("DEVICE_DELETED", LET_GO_SECONDS, device=f"{CARD}{port}"):
        with contextlib.suppress(HostError):
            await qmp("netdev_del", id=netdev(port))


async def _places(qmp: Qmp) -> Places:
    buses = await qmp("query-pci")
    wanted = {slot(n) for n in range(SLOTS)}
    found = {device["qdev_id"]: device for bus in buses for device in bus["devices"] if device["qdev_id"] in wanted}
    return {name: next(_ports(found[name]), None) for name in sorted(found, key=lambda name: int(name.removeprefix("slot")))}


def _ports(bridge: dict[str, Any]) -> Iterator[str]:
    for device in bridge.get("pci_bridge", {}).get("devices", ()):
        if device["qdev_id"].startswith(CARD):
            yield device["qdev_id"].removeprefix(CARD)
