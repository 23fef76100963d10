"""How the host is brought in line with networks, ports, security groups and routers: observe, plan, apply, write back what was seen.

Not here: what rows want (rows.py), which steps that takes (plan.py), which open flows may stay (flow.py), what a start
compares (start.py), who answers guests (live).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from pileus.errors import HostError
from pileus.kit.context import Cloud
from pileus.kit.loop import GiveUp, Key, Look, Retry, Wait
from pileus.kit.store import Row
from pileus.network.host import (
    Carrier,
    GroupFacts,
    NetworkFacts,
    Networks,
    NetworkWant,
    PortFacts,
    PortWant,
    RouterFacts,
    RouterWant,
    Service,
)
from pileus.network.reconcile import rows
from pileus.network.reconcile.flow import Flows
from pileus.network.reconcile.plan import plan_group, plan_network, plan_port, plan_router, verbs
from pileus.network.reconcile.start import Start, Told


class Responders(Protocol):
    """Whoever answers guests in a namespace (network/live)."""

    async def serve(self, kind: Service, id: str) -> None:
        """Answer from now on; nothing happens when that is so already."""

    async def advertise(self, router_id: str, legs: Collection[str], renewed: Collection[str] = ()) -> None:
        """Speak for these legs (ports) of a router from now on, and for no others; `renewed`: those that were made anew."""

    def withdraw(self, router_id: str, keep: Collection[str]) -> None:
        """Take leave on all legs of a router but these, while they are still there."""

    async def take_notes(self, network_id: str) -> None:
        """Write down from now on what is noted in a network; nothing happens when that is so already."""

    def close(self, kind: Service, id: str) -> None:
        """Let go of the namespace; of a network's with its IPv6 half."""


class Silence:
    """Nobody answers: for clouds without packets."""

    async def serve(self, kind: Service, id: str) -> None:
        return None

    async def advertise(self, router_id: str, legs: Collection[str], renewed: Collection[str] = ()) -> None:
        return None

    def withdraw(self, router_id: str, keep: Collection[str]) -> None:
        return None

    async def take_notes(self, network_id: str) -> None:
        return None

    def close(self, kind: Service, id: str) -> None:
        return None


