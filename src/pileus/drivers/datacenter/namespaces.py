"""The datacenter's own view of the machine: made once, by the holder, before it serves. Standard library only.

The host's folders are all there, at their usual paths, under a root of our own; that root adds `/pileus` (the data folder: short paths,
and a way in for guests whose uid may not walk the user's home) and `/netns` (one file per network namespace). `/proc` is that of the
datacenter's processes; the host's lies beneath it, for whoever stays in the host's pid namespace. Nothing of the host is changed.
"""

from __future__ import annotations

import contextlib
import os
import socket

from pileus.drivers.datacenter import syscalls
from pileus.drivers.datacenter.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE

LAYOUT = 1  # of what is below; a control plane refuses a datacenter laid out otherwise
DATA = "/pileus"
NETNS = "/netns"
OWN = {"pileus", "netns", "proc"}  # top-level names that are not simply the host's

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/ipv4/ping_group_range": "0 0",  # the student's own group is 0 in here, with either map
}


def enter_root(scratch: str, data: str) -> None:
    """Give this process, which is in a mount namespace of its own, the datacenter's root.

    `scratch` is any folder: it only lends its place for a moment. Raises OSError.
    """
    syscalls.mount("none", "/", None, MS_REC | MS_SLAVE)  # what the host mounts later shows in here; never the other way round
    syscalls.mount("pileus", scratch, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    data_fd = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    os.chdir(scratch)
    os.mkdir("old")
    syscalls.pivot_root(".", "old")
    os.chdir("/")
    syscalls.mount("none", "/", None, MS_PRIVATE)
    for entry in sorted(os.scandir("/old"), key=lambda entry: entry.name):
        if entry.name not in OWN:
            _mirror(entry)
    _proc()
    os.mkdir(DATA)
    syscalls.mount(f"/proc/self/fd/{data_fd}", DATA, None, MS_BIND)
    os.close(data_fd)
    os.mkdir(NETNS)
    syscalls.mount("netns", NETNS, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755")
    syscalls.mount("none", NETNS, None, MS_SHARED)  # a netns made by the control plane shows for the holder and for every later one
    syscalls.umount("/old")
    os.rmdir("/old")


def _mirror(entry: os.DirEntry[str]) -> None:
    """Show one of the host's top-level entries at the same path."""
    target = "/" + entry.name
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), target)
        return
    if entry.is_dir():
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    with contextlib.suppress(OSError):  # a mount we may not see stays an empty folder
        syscalls.mount(entry.path, target, None, MS_BIND | MS_REC)


def _proc() -> None:
    os.mkdir("/proc")
    syscalls.mount("/old/proc", "/proc", None, MS_BIND | MS_REC)
    with contextlib.suppress(OSError):  # refused inside Docker, which masks parts of /proc: then the host's stays in sight
        syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def prepare_network() -> None:
    """Loopback, forwarding and the rest of what the datacenter's own network namespace needs. Raises OSError."""
    syscalls.loopback_up()
    write_sysctls(SYSCTLS)


def write_sysctls(values: dict[str, str]) -> None:
    """Set sysctls of this thread's network namespace. One that this kernel lacks is passed over; raises OSError for any other failure."""
    for name, value in values.items():
        with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/{name}", "w") as file:
            file.write(value)


def name_host() -> None:
    """The datacenter's host name, as its prompts and logs show it."""
    socket.sethostname("datacenter")
