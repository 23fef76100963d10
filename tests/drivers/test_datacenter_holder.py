"""The holder's protocol, served by a process that is in no namespace of its own: what it answers to whom, whatever it is sent."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.drivers.datacenter import client as client_module
from pileus.drivers.datacenter import holder as served
from pileus.drivers.datacenter.client import Exit, Holder, HolderError


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """The folder of a holder that serves."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            listener = served._listen(str(tmp_path / client_module.SOCKET))  # by its pid the holder is known
            os.write(told, b"x")
            served._Holder(listener, os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)).serve()
        finally:
            os._exit(1)
    os.read(ready, 1)
    os.close(ready)
    os.close(told)
    yield tmp_path
    try:
        for process in Holder(tmp_path).list()[0].values():
            os.kill(process.pid, signal.SIGKILL)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def raw(run: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(5)
        sock.connect(str(run / client_module.SOCKET))
        yield sock


def ask(sock: socket.socket, message: Any) -> dict[str, Any]:
    sock.send(message if isinstance(message, bytes) else json.dumps(message).encode())
    reply: dict[str, Any] = json.loads(sock.recv(served.MESSAGE_MAX))
    return reply


def until_ended(holder: Holder, name: str) -> Exit:
    until = time.monotonic() + 10
    while name not in (ended := holder.list()[1]):
        assert time.monotonic() < until
        time.sleep(0.01)
    return ended[name]


def test_requests_are_numbered(raw: socket.socket) -> None:
    assert ask(raw, {"op": "hello", "id": 7}) == {"protocol": served.PROTOCOL, "layout": 1, "id": 7}
    assert ask(raw, {"op": "list", "id": "x"})["id"] == "x"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"{", "Expecting"),
        (b"\xff\xfe\xff", ""),
        (b"[1]", ""),
        (b"null", ""),
        ({}, "op"),
        ({"op": "fly"}, "no such op: fly"),
        ({"op": "kill", "name": "nobody", "signal": 9}, "nobody"),
        ({"op": "kill"}, "name"),
        ({"op": "acknowledge", "name": "nobody"}, "nobody"),
        ({"op": "spawn", "name": "a", "argv": []}, "argv is empty"),
        ({"op": "spawn", "name": "a", "argv": ["true"], "fds": [5]}, "fds"),
        ({"op": "spawn", "name": "a", "argv": ["true"], "log": "/nowhere/log"}, "/nowhere/log"),
        ({"op": "spawn", "name": "a", "argv": ["true"], "cwd": "/nowhere"}, "/nowhere"),
        ({"op": "spawn", "name": "a", "argv": 5}, ""),
        ({"op": "end"}, "PID 1"),
        (b'{"op": "hello", "id": "' + b"x" * served.MESSAGE_MAX, "at most"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_holder_goes_on(raw: socket.socket, message: Any, words: str) -> None:
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, served.MESSAGE_MAX * 2)
    reply = ask(raw, message)
    assert words in reply["error"]
    assert ask(raw, {"op": "list"}) == {"living": {}, "ended": {}, "id": None}


def test_descriptors_that_nobody_wants_are_closed(raw: socket.socket) -> None:
    read, write = os.pipe()
    socket.send_fds(raw, [json.dumps({"op": "hello"}).encode()], [write])
    raw.recv(1000)
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)


def test_what_is_held_is_held_until_replaced(run: Path) -> None:
    holder = Holder(run)
    read, write = os.pipe()
    os.set_blocking(read, False)
    holder.hold("lifeline", write)
    os.close(write)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    with open("/dev/null") as other:
        holder.hold("lifeline", other.fileno())
    assert os.read(read, 1) == b""
    os.close(read)


def test_a_name_is_free_again_when_its_end_is_acknowledged(run: Path) -> None:
    holder = Holder(run)
    first = holder.spawn("a", ["sleep", "60"])
    with pytest.raises(HolderError, match="a is already there"):
        holder.spawn("a", ["true"])
    with pytest.raises(HolderError, match="a"):
        holder.acknowledge("a")
    holder.kill("a", signal.SIGKILL)
    assert until_ended(holder, "a") == Exit("a", -9)
    holder.kill("a", signal.SIGTERM)  # it has just ended: no error
    assert until_ended(Holder(run), "a") == Exit("a", -9)  # another client sees it as well
    holder.acknowledge("a")
    assert holder.spawn("a", ["sleep", "60"]).pid != first.pid


def test_watchers_hear_all_that_was_not_acknowledged(run: Path, raw: socket.socket) -> None:
    holder = Holder(run)
    for name, status in (("a", 3), ("b", 0)):
        holder.spawn(name, ["sh", "-c", f"exit {status}"])
        until_ended(holder, name)
    holder.acknowledge("b")
    assert ask(raw, {"op": "watch", "id": 1}) == {"watching": True, "id": 1}
    assert json.loads(raw.recv(1000)) == {"exit": "a", "status": 3}
    holder.spawn("c", ["true"])
    assert json.loads(raw.recv(1000)) == {"exit": "c", "status": 0}


def test_a_watcher_that_does_not_read_is_dropped(run: Path, raw: socket.socket) -> None:
    """It must not hold up the others; it comes again and asks for the list."""
    holder = Holder(run)
    ask(raw, {"op": "watch"})
    name = "n" * 100_000
    for number in range(12):
        holder.spawn(f"{name}{number}", ["true"])
        while f"{name}{number}" in holder.list()[0]:
            time.sleep(0.005)
        holder.acknowledge(f"{name}{number}")
    heard = 0
    while raw.recv(served.MESSAGE_MAX):
        heard += 1
    assert 0 < heard < 12


def test_another_version_is_refused_in_words(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "PROTOCOL", served.PROTOCOL + 1)
    with pytest.raises(HolderError, match="another version of Pileus: run `pileus down`"):
        Holder(run)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(HolderError, match="pileus up"):
        Holder(tmp_path)


def test_no_answer_in_time_is_an_error_and_the_late_answer_no_confusion(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Holder(run)
    pid = holder.pid
    holder._socket.settimeout(0.2)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(HolderError, match="did not answer"):
            holder.list()
    finally:
        os.kill(pid, signal.SIGCONT)
    holder._socket.settimeout(5)
    assert holder.spawn("a", ["sleep", "60"]).name == "a"
    assert set(holder.list()[0]) == {"a"}


def test_children_of_children_are_reaped_and_forgotten(run: Path) -> None:
    holder = Holder(run)
    holder.spawn("a", ["sh", "-c", "sleep 0.1 & exit 0"])
    assert until_ended(holder, "a") == Exit("a", 0)
    assert holder.list() == ({}, {"a": Exit("a", 0)})
