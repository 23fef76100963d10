"""What the acceptance tests share: a line of figures on the terminal, and a run of a file as a plain user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conformance.cloud import ROOT

Tell = Callable[[str], None]


def as_student(map: str, file: str, *options: str) -> str:
    """Run tests of a file as somebody who may do nothing to this machine, with subordinate ids ("subuid") or none ("single").

    Returns what the run printed. Skips when this run is a plain user's already.
    """
    if os.getuid():
        pytest.skip("only root can become another user: this run is the unprivileged one")
    student = [str(ROOT / "tools/as-student"), *([] if map == "subuid" else ["--single"])]
    command = [*student, sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", file, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> Tell:
    """Print a line past pytest's capture: what a run measured is seen whether it passes or not."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def line(words: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{words}", flush=True)

    return line
