"""The composition root: settings -> store -> drivers -> services -> routes -> loop, and WAKES. The only module that sees everything.

`build` puts a cloud together (tests use it as it is); `serve` is what the daemon runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import gc
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from pileus import __version__
from pileus.compute import api as compute_api
from pileus.compute import placement
from pileus.compute.actions.flavors import seed as seed_compute
from pileus.compute.host import Guests
from pileus.compute.live import Consoles, Metadata
from pileus.compute.live.sight import Sights
from pileus.compute.reconcile import Reconciler as ComputeReconciler
from pileus.config import Paths, Settings
from pileus.drivers.fake.host import FakeHost
from pileus.errors import Conflict, HostError
from pileus.identity import api as identity_api
from pileus.identity import live as identity_live
from pileus.identity.seed import seed as seed_identity
from pileus.identity.vault import load_key
from pileus.image import api as image_api
from pileus.image.host import Images
from pileus.image.live import Files
from pileus.image.reconcile import Reconciler as ImageReconciler
from pileus.kit.clock import Clock
from pileus.kit.context import Cloud, Context
from pileus.kit.loop import Key, Loop
from pileus.kit.store import Migration, Store, migrations_in
from pileus.kit.web import Dialect, Request, Response, Route, Web
from pileus.network import api as network_api
from pileus.network.api import own as own_api
from pileus.network.host import Networks
from pileus.network.live import Live, MetadataRequest, MetadataResponse
from pileus.network.live.socks import Reach, Socks
from pileus.network.live.tracer import Tracer
from pileus.network.reconcile import Reconciler as NetworkReconciler
from pileus.network.seed import seed as seed_network
from pileus.network.trace.world import GuestSight
from pileus.openstack import fault

if TYPE_CHECKING:
    from pileus.drivers.datacenter import Datacenter

log = logging.getLogger("pileus.app")

HERE = Path(__file__).parent
SERVICES = ("identity", "image", "network", "compute")
CHECKPOINT_SECONDS = 5.0
GUESTS = "guests"  # the network namespace QEMU itself lives in, with nothing in it: guests' packets go by their taps
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def migrations() -> list[Migration]:
    """Every service's migrations, in the order of their numbers."""
    return migrations_in(*(HERE / name for name in ("openstack", *SERVICES)))


# -- what wakes what -------------------------------------------------------------------------------------------------------


def _server_of_port(store: Store, id: str) -> Iterable[Key]:
    """A server with something under way looks again when one of its ports has changed on the host."""
    rows = store.query(
        "SELECT s.id FROM port p JOIN server s ON s.id = p.device_id WHERE p.id = ? AND s.deleted_at IS NULL AND s.task_state IS NOT NULL",
        id,
    )
    return [("server", row["id"]) for row in rows]


# Effects to the right, as data: what else is looked at when a look at (kind, id) has succeeded. Leftwards an object waits (loop.Wait).
WAKES: Mapping[str, Callable[[Store, str], Iterable[Key]]] = {"port": _server_of_port}


# -- drivers ---------------------------------------------------------------------------------------------------------------


@dataclass
class Drivers:
    """The machine: what each service's `host.py` asks for, and what is known of it."""

    images: Images
    networks: Networks
    guests: Guests
    host: Mapping[str, Any]  # the facts that compute/machine.py names
    resolvers: tuple[str, ...] = ()  # DNS servers that the datacenter reaches
    fake: FakeHost | None = None
    packets: bool = True  # whether anything answers guests


def fake_drivers(settings: Settings, paths: Paths, host: FakeHost | None = None) -> Drivers:
    """A machine made of one file in the data folder."""
    from pileus.drivers.fake.compute import FakeGuests
    from pileus.drivers.fake.images import FakeImages
    from pileus.drivers.fake.network import FakeNetworks

    host = host or FakeHost(paths.data / "fake-host.json")
    guests = FakeGuests(host)
    return Drivers(FakeImages(host, paths.data), FakeNetworks(host), guests, guests.host_facts(), fake=host, packets=False)


def linux_drivers(settings: Settings, datacenter: Datacenter, cache: Path) -> Drivers:
    """This machine, through the datacenter that this process has entered."""
    from pileus.drivers.datacenter.outbound import RESOLVER
    from pileus.drivers.disks.images import DiskImages
    from pileus.drivers.disks.servers import ServerDisks
    from pileus.drivers.linuxnet import Linuxnet
    from pileus.drivers.qemu.driver import QemuGuests

    networks = Linuxnet(datacenter.netns, settings.public_cidr)
    disks = ServerDisks(datacenter.root)
    datacenter.netns.create(GUESTS)
    guests = QemuGuests(
        datacenter.holder,
        disks,
        networks.open_tap,
        data=datacenter.root,
        cache=cache,
        uid_count=datacenter.uid_count,
        accel=settings.accel,
        netns=GUESTS,
    )
    resolvers = () if settings.outbound == "none" else (RESOLVER,)
    return Drivers(DiskImages(datacenter.root), networks, guests, guests.host_facts(), resolvers)


