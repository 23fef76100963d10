"""Guests on a real host: what there is, found in the holder's list and in files, and each step that changes it.

Everything a guest's QEMU may touch is opened here and handed over as a descriptor, so its own user needs no right to any of it. Not here:
how a disk is made (drivers/disks), where a tap comes from (drivers/linuxnet), the command line (argv.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pileus.compute.host import BASE, DISK, INITRD, KERNEL, Disk, Facts, Features, Process, Step, Stream, Unfit, name_of, parse_name
from pileus.drivers.qemu import cards, iso, machine
from pileus.drivers.qemu.accel import Accel
from pileus.drivers.qemu.argv import Boot, Machine, build
from pileus.drivers.qemu.log import tail, trim
from pileus.drivers.qemu.qmp import Qmp
from pileus.drivers.qemu.words import meaning
from pileus.errors import HostError
from pileus.kit.loop import Key

log = logging.getLogger("pileus.qemu")
T = TypeVar("T")

DRIVE, QMP, SERIAL, CONSOLE, WORDS = "config.iso", "qmp", "serial", "console.log", "qemu.log"
OOM_SCORE_ADJ = 300  # when memory runs out a guest goes before whoever runs it
TERM_SECONDS, KILL_SECONDS = 5.0, 10.0
ASK_SECONDS = 5.0  # a guest is asked again, so a monitor that does not answer need not be waited for
LOOK_SECONDS, LOOKS = 3.0, 32  # for the monitor of one guest to say what it has; so many side by side
TRIM_SECONDS = 10.0
PROBE = "kvm-probe"


class Running(Protocol):
    @property
    def pid(self) -> int: ...
    @property
    def start(self) -> int: ...


class Ended(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def status(self) -> int: ...


class Holder(Protocol):
    """Whoever starts and reaps processes: the datacenter's holder."""

    def spawn(
        self, name: str, argv: list[str], *, netns: str | None = None, fds: dict[int, int] | None = None, log: str | None = None,
        uid: int | None = None, oom_score_adj: int = 0,
    ) -> Running: ...  # fmt: skip

    def list(self) -> tuple[Mapping[str, Running], Mapping[str, Ended]]: ...
    def kill(self, name: str, signal: int) -> None: ...
    def acknowledge(self, name: str) -> None: ...
    def exits(self) -> AsyncIterator[Ended]: ...


class Disks(Protocol):
    """Whoever makes root disks: drivers/disks."""

    def folder(self, id: str) -> Path: ...
    def observe(self, id: str | None = None) -> dict[str, int | None]: ...
    async def make(self, id: str, disk: Disk) -> None: ...
    async def grow(self, id: str, disk: Disk) -> None: ...
    async def remove(self, id: str) -> None: ...


