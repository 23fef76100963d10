"""Run a lab: its steps in order, then its checks; progress with times on stderr, what the application answers on stdout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pileus.errors import HostError, SettingError
from pileus.lab.look import Looker, was_done
from pileus.lab.text import Check, Lab, Step

COMMAND_SECONDS = 900.0
PAUSE = 0.5  # seconds between two tries of a check
Tell = Callable[[str], None]


class CheckFailed(HostError):
    """A check whose outcome was not what the lab says."""


def openstack_client() -> Path:
    """The unmodified client: $PILEUS_OPENSTACK, `.venv-clients` beside the source, or the one on the PATH. Raises SettingError."""
    beside = Path(__file__).resolve().parents[3] / ".venv-clients/bin/openstack"
    for found in (os.environ.get("PILEUS_OPENSTACK"), beside if beside.exists() else None, shutil.which("openstack")):
        if found:
            return Path(found)
    raise SettingError(
        "the openstack client is not here: `make clients` installs it in a venv of its own, or set PILEUS_OPENSTACK to yours"
    )


@dataclass
class Runner:
    """Carries out one lab in a folder of its own, where its files, keys and logs are."""

    lab: Lab
    folder: Path
    tell: Tell
    environment: Mapping[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)  # seconds are counted from here

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.lab.files, self.folder, dirs_exist_ok=True)
        binaries = self.folder / ".bin"
        binaries.mkdir(exist_ok=True)
        _script(binaries / "openstack", [str(openstack_client())])
        _script(binaries / "pileus", [sys.executable, "-m", "pileus"])
        self.environment = {**os.environ, **self.environment, "PATH": f"{binaries}:{os.environ.get('PATH', os.defpath)}"}
        self._looker = Looker(lambda argv: self._run(argv), self.folder)

    def run(self) -> int:
        """Everything in order. Returns how many checks passed. Raises HostError (a command failed) or CheckFailed."""
        passed = 0
        for block in self.lab.blocks:
            began = time.monotonic()
            if isinstance(block, Step):
                note = self._step(block)
            else:
                note = self._check(block)
                passed += 1
            self.tell(f"{time.monotonic() - self.started:7.1f} s  {block.title}: {note} ({time.monotonic() - began:.1f} s)")
        return passed

    def _step(self, step: Step) -> str:
        self._looker.forget()
        made = 0
        for command in step.commands:
            if self._looker.done(command):
                continue
            try:
                self._run(["sh", "-c", command], shown=command)
                made += 1
            except HostError as error:
                if not was_done(str(error)):
                    raise
        return f"{made} of {len(step.commands)} commands, the others had been carried out before" if made < len(step.commands) else "done"

    def _check(self, check: Check) -> str:
        deadline = time.monotonic() + check.wait
        while True:
            said, status = self._ask(check.run)
            if _fits(check, said, status):
                break
            if time.monotonic() > deadline:
                raise CheckFailed(self._failure(check, said, status))
            time.sleep(PAUSE)
        lines = [line for line in said.splitlines() if re.search(check.show, line)]
        if lines:
            print(f"$ {check.run}", *lines, sep="\n", flush=True)
        return "as it should be"

    def _failure(self, check: Check, said: str, status: int) -> str:
        wanted = (
            f"{check.expect!r}" if check.expect is not None else f"{check.contains!r} in it" if check.contains else f"status {check.status}"
        )
        return f"{check.title}: expected {wanted}, got status {status} and {said.strip()[-400:]!r}\n  $ {check.run}"

    def _ask(self, command: str) -> tuple[str, int]:
        done = subprocess.run(  # noqa: S602 - the lab's own text is what is to be run
            command, shell=True, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        return done.stdout.replace("\r", ""), done.returncode

    def _run(self, argv: list[str], *, shown: str = "") -> str:
        """Run a command, keeping what it says for the error. Raises HostError."""
        talks = shown.startswith("pileus image")  # whose progress is worth seeing
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=None if talks else subprocess.PIPE,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            raise HostError(f"{(done.stderr or done.stdout or '').strip() or 'failed'}\n  $ {shown or ' '.join(argv)}")
        return done.stdout


def _fits(check: Check, said: str, status: int) -> bool:
    if status != check.status:
        return False
    if check.expect is not None and said.strip() != check.expect:
        return False
    return check.contains is None or check.contains in said


def _script(path: Path, argv: list[str]) -> None:
    """A command by its plain name, so that the lab's text can be typed as it is."""
    path.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in argv) + ' "$@"\n')
    path.chmod(0o755)
