"""The start: the whole host is compared with all rows. What differs is woken, what no row knows is taken away.

Not here: how a difference is mended (the looks, `__init__.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from pileus.errors import HostError
from pileus.kit.context import Cloud
from pileus.network.host import (
    Facts,
    GroupFacts,
    GroupWant,
    NetworkFacts,
    Networks,
    NetworkWant,
    PortFacts,
    PortWant,
    RouterFacts,
    RouterWant,
    Step,
    Want,
)
from pileus.network.reconcile import rows
from pileus.network.reconcile.flow import Flows
from pileus.network.reconcile.plan import plan_group, plan_network, plan_port, plan_router, short

log = logging.getLogger("pileus.network")

TURN = 200  # rows looked at before others may run


class Told(NamedTuple):
    """What groups and routers know of a port."""

    guard: str = ""
    groups: tuple[str, ...] = ()


class Memory(Protocol):
    """What a reconciler remembers, which is nothing at its start."""

    cloud: Cloud
    driver: Networks
    flows: Flows
    told: dict[str, Told]


class Start:
    """One comparison of everything."""

    def __init__(self, reconciler: Memory) -> None:
        self._memory, self._driver = reconciler, reconciler.driver
        self._cloud, self._store = reconciler.cloud, reconciler.cloud.store

    async def resync(self) -> None:
        """Networks and routers are looked at in any case: those who answer guests there must be started anyway."""
        await self._driver.prepare()
        networks, routers = await self._driver.observe_all("network"), await self._driver.observe_all("router")
        ports, groups = await self._driver.observe_all("port"), await self._driver.observe_all("security_group")
        for id in routers.keys() - self._ids("router"):
            await self._remove(RouterWant(id=id, gone=True))
        await self._ports(ports)
        await self._groups(groups)
        for id in networks.keys() - self._ids("network"):
            await self._remove(NetworkWant(id=id, gone=True))
        for kind in ("network", "router"):
            for id in self._ids(kind):
                self._cloud.wake_now(kind, id)

    def _ids(self, table: str) -> set[str]:
        return {row["id"] for row in self._store.query(f"SELECT id FROM {table}")}  # noqa: S608 - table names are ours

    async def _ports(self, found: Mapping[str, Facts]) -> None:
        known: set[str] = set()
        for count, row in enumerate(self._store.find("port", hidden=True)):
            place = f"{row['network_id']}/{short(row['id'])}"
            known.add(place)
            facts, want = found.get(place), rows.port_want(self._store, row)
            assert facts is None or isinstance(facts, PortFacts)
            if want.tap and facts and facts.guard == want.guard:
                self._memory.told[row["id"]] = Told(want.guard, want.groups)  # all groups are compared below
            settled = facts is not None and not plan_port(want, facts) and row["status"] == rows.port_status(self._store, want)
            if not settled or row["gone"]:
                self._cloud.wake_now("port", row["id"])
            if count % TURN == TURN - 1:
                await asyncio.sleep(0)
        for place in found.keys() - known:
            network, _, port = place.partition("/")
            await self._remove(PortWant(id=port, network_id=network, gone=True))

    async def _groups(self, found: Mapping[str, Facts]) -> None:
        known = self._store.find("security_group", hidden=True)
        for row in known:
            facts, want = found.get(row["id"]), rows.group_want(self._store, row)
            assert facts is None or isinstance(facts, GroupFacts)
            self._memory.flows.take_for_held(want)  # each network's first look holds its open flows against all groups
            nowhere: dict[str, dict[str, str]] = {network: {} for network in want.parts}
            there = nowhere | (facts.parts if facts else {})
            if row["gone"] or plan_group(want, GroupFacts(parts=there)):
                self._cloud.wake_now("security_group", row["id"])
        ranges = self._store.query("SELECT id FROM address_group")
        for row in ranges:
            want, facts = rows.address_group_want(self._store, row["id"]), found.get(row["id"])
            assert facts is None or isinstance(facts, GroupFacts)
            if plan_group(want, facts):
                self._cloud.wake_now("address_group", row["id"])
        for id in found.keys() - {row["id"] for row in (*known, *ranges)}:
            await self._remove(GroupWant(id=id, gone=True))

    async def _remove(self, want: Want) -> None:
        """Take away what no row knows; what cannot be taken away now is left for the next start."""
        try:
            facts = await self._driver.observe(want)
            await self._driver.apply(want, _removal(want, facts))
        except HostError as error:
            log.warning("left over on the host: %s: %s", want, error)
        else:
            log.info("removed from the host: %s", want)


def _removal(want: Want, facts: Facts | None) -> list[Step]:
    match want, facts:
        case NetworkWant(), NetworkFacts() | None:
            return plan_network(want, facts)
        case RouterWant(), RouterFacts() | None:
            return plan_router(want, facts)
        case PortWant(), PortFacts() | None:
            return plan_port(want, facts)
        case GroupWant(), GroupFacts() | None:
            return plan_group(want, facts)
    raise TypeError(f"{want!r} and {facts!r} do not belong together")
