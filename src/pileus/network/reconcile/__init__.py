"""How the host is brought in line with networks, ports, security groups and routers: observe, plan, apply, write back what was seen.

Not here: what rows want (rows.py), which steps that takes (plan.py), which open flows may stay (flow.py), who answers guests (live).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from pileus.errors import HostError
from pileus.kit.context import Cloud
from pileus.kit.loop import GiveUp, Key, Look, Retry, Wait
from pileus.kit.store import Row
from pileus.network.host import (
    Chains,
    Facts,
    Flow,
    GroupFacts,
    GroupWant,
    NetworkFacts,
    Networks,
    NetworkWant,
    PortFacts,
    PortWant,
    RouterFacts,
    RouterWant,
    Want,
)
from pileus.network.reconcile import flow, rows
from pileus.network.reconcile.plan import plan_group, plan_network, plan_port, plan_router, short, verbs

log = logging.getLogger("pileus.network")

TURN = 200  # rows or flows looked at before others may run


class Responders(Protocol):
    """Whoever answers guests in a namespace (network/live)."""

    async def serve(self, kind: Literal["network", "router"], id: str) -> None:
        """Answer from now on; nothing happens when that is so already."""

    def close(self, kind: Literal["network", "router"], id: str) -> None:
        """Let go of the namespace."""


class Silence:
    """Nobody answers: for clouds without packets."""

    async def serve(self, kind: Literal["network", "router"], id: str) -> None:
        return None

    def close(self, kind: Literal["network", "router"], id: str) -> None:
        return None


class Told(NamedTuple):
    """What groups and routers know of a port."""

    guard: str = ""
    groups: tuple[str, ...] = ()


class Reconciler:
    """The looks of the four kinds of this service."""

    def __init__(self, cloud: Cloud, driver: Networks, live: Responders | None = None) -> None:
        self.cloud, self.store, self.driver = cloud, cloud.store, driver
        self.live: Responders = live or Silence()
        self._told: dict[str, Told] = {}  # by port
        self._renewed: set[str] = set()  # networks that were changed under those who are on them
        self._allowed: dict[str, frozenset[object]] = {}  # by object, what it allowed when open flows were last held against it

    def looks(self) -> dict[str, Look]:
        return {"network": self.network, "port": self.port, "security_group": self.security_group, "router": self.router}

    def give_ups(self) -> dict[str, GiveUp]:
        def give_up(table: str) -> GiveUp:
            changes = {"status": "DOWN"} if table == "port" else {"host_status": "ERROR"}

            def note(key: Key, error: Exception) -> None:
                self._note(table, key[1], {**changes, "host_error": str(error)[:500]})
                row = self.store.get(table, key[1]) if table == "port" else None
                if row and rows.is_bound(row):
                    self.cloud.wake_now("server", row["device_id"])  # which may wait for the port, in vain

            return note

        return {table: give_up(table) for table in ("network", "port", "router")}

    # -- network ----------------------------------------------------------------------------------------------------------

    async def network(self, id: str) -> float | None:
        row = self.store.get("network", id, hidden=True)
        if row is None:
            return None
        want = rows.network_want(self.store, row)
        if want.gone:
            await self._end_network(want)
            return None
        facts = await self.driver.observe(want)
        assert facts is None or isinstance(facts, NetworkFacts)
        steps = plan_network(want, facts)
        if "make_namespace" in verbs(steps):
            self.live.close("network", id)  # whatever was served there is no more
        if verbs(steps) & {"make_namespace", "set_bridge", "load_rules"}:
            self._renewed.add(id)
        await self.driver.apply(want, steps)
        await self.live.serve("network", id)
        self._note("network", id, {"host_status": "ACTIVE", "host_error": None})
        if id in self._renewed:
            self._renewed.discard(id)
            self._wake_neighbours(id)
        return None

    def _wake_neighbours(self, id: str) -> None:
        """What is on a network must be made again with it, or has another MTU or state now: guests' ports, and routers' legs."""
        for port in self.store.find("port", {"network_id": id}):
            self._told.pop(port["id"], None)
            if rows.is_bound(port):
                self.cloud.wake_now("port", port["id"])
            elif port["device_owner"] in rows.LEGS:
                self.cloud.wake_now("router", port["device_id"])

    async def _end_network(self, want: NetworkWant) -> None:
        self.live.close("network", want.id)
        facts = await self.driver.observe(want)
        assert facts is None or isinstance(facts, NetworkFacts)
        await self.driver.apply(want, plan_network(want, facts))
        port = self.store.first("port", {"network_id": want.id}, hidden=True)
        if port:
            self._wait("port", port["id"])
        with self.store.transaction(durable=False):
            self.store.delete("fixed_ip", {"network_id": want.id})
            self.store.delete("subnet", {"network_id": want.id})
            self.store.delete("network", {"id": want.id})

    # -- port -------------------------------------------------------------------------------------------------------------

    async def port(self, id: str) -> float | None:
        row = self.store.get("port", id, hidden=True)
        if row is None:
            return None
        owner = row["device_owner"]
        if owner in rows.LEGS and row["device_id"]:
            self._leg(row)
        elif owner == rows.PLACE:
            await self._place(row)
        elif owner in rows.FEET:
            await self._foot(row)
        else:
            await self._tap(row)
        return None

    def _leg(self, row: Row) -> None:
        """The router looks after its legs; one whose router is no more ends here."""
        if self.store.get("router", row["device_id"], hidden=True):
            self.cloud.wake_now("router", row["device_id"])
            if row["gone"]:
                raise Wait("router", row["device_id"])
        elif row["gone"]:
            self._forget_port(row["id"])

    async def _place(self, row: Row) -> None:
        """A floating IP's address is free when no router has it any more."""
        if not row["gone"]:
            return
        addresses = {f"{address}/32" for address in rows.addresses_of(self.store, row["id"])}
        for router in self.store.find("router", {"gateway_network_id": row["network_id"]}, hidden=True):
            facts = await self.driver.observe(RouterWant(id=router["id"]))
            if isinstance(facts, RouterFacts) and any(addresses & leg.addresses for leg in facts.legs.values()):
                self._wait("router", router["id"])
        self._forget_port(row["id"])

    async def _foot(self, row: Row) -> None:
        """The host's own address on a network: the network looks after it."""
        network = self.store.get("network", row["network_id"])
        if network:
            want = rows.network_want(self.store, network)
            facts = await self.driver.observe(want)
            assert facts is None or isinstance(facts, NetworkFacts)
            if plan_network(want, facts):
                self.cloud.wake_now("network", want.id)
        if row["gone"]:
            self._forget_port(row["id"])
        else:
            self._note("port", row["id"], {"status": "ACTIVE", "host_error": None})

    async def _tap(self, row: Row) -> None:
        want = rows.port_want(self.store, row)
        facts = await self.driver.observe(want)
        assert facts is None or isinstance(facts, PortFacts)
        wanted = want.tap and not want.gone
        if wanted and not (facts and facts.network):
            self._wait("network", want.network_id)
        steps = plan_port(want, facts)
        await self.driver.apply(want, steps)
        if not want.gone:
            network = self.store.get("network", want.network_id)
            up = wanted and want.up and bool(network and network["admin_state_up"])
            self._note("port", want.id, {"status": "ACTIVE" if up else "DOWN", "host_error": None})
        await self._tell(want, facts, Told(want.guard, want.groups) if wanted else Told())
        if want.gone:
            self._forget_port(want.id)

    async def _tell(self, want: PortWant, facts: PortFacts | None, now: Told) -> None:
        """When a port's guard is another than others were told of: groups have other members, or are needed elsewhere, and open flows are
        held against it. A new port has none; one that is on its way out must not leave any to the next with its addresses."""
        before = self._told.get(want.id)
        if before == now and not want.gone:
            return
        for group in {*(before.groups if before else ()), *want.groups}:
            self.cloud.wake_now("security_group", group)
        for leg in self.store.find("port", {"network_id": want.network_id, "device_owner": rows.LEGS}):
            self.cloud.wake_now("router", leg["device_id"])  # it knows beforehand who is where
        if not now.guard and (want.gone or before):
            await self.cut(want.network_id, set(want.addresses))
        elif before or (facts and facts.guard):
            await self.judge(want.network_id)
        self._told[want.id] = now

    def _forget_port(self, id: str) -> None:
        with self.store.transaction(durable=False):
            self.store.delete("port", {"id": id})
        self._told.pop(id, None)

    # -- security group -----------------------------------------------------------------------------------------------------

    async def security_group(self, id: str) -> float | None:
        row = self.store.get("security_group", id, hidden=True)
        if row is None:
            return None
        want = rows.group_want(self.store, row)
        facts = await self.driver.observe(want)
        assert facts is None or isinstance(facts, GroupFacts)
        steps = plan_group(want, facts)
        try:
            await self.driver.apply(want, steps)
        except HostError as error:
            if "drop_part" in verbs(steps):  # what still refers to the group has been woken too, and is not done yet
                raise Retry(str(error), 0.2) from None
            raise
        if want.gone:
            with self.store.transaction(durable=False):
                self.store.delete("port_security_group", {"security_group_id": id})
                self.store.delete("security_group", {"id": id})
        allowed = _allowances(want)
        if self._allows_less(f"group {id}", allowed):
            for network in {*want.parts, *(facts.parts if facts else ())}:
                await self.judge(network)
            self._allowed[f"group {id}"] = allowed
        return None

    # -- router -----------------------------------------------------------------------------------------------------------

    async def router(self, id: str) -> float | None:
        row = self.store.get("router", id, hidden=True)
        if row is None:
            return None
        want = rows.router_want(self.store, row)
        gone = self.store.query("SELECT id FROM port WHERE device_id = ? AND gone = 1", id)  # legs on their way out, as of `want`
        facts = await self.driver.observe(want)
        assert facts is None or isinstance(facts, RouterFacts)
        steps = plan_router(want, facts)
        if want.gone or "make_namespace" in verbs(steps):
            self.live.close("router", id)
        await self.driver.apply(want, steps)
        if want.gone:
            self._forget_router(id, gone)
            return None
        await self.live.serve("router", id)
        there = facts.networks if facts else frozenset()
        self._absorb_router(want, gone, there)
        if self._allows_less(f"router {id}", _translations(want)):
            await self.translate(want)
        for leg in want.legs:
            if leg.network_id not in there:
                self._wait("network", leg.network_id)
        return None

    def _absorb_router(self, want: RouterWant, gone: Sequence[Row], there: frozenset[str]) -> None:
        ready = all(leg.network_id in there for leg in want.legs)
        self._note("router", want.id, {"host_status": "ACTIVE" if ready else "BUILD", "host_error": None})
        for leg in want.legs:
            up = leg.network_id in there and want.up
            self._note("port", leg.port_id, {"status": "ACTIVE" if up else "DOWN", "host_error": None})
        translated = {(item.address, item.fixed) for item in want.floating} if ready and want.up else set()
        for floating in self.store.find("floating_ip", {"router_id": want.id}):
            is_there = (floating["floating_ip_address"], floating["fixed_ip_address"]) in translated
            self._note("floating_ip", floating["id"], {"status": "ACTIVE" if is_there else "DOWN"})
        for row in gone:
            self._forget_port(row["id"])

    def _forget_router(self, id: str, gone: Iterable[Row]) -> None:
        with self.store.transaction(durable=False):
            for row in gone:
                self.store.delete("port", {"id": row["id"]})
            self.store.delete("router", {"id": id})

    # -- open flows -------------------------------------------------------------------------------------------------------

    async def judge(self, network_id: str) -> None:
        """End the open flows of a network that the rules, as they are now, would not let begin."""
        judge = flow.Judge(self.store, network_id)
        await self._end_flows("network", network_id, lambda found: not judge.allows(found))

    async def cut(self, network_id: str, addresses: set[str]) -> None:
        """End the open flows of addresses that are nobody's now."""
        await self._end_flows("network", network_id, lambda found: found.source in addresses or found.target in addresses)

    async def translate(self, want: RouterWant) -> None:
        """End the open flows of a router that it would translate otherwise now."""
        found = await self.driver.flows("router", want.id)
        await self.driver.cut("router", want.id, flow.translated_wrongly(want, found))
        self._allowed[f"router {want.id}"] = _translations(want)

    def _allows_less(self, name: str, now: frozenset[object]) -> bool:
        """Whether open flows must be held against an object: it allows less than when that was last done, or it never was."""
        before = self._allowed.get(name)
        if before is not None and before <= now:
            self._allowed[name] = now
            return False
        return True

    async def _end_flows(self, kind: Literal["network"], id: str, is_over: Callable[[Flow], bool]) -> None:
        over: list[Flow] = []
        for count, found in enumerate(await self.driver.flows(kind, id)):
            if is_over(found):
                over.append(found)
            if count % TURN == TURN - 1:
                await asyncio.sleep(0)
        await self.driver.cut(kind, id, over)

    # -- rows -------------------------------------------------------------------------------------------------------------

    def _wait(self, kind: str, id: str) -> None:
        """Look again when that object is ready; see to it that somebody looks at it."""
        self.cloud.wake_now(kind, id)
        raise Wait(kind, id)

    def _note(self, table: str, id: str, seen: Row) -> None:
        """Write back what was seen, when it is not what the row says already."""
        row = self.store.get(table, id)
        if row and any(row[column] != value for column, value in seen.items()):
            with self.store.transaction(durable=False):
                self.store.update(table, id, seen)

    # -- start ------------------------------------------------------------------------------------------------------------

    async def resync(self) -> None:
        """Compare the whole host with all rows: wake what differs, take away what no row knows, end flows that should not be.

        Networks and routers are always looked at: their responders must be started anyway.
        """
        await self.driver.prepare()
        networks, routers = await self._all("network"), await self._all("router")
        ports, groups = await self._all("port"), await self._all("security_group")
        for id in routers.keys() - self._ids("router"):
            await self._remove(RouterWant(id=id, gone=True))
        await self._compare_ports(ports)
        await self._compare_groups(groups)
        for id in networks.keys() - self._ids("network"):
            await self._remove(NetworkWant(id=id, gone=True))
        for kind in ("network", "router"):
            for id in self._ids(kind):
                self.cloud.wake_now(kind, id)
        for id in networks.keys() & self._ids("network"):
            await self.judge(id)
        for row in self.store.find("router"):
            if row["id"] in routers:
                await self.translate(rows.router_want(self.store, row))

    async def _all(self, kind: Literal["network", "router", "port", "security_group"]) -> dict[str, Facts]:
        return await self.driver.observe_all(kind)

    def _ids(self, table: str) -> set[str]:
        return {row["id"] for row in self.store.query(f"SELECT id FROM {table}")}  # noqa: S608 - table names are ours

    async def _compare_ports(self, found: dict[str, Facts]) -> None:
        known: set[str] = set()
        for count, row in enumerate(self.store.find("port", hidden=True)):
            place = f"{row['network_id']}/{short(row['id'])}"
            known.add(place)
            facts = found.get(place)
            want = rows.port_want(self.store, row)
            assert facts is None or isinstance(facts, PortFacts)
            if want.tap and facts and facts.guard == want.guard:
                self._told[row["id"]] = Told(want.guard, want.groups)  # all groups are compared at start
            settled = facts is not None and not plan_port(want, facts) and row["status"] == "ACTIVE"
            if not settled or row["gone"]:
                self.cloud.wake_now("port", row["id"])
            if count % TURN == TURN - 1:
                await asyncio.sleep(0)
        for place in found.keys() - known:
            network, _, port = place.partition("/")
            await self._remove(PortWant(id=port, network_id=network, gone=True))

    async def _compare_groups(self, found: dict[str, Facts]) -> None:
        known = self.store.find("security_group", hidden=True)
        for row in known:
            facts = found.get(row["id"])
            assert facts is None or isinstance(facts, GroupFacts)
            want = rows.group_want(self.store, row)
            nowhere: dict[str, dict[str, str]] = {network: {} for network in want.parts}
            self._allowed[f"group {row['id']}"] = _allowances(want)  # all networks are judged at start
            there = nowhere | (facts.parts if facts else {})
            if row["gone"] or plan_group(want, GroupFacts(parts=there)):
                self.cloud.wake_now("security_group", row["id"])
        for id in found.keys() - {row["id"] for row in known}:
            await self._remove(GroupWant(id=id, gone=True))

    async def _remove(self, want: Want) -> None:
        """Take away what no row knows; what cannot be taken away now is left for the next start."""
        try:
            facts = await self.driver.observe(want)
            await self.driver.apply(want, _removal(want, facts))
        except HostError as error:
            log.warning("left over on the host: %s: %s", want, error)
        else:
            log.info("removed from the host: %s", want)


def _allowances(want: GroupWant) -> frozenset[object]:
    """All that a group lets pass, piece by piece."""
    found: set[object] = set()
    for parts in want.parts.values():
        for part in parts:
            found.update(part.rules if isinstance(part, Chains) else ((part.group, prefix) for prefix in part.prefixes))
    return frozenset(found)


def _translations(want: RouterWant) -> frozenset[object]:
    return frozenset((*want.floating, want.snat))


def _removal(want: Want, facts: Facts | None) -> list:  # type: ignore[type-arg]
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
