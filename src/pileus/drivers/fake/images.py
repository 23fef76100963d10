"""The fake half of disks for images: bases are facts, uploads real files (a client gets back what it sent), no second opinion."""

from __future__ import annotations

import asyncio
import os
import struct
from dataclasses import replace
from pathlib import Path

from pileus.drivers.fake.host import FakeHost
from pileus.errors import HostError
from pileus.image.host import Facts, Folder, Images, Opinion, Step

PART = "images"
CLUSTER = 1 << 16


def empty_qcow2(size: int) -> bytes:
    """A valid qcow2 of `size` bytes, none of them written. Source: QEMU's docs/interop/qcow2.txt."""
    tables = max(1, -(-size // (CLUSTER * CLUSTER // 8)))  # entries of the first-level table; each covers 512 MiB
    l1_clusters = -(-tables * 8 // CLUSTER)
    used = 3 + l1_clusters  # header, reference count table, one block of it, first-level table
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, size, 0, tables, 3 * CLUSTER, CLUSTER, 1, 0, 0)
    counts = struct.pack(f">{used}H", *[1] * used)
    parts = [head, struct.pack(">Q", 2 * CLUSTER), counts, bytes(l1_clusters * CLUSTER)]
    return b"".join(part.ljust(CLUSTER, b"\0") for part in parts)


class FakeImages(Images):
    """Images of the fake host."""

    def __init__(self, host: FakeHost, data: Path) -> None:
        self.host, self.folder = host, Folder(data)
        self.folder.make()

    async def observe(self, id: str | None = None) -> dict[str, Facts]:
        found = self.folder.uploaded(id)
        for each in [id] if id is not None else list(self.host.part(PART)):
            if each in self.host.part(PART):
                old = found.get(each, Facts())
                found[each] = replace(old, base=True)
        return found

    async def apply(self, id: str, step: Step) -> None:
        await self.host.step(f"image {id}", step.verb)
        bases = self.host.part(PART)
        if step.verb in ("link", "convert"):
            if not self.folder.upload(id).exists():
                raise HostError(f"there is no {self.folder.upload(id)} to make a base of")
            bases[id] = {"driver": step.driver, "virtual_size": step.virtual_size}
        elif step.verb == "convert_stage":
            self._convert(id, step)
        elif step.verb == "drop_base":
            bases.pop(id, None)
        elif aside := self.folder.set_aside(id, step.verb):
            await asyncio.to_thread(aside.unlink)
        self.host.save()

    def _convert(self, id: str, step: Step) -> None:
        """A disk of the same size in the other format, with nothing on it: this machine has no program that could read the first one."""
        if not self.folder.stage(id).exists():
            raise HostError(f"there is no {self.folder.stage(id)} to convert")
        half = self.folder.converted(id).with_name(f".{id}.half")
        half.write_bytes(empty_qcow2(step.virtual_size) if step.target == "qcow2" else b"")
        if step.target == "raw":
            os.truncate(half, step.virtual_size)
        half.chmod(0o444)
        os.replace(half, self.folder.converted(id))

    async def opinion(self, file: Path, driver: str) -> Opinion | None:
        return None
