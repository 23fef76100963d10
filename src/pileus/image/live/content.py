"""An image's bytes in a file: how they are written while they arrive, what they hash to, and whether they are what they should be.

Shared by uploads and imports (reconcile). Not here: what becomes of the row (actions/content.py, actions/imports.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pileus.errors import HostError, TooLarge
from pileus.image.host import Images
from pileus.image.inspect import Limits, Refused, Report, agree, inspect

BATCH = 2 << 20  # bytes that are hashed and written at once
PIECE = 256 << 10  # a piece of zeros of this size is not written: the file stays sparse
SYNC_EVERY = 64 << 20  # bytes after which the disk is let catch up, lest a database commit waits behind gigabytes
NO_DISKS = ("aki", "ari", "ami")  # whose bytes are no disk of a size of their own
UNREAD = ("ovf", "ova", "docker", "compressed")  # containers around a disk: kept as they are, never opened

_ZEROS = bytes(PIECE)


class Part:
    """A file that is arriving. All of it in threads, one batch at a time. With `hashed`, `md5` is fed by the caller, beside `write`."""

    def __init__(self, path: Path, limit: int, *, hashed: bool = True) -> None:
        self.path, self.limit, self.size = path, limit, 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.other, self._hashed = hashlib.sha512(), hashed
        path.unlink(missing_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._unsynced = 0

    def write(self, batch: bytes) -> None:
        if self.size + len(batch) > self.limit:
            raise too_large(self.size + len(batch), self.limit)
        if self._hashed:
            self.other.update(batch)
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


def publish(part: Path, upload: Path) -> None:
    """Give the file its name, and make both survive a power cut."""
    part.chmod(0o444)
    os.replace(part, upload)
    folder = os.open(upload.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def readable(row: Mapping[str, Any]) -> bool:
    """Whether the bytes of this image are a format that we look at."""
    return row["container_format"] not in UNREAD


def too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(f"The incoming image is too large: {size} bytes, and {limit} is the most.")


async def examine(images: Images, path: Path, disk_format: str, limits: Limits) -> int | None:
    """Our own inspection of a whole file, then qemu-img's opinion; both must see the same disk. Returns the disk's size, None where
    the bytes are no disk. Raises Refused.
    """

    def ours() -> Report:
        with path.open("rb") as file:
            return inspect(file, disk_format, limits)

    report = await asyncio.to_thread(ours)
    try:
        opinion = await images.opinion(path, report.qemu)
    except HostError as error:
        raise Refused("second-opinion", f"qemu-img cannot read it: {_reason(error)}") from error
    if opinion:
        agree(report, opinion.format, opinion.virtual_size)
    return None if disk_format in NO_DISKS else report.virtual_size


def digest(path: Path, algorithm: str, wanted: Callable[[], bool]) -> tuple[int, str, str]:
    """The size of a file, its md5 and its `algorithm` hash. In a thread; raises InterruptedError when it is `wanted` no more."""
    md5, other, size = hashlib.md5(usedforsecurity=False), hashlib.new(algorithm), 0
    with path.open("rb") as file:
        while block := file.read(BATCH):
            if not wanted():
                raise InterruptedError(path)
            md5.update(block)
            other.update(block)
            size += len(block)
    return size, md5.hexdigest(), other.hexdigest()


def _reason(error: HostError) -> str:
    """What a command said, without the command: its arguments are paths of the host."""
    lines = getattr(error, "stderr", str(error)).strip().splitlines()
    last = lines[-1] if lines else "it gave up"
    return last.rpartition("': ")[2] or last
