"""The composition root: settings -> store -> drivers -> services -> routes -> loop, and WAKES. The only module that sees everything.

`build` puts a cloud together (tests use it as it is); `serve` is what the daemon runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pileus.config import Paths, Settings
from pileus.drivers.disks.images import DiskImages
from pileus.drivers.fake.host import FakeHost
from pileus.drivers.fake.images import FakeImages
from pileus.identity import api as identity_api
from pileus.identity import live as identity_live
from pileus.identity.seed import seed as seed_identity
from pileus.image import api as image_api
from pileus.image.live import Files
from pileus.image.reconcile import Worker as ImageWorker
from pileus.kit.clock import Clock
from pileus.kit.context import Cloud
from pileus.kit.loop import Key, Loop
from pileus.kit.store import Migration, Store, migrations_in
from pileus.kit.web import Dialect, Web

log = logging.getLogger("pileus.app")

HERE = Path(__file__).parent
SERVICES = ("identity", "image", "network", "compute")
CHECKPOINT_SECONDS = 5.0


def migrations() -> list[Migration]:
    """Every service's migrations, in the order of their numbers."""
    return migrations_in(*(HERE / name for name in ("openstack", *SERVICES)))


@dataclass
class App:
    """A cloud, put together. `start` looks at everything once; `stop` leaves the host as it is."""

    cloud: Cloud
    loop: Loop
    web: Web
    store: Store
    fake: FakeHost | None = None  # the machine, when it is not a real one
    starts: list[Callable[[], Awaitable[Iterable[Key]]]] = field(default_factory=list)  # look at the host once: what differs from its row
    closes: list[Callable[[], None]] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        for look in self.starts:
            for key in await look():
                self.loop.wake(*key)
        self._tasks.append(asyncio.create_task(self._checkpoints(), name="checkpoints"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.loop.stop()
        for close in self.closes:
            close()
        self.store.close()

    async def _checkpoints(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self.store.checkpoint)


def build(settings: Settings, paths: Paths, password: str, *, clock: Clock | None = None, memory: bool = False) -> App:
    """Put a cloud together over its data folder; `memory`: over a database that is nowhere. Nothing runs yet."""
    store = Store(":memory:" if memory else paths.database, migrations(), synchronous=settings.synchronous)
    loop = Loop()
    cloud = Cloud(store, clock or Clock(), loop.wake, options=msgspec.structs.asdict(settings))
    seed_identity(cloud, password)
    tokens = identity_live.Tokens(cloud)
    fake = FakeHost(paths.data / "fake-host.json") if settings.drivers == "fake" else None
    images = FakeImages(fake, paths.data) if fake else DiskImages(paths.data)
    files = Files(paths.data, images)
    image_worker = ImageWorker(cloud, images, loop)
    loop.register("image", image_worker.look, image_worker.give_up)
    dialects: list[Dialect] = [
        identity_api.dialect(cloud, tokens.authenticate),
        image_api.dialect(cloud, tokens.authenticate, files),
    ]
    return App(cloud, loop, Web(dialects), store, fake, starts=[image_worker.start], closes=[files.close])


def serve(paths: Paths, settings: Settings, listener: socket.socket, ready: Callable[[dict[str, object]], None]) -> None:
    """Run the control plane until it is told to stop (SIGTERM) or the datacenter ends. Called in the daemon, before any thread exists."""
    import uvicorn
    import uvloop

    password = paths.password_file.read_text().strip()
    app = build(settings, paths, password)
    config = uvicorn.Config(app.web.app, http="httptools", lifespan="off", access_log=False, log_config=None, timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)

    async def run() -> None:
        await app.start()
        task = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.001)
        ready({"endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}"})
        await task
        await app.stop()

    uvloop.run(run())
