"""Locks that are files: taken with flock, given up when the last descriptor closes, so that a crash leaves none behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

STEP = 0.02  # seconds between two looks


def take(path: Path, wait: float = 0) -> int | None:
    """The descriptor that holds the lock `path`, or None when somebody else still holds it after `wait` seconds.

    The file may be removed (by whoever holds the lock, see `remove`): a lock on a file that is no longer there counts for nothing.
    Raises OSError when the file cannot be made.
    """
    until = time.monotonic() + wait
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # whoever held the lock before may have taken the folder away
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # or takes it away just now
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            if time.monotonic() >= until:
                return None
            time.sleep(STEP)
            continue
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        os.close(fd)


def is_taken(path: Path) -> bool:
    """Whether somebody holds the lock `path` now."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def remove(path: Path, fd: int) -> None:
    """Give up a lock that `fd` holds, and leave no file."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    os.close(fd)
