"""`pileus exec`: who the student is in there, what is seen, how it ends."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pileus.config import Paths
from pileus.drivers.datacenter import attach, start
from pileus.drivers.datacenter.client import holder_pid
from tests.kernel.conftest import in_child

pytestmark = [pytest.mark.kernel, pytest.mark.single_map]
PILEUS = [sys.executable, "-m", "pileus"]


@pytest.fixture
def outside(datacenter: Paths) -> Paths:
    """A datacenter with an empty outside host."""
    in_child(lambda: attach(datacenter).netns.create("outside"))
    return datacenter


def student(*argv: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PILEUS, "exec", *argv], capture_output=True, text=True, timeout=30, cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL
    )


def test_it_is_oneself_in_ones_own_folder(outside: Paths, tmp_path: Path) -> None:
    done = student("sh", "-c", "id -u; id -g; pwd; echo $COLOUR; hostname; touch mine; exit 3", cwd=tmp_path, COLOUR="blue")
    assert done.stdout.splitlines() == [str(os.getuid()), str(os.getgid()), str(tmp_path), "blue", "outside"], done.stderr
    assert done.returncode == 3
    assert (tmp_path / "mine").stat().st_uid == os.getuid()


def test_it_has_no_rights_in_there(outside: Paths) -> None:
    script = "cat /proc/self/status; ip link add x type dummy; umount /proc; kill -9 1; cat /pileus/pileus.db /netns/*"
    done = student("sh", "-c", script)
    assert "CapEff:\t0000000000000000" in done.stdout
    assert done.stderr.count("not permitted") + done.stderr.count("must be superuser") >= 2, done.stderr
    assert holder_pid(outside.run)


def test_it_is_on_the_outside_host(outside: Paths) -> None:
    done = student("sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/pid; ping -c1 -W2 127.0.0.1")
    expected = in_child(lambda: attach(outside).netns.run("outside", lambda: os.readlink("/proc/thread-self/ns/net")))
    lines = done.stdout.splitlines()
    assert lines[0] == expected
    assert lines[1] == os.readlink(f"/proc/{holder_pid(outside.run)}/ns/pid")
    assert " 0% packet loss" in done.stdout, done.stdout + done.stderr


def test_what_cannot_be_run_is_said(outside: Paths) -> None:
    done = student("nowhere")
    assert (done.returncode, done.stderr) == (127, "pileus: nowhere: command not found\n")
    assert student("sh", "-c", "kill -9 $$").returncode == 137


def test_out_there_one_can_still_say_pileus(outside: Paths) -> None:
    """`exec` is no second door there; what begins or ends the cloud is refused, since the shell itself would end with it."""
    again = student(*PILEUS, "exec", "sh", "-c", "readlink /proc/self/ns/net; exit 4")
    assert (again.stdout, again.returncode) == (student("readlink", "/proc/self/ns/net").stdout, 4), again.stderr
    for words in (["up"], ["down"], ["destroy", "--yes"]):
        refused = student(*PILEUS, *words)
        assert refused.returncode == 4
        assert "outside host" in refused.stderr
    assert holder_pid(outside.run)


def test_without_an_outside_host(datacenter: Paths) -> None:
    done = student("true")
    assert done.returncode == 1
    assert "no network namespace 'outside'" in done.stderr
    start.stop(datacenter)
    done = student("true")
    assert done.returncode == 4
    assert "pileus up" in done.stderr


def _shell() -> tuple[int, int]:
    """A shell on the outside host, on a terminal: its (and our child's) pid, and the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(PILEUS[0], [*PILEUS, "exec", "sh", "-i"], {**os.environ, "PS1": "ready$ ", "ENV": "/dev/null"})
    return pid, terminal


def _read_until(terminal: int, wanted: str) -> str:
    text, until = "", time.monotonic() + 20
    while wanted not in text:
        assert time.monotonic() < until, text
        if select.select([terminal], [], [], 0.2)[0]:
            text += os.read(terminal, 4096).decode()
    return text


def test_a_terminal_works(outside: Paths) -> None:
    """Interrupts reach the command and not us, and a shell's own job control works."""
    pid, terminal = _shell()
    _read_until(terminal, "ready$ ")
    os.write(terminal, b"sleep 100\n")
    time.sleep(0.3)
    os.write(terminal, b"\x03")
    _read_until(terminal, "ready$ ")
    os.write(terminal, b"tty; echo $((6*7))\n")
    assert "/dev/pts/" in _read_until(terminal, "42\r\n")
    os.write(terminal, b"exit 5\n")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 5
    os.close(terminal)


def test_it_can_be_a_job_of_a_shell(outside: Paths) -> None:
    """Stopped by Ctrl-Z and continued, below an interactive shell of the host."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("bash", ["bash", "--norc", "-i"], {**os.environ, "PS1": "host$ "})
    _read_until(terminal, "host$ ")
    os.write(terminal, f"{' '.join(PILEUS)} exec sh -c 'echo be''gun; read x; echo got=$x'\n".encode())
    _read_until(terminal, "begun\r\n")
    os.write(terminal, b"\x1a")
    _read_until(terminal, "host$ ")
    os.write(terminal, b"echo st''ill here; fg\n")
    _read_until(terminal, "still here")
    time.sleep(0.3)
    os.write(terminal, b"hello\n")
    _read_until(terminal, "got=hello")
    os.write(terminal, b"exit\n")
    os.waitpid(pid, 0)
    os.close(terminal)


@pytest.mark.parametrize("stopped", [False, True])
def test_down_ends_an_open_shell(outside: Paths, stopped: bool) -> None:
    """Even one whose own parent stands still: the kernel lets the datacenter go only when somebody has taken its status."""
    pid, terminal = _shell()
    _read_until(terminal, "ready$ ")
    if stopped:
        os.kill(pid, signal.SIGSTOP)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)
    began = time.monotonic()
    assert start.stop(outside)
    assert time.monotonic() - began < 5
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 137
    os.close(terminal)
