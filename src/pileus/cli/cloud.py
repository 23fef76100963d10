"""One cloud as the command line sees it: its folders and settings, what it remembers, and what of it runs now."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from pileus import __version__
from pileus.config import Paths, Settings
from pileus.drivers.datacenter import lock
from pileus.drivers.datacenter.client import holder_pid
from pileus.drivers.datacenter.process import started
from pileus.drivers.datacenter.student import MARK
from pileus.errors import Conflict

COMMAND_WAIT = 120.0  # seconds that a second `up` or `down` waits for the first
State = Literal["up", "starting", "crashed", "down"]


def tell(message: str) -> None:
    """One line of progress, on stderr: stdout is for results."""
    click.echo(message, err=True)


@dataclass(frozen=True)
class Control:
    """A control plane process that lives. `endpoint` is empty until its APIs answer."""

    pid: int
    endpoint: str
    drivers: str
    version: str


@dataclass(frozen=True)
class Cloud:
    """The cloud that the environment names."""

    paths: Paths
    settings: Settings

    @classmethod
    def of_environment(cls) -> Cloud:
        """Raises SettingError."""
        paths = Paths.resolve()
        return cls(paths, Settings.load(paths))

    @property
    def home(self) -> str:
        """Where it is: PILEUS_HOME, or the data folder of the only cloud that needs none."""
        return str(Path(os.environ["PILEUS_HOME"]).absolute()) if os.environ.get("PILEUS_HOME") else str(self.paths.data)

    @property
    def control_lock(self) -> Path:
        """Held by the control plane for life; the file says who that is."""
        return self.paths.run / "control.lock"

    @property
    def control_file(self) -> Path:
        """What the control plane says of itself once its APIs answer."""
        return self.paths.run / "control.json"

    @property
    def control_log(self) -> Path:
        return self.paths.state / "control.log"

    @contextlib.contextmanager
    def commanding(self) -> Iterator[None]:
        """Be the one command that begins or ends things in this cloud. Raises TimeoutError when another does not finish."""
        if os.environ.get(MARK):
            raise Conflict("this shell is on the cloud's outside host: begin and end the cloud from a shell of your own machine")
        path = self.paths.run / "command.lock"
        held = lock.take(path)
        if held is None:
            tell("Another pileus command is at work on this cloud: waiting for it")
            held = lock.take(path, COMMAND_WAIT)
        if held is None:
            raise TimeoutError(f"another pileus command has held {path} for {COMMAND_WAIT:g} s")
        try:
            yield
        finally:
            lock.remove(path, held)
            with contextlib.suppress(OSError):  # not empty: the cloud is up
                self.paths.run.rmdir()

    def control(self) -> Control | None:
        """The control plane, if it lives."""
        said = _read(self.control_lock)
        if not said or not lock.is_taken(self.control_lock):
            return None
        if started(said["pid"]) != said["start"] and not os.environ.get(MARK):  # on the outside host pids say nothing
            return None
        ready = _read(self.control_file)
        if not ready or ready.get("pid") != said["pid"]:
            ready = {}
        return Control(said["pid"], ready.get("endpoint", ""), said["drivers"], ready.get("version", __version__))

    def holder(self) -> int | None:
        """The pid of the datacenter's holder, if there is one."""
        return holder_pid(self.paths.run)

    def state(self) -> State:
        """What a user would say of it."""
        control = self.control()
        if control:
            return "up" if control.endpoint else "starting"
        return "crashed" if self.holder() or self.control_file.exists() else "down"

    def running(self) -> Control:
        """The control plane of a cloud that is up. Raises Conflict."""
        control = self.control()
        if control is None or not control.endpoint:
            raise Conflict(f"this cloud ({self.home}) is {self.state()}: start it with `pileus up`")
        return control

    def password(self) -> str:
        """The admin's password, made up when it is first asked for; only this user can read the file."""
        file = self.paths.password_file
        with contextlib.suppress(FileExistsError):
            fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w") as out:
                out.write(secrets.token_urlsafe(18) + "\n")
        return file.read_text().strip()

    def remembered(self) -> dict[str, Any]:
        """What the first `up` settled for this cloud: drivers, port, and the port that was wanted."""
        return _read(self.paths.state / "cloud.json") or {}

    def remember(self, **facts: Any) -> None:
        """Add to what is remembered."""
        file = self.paths.state / "cloud.json"
        new = file.with_suffix(".new")
        new.write_text(json.dumps({**self.remembered(), **facts}) + "\n")
        new.replace(file)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
