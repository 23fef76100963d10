"""How far a long step is, on stderr: one line that is written over on a terminal, else one line a stage."""

from __future__ import annotations

import sys
import time

EVERY = 0.1  # seconds between two updates of the line


class Progress:
    """Call it with a stage and the part of it that is done, 0 to 1."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._stage, self._shown = "", 0.0

    def __call__(self, stage: str, part: float) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self.finish()
            self._stage = stage
            if not self._terminal:
                print(f"{now - self._began:7.1f} s  {stage}", file=sys.stderr, flush=True)
        if self._terminal and (part >= 1 or now - self._shown > EVERY):
            self._shown = now
            print(f"\r{now - self._began:7.1f} s  {stage:<24} {part:4.0%}", end="", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """End the line."""
        if self._terminal and self._stage:
            print(file=sys.stderr, flush=True)
        self._stage = ""
