"""Fixtures of the kernel tests: a datacenter of its own for a test, code that runs inside it, and the same tests as a plain user.

`home`       a PILEUS_HOME of this test; whatever datacenter it starts is ended afterwards
`datacenter` its paths, with the holder running
`inside`     inside(call): run `call(Datacenter)` in a child process that has entered it, as the control plane does; what it returns or
             raises comes back
`as_user`    as_user("subuid" | "single", FILE, KEYWORD): run tests of a file again as an unprivileged user (root only; see below)
"""

from __future__ import annotations

import os
import pickle
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

T = TypeVar("T")
Inside = Callable[[Callable[[Datacenter], T]], T]
REPOSITORY = Path(__file__).resolve().parents[2]
USER, UID, SUBUIDS = "pileus-test", 21000, 400_000
CHILD_TIMEOUT = 120  # seconds


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PILEUS_HOME for this test alone, also in the environment; short, because socket paths are."""
    folder = Path(tempfile.mkdtemp(prefix="pileus-", dir="/tmp"))
    monkeypatch.setenv("PILEUS_HOME", str(folder))
    monkeypatch.setenv("PILEUS_PORT", "0")
    yield folder
    paths = Paths.resolve()
    if paths.run.exists():
        start.stop(paths)
    shutil.rmtree(folder, ignore_errors=True)


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


def in_child(call: Callable[[], T]) -> T:
    """The result of `call()`, run in a forked child: it may change namespaces. An exception comes back with its traceback as a note."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.alarm(CHILD_TIMEOUT)
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


SETTING = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/etc /mnt/home /mnt/dev /mnt/repository
for name in passwd group subuid subgid; do test -e /etc/$name && cp /etc/$name /mnt/etc/ || : > /mnt/etc/$name; done
echo '{user}:x:{uid}:{uid}::/mnt/home:/bin/sh' >> /mnt/etc/passwd
echo '{user}:x:{uid}:' >> /mnt/etc/group
grep -v '^{user}:' /etc/subuid > /mnt/etc/subuid || true
grep -v '^{user}:' /etc/subgid > /mnt/etc/subgid || true
if test "{map}" = subuid; then
  echo '{user}:{subuids}:65536' >> /mnt/etc/subuid
  echo '{user}:{subuids}:65536' >> /mnt/etc/subgid
fi
for name in passwd group subuid subgid; do test -e /etc/$name || continue; mount --bind /mnt/etc/$name /etc/$name; done
mknod /mnt/dev/tun c 10 200 && chmod 0666 /mnt/dev/tun && mount --bind /mnt/dev/tun /dev/net/tun
mount --bind '{repository}' /mnt/repository
chown {uid}:{uid} /mnt/home
cd /mnt/repository
exec setpriv --reuid {uid} --regid {uid} --clear-groups --inh-caps=-all env -i \
  PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin HOME=/mnt/home USER={user} LANG=C.UTF-8 PYTHONPATH=/mnt/repository/src \
  PYTHONDONTWRITEBYTECODE=1 PILEUS_TEST_MAP={map} {environment} \
  .venv/bin/python -m pytest -p no:cacheprovider -q --no-header {file} {select}
"""


@pytest.fixture
def as_user() -> Callable[..., str]:
    """Run tests of a file again as an unprivileged user, in a mount namespace of its own; the host's accounts and /dev stay as they are.

    `map`: "subuid" (newuidmap works) or "single" (no subordinate ids). The output is returned; a failure in there is one here.
    """
    if os.getuid() != 0:
        pytest.skip("only root can become another user: this run is the unprivileged one")

    def run(map: str, file: str, keyword: str = "", timeout: float = 300, **environment: str) -> str:
        script = SETTING.format(
            user=USER,
            uid=UID,
            subuids=SUBUIDS,
            map=map,
            repository=REPOSITORY,
            file=Path(file).resolve().relative_to(REPOSITORY),
            select=f"-k '{keyword}'" if keyword else "",
            environment=" ".join(f"{key}='{value}'" for key, value in environment.items()),
        )
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
        )
        sys.stdout.write(done.stdout)
        if done.returncode:
            pytest.fail(f"as {USER} ({map} map), status {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}", pytrace=False)
        return done.stdout

    return run
