"""One contract over both drivers of images: what a step promises, the fake keeps too. Then what only real files can show."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.drivers.disks.images import DiskImages
from pileus.drivers.fake.host import FakeHost
from pileus.drivers.fake.images import FakeImages
from pileus.errors import HostError
from pileus.image.host import Facts, Folder, Images, Step
from pileus.image.inspect import inspect
from tests.unit.test_inspect_hostile import HOSTILE, vhd

MIB = 1 << 20
real = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img (qemu-utils)")
Make = Callable[[], Images]


@pytest.fixture(params=["fake", pytest.param("real", marks=real)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A driver over one data folder; asked again, a new one over the same, as after a restart."""
    if request.param == "real":
        return lambda: DiskImages(tmp_path)
    return lambda: FakeImages(FakeHost(tmp_path / "host.json"), tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def upload(folder: Folder, driver: str = "raw") -> str:
    """A whole upload of a disk of 4 MiB in some format."""
    id = str(uuid.uuid4())
    path = folder.upload(id)
    if driver == "raw" or shutil.which("qemu-img") is None:
        path.write_bytes(b"guest" * 1000 + bytes(4 * MIB - 5000))
    else:
        raw = path.with_name(".raw")
        raw.write_bytes(b"guest" * 1000 + bytes(4 * MIB - 5000))
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", driver, str(raw), str(path)], check=True, timeout=60)
        raw.unlink()
    path.chmod(0o444)
    return id


async def facts(images: Images, id: str) -> Facts:
    return (await images.observe(id)).get(id, Facts())


async def test_what_is_there_is_seen_one_by_one_and_all_at_once(make: Make, folder: Folder) -> None:
    images = make()
    assert await images.observe() == {}
    id, other = upload(folder), str(uuid.uuid4())
    folder.partial(other).write_bytes(b"x")
    (folder.uploads / "README").write_bytes(b"not ours")
    assert await images.observe() == {id: Facts(upload=True), other: Facts(partial=True)}
    assert await images.observe(id) == {id: Facts(upload=True)}
    assert await images.observe(str(uuid.uuid4())) == {}


@pytest.mark.parametrize("driver", ["qcow2", "raw", "vpc", "vmdk", "vdi", "vhdx", "parallels"])
async def test_a_base_is_made_once_stays_and_goes(make: Make, folder: Folder, driver: str) -> None:
    images = make()
    id = upload(folder, driver)
    step = Step("link" if driver == "qcow2" else "convert", driver, 4 * MIB + 64 * 1024)
    await images.apply(id, step)
    await images.apply(id, step)
    assert await facts(make(), id) == Facts(upload=True, base=True)
    await make().apply(id, Step("drop_upload"))
    assert await facts(make(), id) == Facts(base=True)
    for _ in range(2):
        await images.apply(id, Step("drop_base"))
    assert await facts(make(), id) == Facts()


async def test_dropping_what_is_not_there_is_harmless(make: Make) -> None:
    images = make()
    for verb in ("drop_base", "drop_upload", "drop_partial"):
        await images.apply(str(uuid.uuid4()), Step(verb))  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["qcow2", "raw"])
@pytest.mark.parametrize("driver", ["qcow2", "raw", "vpc", "vmdk", "vdi", "vhdx", "parallels"])
async def test_what_was_staged_is_converted_beside_itself(make: Make, folder: Folder, driver: str, target: str) -> None:
    images = make()
    id = upload(folder, driver)
    folder.upload(id).rename(folder.stage(id))
    step = Step("convert_stage", driver, 4 * MIB + 64 * 1024, target)
    await images.apply(id, step)
    await images.apply(id, step)
    assert await facts(make(), id) == Facts(stage=True, converted=True)
    with folder.converted(id).open("rb") as file:
        assert inspect(file, target).virtual_size >= 4 * MIB
    assert folder.converted(id).stat().st_mode & 0o222 == 0
    for verb in ("drop_stage", "drop_converted"):
        await images.apply(id, Step(verb))  # type: ignore[arg-type]
    assert await facts(images, id) == Facts()


async def test_nothing_staged_is_nothing_to_convert(make: Make) -> None:
    with pytest.raises(HostError):
        await make().apply(str(uuid.uuid4()), Step("convert_stage", "raw", MIB, "qcow2"))
    assert await make().observe() == {}


@pytest.mark.parametrize("verb", ["link", "convert"])
async def test_a_base_of_nothing_fails_and_leaves_nothing(make: Make, folder: Folder, verb: str) -> None:
    images, id = make(), str(uuid.uuid4())
    with pytest.raises(HostError):
        await images.apply(id, Step(verb, "raw", MIB))  # type: ignore[arg-type]
    assert await images.observe() == {}


@pytest.mark.parametrize("id", ["../../etc/passwd", "", "x", "A" * 36])
async def test_an_id_that_is_none_never_becomes_a_path(make: Make, id: str) -> None:
    with pytest.raises(ValueError, match="is no image id"):
        await make().apply(id, Step("drop_upload"))


