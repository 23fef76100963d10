"""Start one process in the datacenter, from the holder: network namespace, descriptors, log, uid, capabilities. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
from typing import Any, NamedTuple, NoReturn

from pileus.drivers.datacenter import namespaces, syscalls

START_TIMEOUT = 5.0  # seconds until exec; a log on a dead network mount must not stop the holder
ABOVE = 200  # descriptors are moved above this before they get the numbers the child wants


class Started(NamedTuple):
    inner: int  # pid as seen in the datacenter
    pid: int  # as seen by the host
    start: int  # field 22 of /proc/pid/stat


def spawn(wish: dict[str, Any], fds: list[int], host_proc: int) -> Started:
    """Start what the message `wish` asks for (see holder.py); returns when the program runs.

    Raises OSError when it cannot be started: the program, its namespace or its log.
    """
    if not wish["argv"]:
        raise ValueError("argv is empty")
    if not isinstance(wish["argv"], list) or not all(isinstance(word, str) for word in wish["argv"]):
        raise ValueError("argv must be a list of texts")
    if len(fds) != len(wish.get("fds") or []) or not all(0 <= int(target) < ABOVE for target in wish.get("fds") or []):
        raise ValueError(f"fds: one number from 0 to {ABOVE - 1} for each descriptor sent along")
    read, write = os.pipe2(os.O_CLOEXEC)
    inner = os.fork()
    if not inner:
        _child(wish, fds, host_proc, write)
    os.close(write)
    try:
        told = _read_all(read)
    finally:
        os.close(read)
    who, failed, why = told.partition(b"!")
    if failed or not who:
        with contextlib.suppress(ProcessLookupError):
            os.kill(inner, signal.SIGKILL)
        os.waitpid(inner, 0)
        number, _, message = why.partition(b" ")
        raise OSError(int(number or 0), message.decode() or f"{wish['argv'][0]} did not start within {START_TIMEOUT:g} s")
    pid, start = who.split()
    return Started(inner, int(pid), int(start))


def _read_all(read: int) -> bytes:
    """What the child says until exec closes the pipe, or until the time is over (then nothing)."""
    told = b""
    poll = select.poll()
    poll.register(read, select.POLLIN)
    while poll.poll(START_TIMEOUT * 1000):
        part = os.read(read, 4096)
        if not part:
            return told
        told += part
    return b""


def _child(wish: dict[str, Any], fds: list[int], host_proc: int, write: int) -> NoReturn:
    try:
        write = fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, ABOVE)
        signal.set_wakeup_fd(-1)
        for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(ignored, signal.SIG_DFL)
        os.setsid()
        _say_who(host_proc, write)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(wish.get("oom_score_adj", 0)))
        if wish.get("netns"):
            fd = os.open(f"{namespaces.NETNS}/{wish['netns']}", os.O_RDONLY | os.O_CLOEXEC)
            syscalls.setns(fd, syscalls.CLONE_NEWNET)
        os.chdir(wish.get("cwd") or "/")
        _descriptors(wish.get("log"), fds, wish.get("fds") or [])
        _give_up_rights(wish.get("uid"), bool(wish.get("keep_caps")))
        env = os.environ if wish.get("env") is None else wish["env"]
        os.execvpe(wish["argv"][0], wish["argv"], env)  # noqa: S606
    except BaseException as error:
        number = getattr(error, "errno", None) or 5
        what = os.strerror(number) if isinstance(error, OSError) else repr(error)
        where = getattr(error, "filename", None) or wish["argv"][0]
        with contextlib.suppress(OSError):
            os.write(write, f"!{number} {what}: {where}".encode())
    finally:
        os._exit(127)  # whatever happened: a child that went on would be a second holder


def _say_who(host_proc: int, write: int) -> None:
    """Tell the holder pid and start time as the host sees them: only its own /proc knows."""
    pid = os.readlink("self", dir_fd=host_proc)
    fd = os.open("self/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=host_proc)
    start = os.read(fd, 4096).rpartition(b")")[2].split()[19].decode()
    os.close(fd)
    os.write(write, f"{pid} {start}".encode())


def _descriptors(log: str | None, fds: list[int], targets: list[int]) -> None:
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE) for fd in fds]
    out = os.open(log or "/dev/null", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    out = fcntl.fcntl(out, fcntl.F_DUPFD_CLOEXEC, ABOVE)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for fd, target in zip(moved, targets, strict=True):
        os.dup2(fd, target)  # inheritable by default


def _give_up_rights(uid: int | None, keep_caps: bool) -> None:
    """Without `keep_caps` nothing is left from exec on. Supplementary groups stay as they are."""
    if not keep_caps:
        syscalls.drop_capabilities()
    if uid:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
