"""The control plane's way into the datacenter: its user and mount namespaces, but the host's network and processes.

So its APIs listen on the host's 127.0.0.1, while it makes taps, namespaces and mounts as the datacenter's root.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pileus.drivers.datacenter import namespaces, syscalls
from pileus.drivers.datacenter.client import Holder, HolderError, holder_pid
from pileus.drivers.datacenter.folders import Folders
from pileus.drivers.datacenter.idmap import guest_ids
from pileus.drivers.datacenter.netns import Netns

GRACE = 3.0  # seconds that this process has to end by itself once the holder has


@dataclass
class Datacenter:
    """The datacenter as the control plane sees it."""

    holder: Holder
    netns: Netns
    root: Path  # the data folder, as every process in here sees it
    uid_count: int  # guests' uids are 1..uid_count; 0 when there is only the user's own


def attach(paths: Folders) -> Datacenter:
    """Enter the datacenter for good. Call it after imports, before any thread, loop or executor: only a process of one thread can.

    Also raises the soft limit of open files to the hard one. This process gets SIGTERM when the holder ends, and is gone soon after.
    Raises HolderError.
    """
    if threading.active_count() > 1:
        raise HolderError(f"the datacenter can only be entered by a process of one thread; there are {threading.enumerate()}")
    holder = Holder(paths.run)
    pid = holder.pid
    try:
        alive = os.pidfd_open(pid)
        root = enter(pid, syscalls.CLONE_NEWUSER, syscalls.CLONE_NEWNS)
        see_own_processes()
    except OSError as error:
        raise HolderError(f"the datacenter cannot be entered: {error}") from None
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _end_with(alive)
    return Datacenter(holder, Netns(root), Path(namespaces.DATA), guest_ids())


_FILES = {
    syscalls.CLONE_NEWUSER: "user",
    syscalls.CLONE_NEWNS: "mnt",
    syscalls.CLONE_NEWNET: "net",
    syscalls.CLONE_NEWPID: "pid",
    syscalls.CLONE_NEWIPC: "ipc",
    syscalls.CLONE_NEWUTS: "uts",
}


def enter(holder: int, *kinds: int) -> int:
    """Move this process into namespaces of the holder, CLONE_NEWUSER first, and become uid 0 there. The folder it is in stays.

    Returns a descriptor of the datacenter's network namespace. Raises OSError.
    """
    cwd = os.getcwd()
    fds = {kind: os.open(f"/proc/{holder}/ns/{_FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds}
    net = os.open(f"/proc/{holder}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    for kind, fd in fds.items():
        syscalls.setns(fd, kind)
        os.close(fd)
        if kind == syscalls.CLONE_NEWUSER:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # else /proc/self would belong to the host's root
    with contextlib.suppress(OSError):  # a folder that is covered in there
        os.chdir(cwd)
    return net


def see_own_processes() -> None:
    """In a mount namespace of its own, uncover the host's /proc: it must fit the pid namespace one is in. Raises OSError."""
    syscalls.unshare(syscalls.CLONE_NEWNS)  # mounts on /netns go on to be seen by all
    while not os.path.exists(f"/proc/{os.getpid()}/ns") or os.readlink("/proc/self") != str(os.getpid()):
        syscalls.umount("/proc")


def _end_with(alive: int) -> None:
    def watch() -> None:
        poll = select.poll()
        poll.register(alive, select.POLLIN)
        poll.poll()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, name="holder-watch", daemon=True).start()


def find(paths: Folders) -> int | None:
    """The pid of this cloud's holder, or None."""
    return holder_pid(paths.run)
