"""Every command block of every tutorial runs, on the fake drivers; tests/kernel runs them with guests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.cloud import ROOT
from tests.docs import tutorial

PAGES = sorted((ROOT / "docs/tutorial").glob("*.md"))
CLIENTS = ROOT / ".venv-clients/bin/openstack"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_tutorial_can_be_run(page: Path) -> None:
    """A block that the runner does not see would never be tried."""
    fences = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)[::2]
    assert fences
    assert [fence for fence in fences if not fence.startswith("sh {step=")] == []
    assert len(fences) == len(tutorial.FENCE.findall(page.read_text()))


@pytest.mark.skipif(not CLIENTS.exists(), reason="the openstack client is not installed: make clients")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_runs_on_the_fake_drivers(page: Path) -> None:
    printed = tutorial.run(page, "fake")
    assert [name for name, _ in tutorial.blocks(page, guests=False)] == re.findall(r"^--- ([\w-]+)$", printed, re.MULTILINE)
