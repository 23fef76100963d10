"""The console log kept small. QEMU appends to it without limit; here its old part is given back to the disk.

The file keeps its length and gets a hole in front, so nothing is lost that QEMU writes at the same moment, and a crash between two steps
does no harm. Not here: who reads it (compute/live).
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

KEEP = 1 << 20  # bytes that stay
LIMIT = 2 * KEEP  # bytes on disk from which on it is worth while
PAGE = 4096
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2  # <linux/falloc.h>

_libc = ctypes.CDLL(None, use_errno=True)


def trim(file: Path, keep: int = KEEP, limit: int = LIMIT) -> bool:
    """Give back all but the last `keep` bytes when more than `limit` are on the disk. Returns whether it did. Raises OSError.

    Where the file system cannot make holes the log begins anew, empty.
    """
    try:
        fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        status = os.fstat(fd)
        if status.st_blocks * 512 <= limit:
            return False
        end = (status.st_size - keep) // PAGE * PAGE
        mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        if end > 0 and _libc.fallocate(fd, mode, ctypes.c_int64(0), ctypes.c_int64(end)) < 0:
            number = ctypes.get_errno()
            if number != errno.EOPNOTSUPP:
                raise OSError(number, f"fallocate {file}: {os.strerror(number)}")
            os.ftruncate(fd, 0)  # QEMU appends: it goes on at the new end
        return True
    finally:
        os.close(fd)


def tail(file: Path, size: int) -> bytes:
    """The last `size` bytes, without the hole; empty when there is no file. Raises OSError."""
    try:
        with file.open("rb") as opened:
            end = opened.seek(0, os.SEEK_END)
            start = max(0, end - size)
            try:
                start = os.lseek(opened.fileno(), start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole from here on
                    return b""
                if error.errno != errno.EINVAL:
                    raise
            opened.seek(start)
            return opened.read(end - start)
    except FileNotFoundError:
        return b""
