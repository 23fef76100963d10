"""Named mutations: with one part of the product switched off, a test that is named here fails; and it passes when nothing is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conformance.cloud import ROOT
from tests.mutations.plugin import KERNEL, MUTATIONS

FAILED = 1  # pytest's exit status for tests that ran and failed


def pytest_of(tests: list[str], mutation: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.mutations.plugin", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PILEUS_MUTATION": mutation}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False)


def named(kernel: bool) -> list[str]:
    return [name for name, (_, test) in MUTATIONS.items() if test.startswith(KERNEL) == kernel]


def must_be_noticed(name: str) -> None:
    done = pytest_of([MUTATIONS[name][1]], name)
    assert done.returncode == FAILED, f"{name}: status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-1000:]}"
    assert "changes nothing" not in done.stdout


@pytest.mark.parametrize("kernel", [False, pytest.param(True, marks=pytest.mark.kernel)])
def test_without_a_mutation_they_pass(kernel: bool) -> None:
    done = pytest_of(sorted({MUTATIONS[name][1] for name in named(kernel)}))
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("name", named(kernel=False))
def test_a_mutation_is_noticed(name: str) -> None:
    must_be_noticed(name)


@pytest.mark.kernel
@pytest.mark.parametrize("name", named(kernel=True))
def test_an_open_door_is_noticed(name: str) -> None:
    must_be_noticed(name)
