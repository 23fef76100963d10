"""Facts about processes that may be gone: who is meant by a recorded pid, and when it ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path


def started(pid: int) -> int | None:
    """When a process started (field 22 of /proc/pid/stat, clock ticks since boot); None when there is none, or only its status is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def ended(handle: int, seconds: float) -> bool:
    """Whether the process behind a pidfd ends within so many seconds."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def end(pid: int, *signals: tuple[signal.Signals, float]) -> bool:
    """Send each signal in turn and give it its seconds; True as soon as the process is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        for number, seconds in signals:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if ended(handle, seconds):
                return True
        return False
    finally:
        os.close(handle)
