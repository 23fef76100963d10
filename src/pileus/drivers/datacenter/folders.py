"""The folders of one cloud that a datacenter uses; `config.Paths` is one of these."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Folders(Protocol):
    @property
    def data(self) -> Path:
        """Shown in the datacenter as /pileus."""

    @property
    def state(self) -> Path:
        """Logs."""

    @property
    def run(self) -> Path:
        """Sockets and locks."""
