"""The fake host: one JSON file that survives SIGKILL. Each fake driver keeps its facts under a name of its own.

Not here: what the facts mean. `fail_at` and `delay` break and slow every driver on request, as a real machine would.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

SLOW = 0.01  # seconds of a write


@dataclass
class FakeHost:
    """The machine. `path` None keeps it in memory only.

    fail_at   raise `failure` when the n-th step (1 = the next) is about to be applied; then work again
    delay     seconds that each step takes
    """

    path: Path | None = None
    fail_at: int | None = None
    failure: BaseException | None = None
    delay: float = 0.0
    steps: int = 0  # applied so far
    log: list[tuple[str, str]] = field(default_factory=list)  # (object, verb) of each step, for tests
    _facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _cost: float = 0.0  # seconds that the last write took
    _timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        if self.path and self.path.exists():
            self._facts = msgspec.json.decode(self.path.read_bytes())

    def part(self, name: str) -> dict[str, Any]:
        """The facts of one driver, by object id; call `save` after changing them."""
        return self._facts.setdefault(name, {})

    def save(self) -> None:
        """Write the file so that a kill at any moment leaves the old or the new one.

        When that has become slow (thousands of objects), it is done a moment later, for all changes until then: a kill may take the last
        moment with it, as a power cut takes what a machine had not written, and the next start does it again.
        """
        if self.path is None or self._timer is not None:
            return
        if self._cost > SLOW:
            with contextlib.suppress(RuntimeError):  # no loop runs: now, then
                self._timer = asyncio.get_running_loop().call_later(self._cost * 20, self._write)
                return
        self._write()

    def _write(self) -> None:
        assert self.path is not None
        self._timer = None
        began = time.perf_counter()
        new = self.path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self._facts))
        os.replace(new, self.path)
        self._cost = time.perf_counter() - began

    def close(self) -> None:
        """Write what is still to be written."""
        if self._timer is not None:
            self._timer.cancel()
            self._write()

    async def step(self, thing: str, verb: str) -> None:
        """Called by a fake driver before it carries out a step. Raises what was planted."""
        if self.delay:
            await asyncio.sleep(self.delay)
        self.steps += 1
        if self.fail_at is not None:
            self.fail_at -= 1
            if self.fail_at <= 0:
                self.fail_at = None
                raise self.failure or OSError(f"planted failure before {verb} of {thing}")
        if len(self.log) < 100_000:  # a machine that runs for days
            self.log.append((thing, verb))
