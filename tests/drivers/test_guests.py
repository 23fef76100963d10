"""What every driver of guests promises, asked of the fake one and of QEMU."""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pileus.compute.host import (
    GIB,
    NOTHING,
    SLOTS,
    Disk,
    Facts,
    Guest,
    Guests,
    Nic,
    Process,
    Refused,
    Step,
    Unfit,
    Want,
    name_of,
    plan,
)
from pileus.drivers.disks.servers import ServerDisks
from pileus.drivers.fake.compute import FakeGuests
from pileus.drivers.fake.host import FakeHost
from pileus.drivers.qemu import QemuGuests, cards
from pileus.drivers.qemu.argv import Machine, build
from pileus.drivers.qemu.qmp import Qmp
from pileus.errors import HostError
from tests.drivers.local_holder import LocalHolder
from tests.drivers.tiny_guest import GREETING, kernel

ID, OTHER = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
IMAGE, KERNEL = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
DISK = Disk(IMAGE, 1, KERNEL)
GUEST = Guest("a name, with a comma", 64, 1, cmdline="quiet", uid=4711)
CLONE_NEWNET = 0x40000000
TUNSETIFF, TAP_FLAGS = 0x400454CA, 0x5002  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
SECONDS = 20.0  # until what must happen has happened, on a loaded machine


