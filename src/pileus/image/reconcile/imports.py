"""An import, from what was staged or has to be fetched to an active image. Every step is found again on the host after a crash.

    fetch or copy  images/<id>.part, then images/<id>.stage      glance-direct has it already
    convert        images/<id>.converted                         where the setting `image_conversion` asks for another format
    publish        images/<id>, then the row: active             whoever dies between the two does it again

A failure of the content or of the source ends the task; a failure of this machine is tried again by the loop first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pileus.errors import BadRequest, Fault, HostError, NotFound, TooLarge
from pileus.image import actions
from pileus.image.actions.content import ALGORITHMS, Content
from pileus.image.fetch import NotFetched, fetch
from pileus.image.host import Folder, Images, Step
from pileus.image.inspect import Limits
from pileus.image.live.content import Part, digest, examine, publish, readable
from pileus.kit.context import Cloud
from pileus.kit.store import Row

DRIVERS = {"qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx", "ploop": "parallels"}  # others are raw bytes
CONVERTED = (*DRIVERS, "raw")  # disk formats that `image_conversion` converts; a CD stays one
Convert = Callable[[str, Step], Awaitable[None]]


class Imports:
    """Carries out imports. `convert` is the reconciler's: it queues, and gives up when the image is wished away."""

    def __init__(self, cloud: Cloud, images: Images, folder: Folder, limits: Limits, convert: Convert) -> None:
        self.cloud, self.images, self.folder, self.limits, self.convert = cloud, images, folder, limits, convert

    async def carry_out(self, id: str) -> None:
        """The open task of an image. Raises HostError for what the machine would not do now."""
        task = actions.task_of(self.cloud.store, id)
        if task is None:
            return
        actions.begin_task(self.cloud, task)
        try:
            await self._import(id, task)
        except (Fault, NotFetched) as error:
            actions.fail_import(self.cloud, id, str(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise HostError(f"import of image {id}: {error.strerror}: {error.filename}") from error
            actions.fail_import(self.cloud, id, "Image storage media is full: there is not enough free disk space for this image.")

    async def _import(self, id: str, task: Row) -> None:
        method = actions.method_of(task)
        stage = self.folder.stage(id)
        if not stage.exists():
            if method["name"] == "web-download":
                await self._fetch(id, method["uri"])
            elif method["name"] == "glance-download":
                await self._copy(id, task, method)
            else:
                raise NotFound("What was staged is not in the data folder any more. Stage it again.")
        row = self._row(id)
        if row is None:
            return
        file, disk_format, virtual_size = await self._prepare(id, row)
        content = await self._read(id, file, virtual_size, method.get("expected") or {})
        upload = self.folder.upload(id)
        await asyncio.to_thread(_link, file, upload)
        actions.finish_import(self.cloud, id, content, disk_format)

    async def _fetch(self, id: str, url: str) -> None:
        """From the web to the stage. A cancelled look ends the thread at its next block."""
        wanted = _Wanted()
        part = self.folder.partial(id)

        def work() -> None:
            file = Part(part, self.limits.file, hashed=False)
            try:
                fetch(url, self.cloud.options.get("image_sources", ()), file.write, wanted, self.limits.file)
                file.finish()
            finally:
                file.close()
            publish(part, self.folder.stage(id))

        await _in_thread(work, wanted)

    async def _copy(self, id: str, task: Row, method: dict[str, Any]) -> None:
        """From another image of this cloud to the stage: one more name of the same bytes, which nobody changes."""
        source = actions.source_of(self.cloud, task, method)
        await asyncio.to_thread(_link, self.folder.upload(source["id"]), self.folder.stage(id))
        actions.take_over(self.cloud, id, source)

    async def _prepare(self, id: str, row: Row) -> tuple[Path, str, int | None]:
        """The file that becomes the image, its format and the disk's size: what was staged, or what it was converted into."""
        stage, disk_format = self.folder.stage(id), str(row["disk_format"])
        if not readable(row):
            return stage, disk_format, None
        virtual_size = await examine(self.images, stage, disk_format, self.limits)
        target = str(self.cloud.options.get("image_conversion", "none"))
        if target == "none" or disk_format == target or disk_format not in CONVERTED or virtual_size is None:
            return stage, disk_format, virtual_size
        converted = self.folder.converted(id)
        if not converted.exists():
            await self.convert(id, Step("convert_stage", DRIVERS.get(disk_format, "raw"), virtual_size, target))
        if not converted.exists():
            raise asyncio.CancelledError  # it was wished away while it was being converted
        return converted, target, await examine(self.images, converted, target, self.limits)

    async def _read(self, id: str, file: Path, virtual_size: int | None, expected: dict[str, str]) -> Content:
        """What the bytes hash to. Raises BadRequest when something else was expected."""
        algorithm = expected.get("os_hash_algo", "sha512")
        wanted = _Wanted()
        found: list[tuple[int, str, str]] = []
        await _in_thread(lambda: found.append(digest(file, algorithm if algorithm in ALGORITHMS else "sha512", wanted)), wanted)
        size, md5, other = found[0]
        if expected and other != expected["os_hash_value"].lower():
            raise BadRequest(f"The {algorithm} of the data is {other}, and {expected['os_hash_value']} was expected.")
        if size > self.limits.file:
            raise TooLarge(f"The image has {size} bytes, and {self.limits.file} is the most.")
        return Content(size, md5, other, virtual_size, algorithm)

    def _row(self, id: str) -> Row | None:
        row = self.cloud.store.get("image", id)
        return row if row is not None and row["status"] == "importing" else None


class _Wanted:
    """Whether a thread's work is still wanted."""

    def __init__(self) -> None:
        self.yes = True

    def __call__(self) -> bool:
        return self.yes


async def _in_thread(work: Callable[[], None], wanted: _Wanted) -> None:
    """Run it in a thread, and tell it when nobody waits any more; then wait for its end, lest it writes beside what comes next."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        wanted.yes = False
        with contextlib.suppress(BaseException):
            await running
        raise


def _link(file: Path, name: Path) -> None:
    """Give a file one more name, at once, whatever had that name before."""
    half = name.with_name(f".{name.name}.link")
    half.unlink(missing_ok=True)
    os.link(file, half)
    publish(half, name)