class QemuGuests:
    """Implements `Guests`.

    open_tap   a descriptor of the tap of a port, by the port's id
    uid_count  how many users guests may be given; 0: none
    data       the data folder as this process and the holder see it
    netns      the network namespace that QEMU itself lives in, best one with nothing in it: a guest's packets go by its taps
    accel      auto, kvm or tcg
    """

    def __init__(
        self,
        holder: Holder,
        disks: Disks,
        open_tap: Callable[[str], int],
        *,
        data: Path,
        cache: Path,
        uid_count: int = 0,
        netns: str | None = None,
        accel: str = "auto",
    ) -> None:
        self.holder, self.disks, self.open_tap, self.uid_count = holder, disks, open_tap, uid_count
        self.data, self.netns = data, netns
        self.accel = Accel(self._probe, data, cache, accel)
        self._monitors = asyncio.Semaphore(LOOKS)
        self._qboot = machine.has_firmware("qboot.rom")

    @property
    def features(self) -> Features:
        return Features(self.accel.known, frozenset({"serial"}))

    def host_facts(self) -> dict[str, Any]:
        living, _ = self.holder.list()
        guests = [process.pid for name, process in living.items() if parse_name(name)]
        return machine.facts(guests, self.data, self.uid_count)

    # -- what there is -------------------------------------------------------------------------------------------------------

    async def observe(self, id: str | None = None) -> dict[str, Facts]:
        found = await asyncio.to_thread(self._observe, id)
        running = [one for one, facts in found.items() if len(facts.living) == 1]
        for one, nics in zip(running, await asyncio.gather(*map(self._plugged, running)), strict=True):
            found[one] = dataclasses.replace(found[one], nics=nics)
        return found

    async def _plugged(self, id: str) -> frozenset[str] | None:
        async with self._monitors:
            try:
                async with Qmp(str(self.disks.folder(id) / QMP), LOOK_SECONDS) as qmp:
                    return await cards.plugged(qmp)
            except HostError as error:
                log.info("the network cards of server %s are not known: %s", id, error)
                return None

    def _observe(self, id: str | None) -> dict[str, Facts]:
        living: dict[str, dict[int, Process]] = {}
        ended: dict[str, dict[int, int]] = {}
        alive, over = self.holder.list()
        for name, process in alive.items():
            if (guest := parse_name(name)) and id in (None, guest[0]):
                living.setdefault(guest[0], {})[guest[1]] = Process(process.pid, process.start)
        for name, end in over.items():
            if (guest := parse_name(name)) and id in (None, guest[0]):
                ended.setdefault(guest[0], {})[guest[1]] = end.status or self._terminated(guest[0])
        disks = self.disks.observe(id)
        return {
            one: Facts(
                folder=one in disks,
                disk=disks.get(one),
                drive=(self.disks.folder(one) / DRIVE).exists(),
                living=living.get(one, {}),
                ended=ended.get(one, {}),
            )
            for one in {*living, *ended, *disks}
        }

    def _terminated(self, id: str) -> int:
        """QEMU ends with status 0 as well when somebody else sends it SIGTERM: that is no guest that powered itself off."""
        try:
            said = (self.disks.folder(id) / WORDS).read_bytes()[-4096:]
        except OSError:
            return 0
        return -signal.SIGTERM if b"terminating on signal" in said else 0

    async def console(self, id: str) -> Stream:
        path = str(self.disks.folder(id) / SERIAL)
        try:
            return Stream(*await asyncio.open_unix_connection(path))
        except OSError as error:
            raise HostError(f"server {id} has no console now: {error.strerror}") from error

    async def console_log(self, id: str, size: int) -> bytes:
        try:
            return await asyncio.to_thread(tail, self.disks.folder(id) / CONSOLE, size)
        except OSError as error:
            raise HostError(f"the console log of server {id}: {error.strerror}") from error

    async def events(self) -> AsyncIterator[Key]:
        self.accel.begin()  # nobody waits for it before the first guest starts
        trimming = asyncio.create_task(self._trim_logs(), name="console logs")
        try:
            async for end in self.holder.exits():
                if guest := parse_name(end.name):
                    yield "server", guest[0]
        finally:
            trimming.cancel()

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            with contextlib.suppress(HostError, OSError):
                await asyncio.to_thread(lambda: [trim(self.disks.folder(one) / CONSOLE) for one in self.disks.observe()])

    # -- steps ---------------------------------------------------------------------------------------------------------------

    async def apply(self, id: str, steps: Sequence[Step]) -> None:
        for step in steps:
            match step.verb:
                case "make_disk" if step.disk:
                    await self.disks.make(id, step.disk)
                case "grow_disk" if step.disk:
                    await self.disks.grow(id, step.disk)
                case "write_drive" if step.drive is not None:
                    await asyncio.to_thread(self._write_drive, id, step.drive)
                case "start":
                    await self._start(id, step)
                case "plug" if step.nic:
                    async with Qmp(str(self.disks.folder(id) / QMP)) as qmp:
                        await cards.plug(qmp, step.nic, self.open_tap)
                case "unplug":
                    async with Qmp(str(self.disks.folder(id) / QMP)) as qmp:
                        await cards.unplug(qmp, step.port)
                case "ask":
                    await self._ask(id, step.generation)
                case "stop":
                    await self._stop(name_of(id, step.generation))
                case "forget":
                    await asyncio.to_thread(self._forget, name_of(id, step.generation))
                case "remove":
                    await self.disks.remove(id)
                case _:
                    raise ValueError(f"an incomplete step: {step}")

    def _write_drive(self, id: str, files: Mapping[str, bytes]) -> None:
        folder = self.disks.folder(id)
        new = folder / f"{DRIVE}.new"
        try:
            new.write_bytes(iso.write(files, "config-2"))
            new.chmod(0o400)
            os.replace(new, folder / DRIVE)
        except OSError as error:
            raise HostError(f"the config drive of server {id}: {error.strerror}: {error.filename}") from error

    async def _ask(self, id: str, generation: int) -> None:
        """Press the power button. A guest that cannot be asked is ended when its time is over, so that is no failure."""
        try:
            async with Qmp(str(self.disks.folder(id) / QMP), ASK_SECONDS) as qmp:
                await qmp("system_powerdown")
        except HostError as error:
            log.info("server %s (boot %d) cannot be asked to shut down: %s", id, generation, error)

    def _forget(self, name: str) -> None:
        if name in self.holder.list()[1]:
            self.holder.acknowledge(name)

    async def _stop(self, name: str) -> None:
        """End QEMU: first let it write what it holds of its disks."""
        for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            process = (await self._list())[0].get(name)
            if process is None:
                return
            await asyncio.to_thread(self.holder.kill, name, number)
            if await self._ends(name, process.pid, seconds):
                return
        raise HostError(f"{name} does not end, not even by SIGKILL: its process waits for a device that does not answer")

    async def _ends(self, name: str, pid: int, seconds: float) -> bool:
        """Wait until a process has ended and its status is known; whether it did in time."""
        until = asyncio.get_running_loop().time() + seconds
        with contextlib.suppress(ProcessLookupError):
            await _pid_ends(pid, seconds)
        while name in (await self._list())[0]:  # the holder reaps it a moment later
            if asyncio.get_running_loop().time() > until:
                return False
            await asyncio.sleep(0.005)
        return True

    async def _list(self) -> tuple[Mapping[str, Running], Mapping[str, Ended]]:
        return await asyncio.to_thread(self.holder.list)

    # -- start ---------------------------------------------------------------------------------------------------------------

    async def _start(self, id: str, step: Step) -> None:
        name = name_of(id, step.generation)
        if name in (await self._list())[0]:
            return
        folder = self.disks.folder(id)
        wanted = self._machine(id, step, await self.accel.chosen())
        await asyncio.to_thread(self._spawn, name, folder, wanted)
        try:
            async with Qmp(str(folder / QMP)) as qmp:
                await qmp("query-status")
        except HostError as error:
            raise await self._failed(name, folder, wanted, error) from None

    def _machine(self, id: str, step: Step, accel: str) -> Machine:
        if step.guest is None:
            raise ValueError(f"an incomplete step: {step}")
        folder = self.disks.folder(id)
        boot = None
        if step.disk and step.disk.kernel:
            boot = Boot(str(folder / KERNEL), str(folder / INITRD) if step.disk.initrd else None, step.guest.cmdline)
        return Machine(id, step.guest, accel, boot, (folder / DRIVE).exists(), self._qboot)

    def _spawn(self, name: str, folder: Path, wanted: Machine) -> None:
        line = build(wanted)
        with contextlib.ExitStack() as ours:  # what is QEMU's is closed here as soon as it has it

            def opened(fd: int) -> int:
                ours.callback(os.close, fd)
                return fd

            try:
                have = {
                    "qmp": ours.enter_context(_listen(folder / QMP)).fileno(),
                    "serial": ours.enter_context(_listen(folder / SERIAL)).fileno(),
                    "log": opened(os.open(folder / CONSOLE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)),
                    "disk": opened(os.open(folder / DISK, os.O_RDWR | os.O_CLOEXEC)),
                    "base": opened(os.open(folder / BASE, os.O_RDONLY | os.O_CLOEXEC)),
                }
                if wanted.drive:
                    have["drive"] = opened(os.open(folder / DRIVE, os.O_RDONLY | os.O_CLOEXEC))
                (folder / WORDS).unlink(missing_ok=True)
            except FileNotFoundError as error:
                raise Unfit(f"A file of this server is missing: {error.filename}.") from error
            except OSError as error:
                raise HostError(f"server {wanted.id}: {error.strerror}: {error.filename}") from error
            for n, nic in enumerate(wanted.guest.nics):
                have[f"tap{n}"] = opened(self.open_tap(nic.port))
            fds = {number: have[what] for what, number in line.fds.items()}
            self.holder.spawn(
                name, line.argv, netns=self.netns, fds=fds, log=str(folder / WORDS), uid=wanted.guest.uid, oom_score_adj=OOM_SCORE_ADJ
            )

    async def _failed(self, name: str, folder: Path, wanted: Machine, error: HostError) -> HostError:
        """Clear away a guest that did not come up, and say why it did not."""
        await self._stop(name)
        await asyncio.to_thread(self._forget, name)
        said = ""
        with contextlib.suppress(OSError):
            said = (folder / WORDS).read_text(errors="replace")[-4000:]
        why = meaning(said) if said else str(error)
        if wanted.accel == "kvm" and "kvm" in said.lower():
            self.accel.refuse(why)
        log.error("server %s did not start: %s\n%s", wanted.id, why, said)
        return HostError(f"The guest could not be started: {why}.")

    # -- the KVM probe -------------------------------------------------------------------------------------------------------

    async def _probe(self, argv: list[str], seconds: float) -> int | None:
        """Run the probe as a guest would be run; its exit status, or None when it had to be killed."""
        await asyncio.to_thread(self._forget, PROBE)  # left over from a control plane that was killed in the middle
        if PROBE not in (await self._list())[0]:
            uid = self.uid_count or None  # the last one: servers are given the first free
            process = await asyncio.to_thread(lambda: self.holder.spawn(PROBE, argv, netns=self.netns, uid=uid))
        else:
            process = (await self._list())[0][PROBE]
        ended = await self._ends(PROBE, process.pid, seconds)
        if not ended:
            await self._stop(PROBE)
        status = (await self._list())[1][PROBE].status
        await asyncio.to_thread(self._forget, PROBE)
        return status if ended else None


def _listen(path: Path) -> socket.socket:
    """A unix socket that QEMU will accept on; one of the boot before is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


async def _pid_ends(pid: int, seconds: float) -> None:
    """Wait until a process ends, or the time is over. Raises ProcessLookupError when it has."""
    loop = asyncio.get_running_loop()
    fd = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop.add_reader(fd, ended.set)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), seconds)
    finally:
        loop.remove_reader(fd)
        os.close(fd)
