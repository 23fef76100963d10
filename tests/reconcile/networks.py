"""A control plane's network half over rows and a fake machine: shared by the tests of the network's reconciler."""

from __future__ import annotations

from pileus.drivers.fake.host import FakeHost
from pileus.drivers.fake.network import FakeNetworks
from pileus.kit.clock import ManualClock
from pileus.kit.context import Cloud
from pileus.kit.loop import Loop
from pileus.network.host import GroupFacts, NetworkFacts, PortFacts, RouterFacts
from pileus.network.reconcile import Reconciler, rows
from pileus.network.reconcile.plan import plan_group, plan_network, plan_port, plan_router, short
from tests.network_rows import Rows, new_store

TABLES = ("network", "port", "security_group", "router")


class World(Rows):
    """One control plane; store and machine outlive it."""

    def __init__(self) -> None:
        super().__init__(new_store())
        self.host = FakeHost()
        self.build()

    def build(self) -> None:
        """A control plane as after a start: it remembers nothing."""
        self.loop = Loop()
        self.driver = FakeNetworks(self.host)
        self.cloud = Cloud(self.store, ManualClock(), self.loop.wake)
        self.reconciler = Reconciler(self.cloud, self.driver)
        for kind, look in self.reconciler.looks().items():
            self.loop.register(kind, look, self.reconciler.give_ups().get(kind))

    async def settle(self, *keys: tuple[str, str]) -> None:
        for key in keys:
            self.loop.wake(*key)
        await self.loop.settle()
        while self.loop.timers:
            for (kind, id), timer in list(self.loop.timers.items()):
                timer.cancel()
                self.loop.timers.pop((kind, id))
                self.loop.wake(kind, id)
            await self.loop.settle()

    async def start(self) -> None:
        """What the cloud does when it starts."""
        await self.reconciler.resync()
        await self.settle()

    def steps(self) -> list[tuple[str, str]]:
        """What was done on the machine since this was last asked."""
        done, self.host.log = self.host.log, []
        return done

    async def check(self) -> None:
        """Rows and machine agree: nothing is left to do, nothing is there that no row wants, and rows say so."""
        for table in TABLES:
            gone = self.store.query(f"SELECT id FROM {table} WHERE gone = 1")
            assert gone == [], f"{table} rows that are still on their way out"
        for row in self.store.find("network"):
            facts = await self.driver.observe(want := rows.network_want(self.store, row))
            assert isinstance(facts, NetworkFacts)
            assert plan_network(want, facts) == []
            assert (row["host_status"], row["host_error"]) == ("ACTIVE", None)
        for row in self.store.find("router"):
            facts = await self.driver.observe(want_ := rows.router_want(self.store, row))
            assert isinstance(facts, RouterFacts)
            assert plan_router(want_, facts) == []
            assert row["host_status"] == "ACTIVE"
        for row in self.store.find("security_group"):
            facts = await self.driver.observe(want__ := rows.group_want(self.store, row))
            assert facts is None or isinstance(facts, GroupFacts)
            assert plan_group(want__, facts) == []
        await self._check_ports()
        assert self.host.part("networks").keys() == {row["id"] for row in self.store.find("network")}
        assert self.host.part("routers").keys() == {row["id"] for row in self.store.find("router")}

    async def _check_ports(self) -> None:
        taps = set()
        for row in self.store.find("port"):
            want = rows.port_want(self.store, row)
            if not want.tap:
                assert row["status"] == "DOWN" or row["device_owner"].startswith("network:")
                continue
            facts = await self.driver.observe(want)
            assert isinstance(facts, PortFacts)
            assert plan_port(want, facts) == []
            network = self.row("network", row["network_id"])
            assert row["status"] == ("ACTIVE" if row["admin_state_up"] and network["admin_state_up"] else "DOWN")
            taps.add(f"{row['network_id']}/{short(row['id'])}")
        assert self.host.part("ports").keys() == taps
        for row in self.store.find("floating_ip"):
            leads = row["port_id"] or self.store.find("port_forwarding", {"floating_ip_id": row["id"]})
            router = self.store.get("router", row["router_id"]) if leads else None
            assert row["status"] == ("ACTIVE" if router and router["admin_state_up"] else "DOWN")
        ranges = [row["id"] for row in self.store.find("address_group")]
        for id in ranges:
            facts = await self.driver.observe(want := rows.address_group_want(self.store, id))
            assert facts is None or isinstance(facts, GroupFacts)
            assert plan_group(want, facts) == []
        known = {row["id"] for row in self.store.find("security_group")} | set(ranges)
        for parts in self.host.part("filters").values():
            assert {name.partition(":")[2] for name in parts} <= known
