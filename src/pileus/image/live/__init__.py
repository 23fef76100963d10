"""Bytes that come and go while a client waits: uploads, staging and downloads, streamed, so that memory stays flat at any size.

An upload is hashed and written in a thread, batch by batch, while the next batch arrives; then it is synced, looked at (content), given
its name, and one action makes the image active. What is staged is only written: the import that follows hashes it and looks at it
(reconcile). Whatever fails on the way puts the image back to queued, as Glance does, and the files go with the next look.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pileus.errors import BadRequest, Fault, TooLarge, Unavailable
from pileus.image import actions
from pileus.image.actions.content import Content, still_arriving
from pileus.image.host import Folder, Images
from pileus.image.inspect import DEFAULT, PREFIX, Limits, glance_at
from pileus.image.live.content import BATCH, Part, examine, publish, readable, too_large
from pileus.kit.context import Context
from pileus.kit.store import Row

DRAIN = 64 << 20  # bytes of a refused upload that are still read, so that its client gets to read why

T = TypeVar("T")
Chunks = AsyncIterator[bytes]


class Files:
    """The uploads and downloads of one cloud."""

    def __init__(self, data: Path, images: Images, limits: Limits = DEFAULT) -> None:
        self.folder, self.images, self.limits = Folder(data), images, limits
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="image")
        self._looking = asyncio.Semaphore(2)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def upload(self, ctx: Context, id: str, chunks: Chunks, length: int | None) -> None:
        """Take an image's data. `length` is what the client announced, None when it did not.

        Raises what the actions raise, Refused for content, TooLarge, BadRequest for a body that ends early.
        """
        row = actions.begin_upload(ctx, id)
        try:
            part = await self._receive(ctx, row, chunks, length, hashed=True)
            actions.finish_upload(ctx, row["id"], await self._accept(ctx, row, part))
        except BaseException as error:
            await self._abandon(ctx, row, chunks, error)
            raise

    async def stage(self, ctx: Context, id: str, chunks: Chunks, length: int | None) -> None:
        """Keep data for an import that is asked for next. Raises as `upload` does, but nothing is said of the content yet."""
        row = actions.begin_stage(ctx, id)
        try:
            part = await self._receive(ctx, row, chunks, length, hashed=False)
            await self._name(ctx, row, part, self.folder.stage(row["id"]))
            actions.finish_stage(ctx, row["id"], part.size)
        except BaseException as error:
            await self._abandon(ctx, row, chunks, error)
            raise

    async def _abandon(self, ctx: Context, row: Row, chunks: Chunks, error: BaseException) -> None:
        actions.abandon_upload(ctx.cloud, row["id"], str(error) or type(error).__name__)
        if isinstance(error, Fault):
            await _drain(chunks)

    async def _receive(self, ctx: Context, row: Row, chunks: Chunks, length: int | None, *, hashed: bool) -> Part:
        """The whole body, in the image's partial file."""
        part = Part(self.folder.partial(row["id"]), self.limits.file, hashed=hashed)
        try:
            if length is not None and length > self.limits.file:
                raise too_large(length, self.limits.file)
            await self._write(ctx, row, chunks, part, hashed=hashed)
            if length is not None and part.size != length:
                raise BadRequest(f"The upload ended after {part.size} of {length} bytes. Upload it again.")
            await self._in_thread(part.finish)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TooLarge("Image storage media is full: there is not enough free disk space for this image.") from None
            raise
        finally:
            part.close()
        return part

    async def _write(self, ctx: Context, row: Row, chunks: Chunks, part: Part, *, hashed: bool) -> None:
        """One batch is written while the next one arrives."""
        writing: asyncio.Future[Any] | None = None
        seen = False
        try:
            async for batch in _batches(chunks):
                if hashed and not seen and readable(row):
                    glance_at(batch[:PREFIX] if len(batch) >= PREFIX else batch, row["disk_format"], self.limits)
                seen = True
                if writing:
                    await writing
                still_arriving(ctx.store, row["id"])
                # side by side: hashing takes longer than the disk, and both hashes let go of the interpreter
                calls = [partial(part.write, batch), *([partial(part.md5.update, batch)] if hashed else [])]
                writing = asyncio.gather(*(self._in_thread(call) for call in calls))
        finally:
            if writing:
                await asyncio.wait([writing])
        if writing:
            writing.result()

    async def _accept(self, ctx: Context, row: Row, part: Part) -> Content:
        """Look at the whole file, and give it its name."""
        virtual_size = None
        if readable(row):
            async with self._looking:
                virtual_size = await examine(self.images, part.path, row["disk_format"], self.limits)
        await self._name(ctx, row, part, self.folder.upload(row["id"]))
        return Content(part.size, part.md5.hexdigest(), part.other.hexdigest(), virtual_size)

    async def _name(self, ctx: Context, row: Row, part: Part, name: Path) -> None:
        still_arriving(ctx.store, row["id"])
        try:
            await self._in_thread(partial(publish, part.path, name))
        except FileNotFoundError:
            still_arriving(ctx.store, row["id"])  # somebody deleted the image, and a look its file: then this says so
            raise

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
