"""The time, as tests can turn it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


class Clock:
    """The machine's own clock."""

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000


class ManualClock(Clock):
    """A clock that stands still until it is turned."""

    def __init__(self, now: int = 1_700_000_000_000_000) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def turn(self, seconds: float) -> None:
        self._now += int(seconds * 1_000_000)


@lru_cache(4096)
def _second(seconds: int) -> str:
    """Kept, because a list shows the same few moments again and again, and formatting one costs as much as the rest of its row."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso(micros: int | None, *, fraction: bool = False, zone: str = "Z") -> str | None:
    """A time as APIs write it, `2026-11-24T00:32:10Z`; with `fraction`, six digits of it; `zone` is what follows."""
    if micros is None:
        return None
    text = _second(micros // 1_000_000)
    return f"{text}.{micros % 1_000_000:06d}{zone}" if fraction else text + zone


def micros(text: str) -> int:
    """The time that an ISO 8601 text names, in microseconds UTC; without a zone it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)