# -- the cloud -------------------------------------------------------------------------------------------------------------


@dataclass
class App:
    """A cloud, put together. `start` looks at everything once; `stop` leaves the host as it is."""

    cloud: Cloud
    loop: Loop
    web: Web
    store: Store
    drivers: Drivers
    starts: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # look at the host once, wake what differs
    watches: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # run as long as the cloud does
    closes: list[Callable[[], None]] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def fake(self) -> FakeHost | None:
        """The machine, when it is not a real one."""
        return self.drivers.fake

    async def start(self) -> None:
        for look in self.starts:
            await look()
        for watch in (self._checkpoints, *self.watches):
            self._tasks.append(asyncio.create_task(_for_ever(watch), name=f"watch {watch.__qualname__}"))

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
            await asyncio.to_thread(self.store.checkpoint)


async def _for_ever(watch: Callable[[], Awaitable[None]]) -> None:
    """Run a watch again whenever it fails; a moment later, so that what always fails does not fill the log."""
    while True:
        try:
            await watch()
        except Exception:
            log.exception("%s failed", watch.__qualname__)
        await asyncio.sleep(1)


def build(
    settings: Settings,
    paths: Paths,
    password: str,
    *,
    drivers: Drivers | None = None,
    data: Path | None = None,
    clock: Clock | None = None,
    memory: bool = False,
) -> App:
    """Put a cloud together. Nothing runs yet.

    drivers  the machine; default a fake one
    data     the data folder as this process sees it; default where `paths` has it
    memory   over a database that is nowhere
    """
    data = data or paths.data
    store = Store(":memory:" if memory else data / paths.database.name, migrations(), synchronous=settings.synchronous)
    drivers = drivers or fake_drivers(settings, paths)
    loop = Loop()
    loop.wakes = {kind: _bound(wakes, store) for kind, wakes in WAKES.items()}
    options = msgspec.structs.asdict(settings)
    cloud = Cloud(store, clock or Clock(), loop.wake, options=options, host=drivers.host, key=load_key(data))
    seed_identity(cloud, password)
    seed_network(cloud)
    seed_compute(cloud)

    files = Files(data, drivers.images)
    journal = paths.state / "security-groups.log"
    live = Live(cloud, drivers.networks, _metadata(cloud), resolvers=drivers.resolvers, journal=journal) if drivers.packets else None
    images = ImageReconciler(cloud, drivers.images, loop, data=data)
    networks = NetworkReconciler(cloud, drivers.networks, live)
    servers = ComputeReconciler(cloud, drivers.guests)
    reconcilers = (images, networks, servers)
    for reconciler in reconcilers:
        give_ups = reconciler.give_ups()
        for kind, look in reconciler.looks().items():
            loop.register(kind, look, give_ups.get(kind))

    live = live or Live(cloud, drivers.networks)  # which nobody asks, where there are no packets
    sights = Sights(store, drivers.guests)
    tracer = Tracer(cloud, drivers.networks, _Servers(sights), loop, live.resolve, live.lease)
    reach = Reach(store, ipaddress.IPv4Network(settings.public_cidr), settings.port, sights.named)
    socks = Socks(drivers.networks.outside, reach)
    web = Web(_dialects(cloud, files, drivers.guests, tracer, socks), hosts=is_loopback)
    starts: list[Callable[[], Awaitable[None]]] = [each.resync for each in reconcilers]
    if settings.socks_port:
        starts.append(functools.partial(_open_socks, socks, settings))
    closes = [files.close, socks.close, live.stop, *([drivers.fake.close] if drivers.fake else [])]
    return App(cloud, loop, web, store, drivers, starts, [servers.watch], closes)


async def _open_socks(socks: Socks, settings: Settings) -> None:
    """A proxy that cannot be had does not keep the cloud from starting."""
    try:
        await socks.open(settings.socks_port)
    except (Conflict, HostError) as error:
        log.warning("no SOCKS5 proxy: %s", error)


