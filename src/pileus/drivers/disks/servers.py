"""The server half of disks: an overlay over a hard link of its image's base disk, and beside it the kernel and initrd it starts from.

A hard link keeps the base for as long as the server needs it, whatever becomes of the image. Not here: images (images.py), the config
drive, sockets and logs in the same folder (drivers/qemu).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from pileus.compute.host import BASE, DISK, GIB, ID, INITRD, KERNEL, Disk, Unfit
from pileus.drivers.disks.overlay import overlay
from pileus.errors import HostError
from pileus.image.host import Folder
from pileus.kit.shell import run

QCOW2 = b"QFI\xfb"


class ServerDisks:
    """Root disks. `data` is the data folder as this process sees it; a server's files are in `servers/<id>/`, which belong to the user."""

    def __init__(self, data: Path) -> None:
        self.images = Folder(data)
        self.servers = data / "servers"
        self.servers.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.servers.chmod(0o711)  # guests have users of their own, and read their kernels by path

    def folder(self, id: str) -> Path:
        if not ID.match(id):
            raise ValueError(f"{id!r} is no server id")
        return self.servers / id

    def observe(self, id: str | None = None) -> dict[str, int | None]:
        """The servers that have a folder, and how large the disk in it is (bytes as the guest sees them; None: there is none)."""
        ids = [name for name in os.listdir(self.servers) if ID.match(name)] if id is None else [id]
        return {one: virtual_size(self.folder(one) / DISK) for one in ids if self.folder(one).is_dir()}

    async def make(self, id: str, disk: Disk) -> None:
        """The overlay, last of all: where it is, everything is. Raises Unfit when the image is gone or larger than the flavor's disk."""
        folder = self.folder(id)
        with _words(f"the disk of server {id}"):
            if virtual_size(folder / DISK) is not None:
                return
            self._link(self.images.base(disk.image), folder / BASE, disk.image)
            for image, name in ((disk.kernel, KERNEL), (disk.initrd, INITRD)):
                if image:
                    self._link(self.images.upload(image), folder / name, image)
        least = virtual_size(folder / BASE)
        if least is None:
            raise Unfit(f"Image {disk.image} has no disk that can be used.")
        size = disk.gib * GIB or least
        if size < least:
            raise Unfit(f"Image {disk.image} needs a disk of {-(-least // GIB)} GiB; the flavor has {disk.gib}.")
        new = folder / f"{DISK}.new"
        with _words(f"the disk of server {id}"):
            new.write_bytes(overlay(size, BASE))
            new.chmod(0o600)
            os.replace(new, folder / DISK)

    async def grow(self, id: str, disk: Disk) -> None:
        """To the flavor's size; never smaller. Only while no guest has it."""
        folder = self.folder(id)
        if (virtual_size(folder / DISK) or 0) < disk.gib * GIB:
            await run("qemu-img", "resize", "-q", "-f", "qcow2", DISK, str(disk.gib * GIB), cwd=folder)

    async def remove(self, id: str) -> None:
        """Every file. Large disks take their time to go, off the loop."""
        with _words(f"the files of server {id}"):
            await asyncio.to_thread(_remove, self.folder(id))

    def _link(self, source: Path, target: Path, image: str) -> None:
        target.parent.mkdir(mode=0o711, exist_ok=True)
        target.parent.chmod(0o711)
        with contextlib.suppress(FileExistsError):
            try:
                os.link(source, target)
            except FileNotFoundError:
                raise Unfit(f"Image {image} has been deleted.") from None


def virtual_size(file: Path) -> int | None:
    """The size of a qcow2 disk as a guest sees it; None when there is none. Source: qemu docs/interop/qcow2.txt, header bytes 24 to 31."""
    try:
        with file.open("rb") as opened:
            head = opened.read(32)
    except FileNotFoundError:
        return None
    if len(head) < 32 or not head.startswith(QCOW2):
        return None
    size: int = struct.unpack_from(">Q", head, 24)[0]
    return size


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def _words(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{what}: {error.strerror}: {error.filename}") from error
