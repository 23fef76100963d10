"""The image half of disks: base disks by hard link or qemu-img convert, conversion of what is imported, and qemu-img's opinion.

Not here: uploads themselves (image/live.py writes them) and the disks of servers (servers.py).

qemu-img reads what strangers uploaded, so it runs confined: limits on memory, processor time and the size of what it writes, no network
where the kernel lets us take it away, and it dies with us.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pileus.errors import HostError
from pileus.image.host import Facts, Folder, Images, Opinion, Step
from pileus.kit.shell import CommandError, run

MIB = 1 << 20
LOOK_MEMORY, CONVERT_MEMORY = 1024 * MIB, 4096 * MIB  # of address space: each of up to 64 threads of a conversion takes 8 MiB for its stack
LOOK_SECONDS, CONVERT_SECONDS = 10, 3600
OVERHEAD = 1.02  # of a qcow2's tables over its data, rounded up; and a little of its own
BY_FORCE = ("vpc",)  # a fixed VHD begins with the guest's own data, so its format has to be named


class DiskImages(Images):
    """Images on a real host. `data` is the data folder as this process sees it."""

    def __init__(self, data: Path) -> None:
        self.folder = Folder(data)
        self.folder.make()
        self._confine: Sequence[str] | None = None

    async def observe(self, id: str | None = None) -> dict[str, Facts]:
        found = self.folder.uploaded(id)
        based = self.folder.based() if id is None else ([id] if self.folder.base(id).exists() else [])
        for each in based:
            old = found.get(each, Facts())
            found[each] = replace(old, base=True)
        return found

    async def apply(self, id: str, step: Step) -> None:
        try:
            if step.verb == "link":
                self._link(id)
            elif step.verb == "convert":
                await self._convert(step, self.folder.upload(id), self.folder.base(id))
            elif step.verb == "convert_stage":
                await self._convert(step, self.folder.stage(id), self.folder.converted(id))
            elif aside := self.folder.set_aside(id, step.verb):
                await asyncio.to_thread(aside.unlink)
        except OSError as error:
            raise HostError(f"{step.verb} of image {id}: {error.strerror}: {error.filename}") from error

    async def opinion(self, file: Path, driver: str) -> Opinion | None:
        if shutil.which("qemu-img") is None:
            return None
        named = ["-f", driver] if driver in BY_FORCE else []
        out = await self._qemu_img(["info", *named, "--output=json", str(file)], memory=LOOK_MEMORY, seconds=LOOK_SECONDS, written=0)
        try:
            said: dict[str, Any] = json.loads(out)
            return Opinion(str(said["format"]), int(said["virtual-size"]))
        except (ValueError, KeyError) as error:
            raise HostError(f"qemu-img info said nothing that can be read of {file}: {error}") from error

    async def _convert(self, step: Step, source: Path, target: Path) -> None:
        """Into a name of its own, then on disk, then under its real name: a kill at any moment leaves a whole file or none."""
        half = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            await self._qemu_img(
                ["convert", "-f", step.driver, "-O", step.target, str(source), str(half)],
                memory=CONVERT_MEMORY,
                seconds=CONVERT_SECONDS,
                written=int(step.virtual_size * OVERHEAD) + 16 * MIB,
            )
            await asyncio.to_thread(_sync, half)
            half.chmod(0o444)
            os.replace(half, target)
        finally:
            half.unlink(missing_ok=True)

    def _link(self, id: str) -> None:
        """The base of a qcow2 is the upload under a second name."""
        file = self.folder.upload(id)
        file.chmod(0o444)
        with contextlib.suppress(FileExistsError):
            os.link(file, self.folder.base(id))

    async def _qemu_img(self, arguments: list[str], *, memory: int, seconds: int, written: int) -> str:
        limits = [f"--as={memory}", f"--cpu={seconds}", f"--fsize={written}", "--core=0", "--nofile=64"]
        argv = [*await self._confined(), "prlimit", *limits, "--", "qemu-img", *arguments]
        try:
            env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "MALLOC_ARENA_MAX": "1"}
            return await run(*argv, timeout=seconds * 4, env=env)
        except CommandError as error:
            raise CommandError(["qemu-img", *arguments], error.exit_status, error.stderr) from None

    async def _confined(self) -> Sequence[str]:
        """What qemu-img is started under: dying with us, and without a network where an unprivileged namespace is allowed."""
        if self._confine is None:
            die = ["setpriv", "--pdeathsig", "KILL", "--"]
            alone = ["unshare", "--user", "--map-current-user", "--net", "--"]
            try:
                await run(*die, *alone, "true", timeout=10)
                self._confine = [*die, *alone]
            except CommandError:
                self._confine = die
        return self._confine


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
