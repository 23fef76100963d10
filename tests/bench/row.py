"""A figure: what was measured, how often, and the floor it stands beside. Not here: how anything is measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of build/bench.json. `value` is the median; `floor` what the bare machine needs for the same, in the same unit, or None."""

    name: str
    value: float
    unit: str
    floor: float | None
    ratio: float | None
    n: int
    min: float
    median: float
    max: float

    def as_json(self) -> dict[str, Any]:
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def row(name: str, samples: Sequence[float], unit: str, floors: Sequence[float] = ()) -> Row:
    """A row from samples and the floor's samples: medians of both, and value / floor."""
    middle = statistics.median(samples)
    floor = statistics.median(floors) if floors else None
    return Row(name, middle, unit, floor, middle / floor if floor else None, len(samples), min(samples), middle, max(samples))


def seconds(action: Callable[[], object]) -> float:
    """How long a call takes, by the wall clock."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def until(test: Callable[[], object], timeout: float = 60, pause: float = 0.001) -> None:
    """Ask until the answer is true. Raises TimeoutError."""
    end = time.monotonic() + timeout
    while not test():
        if time.monotonic() > end:
            raise TimeoutError(f"not true within {timeout} s: {test}")
        time.sleep(pause)
