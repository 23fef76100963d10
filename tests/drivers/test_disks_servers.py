"""Root disks of servers: what QEMU makes of them, and what a crash may leave. (That guests run on them: test_guests.py.)"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pileus.compute.host import GIB, Disk, Unfit
from pileus.drivers.disks.overlay import SIZE_MAX, overlay
from pileus.drivers.disks.servers import ServerDisks, virtual_size
from pileus.errors import HostError

ID, IMAGE = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-000000000001"
pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"), reason="there is no qemu-img")


def qemu_img(*argv: object) -> str:
    return subprocess.run(["qemu-img", *map(str, argv)], capture_output=True, text=True, check=True).stdout


def qemu_io(disk: Path, *commands: str) -> str:
    argv = ["qemu-io", "-f", "qcow2", *(word for command in commands for word in ("-c", command)), str(disk)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def disks(tmp_path: Path) -> ServerDisks:
    """With an image of 3 MiB that has bytes in it."""
    for folder in ("images", "base"):
        (tmp_path / folder).mkdir()
    raw = tmp_path / "raw"
    raw.write_bytes(os.urandom(1 << 20) + bytes(1 << 20) + b"end" * 1000)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, tmp_path / "base" / f"{IMAGE}.qcow2")
    return ServerDisks(tmp_path)


@pytest.mark.parametrize("size", [512, 1000, 1 << 20, (512 << 20) + 512, 50 * GIB, SIZE_MAX])
def test_an_overlay_is_what_qemu_img_would_have_made(tmp_path: Path, size: int) -> None:
    qemu_img("create", "-q", "-f", "qcow2", tmp_path / "base", "512")
    (tmp_path / "mine").write_bytes(overlay(size, "base"))
    qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base", tmp_path / "theirs", str(-(-size // 512) * 512))

    def told(name: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(qemu_img("info", "--output=json", tmp_path / name))
        return {
            key: said[key]
            for key in ("virtual-size", "format", "backing-filename", "backing-filename-format", "cluster-size", "format-specific")
        }

    assert told("mine") == told("theirs")
    assert "No errors were found" in qemu_img("check", tmp_path / "mine")
    assert virtual_size(tmp_path / "mine") == told("mine")["virtual-size"]


@pytest.mark.parametrize("size", [0, -1, SIZE_MAX + 512])
def test_a_size_that_does_not_fit_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="a disk has between"):
        overlay(size, "base")


async def test_a_disk_reads_as_its_image_and_keeps_what_is_written(disks: ServerDisks) -> None:
    await disks.make(ID, Disk(IMAGE, 1))
    disk, base = disks.folder(ID) / "disk.qcow2", disks.folder(ID) / "base"
    assert "identical" in qemu_img("compare", disk, base)
    qemu_io(disk, "write -P 7 600M 64k", "write -P 8 0 512")
    assert "No errors" in qemu_img("check", disk)
    written = disk.stat().st_size
    await disks.make(ID, Disk(IMAGE, 1))
    assert disk.stat().st_size == written, "making it again leaves it alone"
    assert "read 65536/65536" in qemu_io(disk, "read -P 7 600M 64k")
    assert base.stat().st_nlink == 2, "a second name, not a copy"


async def test_it_grows_and_never_shrinks(disks: ServerDisks) -> None:
    await disks.make(ID, Disk(IMAGE, 1))
    await disks.grow(ID, Disk(IMAGE, 3))
    await disks.grow(ID, Disk(IMAGE, 2))
    assert disks.observe() == {ID: 3 * GIB}
    assert "No errors" in qemu_img("check", disks.folder(ID) / "disk.qcow2")


async def test_half_a_disk_is_none(disks: ServerDisks) -> None:
    folder = disks.folder(ID)
    folder.mkdir()
    (folder / "disk.qcow2.new").write_bytes(b"QFI\xfb half")
    assert disks.observe() == {ID: None}
    await disks.make(ID, Disk(IMAGE, 1))
    assert disks.observe(ID) == {ID: GIB}
    await disks.remove(ID)
    await disks.remove(ID)
    assert disks.observe() == {}


async def test_what_cannot_be_had_is_said(disks: ServerDisks, tmp_path: Path) -> None:
    with pytest.raises(Unfit, match=f"Image {ID} has been deleted"):
        await disks.make(ID, Disk(ID, 1))
    large = tmp_path / "base" / f"{ID}.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", large, "2049M")
    with pytest.raises(Unfit, match=r"needs a disk of 3 GiB; the flavor has 2\."):
        await disks.make(IMAGE, Disk(ID, 2))
    large.chmod(0o644)
    large.write_bytes(b"no qcow2")
    with pytest.raises(Unfit, match="no disk that can be used"):
        await disks.make("00000000-0000-0000-0000-00000000000c", Disk(ID, 2))
    with pytest.raises(ValueError, match="no server id"):
        disks.folder("../x")


async def test_what_the_host_refuses_is_said(disks: ServerDisks) -> None:
    (disks.servers / ID).write_text("a file where a folder should be")
    with pytest.raises(HostError, match=f"the disk of server {ID}"):
        await disks.make(ID, Disk(IMAGE, 1))
