"""The transcript on the README's first screen: commands that are really run, between two marks, with what they really print.

Not here: the rest of the README. A transcript is taken only where `make docs` runs with guests (the calculator lab); elsewhere it stays.
"""

from __future__ import annotations

from pathlib import Path


def transcribe(readme: Path) -> bool:
    return False
