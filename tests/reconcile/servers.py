"""Rows of servers as the create action leaves them, and a reconciler over them: shared by the tests of compute's reconciler."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.app import migrations
from pileus.compute.host import NOTHING, Facts
from pileus.compute.reconcile import Reconciler
from pileus.drivers.fake.compute import FakeGuests
from pileus.drivers.fake.host import FakeHost
from pileus.kit.clock import ManualClock
from pileus.kit.context import Cloud
from pileus.kit.loop import Loop
from pileus.kit.store import Row, Store

IMAGE, NETWORK = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


@dataclass
class World:
    """One control plane over a database and a fake machine, both of which outlive it."""

    store: Store
    host: FakeHost
    clock: ManualClock

    def __post_init__(self) -> None:
        self.build()

    def build(self) -> None:
        """A control plane as after a start: it remembers nothing."""
        self.loop = Loop()
        self.guests = FakeGuests(self.host)
        self.cloud = Cloud(self.store, self.clock, self.loop.wake, host={"uid_count": 65535})
        self.reconciler = Reconciler(self.cloud, self.guests)
        for kind, look in self.reconciler.looks().items():
            self.loop.register(kind, look, self.reconciler.give_ups()[kind])

    async def settle(self, id: str | None = None) -> None:
        """Look at one server, or at all that are not as they should be, until nothing is under way."""
        if id:
            self.loop.wake("server", id)
        else:
            await self.reconciler.resync()
        await self.loop.settle()

    async def pass_time(self, seconds: float) -> None:
        """Let the clock reach what waits for it."""
        self.clock.turn(seconds)
        for (kind, id), timer in list(self.loop.timers.items()):
            timer.cancel()
            self.loop.timers.pop((kind, id))
            self.loop.wake(kind, id)
        await self.loop.settle()

    async def facts(self, id: str) -> Facts:
        return (await self.guests.observe(id)).get(id, NOTHING)

    def row(self, id: str) -> Row:
        row = self.store.get("server", id, hidden=True)
        assert row is not None
        return row

    def ask(self, id: str, action: str, **changes: Any) -> None:
        """What an action writes."""
        self.store.update("server", id, changes)
        self._begin(id, action)

    def records(self, id: str) -> list[tuple[str, str | None]]:
        return [(row["action"], row["result"]) for row in self.store.find("action_record", {"resource_id": id}, order="id")]

    def _begin(self, id: str, action: str, request: str = "req") -> None:
        now = self.clock.now()
        written = {"resource_id": id, "action": action, "request_id": request, "user_id": "u", "project_id": "p", "started_at": now}
        self.store.insert("action_record", written)

    def server(self, *, ports: int = 1, port_status: str = "ACTIVE", **columns: Any) -> str:
        id, now = str(uuid.uuid4()), self.clock.now()
        self.store.insert(
            "server",
            {
                "id": id, "project_id": "p", "user_id": "u", "name": "one", "hostname": "one", "reservation_id": "r-1", "image_id": IMAGE,
                "flavor": json.dumps({"name": "nano"}), "vcpus": 1, "ram": 128, "disk": 1, "vm_state": "building", "task_state": "spawning",
                "host_uid": self.store.count("server", hidden=True) + 1, "created_at": now, "updated_at": now, **columns,
            },
        )  # fmt: skip
        made = [self.port(id, port_status) for _ in range(ports)]
        self.store.update("server", id, {"own_ports": json.dumps(made)})
        self._begin(id, "create")
        return id

    def attach(self, id: str, status: str = "ACTIVE", *, seconds: int = 60) -> str:
        """What attaching writes, for a server that is on; the port's id."""
        port = self.port(id, status)
        self.store.update("server", id, {"own_ports": json.dumps([*json.loads(self.row(id)["own_ports"]), port])})
        self._move(id, port, "attach", seconds)
        return port

    def detach(self, id: str, port: str, *, seconds: int = 60) -> None:
        """What detaching writes, for a server that is on."""
        self._move(id, port, "detach", seconds)

    def _move(self, id: str, port: str, verb: str, seconds: int) -> None:
        request = f"req-{uuid.uuid4()}"
        self._begin(id, f"{verb}_interface", request)
        self.store.delete("interface", {"port_id": port})
        wish = {"port_id": port, "server_id": id, "verb": verb, "request_id": request}
        self.store.insert("interface", {**wish, "deadline": self.clock.now() + seconds * 1_000_000})

    def port(self, server: str, status: str = "ACTIVE") -> str:
        id, now = str(uuid.uuid4()), self.clock.now()
        self.clock.turn(0.001)
        mac = "fa:16:3e:" + ":".join(id[n : n + 2] for n in (0, 2, 4))
        self.store.insert(
            "port",
            {
                "id": id, "network_id": NETWORK, "project_id": "p", "mac_address": mac, "device_id": server, "device_owner": "compute:nova",
                "binding_host": "pileus", "status": status, "created_at": now, "updated_at": now,
            },
        )  # fmt: skip
        return id


def world(path: Path | None = None) -> World:
    store, clock = Store(":memory:", migrations(), synchronous="off"), ManualClock()
    now = clock.now()
    store.insert("network", {"id": NETWORK, "project_id": "p", "created_at": now, "updated_at": now})
    store.insert(
        "image",
        {"id": IMAGE, "project_id": "p", "status": "active", "disk_format": "qcow2", "host_status": "ready", "created_at": now},
    )
    return World(store, FakeHost(path), clock)
