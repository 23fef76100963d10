"""Run a command in the datacenter as the student: own uid, own folder, own environment, on one of its networks.

The command lives in the datacenter's pid namespace, so that it ends when the datacenter does. It has no rights in there: a user
namespace of its own maps the user's uid and gid back to themselves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from pileus.drivers.datacenter import namespaces, syscalls
from pileus.drivers.datacenter.client import HolderError
from pileus.drivers.datacenter.entry import enter

OUTSIDE = "outside"  # the netns that stands for the student's own computer
MARK = "PILEUS_OUTSIDE"  # set in the environment of whatever runs there: it sees other pids than the host, and cannot enter again
RESOLV_CONF = "/etc/resolv.conf"


def run(holder: int, argv: list[str], *, netns: str = OUTSIDE, resolver: str | None = None) -> int:
    """Run `argv` to its end with this process's terminal, folder and environment; returns its exit status, 128 + n for signal n.

    holder: its pid. resolver: an address to write into the command's resolv.conf. The calling process (of one thread) has entered the
    datacenter for good afterwards. Raises HolderError when the network namespace is not there.
    """
    uid, gid = os.getuid(), os.getgid()
    pid_namespace = os.open(f"/proc/{holder}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.close(enter(holder, syscalls.CLONE_NEWUSER, syscalls.CLONE_NEWNS))
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS)
    except OSError as error:
        raise HolderError(f"the datacenter cannot be entered: {error}") from None
    try:
        fd = os.open(f"{namespaces.NETNS}/{netns}", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(fd, syscalls.CLONE_NEWNET)
        os.close(fd)
    except OSError:
        raise HolderError(
            f"the cloud has no network namespace {netns!r} (yet): it is made when the control plane starts. Look at `pileus status`"
        ) from None
    with contextlib.suppress(OSError):
        socket.sethostname(netns)
    if resolver:
        _resolve_by(resolver)
    syscalls.setns(pid_namespace, syscalls.CLONE_NEWPID)  # of children only
    terminal = _terminal()
    child = os.fork()
    if child == 0:
        if terminal is not None:
            _take(terminal)
        _become(argv, uid, gid)
    return _wait(child, terminal)


def _resolve_by(address: str) -> None:
    """Cover resolv.conf, which names a resolver that only the host's network reaches."""
    with contextlib.suppress(OSError):
        ours = Path(f"/resolv.conf.{address}")  # in the datacenter's own root folder
        ours.write_text(f"nameserver {address}\n")
        ours.chmod(0o644)
        syscalls.mount(str(ours), os.path.realpath(RESOLV_CONF), None, syscalls.MS_BIND)


def _become(argv: list[str], uid: int, gid: int) -> NoReturn:
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        for file, text in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", f"{gid} 0 1")):
            Path(f"/proc/self/{file}").write_text(text)
        syscalls.be_no_root()
        os.environ[MARK] = "1"
        os.execvp(argv[0], argv)  # noqa: S606
    except FileNotFoundError:
        print(f"pileus: {argv[0]}: command not found", file=sys.stderr)
        status = 127
    except OSError as error:
        print(f"pileus: {argv[0]}: {error.strerror or error}", file=sys.stderr)
        status = 126
    sys.stderr.flush()
    os._exit(status)


def _terminal() -> int | None:
    """Our terminal, if this process group is the one in its foreground; not when it has to share it with the rest of a pipeline."""
    if not (os.isatty(0) and os.isatty(1)):
        return None
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    if os.tcgetpgrp(terminal) == os.getpgrp():
        return terminal
    os.close(terminal)
    return None


def _wait(child: int, terminal: int | None) -> int:
    """Wait as a shell does: the command has the terminal, signals sent to us are passed on, and who stops it gets us stopped too."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        if terminal is not None:  # else we are in the group that was stopped
            _give(terminal, os.getpgrp())
            os.kill(0, signal.SIGSTOP)  # the shell that called us sees its job stop, and continues it by continuing us
            _give(terminal, child)
            os.kill(-child, signal.SIGCONT)
    if terminal is not None:
        _give(terminal, os.getpgrp())
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _take(terminal: int) -> None:
    """Lead a process group of our own, in the terminal's foreground: our parent's cannot be named in the datacenter's pid namespace."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    _give(terminal, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)


def _give(terminal: int, group: int) -> None:
    with contextlib.suppress(OSError):  # the terminal may have gone
        os.tcsetpgrp(terminal, group)
