"""Fixtures of the kernel tests: a datacenter of its own for a test, and code that runs inside it.

`home`       a PILEUS_HOME of this test; whatever datacenter it starts is ended afterwards
`datacenter` its paths, with the holder running
`inside`     inside(call): run `call(Datacenter)` in a child process that has entered it, as the control plane does; what it returns or
             raises comes back
`as_user`    as_user("subuid" | "single", FILE, KEYWORD): tests of a file once more as a plain user, with or without subordinate ids

Otherwise every test runs as whoever runs it: `tools/as-student [--single]` makes that a plain user.
"""

from __future__ import annotations

import os
import pickle
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from pileus.config import Paths
from pileus.drivers.datacenter import Datacenter, attach, start

REPOSITORY = Path(__file__).resolve().parents[2]
T = TypeVar("T")
Inside = Callable[[Callable[[Datacenter], T]], T]
CHILD_TIMEOUT = 120  # seconds


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PILEUS_HOME for this test alone, also in the environment; short, because socket paths are."""
    folder = Path(tempfile.mkdtemp(prefix="pileus-", dir="/tmp"))
    monkeypatch.setenv("PILEUS_HOME", str(folder))
    monkeypatch.setenv("PILEUS_PORT", "0")
    yield folder
    paths = Paths.resolve()
    if paths.run.exists():  # first what a control plane on the fake drivers is not ended by
        subprocess.run([sys.executable, "-m", "pileus", "down"], check=False, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        start.stop(paths)
    shutil.rmtree(folder, ignore_errors=True)


def has_subordinate_ids() -> bool:
    """Whether guests should have uids of their own here: root's always have."""
    names = {pwd.getpwuid(os.getuid()).pw_name, str(os.getuid())}
    return os.getuid() == 0 or any(line.split(":")[0] in names for line in Path("/etc/subuid").read_text().splitlines())


@pytest.fixture
def datacenter(home: Path) -> Paths:
    """The paths of a cloud whose datacenter runs."""
    paths = Paths.resolve()
    paths.make()
    start.start(paths)
    return paths


@pytest.fixture
def inside(datacenter: Paths) -> Inside:
    """Run a function in a child process that has entered the datacenter."""

    def run(call: Callable[[Datacenter], T]) -> T:
        return in_child(lambda: call(attach(datacenter)))

    return run


def in_child(call: Callable[[], T], timeout: int = CHILD_TIMEOUT) -> T:
    """The result of `call()`, run in a forked child: it may change namespaces. An exception comes back with its traceback as a note."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.alarm(timeout)
        try:
            outcome: tuple[bool, object] = (True, call())
        except BaseException as error:
            error.add_note(traceback.format_exc())
            outcome = (False, error)
        try:
            data = pickle.dumps(outcome)
        except Exception:
            data = pickle.dumps((False, AssertionError(f"not to be pickled: {outcome}")))
        with os.fdopen(write, "wb") as pipe:
            pipe.write(data)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not data:
        raise AssertionError(f"the child ended with status {os.waitstatus_to_exitcode(status)} and said nothing")
    good, value = pickle.loads(data)
    if good:
        return value  # type: ignore[no-any-return]
    raise value


@pytest.fixture
def as_user() -> Callable[..., str]:
    """Run tests of a file again as a plain user (root only). The output is returned; a failure in there is one here."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user: this run is the unprivileged one")

    def run(map: str, file: str, keyword: str = "", timeout: float = 300, **environment: str) -> str:
        argv = [str(REPOSITORY / "tools/as-student"), *(["--single"] if map == "single" else [])]
        argv += ["env", *(f"{name}={value}" for name, value in environment.items())]
        argv += [str(REPOSITORY / ".venv/bin/python"), "-m", "pytest", "-p", "no:cacheprovider", "-q", "--no-header", file]
        done = subprocess.run(
            [*argv, *(["-k", keyword] if keyword else [])],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            cwd=REPOSITORY,
        )
        sys.stdout.write(done.stdout)
        if done.returncode:
            pytest.fail(
                f"as a plain user ({map} map), status {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}", pytrace=False
            )
        return done.stdout

    return run
