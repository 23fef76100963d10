"""The import contracts can fail: a bad import is planted against each of them, in a copy of the tree, and each reports its own."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# contract -> (module that gets the line, what it must not import)
PLANTS = {
    "errors": ("errors", "pileus.config"),
    "kit": ("kit/planted", "pileus.network.actions"),
    "openstack": ("openstack/planted", "pileus.compute.actions"),
    "framework": ("compute/planted_framework", "falcon"),
    "identity": ("identity/planted", "pileus.compute.actions"),
    "image": ("image/planted", "pileus.network.actions"),
    "network": ("network/planted", "pileus.image.resources"),
    "compute": ("compute/planted", "pileus.network.resources"),
    "host": ("network/planted_host", "pileus.network.host"),
    "api": ("compute/planted_api", "pileus.compute.api"),
    "drivers": ("drivers/planted", "pileus.network.actions"),
    "independence": ("drivers/qemu/planted", "pileus.drivers.fake"),
    "guest": ("guest/planted", "pileus.config"),
    "clients": ("cli/planted", "pileus.compute.actions"),
    "app": ("drivers/planted_app", "pileus.app"),
}


def lint(tree: Path) -> str:
    """What lint-imports says of a tree: the report, whatever its verdict."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def names() -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return {section.removeprefix("importlinter:contract:"): parser[section]["name"] for section in parser.sections() if ":" in section}


def sections(report: str) -> dict[str, str]:
    """Of each broken contract, what the report says about it."""
    parts = re.split(r"\n([^\n]+)\n-{3,}\n", report.split("Broken contracts", 1)[1])
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("layers")
    shutil.copytree(ROOT / "src/pileus", top / "src/pileus", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", top)
    return top


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    report = lint(tree)
    assert {name for name in names().values() if f"{name} KEPT" in report} == set(names().values()), report


def test_each_contract_has_a_plant() -> None:
    assert set(PLANTS) == set(names())


def test_planted_imports_break_their_contracts(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    for module, wrong in PLANTS.values():
        file = tmp_path / "src/pileus" / f"{module}.py"
        with file.open("a") as text:
            text.write(f"\nimport {wrong}  # planted\n")
    report = lint(tmp_path)
    told = sections(report)
    for contract, name in names().items():
        module, wrong = PLANTS[contract]
        assert f"{name} BROKEN" in report, report
        assert f"pileus.{module.replace('/', '.')} -> {wrong}" in told[name], f"{contract}:\n{told[name]}"
