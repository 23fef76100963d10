"""A whole cloud's life by the command line: what is there afterwards, what survives what."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Paths
from pileus.drivers.datacenter import outbound
from pileus.drivers.datacenter.process import started
from tests.kernel.conftest import has_subordinate_ids

pytestmark = [pytest.mark.kernel, pytest.mark.single_map]
PILEUS = [sys.executable, "-m", "pileus"]


def pileus(*argv: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*PILEUS, *argv], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == status, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def look() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(pileus("status", "-f", "json").stdout)
    return facts


def wait(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)


def traces(home: Path) -> dict[str, list[str]]:
    """All that this machine has of the cloud in `home`: processes, mounts, sockets."""
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(home).encode() in words and started(int(entry.name)) is not None:
                processes.append(f"{entry.name} {(entry / 'comm').read_text()}")
    return {
        "processes": processes,
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(home) in line],
        "sockets": [line for line in Path("/proc/net/unix").read_text().splitlines() if str(home) in line],
    }


def namespace_users(inodes: set[int]) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if {(entry / "ns" / kind).stat().st_ino for kind in ("net", "mnt", "user")} & inodes:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("drivers", ["linux", "fake"])
def test_down_leaves_nothing(home: Path, drivers: str) -> None:
    before = traces(home)
    links = socket.if_nameindex()
    for _ in range(2):
        pileus("up", "--drivers", drivers)
        facts = look()
        assert (facts["state"], facts["drivers"], facts["home"]) == ("up", drivers, str(home))
        inodes = set()
        if drivers == "linux":
            inodes = {Path(f"/proc/{facts['pids']['datacenter']}/ns/{kind}").stat().st_ino for kind in ("net", "mnt", "user")}
            assert len(namespace_users(inodes)) >= 2  # the holder and the control plane
        pileus("down")
        assert look()["state"] == "down"
        assert traces(home) == before
        assert namespace_users(inodes) == []
        assert socket.if_nameindex() == links
        assert not Paths.resolve().run.exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(facts["endpoint"].rpartition(":")[2])), 1)
    assert {file.stat().st_uid for file in home.rglob("*")} == {os.getuid()}
    pileus("down")  # a second one is harmless
    pileus("destroy", "--yes")
    assert not home.exists()


def test_the_control_plane_killed(home: Path) -> None:
    """Nothing starts it again by itself; `up` does, and finds the datacenter as it was, at the same address."""
    pileus("up")
    before = look()
    os.kill(before["pids"]["control"], signal.SIGKILL)
    wait(lambda: look()["state"] == "crashed")
    pileus("up")
    after = look()
    assert after["state"] == "up"
    assert after["pids"]["datacenter"] == before["pids"]["datacenter"]
    assert after["pids"]["control"] != before["pids"]["control"]
    assert after["endpoint"] == before["endpoint"]


def test_the_holder_killed(home: Path) -> None:
    """What lives outside its namespaces ends itself; `up` begins anew."""
    pileus("up")
    before = look()
    helper = outbound.running(Paths.resolve())
    os.kill(before["pids"]["datacenter"], signal.SIGKILL)
    wait(lambda: look()["state"] != "up")
    wait(lambda: started(before["pids"]["control"]) is None)
    if helper:
        wait(lambda: started(helper) is None)
    pileus("up")
    after = look()
    assert after["state"] == "up"
    assert after["pids"]["datacenter"] != before["pids"]["datacenter"]


def test_a_control_plane_that_hangs_is_replaced(home: Path) -> None:
    pileus("up", "--drivers", "fake")
    before = look()
    os.kill(before["pids"]["control"], signal.SIGSTOP)
    assert "does not answer" in pileus("up").stderr
    assert look()["pids"]["control"] not in (None, before["pids"]["control"])
    assert started(before["pids"]["control"]) is None


def test_two_at_once_make_one_cloud(home: Path) -> None:
    ups = [subprocess.Popen([*PILEUS, "up"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(3)]
    said = [up.communicate(timeout=60)[0] for up in ups]
    assert [up.returncode for up in ups] == [0, 0, 0], said
    assert sorted("is up already" in text for text in said) == [False, True, True]
    comms = [line.split()[1] for line in traces(home)["processes"]]
    assert comms.count("pileus-holder") == 1
    assert comms.count("pileus") == 1


def test_up_and_down_at_once_agree(home: Path) -> None:
    pileus("up", "--drivers", "fake")
    both = [
        subprocess.Popen([*PILEUS, word], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for word in ("down", "up", "down")
    ]
    errors = [one.communicate(timeout=60)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0, 0], errors
    pileus("down")
    assert traces(home) == {"processes": [], "mounts": [], "sockets": []}


def test_the_foreground_is_the_control_plane(home: Path) -> None:
    process = subprocess.Popen([*PILEUS, "up", "--drivers", "fake", "--foreground"], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    wait(lambda: look()["state"] == "up")
    assert look()["pids"]["control"] == process.pid
    assert pileus("up").stdout.count("is up already")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert look()["state"] != "up"


def test_what_cannot_be(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in pileus("up", "--drivers", "fake", "--port", str(port), status=4).stderr
        os.environ["PILEUS_PORT"] = str(port)
        first = pileus("up", "--drivers", "fake")
        assert f"Port {port} is taken" in first.stderr
        kept = look()["endpoint"]
        pileus("down")
    pileus("up")
    assert look()["endpoint"] == kept  # also when the port first wanted is free again
    assert "fits no other" in pileus("up", "--drivers", "linux", status=4).stderr
    assert "--yes" in pileus("destroy", status=2).stderr
    pileus("nonsense", status=2)
    pileus("exec", "true", status=4)
    pileus("console", "log", "nobody", status=3)
    pileus("down")
    assert "pileus up" in pileus("console", "log", "nobody", status=4).stderr


def test_the_password_is_the_users_alone(home: Path) -> None:
    pileus("up")
    paths = Paths.resolve()
    password = paths.password_file.read_text().strip()
    assert len(password) >= 20
    for file in (path for path in home.rglob("*") if path.is_file() and password.encode() in path.read_bytes()):
        assert file.stat().st_mode & 0o777 == 0o600, file
    seen = set()
    for line in traces(home)["processes"]:
        folder = Path("/proc", line.split()[0])
        try:
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:  # a short-lived child, between its fork and its end: those that stay are asserted below
            continue
        assert password.encode() not in words
        seen.add(int(folder.name))
    assert set(look()["pids"].values()) <= seen
    assert not any(password in log.read_text(errors="replace") for log in paths.state.glob("*.log"))
    assert password not in pileus("openrc").stdout + pileus("env").stdout
    assert not [path for path in paths.data.glob("pileus.db*") if path.stat().st_mode & 0o077]


def test_on_the_outside_host_the_apis_answer_at_the_same_address(home: Path) -> None:
    pileus("up")
    ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1] + '/identity/v3', timeout=10).status)"
    assert pileus("exec", sys.executable, "-c", ask, look()["endpoint"]).stdout == "200\n"


def test_nothing_of_the_users_is_deleted(home: Path) -> None:
    pileus("up", "--drivers", "fake")
    mine = Paths.resolve().config / "config.toml"
    mine.write_text("port = 0\n")
    pileus("destroy", "--yes")
    assert [path for path in home.rglob("*") if path.is_file()] == [mine]


def test_doctor_says_what_there_is(home: Path) -> None:
    done = subprocess.run([*PILEUS, "doctor", "-f", "json"], capture_output=True, text=True, timeout=60)
    findings = {one["probe"]: one["verdict"] for one in json.loads(done.stdout)}
    assert findings["datacenter"] == findings["tun"] == findings["sysctl"] == "ok"
    assert findings["guest uids"] == ("ok" if has_subordinate_ids() else "limited")
    assert done.returncode == ("missing" in findings.values())
    assert traces(home) == {"processes": [], "mounts": [], "sockets": []}
