"""Runs the command blocks of a tutorial, in order, in one shell, as a reader would who pastes them.

A block is ```` ```sh {step=NAME} ````; one with `needs=guests` is left out on the fake drivers. Not here: which tutorial, on what.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.conformance.cloud import ROOT, Cloud

FENCE = re.compile(r"^```sh \{step=([\w-]+)( needs=guests)?\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What stands in for `pileus image build micro` where no guest will boot from it.
BLANK = "head -c 1048576 /dev/zero > blank\nopenstack image create --disk-format raw --container-format bare --public --file blank micro\n"


def blocks(page: Path, guests: bool) -> list[tuple[str, str]]:
    """(name, commands) of each block that can run."""
    found = []
    for name, needs, commands in FENCE.findall(page.read_text()):
        if not needs or guests:
            found.append((name, commands))
        elif name == "image":
            found.append((name, BLANK))
    return found


def script(page: Path, guests: bool) -> str:
    """One bash script of the whole page; a failure names its block."""
    lines = ["set -euo pipefail", "trap 'echo \"the block that failed: $step\" >&2' ERR", f"ln -s {ROOT}/.venv {ROOT}/.venv-clients ."]
    for name, commands in blocks(page, guests):
        lines += [f"step={name}; echo '--- {name}'", commands]
    return "\n".join(lines)


def run(page: Path, drivers: str, timeout: float = 600) -> str:
    """What the page's commands print. Raises AssertionError with all of it when one fails."""
    cloud = Cloud(drivers)
    try:
        cloud.env |= {"PILEUS_DRIVERS": drivers, "PILEUS_PORT": "0"}
        folder = cloud.top / "user"
        done = subprocess.run(
            ["bash", "-c", script(page, drivers != "fake")],
            cwd=folder,
            env=cloud.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{cloud.log()}"
        return done.stdout
    finally:
        cloud.down()
