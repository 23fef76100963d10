"""Bytes that come and go while a client waits: uploads and downloads, streamed, so that memory stays flat at any size.

An upload is hashed and written in a thread, batch by batch, while the next batch arrives; then it is synced, looked at (image/inspect,
and qemu-img's second opinion), given its name, and one action makes the image active. Whatever fails on the way puts the image back to
queued, as Glance does, and the files go with the next look.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pileus.errors import BadRequest, Fault, HostError, TooLarge, Unavailable
from pileus.image import actions
from pileus.image.actions.content import Content, still_saving
from pileus.image.host import Folder, Images
from pileus.image.inspect import DEFAULT, PREFIX, Limits, Refused, Report, agree, glance_at, inspect
from pileus.kit.context import Context
from pileus.kit.store import Row

BATCH = 2 << 20  # bytes that are hashed and written at once
PIECE = 256 << 10  # a piece of zeros of this size is not written: the file stays sparse
SYNC_EVERY = 64 << 20  # bytes after which the disk is let catch up, lest a database commit waits behind gigabytes
DRAIN = 64 << 20  # bytes of a refused upload that are still read, so that its client gets to read why
NO_DISKS = ("aki", "ari", "ami")  # whose bytes are no disk of a size of their own
UNREAD = ("ovf", "ova", "docker", "compressed")  # containers around a disk: kept as they are, never opened

T = TypeVar("T")
_ZEROS = bytes(PIECE)


class Files:
    """The uploads and downloads of one cloud."""

    def __init__(self, data: Path, images: Images, limits: Limits = DEFAULT) -> None:
        self.folder, self.images, self.limits = Folder(data), images, limits
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="image")
        self._looking = asyncio.Semaphore(2)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def upload(self, ctx: Context, id: str, chunks: AsyncIterator[bytes], length: int | None) -> None:
        """Take an image's data. `length` is what the client announced, None when it did not.

        Raises what the actions raise, Refused for content, TooLarge, BadRequest for a body that ends early.
        """
        row = actions.begin_upload(ctx, id)
        id = row["id"]
        try:
            content = await self._receive(ctx, row, chunks, length)
            actions.finish_upload(ctx, id, content)
        except BaseException as error:
            actions.abandon_upload(ctx.cloud, id, str(error) or type(error).__name__)
            if isinstance(error, Fault):
                await _drain(chunks)
            raise

    async def _receive(self, ctx: Context, row: Row, chunks: AsyncIterator[bytes], length: int | None) -> Content:
        part = _Part(self.folder.partial(row["id"]), self.limits.file)
        if length is not None and length > self.limits.file:
            raise _too_large(length, self.limits.file)
        try:
            await self._write(ctx, row, chunks, part)
            if length is not None and part.size != length:
                raise BadRequest(f"The upload ended after {part.size} of {length} bytes. Upload it again.")
            await self._in_thread(part.finish)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TooLarge("Image storage media is full: there is not enough free disk space for this image.") from None
            raise
        finally:
            part.close()
        return await self._accept(ctx, row, part)

    async def _write(self, ctx: Context, row: Row, chunks: AsyncIterator[bytes], part: _Part) -> None:
        """One batch is written while the next one arrives."""
        writing: asyncio.Future[Any] | None = None
        seen = False
        try:
            async for batch in _batches(chunks):
                if not seen and _readable(row):
                    glance_at(batch[:PREFIX] if len(batch) >= PREFIX else batch, row["disk_format"], self.limits)
                seen = True
                if writing:
                    await writing
                still_saving(ctx.store, row["id"])
                # side by side: hashing takes longer than the disk, and both hashes let go of the interpreter
                writing = asyncio.gather(self._in_thread(partial(part.write, batch)), self._in_thread(partial(part.md5.update, batch)))
        finally:
            if writing:
                await asyncio.wait([writing])
        if writing:
            writing.result()

    async def _accept(self, ctx: Context, row: Row, part: _Part) -> Content:
        """Look at the whole file, and give it its name."""
        virtual_size = await self._look(row, part.path) if _readable(row) else None
        still_saving(ctx.store, row["id"])
        try:
            await self._in_thread(partial(_publish, part.path, self.folder.upload(row["id"])))
        except FileNotFoundError:
            still_saving(ctx.store, row["id"])  # somebody deleted the image, and a look its file: then this says so
            raise
        return Content(part.size, part.md5.hexdigest(), part.sha512.hexdigest(), virtual_size)

    async def _look(self, row: Row, path: Path) -> int | None:
        """Our own inspection, then qemu-img's opinion; both must see the same disk. Raises Refused."""

        def ours() -> Report:
            with path.open("rb") as file:
                return inspect(file, row["disk_format"], self.limits)

        async with self._looking:
            report = await self._in_thread(ours)
            try:
                opinion = await self.images.opinion(path, report.qemu)
            except HostError as error:
                raise Refused("second-opinion", f"qemu-img cannot read it: {_reason(error)}") from error
        if opinion:
            agree(report, opinion.format, opinion.virtual_size)
        return None if row["disk_format"] in NO_DISKS else report.virtual_size

    def download(self, row: Mapping[str, Any], first: int, last: int) -> AsyncIterator[bytes]:
        """The bytes `first` to `last` of an uploaded image. Raises Unavailable when its file is not there."""
        try:
            file = self.folder.upload(row["id"]).open("rb")
        except FileNotFoundError:
            raise Unavailable(f"The data of image {row['id']} is missing from the data folder.") from None
        return self._send(file, first, last)

    async def _send(self, file: BinaryIO, first: int, last: int) -> AsyncIterator[bytes]:
        try:
            at = first
            while at <= last:
                block = await self._in_thread(partial(os.pread, file.fileno(), min(BATCH, last + 1 - at), at))
                if not block:
                    return
                at += len(block)
                yield block
        finally:
            file.close()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)


class _Part:
    """A file that is arriving. `md5` is fed by the caller, beside `write`; all of it in threads, one batch at a time."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit, self.size = path, limit, 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha512 = hashlib.sha512()
        path.unlink(missing_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._unsynced = 0

    def write(self, batch: bytes) -> None:
        if self.size + len(batch) > self.limit:
            raise _too_large(self.size + len(batch), self.limit)
        self.sha512.update(batch)
        view = memoryview(batch)
        for start in range(0, len(batch), PIECE):
            piece = view[start : start + PIECE]
            if len(piece) == PIECE and piece == _ZEROS:
                continue
            done = 0
            while done < len(piece):
                done += os.pwrite(self._fd, piece[done:], self.size + start + done)
        self.size += len(batch)
        self._unsynced += len(batch)
        if self._unsynced >= SYNC_EVERY:
            os.fdatasync(self._fd)
            self._unsynced = 0

    def finish(self) -> None:
        os.ftruncate(self._fd, self.size)  # a tail of zeros was not written
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def _publish(part: Path, upload: Path) -> None:
    """Give the file its name, and make both survive a power cut."""
    part.chmod(0o444)
    os.replace(part, upload)
    folder = os.open(upload.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _readable(row: Row) -> bool:
    return row["container_format"] not in UNREAD


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(f"The incoming image is too large: {size} bytes, and {limit} is the most.")


def _reason(error: HostError) -> str:
    """What a command said, without the command: its arguments are paths of the host."""
    lines = getattr(error, "stderr", str(error)).strip().splitlines()
    last = lines[-1] if lines else "it gave up"
    return last.rpartition("': ")[2] or last


async def _batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in batches of BATCH."""
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= BATCH:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read on for a while: most clients only read an answer once they have sent everything."""
    left = DRAIN
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            return
