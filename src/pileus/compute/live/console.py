"""The console log: the last lines that a guest wrote to its serial line, whether it runs or not."""

from __future__ import annotations

from pileus.compute.host import Guests
from pileus.kit.store import Row

SIZE = 100 << 10  # bytes shown at most, as Nova's MAX_CONSOLE_BYTES


async def console_log(guests: Guests, row: Row, lines: int | None = None) -> str:
    """The last `lines` lines (None or negative: all), at most SIZE bytes, as text: what is no UTF-8 is shown as U+FFFD.

    What follows the last newline counts as a line, even when it is nothing, as in Nova.
    """
    text = (await guests.console_log(row["id"], SIZE)).decode(errors="replace")
    if lines is None or lines < 0:
        return text
    return "\n".join(text.split("\n")[-lines:]) if lines else ""
