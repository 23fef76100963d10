"""The datacenter as such: holder, namespaces, network namespaces, adoption, end."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import time
from pathlib import Path

import pytest

from pileus.config import Paths
from pileus.drivers.datacenter import Datacenter, Exit, Holder, HolderError, attach, start
from pileus.drivers.datacenter.client import holder_pid
from pileus.errors import HostError
from tests.kernel.conftest import Inside, has_subordinate_ids, in_child

pytestmark = [pytest.mark.kernel, pytest.mark.single_map]


def read_pipe(holder: Holder, argv: list[str], **options: object) -> str:
    read, write = os.pipe()
    holder.spawn("reader", argv, fds={1: write, 2: write}, **options)  # type: ignore[arg-type]
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    until = time.monotonic() + 5
    while "reader" not in holder.list()[1]:
        assert time.monotonic() < until
    holder.acknowledge("reader")
    return text


def test_uids_are_as_this_user_may_have_them(inside: Inside) -> None:
    count = inside(lambda dc: dc.uid_count)
    assert count == (65536 if has_subordinate_ids() else 0)


def test_processes_are_as_the_host_sees_them(inside: Inside) -> None:
    def body(dc: Datacenter) -> None:
        process = dc.holder.spawn("one", ["sleep", "60"])
        assert Path(f"/proc/{process.pid}/cmdline").read_bytes() == b"sleep\x0060\x00"
        assert int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]) == process.start
        assert dc.holder.list() == ({"one": process}, {})
        dc.holder.kill("one", signal.SIGTERM)
        while dc.holder.list()[0]:
            pass
        assert dc.holder.list() == ({}, {"one": Exit("one", -signal.SIGTERM)})
        with pytest.raises(HolderError, match="not acknowledged"):
            dc.holder.spawn("one", ["true"])
        dc.holder.acknowledge("one")
        dc.holder.spawn("one", ["true"])

    inside(body)


def test_a_program_that_is_not_there_is_named(inside: Inside) -> None:
    def body(dc: Datacenter) -> None:
        with pytest.raises(HolderError, match="No such file or directory: /nowhere"):
            dc.holder.spawn("one", ["/nowhere"])
        assert dc.holder.list() == ({}, {})
        with pytest.raises(HolderError, match="netns/none"):
            dc.holder.spawn("one", ["true"], netns="none")

    inside(body)


def test_a_guest_has_no_rights(inside: Inside) -> None:
    def body(dc: Datacenter) -> None:
        uid = 7 if dc.uid_count else None
        status = read_pipe(dc.holder, ["cat", "/proc/self/status"], uid=uid)
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert fields["NoNewPrivs"] == "1"
        assert fields["Uid"].split() == [str(uid or 0)] * 4
        full = read_pipe(dc.holder, ["cat", "/proc/self/status"], keep_caps=True)
        assert "CapEff:\t0000000000000000" not in full

    inside(body)


def test_descriptors_arrive_under_their_numbers(inside: Inside) -> None:
    def body(dc: Datacenter) -> None:
        pipes = [os.pipe() for _ in range(3)]
        targets = [5, 3, 4]  # numbers that the holder itself uses for others
        script = "echo a >&5; echo b >&3; echo c >&4; ls /proc/self/fd"
        dc.holder.spawn("one", ["sh", "-c", script], fds={t: pipe[1] for t, pipe in zip(targets, pipes, strict=True)})
        for (read, write), expected in zip(pipes, "abc", strict=True):
            os.close(write)
            with os.fdopen(read) as file:
                assert file.read() == expected + "\n"
        fds = read_pipe(dc.holder, ["ls", "/proc/self/fd"]).split()
        assert fds == ["0", "1", "2", "3"]  # 3 is the folder itself

    inside(body)


def test_log_environment_and_folder(inside: Inside, datacenter: Paths) -> None:
    def body(dc: Datacenter) -> None:
        assert read_pipe(dc.holder, ["/bin/sh", "-c", "echo $A; pwd"], env={"A": "b"}, cwd="/usr") == "b\n/usr\n"
        dc.holder.spawn("one", ["sh", "-c", "echo out; echo err >&2"], log=str(dc.root / "one.log"))
        while "one" not in dc.holder.list()[1]:
            pass

    inside(body)
    log = datacenter.data / "one.log"
    assert log.read_text() == "out\nerr\n"
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.stat().st_uid == os.getuid()


def test_netns_come_and_go(inside: Inside) -> None:
    def body(dc: Datacenter) -> None:
        for name in ("net-a", "net-b"):
            dc.netns.create(name)
            dc.netns.create(name)
        assert dc.netns.names() == {"net-a", "net-b"}
        inodes = {dc.netns.run(name, lambda: os.stat("/proc/thread-self/ns/net").st_ino) for name in ("net-a", "net-b", None)}
        assert len(inodes) == 3
        assert os.stat("/proc/self/ns/net").st_ino not in inodes
        listener = dc.netns.run("net-a", lambda: socket.create_server(("127.0.0.1", 80)))
        with pytest.raises(ConnectionRefusedError):
            dc.netns.run("net-b", lambda: socket.create_connection(("127.0.0.1", 80), 1))
        dc.netns.run("net-a", lambda: socket.create_connection(("127.0.0.1", 80), 1)).close()
        assert "net-b" in dc.netns.run("net-a", lambda: dc.netns.run("net-b", dc.netns.names))
        listener.close()
        process = dc.holder.spawn("in-a", ["sleep", "60"], netns="net-a")
        assert os.stat(f"/proc/{process.pid}/ns/net").st_ino == dc.netns.run("net-a", lambda: os.stat("/proc/thread-self/ns/net").st_ino)
        dc.netns.delete("net-b")
        dc.netns.delete("net-b")
        assert dc.netns.names() == {"net-a"}
        with pytest.raises(HostError, match="net-b: there is none"):
            dc.netns.run("net-b", lambda: None)
        with pytest.raises(HostError, match="not a name"):
            dc.netns.create("../x")

    inside(body)


def test_the_next_control_plane_finds_what_lives(datacenter: Paths) -> None:
    def first() -> tuple[int, int]:
        dc = attach(datacenter)
        dc.netns.create("net-a")
        process = dc.holder.spawn("one", ["sleep", "60"], netns="net-a")
        return process.pid, dc.netns.run("net-a", lambda: os.stat("/proc/thread-self/ns/net").st_ino)

    def second() -> tuple[int, int]:
        dc = attach(datacenter)
        assert dc.netns.names() == {"net-a"}
        return dc.holder.list()[0]["one"].pid, dc.netns.run("net-a", lambda: os.stat("/proc/thread-self/ns/net").st_ino)

    assert in_child(first) == in_child(second)


def test_exits_are_watched_and_kept(inside: Inside) -> None:
    async def watch(dc: Datacenter) -> list[Exit]:
        dc.holder.spawn("early", ["sh", "-c", "exit 3"])
        seen = []
        async for ended in dc.holder.exits():
            seen.append(ended)
            if len(seen) == 1:
                dc.holder.spawn("late", ["sleep", "60"])
                dc.holder.kill("late", signal.SIGKILL)
            else:
                break
        return seen

    def body(dc: Datacenter) -> None:
        assert asyncio.run(watch(dc)) == [Exit("early", 3), Exit("late", -9)]
        assert set(dc.holder.list()[1]) == {"early", "late"}

    inside(body)


def test_the_control_plane_ends_when_the_holder_does(datacenter: Paths) -> None:
    pid = holder_pid(datacenter.run)
    assert pid

    def body() -> None:
        attach(datacenter)
        os.kill(pid, signal.SIGKILL)
        time.sleep(30)

    with pytest.raises(AssertionError, match="status -15"):
        in_child(body)
    assert holder_pid(datacenter.run) is None


def test_the_host_is_as_before(home: Path) -> None:
    def look() -> tuple[list[tuple[int, str]], str, set[str]]:
        namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in os.listdir("/proc") if pid.isdigit() and _readable(pid)}
        return socket.if_nameindex(), Path("/proc/self/mountinfo").read_text(), namespaces

    paths = Paths.resolve()
    paths.make()
    before = look()
    for _ in range(3):
        start.start(paths)

        def body() -> None:
            dc = attach(paths)
            dc.netns.create("net-a")
            dc.holder.spawn("one", ["sleep", "60"], netns="net-a", uid=9 if dc.uid_count else None)
            if dc.uid_count:
                disk = dc.root / "servers" / "disk"
                disk.parent.mkdir(exist_ok=True)
                disk.touch()
                os.chown(disk, 9, 9)

        in_child(body)
        assert start.stop(paths)
        assert not start.stop(paths)
        assert look() == before
        assert list(paths.run.iterdir()) == []
        assert {path.stat().st_uid for path in paths.data.rglob("*")} <= {os.getuid()}


def _readable(pid: str) -> bool:
    try:
        os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return False
    return True


def test_a_second_start_is_harmless(datacenter: Paths) -> None:
    pid = holder_pid(datacenter.run)
    assert start.start(datacenter) == pid


def test_a_hung_holder_is_ended(datacenter: Paths) -> None:
    pid = holder_pid(datacenter.run)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    handle = os.pidfd_open(pid)
    assert start.stop(datacenter)
    assert select.select([handle], [], [], 0)[0]