class _Servers:
    """What the network service asks of servers."""

    def __init__(self, sights: Sights) -> None:
        self._sights = sights

    def find(self, ctx: Context, word: str) -> list[tuple[str, str]]:
        return self._sights.find(ctx, word)

    async def look(self, id: str) -> GuestSight | None:
        seen = await self._sights.look(id)
        if seen is None:
            return None
        word = seen.name if seen.alone else seen.id
        return GuestSight(word=word, name=seen.name, status=seen.status, task=seen.task, fault=seen.fault, running=seen.running)


def _bound(wakes: Callable[[Store, str], Iterable[Key]], store: Store) -> Callable[[str], Iterable[Key]]:
    return lambda id: wakes(store, id)


def _metadata(cloud: Cloud) -> Callable[[MetadataRequest], Awaitable[MetadataResponse]]:
    """What a guest asks of 169.254.169.254, from the network's relay to compute."""
    service = Metadata(cloud)

    async def answer(request: MetadataRequest) -> MetadataResponse:
        said = await service.answer(request.port, request.method, request.path, request.body)
        return MetadataResponse(said.status, said.body, said.headers)

    return answer


# -- the ways in -----------------------------------------------------------------------------------------------------------


def _dialects(cloud: Cloud, files: Files, guests: Guests, tracer: Tracer, socks: Socks) -> list[Dialect]:
    tokens = identity_live.Tokens(cloud)
    return [
        root_dialect(),
        identity_api.dialect(cloud, tokens.authenticate),
        image_api.dialect(cloud, tokens.authenticate, files),
        network_api.dialect(cloud, tokens.authenticate),
        compute_api.dialect(cloud, tokens.authenticate, console=Consoles(guests)),
        placement.dialect(cloud, tokens.authenticate),
        own_api.dialect(cloud, tokens.authenticate, tracer, socks),
    ]


def root_dialect() -> Dialect:
    """What answers at the listener's root: which services there are, and whether the control plane is well."""

    def index(request: Request) -> Response:
        """The services of this cloud and where they answer."""
        services = {name: f"{request.host}/{name}" for name in (*SERVICES, "placement")}
        return Response(200, {"pileus": __version__, "services": services})

    def healthz(request: Request) -> Response:
        """Whether the control plane answers."""
        return Response(200, {"status": "ok"})

    routes = [Route("GET", "/", index, open=True), Route("GET", "/healthz", healthz, open=True)]
    return Dialect("root", "", routes, lambda request, route: None, fault.keystone, lambda request, response: None)


@functools.lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a request's scheme and Host header name this machine by its loopback."""
    with contextlib.suppress(ValueError):
        return urlsplit(host).hostname in LOOPBACK
    return False


# -- the daemon ------------------------------------------------------------------------------------------------------------


def serve(paths: Paths, settings: Settings, listener: socket.socket, ready: Callable[[dict[str, object]], None]) -> None:
    """Run the control plane until it is told to stop (SIGTERM) or the datacenter ends. Called in the daemon, before any thread exists."""
    import uvloop

    from pileus.kit.server import Server

    _save_memory()
    password = paths.password_file.read_text().strip()
    sockets, drivers, data = [listener], None, None
    datacenter = None
    if settings.drivers == "linux":
        from pileus.drivers.datacenter import attach

        datacenter = attach(paths)
        drivers, data = linux_drivers(settings, datacenter, paths.cache), datacenter.root
    app = build(settings, paths, password, drivers=drivers, data=data)

    async def run() -> None:
        port = listener.getsockname()[1]
        await app.start()
        if datacenter is not None:
            sockets.append(datacenter.netns.run("outside", lambda: _twin(port)))
        await Server(app.web.app).run_on(sockets, lambda: _up(ready, settings))
        await app.stop()

    uvloop.run(run())


def _up(ready: Callable[[dict[str, object]], None], settings: Settings) -> None:
    """Say that the APIs answer."""
    ready({"drivers": settings.drivers})
    gc.collect()
    gc.freeze()  # what start-up made stays: later collections need not look at it
    gc.set_threshold(20_000, 20, 20)  # a request makes hundreds of objects and no cycles


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # mallopt(3)


def _save_memory() -> None:
    """Have the C library give back what is freed: a password hash takes 19 MiB for a moment, and glibc would keep it, per thread."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        libc = ctypes.CDLL(None)
        for option, value in ((M_ARENA_MAX, 2), (M_MMAP_THRESHOLD, 1 << 20), (M_TRIM_THRESHOLD, 1 << 17)):
            libc.mallopt(option, value)


def _twin(port: int) -> socket.socket:
    """The same address in the outside host: clients there reach the APIs by the URL that the catalog gives."""
    twin = socket.socket()
    twin.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    twin.bind(("127.0.0.1", port))
    twin.listen(128)
    twin.setblocking(False)
    return twin
