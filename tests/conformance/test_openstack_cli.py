"""The openstack client, unmodified, against the fake drivers: the short list. `make conformance` runs every row."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import openstack_cli


@pytest.mark.skipif(not openstack_cli.CLIENT.exists(), reason="the openstack client is not installed: make clients")
def test_quick_rows_pass_where_there_is_no_machine() -> None:
    command = [sys.executable, "-m", "tests.conformance.openstack_cli", "--quick"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
