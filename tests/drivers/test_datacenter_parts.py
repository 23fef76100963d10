"""The datacenter's small parts: locks, id ranges, files given back, facts about processes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from pileus.drivers.datacenter import idmap, lock, process


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    assert not lock.is_taken(path)
    held = lock.take(path)
    assert held is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert lock.is_taken(path)
    assert lock.take(path) is None
    assert lock.take(path, wait=0.05) is None
    lock.remove(path, held)
    assert not path.exists()
    assert not lock.is_taken(path)


def test_a_lock_on_a_file_that_was_removed_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiter that opened the file before its holder removed it must not believe that it has the lock."""
    path = tmp_path / "lock"
    real, removed = lock.fcntl.flock, []

    def flock(fd: int, operation: int) -> None:
        real(fd, operation)
        if not removed:
            removed.append(path.unlink())

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    held = lock.take(path)
    assert held is not None
    assert os.path.samestat(os.fstat(held), path.stat())
    os.close(held)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        lock.take(path)
        os.write(write, b"x")
        signal.pause()
    os.read(read, 1)
    assert lock.is_taken(path)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not lock.is_taken(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# a comment\n\nann:100000:65536\n", [("ann", (100000, 65536))]),
        ("ann:1:2\nann:x:y\n1000:300000:5:7\nbob:5:6", [("ann", (1, 2)), ("bob", (5, 6))]),
    ],
)
def test_subordinate_ids_are_read(tmp_path: Path, text: str, expected: list[tuple[str, tuple[int, int]]]) -> None:
    file = tmp_path / "subuid"
    file.write_text(text)
    assert idmap._granted(file) == expected


@pytest.mark.parametrize(
    ("granted", "first"),
    [
        ([], 1_000_000),
        ([(100_000, 65536), (165_536, 65536)], 1_000_000),
        ([(1_000_000, 65536)], 1_065_536),
        ([(990_000, 20_000), (1_010_000, 10), (1_075_546, 1)], 1_010_010),
        ([(1_010_000, 10), (990_000, 20_000), (1_050_000, 100)], 1_050_100),
    ],
)
def test_root_takes_a_range_that_nobody_has(granted: list[tuple[int, int]], first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: "         0          0 4294967295\n")
    assert idmap._free([idmap.Range(*one) for one in granted], "uid") == (first, idmap.RANGE)


def test_root_of_a_small_container_has_no_range_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: "0 1000 1\n1 100000 65536\n")
    assert idmap._free([], "uid") is None


def test_a_process_is_known_by_its_start() -> None:
    child = subprocess.Popen(["sleep", "60"])
    began = process.started(child.pid)
    assert began is not None
    assert process.end(child.pid, (signal.SIGTERM, 5))
    assert process.started(child.pid) is None  # a zombie is no process
    child.wait()
    assert process.started(child.pid) is None
    assert process.end(child.pid, (signal.SIGTERM, 5))


def test_who_does_not_listen_is_killed() -> None:
    child = subprocess.Popen(["sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done"], stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    assert not process.end(child.pid, (signal.SIGTERM, 0.1))
    assert process.end(child.pid, (signal.SIGTERM, 0.1), (signal.SIGKILL, 5))
    assert child.wait() == -signal.SIGKILL
