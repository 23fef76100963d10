"""The console log: the last lines that a guest wrote to its serial line, whether it runs or not."""

from __future__ import annotations

import re

from pileus.compute.host import Guests
from pileus.kit.store import Row

CONTROL = re.compile("[\x00-\x08\x0b-\x1f]")
SIZE = 100 << 10  # bytes shown at most, as Nova's MAX_CONSOLE_BYTES


class Consoles:
    """What the API needs of consoles."""

    def __init__(self, guests: Guests) -> None:
        self.guests = guests

    async def console_log(self, server: Row, lines: int | None = None) -> str:
        """The last `lines` lines (None or negative: all), at most SIZE bytes, as text: what is no UTF-8 is shown as U+FFFD.

        What follows the last newline counts as a line, even when it is nothing, and control characters are left out, as in Nova
        (nova/api/openstack/compute/console_output.py). Raises HostError.
        """
        text = CONTROL.sub("", (await self.guests.console_log(server["id"], SIZE)).decode(errors="replace"))
        if lines is None or lines < 0:
            return text
        return "\n".join(text.split("\n")[-lines:]) if lines else ""
