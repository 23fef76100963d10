"""The system calls about namespaces and mounts that Python 3.11 lacks, through ctypes. Standard library only: the holder uses this too.

Not here: when to call what (`namespaces.py`, `entry.py`, `netns.py`, `student.py`).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

# <linux/sched.h>
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# <linux/mount.h>
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 2, 4, 8, 4096, 16384
MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 18, 1 << 19, 1 << 20
MNT_DETACH = 2

# <linux/prctl.h>
PR_SET_DUMPABLE, PR_SET_NAME, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS = 4, 15, 24, 28, 38
SECBIT_NOROOT_AND_LOCKED = 3

SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def unshare(flags: int) -> None:
    """Give this thread (for CLONE_NEWUSER: this process, which must have one thread) namespaces of its own. Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Move this thread into the namespace behind `fd`; `kind` is its CLONE_NEW flag. Raises OSError."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2). Raises OSError that names the target."""
    result = _libc.mount(_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(data))
    _check(result, f"mount {target}")


def umount(target: str) -> None:
    """Take away the topmost mount on `target`; what still uses it keeps it. Raises OSError."""
    _check(_libc.umount2(_bytes(target), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make the mount `new` the root and hang the present root on `old`, a folder below it. Raises OSError."""
    number = SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"pivot_root: its number on {os.uname().machine} is not known here")
    _check(_libc.syscall(number, _bytes(new), _bytes(old)), "pivot_root")


def prctl(option: int, value: int) -> None:
    """prctl(2) with one number. Raises OSError."""
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def set_name(name: str) -> None:
    """The name that ps and top show for this process (15 bytes)."""
    _check(_libc.prctl(PR_SET_NAME, _bytes(name), 0, 0, 0), "prctl")


def drop_capabilities() -> None:
    """From the next exec on this process has no capability and can gain none, whatever its uid. Raises OSError.

    A program whose file demands capabilities (Debian's ping) cannot be run then.
    """
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def be_no_root() -> None:
    """From the next exec on uid 0 is a uid like any other: it gives no capability. Raises OSError."""
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_AND_LOCKED)


def loopback_up() -> None:
    """Bring up `lo` in this thread's network namespace. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        reply = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sh22x", b"lo", 0))
        flags: int = struct.unpack_from("16sh", reply)[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