# -- real files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disks(tmp_path: Path) -> DiskImages:
    return DiskImages(tmp_path)


def raw_of(path: Path) -> bytes:
    raw = path.with_name(".raw")
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(path), str(raw)], check=True, timeout=60)
    return raw.read_bytes()


def info(path: Path) -> dict[str, object]:
    done = subprocess.run(["qemu-img", "info", "--output=json", str(path)], check=True, capture_output=True, timeout=60)
    said: dict[str, object] = json.loads(done.stdout)
    return said


@real
async def test_a_base_is_a_qcow2_that_stands_alone_and_that_all_may_read(disks: DiskImages, folder: Folder) -> None:
    id = upload(folder, "vmdk")
    await disks.apply(id, Step("convert", "vmdk", 4 * MIB))
    base = folder.base(id)
    said = info(base)
    assert (said["format"], said["virtual-size"], said.get("backing-filename")) == ("qcow2", 4 * MIB, None)
    assert base.stat().st_mode & 0o777 == 0o444
    assert folder.bases.stat().st_mode & 0o777 == 0o711
    assert raw_of(base).startswith(b"guest" * 1000)


@real
async def test_the_base_of_a_qcow2_is_the_upload_under_another_name(disks: DiskImages, folder: Folder) -> None:
    id = upload(folder, "qcow2")
    await disks.apply(id, Step("link", "qcow2"))
    assert folder.base(id).stat().st_ino == folder.upload(id).stat().st_ino
    await disks.apply(id, Step("drop_upload"))
    assert info(folder.base(id))["format"] == "qcow2"


@real
async def test_a_cancelled_conversion_leaves_nothing_running_and_no_half_base(disks: DiskImages, folder: Folder) -> None:
    id = str(uuid.uuid4())
    with folder.upload(id).open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(4 * MIB))
    task = asyncio.create_task(disks.apply(id, Step("convert", "raw", 256 * MIB)))
    while not [name for name in os.listdir(folder.bases) if name.startswith(".")]:
        assert not task.done()
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(folder.bases) == []
    assert await facts(disks, id) == Facts(upload=True)


@real
async def test_a_conversion_that_would_write_too_much_is_stopped(disks: DiskImages, folder: Folder) -> None:
    id = str(uuid.uuid4())
    folder.upload(id).write_bytes(os.urandom(32 * MIB))
    with pytest.raises(HostError):
        await disks.apply(id, Step("convert", "raw", 2 * MIB))  # the row lied about the size
    assert os.listdir(folder.bases) == []


@real
async def test_what_a_kill_left_half_done_goes_at_start(tmp_path: Path, folder: Folder) -> None:
    folder.make()
    for place in (folder.bases, folder.uploads):
        (place / f".{uuid.uuid4()}.qcow2.1234").write_bytes(b"half")
    assert await DiskImages(tmp_path).observe() == {}
    assert os.listdir(folder.bases) == os.listdir(folder.uploads) == []


@real
async def test_an_opinion(disks: DiskImages, folder: Folder) -> None:
    for driver in ("raw", "qcow2", "vmdk", "vdi", "vhdx", "parallels"):
        said = await disks.opinion(folder.upload(upload(folder, driver)), driver)
        assert said
        assert (said.format, said.virtual_size) == (driver, 4 * MIB)
    fixed = folder.uploads / "fixed"
    fixed.write_bytes(vhd(kind=2))
    said = await disks.opinion(fixed, "vpc")
    assert said
    assert (said.format, said.virtual_size) == ("vpc", 8 * MIB)


@real
async def test_an_opinion_of_what_cannot_be_read_is_an_error(disks: DiskImages, folder: Folder) -> None:
    path = folder.uploads / "bad"
    path.write_bytes(HOSTILE["version 9"][1]())
    with pytest.raises(HostError, match="qemu-img"):
        await disks.opinion(path, "qcow2")


@real
async def test_an_opinion_sees_what_our_inspection_does_not_know(disks: DiskImages, folder: Folder) -> None:
    """A format that only QEMU knows is nothing but bytes to us: the two disagree, and the upload is refused (tests/api)."""
    path = folder.uploads / "cloop"
    path.write_bytes(CLOOP)
    said = await disks.opinion(path, "raw")
    assert said
    assert said.format == "cloop"


CLOOP = (
    b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n".ljust(128, b"\0")
    + struct.pack(">IIQQ", 512, 1, 152, 160)
    + bytes(600)
)


@real
async def test_qemu_img_is_confined(disks: DiskImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs in qemu-img's place sees its limits, and no network beyond loopback where namespaces are allowed."""
    program = tmp_path / "bin" / "qemu-img"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nulimit -v >&2; ulimit -t >&2; tail -n +3 /proc/net/dev | cut -d: -f1 >&2; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(HostError) as error:
        await disks.opinion(tmp_path / "x", "raw")
    memory, seconds, *links = str(error.value).split("\n  $")[0].rpartition("status 3: ")[2].split()
    assert (int(memory), int(seconds)) == (1024 * 1024, 10)
    assert links == ["lo"] or "unshare" not in (disks._confine or [])
