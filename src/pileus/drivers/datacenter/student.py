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
    child = os.fork()
    if child == 0:
        _become(argv, uid, gid)
    return _wait(child)


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
        os.execvp(argv[0], argv)  # noqa: S606
    except FileNotFoundError:
        print(f"pileus: {argv[0]}: command not found", file=sys.stderr)
        status = 127
    except OSError as error:
        print(f"pileus: {argv[0]}: {error.strerror or error}", file=sys.stderr)
        status = 126
    sys.stderr.flush()
    os._exit(status)


def _wait(child: int) -> int:
    """Wait as a shell does: the terminal's signals are the command's, those sent to us are passed on."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
