"""The fake half of disks for images: bases are facts, uploads real files (a client gets back what it sent), no second opinion."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pileus.drivers.fake.host import FakeHost
from pileus.errors import HostError
from pileus.image.host import Facts, Folder, Images, Opinion, Step

PART = "images"


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
                found[each] = Facts(old.upload, old.partial, base=True)
        return found

    async def apply(self, id: str, step: Step) -> None:
        await self.host.step(f"image {id}", step.verb)
        bases = self.host.part(PART)
        if step.verb in ("link", "convert"):
            if not self.folder.upload(id).exists():
                raise HostError(f"there is no {self.folder.upload(id)} to make a base of")
            bases[id] = {"driver": step.driver, "virtual_size": step.virtual_size}
        elif step.verb == "drop_base":
            bases.pop(id, None)
        elif aside := self.folder.set_aside(id, step.verb):
            await asyncio.to_thread(aside.unlink)
        self.host.save()

    async def opinion(self, file: Path, driver: str) -> Opinion | None:
        return None
