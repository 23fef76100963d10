"""A machine with images for tests of the reconciler: a database and a fake host that outlive the control plane."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from pileus.app import migrations
from pileus.drivers.fake.host import FakeHost
from pileus.drivers.fake.images import FakeImages
from pileus.image.host import Facts, Folder
from pileus.image.reconcile import Reconciler
from pileus.kit.clock import Clock
from pileus.kit.context import Cloud
from pileus.kit.loop import Loop
from pileus.kit.store import Store


class Machine:
    """A database and a fake host that outlive the control plane; `boot` starts a new one over them."""

    def __init__(self, data: Path) -> None:
        self.data, self.store = data, Store(":memory:", migrations(), synchronous="off")
        self.host = FakeHost(data / "host.json")
        self.folder = Folder(data)
        self.boot()

    def boot(self) -> None:
        self.host = FakeHost(self.data / "host.json")
        self.loop = Loop()
        self.cloud = Cloud(self.store, Clock(), self.loop.wake)
        self.images = FakeImages(self.host, self.data)
        self.worker = Reconciler(self.cloud, self.images, self.loop, data=self.data)
        self.loop.register("image", self.worker.look, self.worker.give_up)

    async def settle(self) -> None:
        """Every look, and those that wait for the clock too."""
        while True:
            await self.loop.settle()
            if not self.loop.timers:
                return
            for kind, id in list(self.loop.timers):
                self.loop.wake(kind, id)

    async def start(self) -> None:
        for key in await self.worker.differing():
            self.loop.wake(*key)

    def image(self, status: str = "active", disk_format: str = "raw", **more: Any) -> str:
        """A row, and the files that an upload would have left."""
        id = str(uuid.uuid4())
        row = {
            "id": id,
            "project_id": "p",
            "status": status,
            "disk_format": disk_format,
            "container_format": "bare",
            "size": 3,
            "virtual_size": 3,
        }
        self.store.insert("image", {**row, "created_at": 1, **more})
        if status in ("active", "deactivated"):
            self.folder.upload(id).write_bytes(b"abc")
        elif status == "saving":
            self.folder.partial(id).write_bytes(b"ab")
        return id

    def row(self, id: str) -> dict[str, Any] | None:
        return self.store.get("image", id, hidden=True)

    async def facts(self, id: str) -> Facts:
        return (await self.images.observe(id)).get(id, Facts())