@dataclass
class Rig:
    """A driver, and what a guest does of its own accord."""

    guests: Guests
    again: Callable[[], Guests]  # the same host seen by a control plane that has just started
    power_off: Callable[[str], Awaitable[None]]  # from within
    kill: Callable[[str], None]
    real: bool
    data: Path
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    async def facts(self, id: str = ID) -> Facts:
        return (await self.guests.observe(id)).get(id, NOTHING)

    async def bring(self, power: str, generation: int = 1, id: str = ID, disk: Disk = DISK, **more: Any) -> Facts:
        want = Want(id, power, generation, disk=disk, guest=GUEST, **more)  # type: ignore[arg-type]
        await self.guests.apply(id, plan(want, await self.facts(id)))
        return await self.facts(id)

    async def until(self, true: Callable[[Facts], bool], id: str = ID) -> Facts:
        async with asyncio.timeout(SECONDS):
            while not true(facts := await self.facts(id)):  # noqa: ASYNC110 - a guest sets no event of ours
                await asyncio.sleep(0.01)
        return facts

    async def log(self, has: bytes) -> bytes:
        async with asyncio.timeout(SECONDS):
            while has not in (text := await self.guests.console_log(ID, 10000)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return text


def fake_rig(path: Path) -> Rig:
    host = FakeHost(path / "host.json")
    guests = FakeGuests(host)

    async def power_off(id: str) -> None:
        guests.end(id, 0)

    def again() -> FakeGuests:
        host.close()  # what it would have written a moment later
        return FakeGuests(FakeHost(path / "host.json"))

    return Rig(guests, again, power_off, lambda id: guests.end(id, -9), False, path)


def make_base(data: Path, size: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", data / "base" / f"{IMAGE}.qcow2", size], check=True)


def status_of(pid: int) -> dict[str, str]:
    """/proc/<pid>/status, and the command line under the name `argv`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return {**dict(line.split(":\t", 1) for line in lines if ":\t" in line), "argv": command}


def open_tap(port: str) -> int:
    """A tap in a network namespace that ends with its descriptor."""

    def make() -> int:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tap0", TAP_FLAGS))
        return fd

    with ThreadPoolExecutor(1) as alone:
        return alone.submit(make).result()


def qemu_rig(path: Path, holder: LocalHolder) -> Rig:
    for folder in ("images", "base"):
        (path / folder).mkdir()
    path.chmod(0o711)
    make_base(path, "64M")
    (path / "images" / KERNEL).write_bytes(kernel())
    for file in (path / "base" / f"{IMAGE}.qcow2", path / "images" / KERNEL):
        file.chmod(0o444)

    def driver() -> QemuGuests:
        return QemuGuests(holder, ServerDisks(path), open_tap, data=path, cache=path, accel="tcg")

    guests = driver()

    async def power_off(id: str) -> None:
        stream = await guests.console(id)
        stream.writer.write(b"p")
        await stream.writer.drain()
        stream.writer.close()

    def kill(id: str) -> None:
        for name, process in holder.list()[0].items():
            if name.startswith(f"server-{id}."):
                os.kill(process.pid, signal.SIGKILL)

    return Rig(guests, driver, power_off, kill, True, path)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own, which no other user may walk: a guest's has to reach its kernel."""
    path = Path(tempfile.mkdtemp(prefix="pileus-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["fake", pytest.param("qemu", marks=pytest.mark.kernel)])
async def rig(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield fake_rig(folder)
        return
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("there is no qemu-system-x86_64")
    holder = LocalHolder()
    try:
        yield qemu_rig(folder, holder)
    finally:
        holder.close()


async def test_nothing_is_there_before(rig: Rig) -> None:
    assert await rig.guests.observe() == {}
    assert await rig.guests.observe(ID) == {}
    assert await rig.guests.console_log(ID, 100) == b""


async def test_a_guest_from_nothing_to_nothing(rig: Rig) -> None:
    facts = await rig.bring("on", drive={"openstack/latest/meta_data.json": b"{}"})
    assert (facts.folder, facts.disk, facts.drive, list(facts.living), dict(facts.ended)) == (True, GIB, True, [1], {})
    assert plan(Want(ID, "on", 1, disk=DISK, guest=GUEST, drive={}), facts) == []
    await rig.log(GREETING if rig.real else b"login: ")
    assert await rig.bring("off") == Facts(True, GIB, True)
    assert await rig.guests.console_log(ID, 100), "the log of a guest that has ended can be read"
    assert await rig.bring("gone") == NOTHING
    assert await rig.guests.observe() == {}


async def test_steps_are_harmless_when_they_are_done_already(rig: Rig) -> None:
    await rig.bring("on")
    before = (await rig.facts()).living
    start = Step("start", 1, disk=DISK, guest=GUEST)
    await rig.guests.apply(ID, [Step("make_disk", disk=DISK), start])
    assert (await rig.facts()).living == before
    for _ in range(2):
        await rig.guests.apply(ID, [Step("stop", 1), Step("forget", 1)])
    for _ in range(2):
        await rig.guests.apply(ID, [Step("remove")])
    assert await rig.guests.observe() == {}


async def test_a_reboot_keeps_the_disk(rig: Rig) -> None:
    first = await rig.bring("on")
    second = await rig.bring("on", 2)
    assert list(second.living) == [2]
    assert second.living[2] != first.living[1]
    assert second.disk == GIB


async def test_a_disk_grows_while_no_guest_has_it(rig: Rig) -> None:
    await rig.bring("on")
    larger = Disk(IMAGE, 2, KERNEL)
    assert (await rig.bring("on", disk=larger)).disk == GIB
    assert (await rig.bring("on", 2, disk=larger)).disk == 2 * GIB
    assert (await rig.bring("on", 3, disk=DISK)).disk == 2 * GIB


async def test_a_guest_that_powers_itself_off_leaves_status_0(rig: Rig) -> None:
    await rig.bring("on")
    await rig.log(GREETING if rig.real else b"login: ")
    await rig.power_off(ID)
    facts = await rig.until(lambda facts: not facts.living)
    assert dict(facts.ended) == {1: 0}
    await rig.guests.apply(ID, [Step("forget", 1)])
    assert not (await rig.facts()).ended


async def test_a_guest_that_is_killed_leaves_the_signal_and_can_start_again(rig: Rig) -> None:
    await rig.bring("on")
    rig.kill(ID)
    facts = await rig.until(lambda facts: not facts.living)
    assert dict(facts.ended) == {1: -9}
    facts = await rig.bring("on")
    assert (list(facts.living), dict(facts.ended)) == ([1], {})


async def test_a_guest_that_is_asked_ends_well(rig: Rig) -> None:
    await rig.bring("on")
    await rig.log(GREETING if rig.real else b"login: ")
    await rig.bring("off", soft=True)
    facts = await rig.until(lambda facts: not facts.living)
    assert dict(facts.ended) == {1: 0}


async def test_asking_a_guest_that_is_gone_is_no_failure(rig: Rig) -> None:
    await rig.bring("on")
    await rig.bring("off")
    await rig.guests.apply(ID, [Step("ask", 1)])


async def test_events_tell_of_endings(rig: Rig) -> None:
    await rig.bring("on")
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def listen() -> None:
        async for key in rig.guests.events():
            told.put_nowait(key)

    task = asyncio.create_task(listen())
    await asyncio.sleep(0.05)
    rig.kill(ID)
    assert await asyncio.wait_for(told.get(), SECONDS) == ("server", ID)
    task.cancel()
    late = rig.guests.events()  # type: ignore[var-annotated]
    assert await asyncio.wait_for(anext(late), SECONDS) == ("server", ID), "what was not forgotten is told to whoever comes later"
    await late.aclose()  # type: ignore[attr-defined]


async def test_the_console_is_two_ways(rig: Rig) -> None:
    await rig.bring("on")
    await rig.log(GREETING if rig.real else b"login: ")
    for _ in range(2):  # one client after the other
        stream = await rig.guests.console(ID)
        stream.writer.write(b"xyz")
        assert await asyncio.wait_for(stream.reader.readexactly(3), SECONDS) == b"xyz"
        stream.writer.close()
        await stream.writer.wait_closed()
    await rig.bring("off")
    with pytest.raises(HostError):
        await rig.guests.console(ID)


async def test_a_new_control_plane_finds_what_there_is(rig: Rig) -> None:
    await rig.bring("on")
    await rig.guests.apply(OTHER, [Step("make_disk", disk=DISK)])
    before = await rig.guests.observe()
    assert before.keys() == {ID, OTHER}
    assert before[OTHER] == Facts(True, GIB)
    assert await rig.again().observe() == before


async def test_starting_without_a_disk_is_unfit(rig: Rig) -> None:
    with pytest.raises(Unfit):
        await rig.guests.apply(ID, [Step("start", 1, disk=DISK, guest=GUEST)])


async def test_host_facts_are_numbers_that_make_sense(rig: Rig) -> None:
    facts = rig.guests.host_facts()
    assert facts["vcpus"] >= 1
    assert facts["memory_mb"] > 100
    assert facts["disk_gb"] >= 1
    assert facts["hypervisor_type"] in ("fake", "QEMU")
    assert facts["hypervisor_version"] >= 1_000_000
    json.dumps(dict(facts))


# -- QEMU alone ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def qemu(folder: Path) -> AsyncIterator[Rig]:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("there is no qemu-system-x86_64")
    holder = LocalHolder()
    try:
        yield qemu_rig(folder, holder)
    finally:
        holder.close()


def process_of(facts: Facts) -> Process:
    return next(iter(facts.living.values()))


@pytest.mark.kernel
async def test_a_guest_that_cannot_start_says_why(qemu: Rig) -> None:
    (qemu.data / "images" / KERNEL).chmod(0o644)
    (qemu.data / "images" / KERNEL).write_bytes(b"\x7fELF\x02\x01\x01" + bytes(100))
    with pytest.raises(HostError, match=r"^The guest could not be started: its kernel image is not one that can be started \("):
        await qemu.bring("on")
    facts = await qemu.facts()
    assert not facts.living
    assert not facts.ended


@pytest.mark.kernel
async def test_an_image_larger_than_the_disk_is_unfit(qemu: Rig) -> None:
    (qemu.data / "base" / f"{IMAGE}.qcow2").unlink()
    make_base(qemu.data, "1025M")
    with pytest.raises(Unfit, match=f"Image {IMAGE} needs a disk of 2 GiB; the flavor has 1."):
        await qemu.bring("on")
    assert (await qemu.bring("on", disk=Disk(IMAGE, 0, KERNEL))).disk == 1025 << 20, "0 is as large as the image"


@pytest.mark.kernel
async def test_an_image_that_is_gone_is_unfit(qemu: Rig) -> None:
    with pytest.raises(Unfit, match="has been deleted"):
        await qemu.bring("on", disk=Disk(OTHER, 1))


@pytest.mark.kernel
async def test_the_image_may_go_while_the_server_lives(qemu: Rig) -> None:
    await qemu.bring("on")
    (qemu.data / "base" / f"{IMAGE}.qcow2").unlink()
    (qemu.data / "images" / KERNEL).unlink()
    assert list((await qemu.bring("on", 2)).living) == [2]


@pytest.mark.kernel
async def test_a_guest_has_no_rights_and_no_files_of_the_user(qemu: Rig) -> None:
    if os.getuid():
        pytest.skip("another user for the guest needs root here, or the datacenter")
    process = process_of(await qemu.bring("on"))
    status = status_of(process.pid)
    assert status["Uid"].split() == ["4711"] * 4
    assert int(status["CapEff"], 16) == 0
    assert status["Seccomp"] == "2"
    owners = {file.stat().st_uid for file in qemu.data.rglob("servers/*/*")}
    assert owners == {0}, "what a guest is handed stays the user's"
    assert "guest=a name,, with a comma,debug-threads=on" in status["argv"]


@pytest.mark.kernel
async def test_a_guest_whose_qemu_was_told_to_end_has_not_powered_itself_off(qemu: Rig) -> None:
    os.kill(process_of(await qemu.bring("on")).pid, signal.SIGTERM)
    facts = await qemu.until(lambda facts: not facts.living)
    assert dict(facts.ended) == {1: -signal.SIGTERM}


@pytest.mark.kernel
async def test_two_guests_share_a_base(qemu: Rig) -> None:
    await qemu.bring("on")
    assert list((await qemu.bring("on", id=OTHER)).living) == [1]
    assert list((await qemu.facts()).living) == [1]


@pytest.mark.kernel
async def test_a_guest_that_stops_answering_is_killed(qemu: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pileus.drivers.qemu.driver.TERM_SECONDS", 0.3)
    process = process_of(await qemu.bring("on"))
    os.kill(process.pid, signal.SIGSTOP)
    assert await qemu.bring("off") == Facts(True, GIB)


@pytest.mark.kernel
async def test_what_a_killed_control_plane_left_half_done_is_done_again(qemu: Rig) -> None:
    folder = qemu.data / "servers" / ID
    folder.mkdir()
    os.link(qemu.data / "base" / f"{IMAGE}.qcow2", folder / "base")
    (folder / "disk.qcow2.new").write_bytes(b"half")
    (folder / "config.iso.new").write_bytes(b"half")
    (folder / "qmp").touch()
    facts = await qemu.bring("on", drive={"a": b"b"})
    assert (list(facts.living), facts.disk, facts.drive) == ([1], GIB, True)
    assert name_of(ID, 1) == f"server-{ID}.1"


# -- network cards of a guest that runs ------------------------------------------------------------------------------------------


def card(n: int) -> Nic:
    return Nic(f"00000000-0000-0000-0000-0000000000{n:02x}", f"fa:16:3e:00:00:{n:02x}", 1450)


async def test_cards_are_plugged_into_a_guest_that_runs(rig: Rig) -> None:
    first = await rig.bring("on")
    assert first.nics == frozenset()
    for n in (1, 2, 1):  # harmless when it is there
        await rig.guests.apply(ID, [Step("plug", 1, nic=card(n))])
    facts = await rig.facts()
    assert facts.nics == {card(1).port, card(2).port}
    assert facts.living == first.living
    assert (await rig.again().observe(ID))[ID] == facts
    assert (await rig.bring("off")).nics is None


async def test_a_guest_that_does_not_let_go_keeps_its_card(rig: Rig) -> None:
    """The tiny guest knows nothing of devices that come and go; the fake one is told not to."""
    await rig.bring("on")
    await rig.guests.apply(ID, [Step("plug", 1, nic=card(1))])
    if isinstance(rig.guests, FakeGuests):
        rig.guests.deaf = True
    for _ in range(2):
        await rig.guests.apply(ID, [Step("unplug", 1, port=card(1).port)])
        assert (await rig.facts()).nics == {card(1).port}
    await rig.guests.apply(ID, [Step("unplug", 1, port=card(9).port)])


async def test_a_machine_has_so_many_places(rig: Rig) -> None:
    await rig.bring("on")
    await rig.guests.apply(ID, [Step("plug", 1, nic=card(n)) for n in range(SLOTS)])
    with pytest.raises(Refused, match="are taken") as refused:
        await rig.guests.apply(ID, [Step("plug", 1, nic=card(SLOTS))])
    assert refused.value.port == card(SLOTS).port
    assert len((await rig.facts()).nics or ()) == SLOTS


async def test_nothing_is_plugged_into_a_guest_that_does_not_run(rig: Rig) -> None:
    await rig.bring("on")
    await rig.bring("off")
    with pytest.raises(HostError):
        await rig.guests.apply(ID, [Step("plug", 1, nic=card(1))])


async def test_the_cards_a_guest_starts_with_are_known_at_once(rig: Rig) -> None:
    guest = dataclasses.replace(GUEST, nics=(card(1), card(2)))
    want = Want(ID, "on", 1, disk=DISK, guest=guest)
    await rig.guests.apply(ID, plan(want, await rig.facts()))
    facts = await rig.facts()
    assert facts.nics == {card(1).port, card(2).port}
    assert plan(want, facts) == []


@pytest.mark.kernel
@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="there is no qemu-system-x86_64")
async def test_cards_are_known_before_the_firmware_has_looked_at_the_bus(folder: Path) -> None:
    """A card that were taken for missing would be plugged in again, and its packets would go nowhere. Here no instruction is ever run."""
    argv = build(Machine(ID, dataclasses.replace(GUEST, nics=(card(1),)), "tcg")).argv
    devices = [word for n, word in enumerate(argv) if argv[n - 1] == "-device" and word.startswith(("pcie-root-port", "virtio-net"))]
    monitor = folder / "qmp"
    command = [argv[0], "-S", "-nodefaults", "-machine", "q35", "-display", "none", "-netdev", f"user,id=net-{card(1).port}"]
    command += [*(word for device in devices for word in ("-device", device)), "-qmp", f"unix:{monitor},server=on,wait=off"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: ASYNC220
        try:
            async with asyncio.timeout(SECONDS):
                while not monitor.exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            async with Qmp(str(monitor)) as qmp:
                assert await cards.plugged(qmp) == {card(1).port}
                await cards.plug(qmp, card(1), lambda port: pytest.fail("it is there"))
        finally:
            process.kill()
