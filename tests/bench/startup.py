"""up_s, down_s, idle_pss_mb: what a cloud costs before anybody asks it for anything. Real drivers, an empty home each time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.load import bare_server
from tests.bench.row import Row, row, seconds
from tests.conformance.cloud import PILEUS, Cloud

ROUNDS = 5
SETTLING = 3.0  # seconds until a cloud that was just started counts as idle


def pss_mb(pid: int) -> float:
    """The proportional set size of a process: its own memory and its share of what it has in common with others."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no Pss for {pid}")


def rows() -> Iterator[Row]:
    bare_up, bare_memory, command, ups, downs, memory = [], [], [], [], [], []
    for _ in range(ROUNDS):
        began = time.monotonic()
        with bare_server() as (_, pid):
            bare_up.append(time.monotonic() - began)
            bare_memory.append(pss_mb(pid))
        command.append(seconds(lambda: subprocess.run([PILEUS, "--version"], capture_output=True, check=True)))
    for round in range(ROUNDS):
        cloud = Cloud("linux")
        try:
            ups.append(seconds(lambda cloud=cloud: cloud.run("up", "--drivers", "linux", "--port", "0")))  # type: ignore[misc]
            if round == 0:
                time.sleep(SETTLING)
                memory.append(sum(pss_mb(pid) for pid in cloud.up()["pids"].values() if pid))
            downs.append(seconds(lambda cloud=cloud: cloud.run("down")))  # type: ignore[misc]
        finally:
            cloud.down()
    yield row("up_s", ups, "s", bare_up)
    yield row("down_s", downs, "s", command)
    yield row("idle_pss_mb", memory, "MB", bare_memory)