class Reconciler:
    """The looks of the four kinds of this service."""

    def __init__(self, cloud: Cloud, driver: Networks, live: Responders | None = None) -> None:
        self.cloud, self.store, self.driver = cloud, cloud.store, driver
        self.live: Responders = live or Silence()
        self.flows = Flows(self.store, driver)
        self.told: dict[str, Told] = {}  # by port
        self._named: dict[str, frozenset[Key]] = {}  # by security group, the other groups that its rules named
        self._renewed: set[str] = set()  # networks that were changed under those who are on them

    def looks(self) -> dict[str, Look]:
        groups = {"security_group": self.security_group, "address_group": self.address_group}
        return {"network": self.network, "port": self.port, "router": self.router, **groups}

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
            self.flows.take_for_judged(id)
        if verbs(steps) & {"make_namespace", "set_bridge", "load_rules"}:
            self._renewed.add(id)
        await self.driver.apply(want, steps)
        await self.live.serve("network", id)
        if rows.has_ipv6(self.store, id):
            await self.live.serve("network6", id)
        else:
            self.live.close("network6", id)
        self._note("network", id, {"host_status": "ACTIVE", "host_error": None})
        if id in self._renewed:
            self._renewed.discard(id)
            self._wake_neighbours(id)
        await self.flows.judge_once(id)
        return None

    def _wake_neighbours(self, id: str) -> None:
        """What is on a network must be made again with it, or has another MTU or state now: guests' ports, and routers' legs."""
        for port in self.store.find("port", {"network_id": id}):
            self.told.pop(port["id"], None)
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
        self.flows.forget(want.id)

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
        if wanted and want.carrier:
            await self._wait_for_carrier(want.carrier)
        steps = plan_port(want, facts)
        await self.driver.apply(want, steps)
        if want.noted and wanted:
            await self.live.take_notes(want.network_id)
        if verbs(steps) & {"make_tap", "remove_tap"}:
            for carried in rows.carried_by(self.store, want.id):
                self.cloud.wake_now("port", carried)
        if not want.gone:
            self._note("port", want.id, {"status": rows.port_status(self.store, want), "host_error": None})
        await self._tell(want, facts, Told(want.guard, want.groups) if wanted else Told())
        if want.gone:
            self._forget_port(want.id)
            if row["device_id"]:
                self.cloud.wake_now("server", row["device_id"])  # whose guest has a card to let go of

    async def _wait_for_carrier(self, carrier: Carrier) -> None:
        parent = PortWant(id=carrier.port_id, network_id=carrier.network_id)
        facts = await self.driver.observe(parent)
        if not (isinstance(facts, PortFacts) and facts.tap):
            self._wait("port", carrier.port_id)

    async def _tell(self, want: PortWant, facts: PortFacts | None, now: Told) -> None:
        """When a port's guard is another than others were told of: groups have other members, or are needed elsewhere, and open flows are
        held against it. A new port has none; one that is on its way out must not leave any to the next with its addresses."""
        before = self.told.get(want.id)
        if before == now and not want.gone:
            return
        for group in {*(before.groups if before else ()), *want.groups}:
            self.cloud.wake_now("security_group", group)
        for leg in self.store.find("port", {"network_id": want.network_id, "device_owner": rows.LEGS}):
            self.cloud.wake_now("router", leg["device_id"])  # it knows beforehand who is where
        if not now.guard and (want.gone or before):
            await self.flows.cut(want.network_id, set(want.addresses))
        elif before or (facts and facts.guard):
            await self.flows.judge(want.network_id)
        self.told[want.id] = now

    def _forget_port(self, id: str) -> None:
        with self.store.transaction(durable=False):
            self.store.delete("port", {"id": id})
        self.told.pop(id, None)

    # -- security group -----------------------------------------------------------------------------------------------------

    async def security_group(self, id: str) -> float | None:
        row = self.store.get("security_group", id, hidden=True)
        if row is None:
            return None
        want = rows.group_want(self.store, row)
        facts = await self.driver.observe(want)
        assert facts is None or isinstance(facts, GroupFacts)
        steps = plan_group(want, facts)
        if not facts or not any(facts.parts.values()):
            self.flows.take_for_held(want)  # it has allowed nothing yet
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
        await self.flows.hold_group(want, {*want.parts, *(facts.parts if facts else ())})
        named, before = rows.named_by(self.store, id), self._named.pop(id, frozenset())
        if steps or named != before:  # their members are needed here now, or no longer
            for key in named | before:
                self.cloud.wake_now(*key)
        if want.gone:
            self.flows.forget(id)
        else:
            self._named[id] = named
        return None

    async def address_group(self, id: str) -> float | None:
        """Security groups see to it that the addresses are there; here they are taken away where no rule names them any more."""
        want = rows.address_group_want(self.store, id)
        facts = await self.driver.observe(want)
        assert facts is None or isinstance(facts, GroupFacts)
        try:
            await self.driver.apply(want, plan_group(want, facts))
        except HostError as error:  # a security group's chain may name it for a moment longer
            raise Retry(str(error), 0.2) from None
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
        if "make_namespace" in verbs(steps):
            self.flows.take_for_held(want)  # a new one has no flows yet
        there = facts.networks if facts else frozenset()
        speaking = rows.advertising(self.store, row) & {leg.port_id for leg in want.legs if leg.network_id in there}
        self.live.withdraw(id, speaking)
        await self.driver.apply(want, steps)
        if want.gone:
            self._forget_router(id, gone)
            return None
        await self.live.serve("router", id)
        await self.live.advertise(id, speaking, [step.value.port_id for step in steps if step.verb == "add_leg"])
        self._absorb_router(want, gone, there)
        await self.flows.hold_router(want)
        for leg in want.legs:
            if leg.network_id not in there:
                self._wait("network", leg.network_id)
        return None

    def _absorb_router(self, want: RouterWant, gone: Sequence[Row], there: frozenset[str]) -> None:
        ready = all(leg.network_id in there for leg in want.legs)
        self._note("router", want.id, {"host_status": "ACTIVE" if ready else "BUILD", "host_error": None})
        for leg in want.legs:
            there_too = leg.network_id in there and leg.up  # the leg is in place, also while its router is switched off
            self._note("port", leg.port_id, {"status": "ACTIVE" if there_too else "DOWN", "host_error": None})
        translated: set[tuple[str, str | None]] = set()
        if ready and want.up:
            translated = {(item.address, item.fixed) for item in want.floating} | {(item.address, None) for item in want.forwardings}
        for floating in self.store.find("floating_ip", {"router_id": want.id}):
            is_there = (floating["floating_ip_address"], floating["fixed_ip_address"]) in translated
            self._note("floating_ip", floating["id"], {"status": "ACTIVE" if is_there else "DOWN"})
        for row in gone:
            self._forget_port(row["id"])
        self._wake_outside()

    def _wake_outside(self) -> None:
        """What is behind routers in IPv6 is known on the public network, where that speaks it."""
        for network in self.store.find("network", {"physical_network": rows.WIRE}):
            if rows.has_ipv6(self.store, network["id"]):
                self.cloud.wake_now("network", network["id"])

    def _forget_router(self, id: str, gone: Iterable[Row]) -> None:
        with self.store.transaction(durable=False):
            for row in gone:
                self.store.delete("port", {"id": row["id"]})
            self.store.delete("router", {"id": id})
        self.flows.forget(id)
        self._wake_outside()

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
        """Compare the whole host with all rows, once, at start. Raises HostError."""
        await Start(self).resync()
