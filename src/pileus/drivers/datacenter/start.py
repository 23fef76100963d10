"""Begin and end a datacenter: the holder is started here, given its uid map, and ended here. What runs inside is not looked at.

Callers hold the cloud's command lock, so that one `up` or `down` works at a time; a second holder is impossible even without it, since
the first holds `run/datacenter.lock` for life.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from pileus.drivers.datacenter import lock
from pileus.drivers.datacenter.client import SOCKET, Holder, HolderError, holder_pid
from pileus.drivers.datacenter.folders import Folders
from pileus.drivers.datacenter.idmap import write_maps
from pileus.drivers.datacenter.process import ended

START_TIMEOUT = 20.0  # seconds; it takes 0.1 on a quiet machine
END_TIMEOUT = 10.0
LOCK = "datacenter.lock"
ENVIRONMENT = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")  # what the holder, and so every guest, gets of the user's
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def start(paths: Folders) -> int:
    """Make sure that a datacenter runs; returns its holder's pid. Raises HolderError."""
    if pid := holder_pid(paths.run):
        Holder(paths.run).close()  # its version fits, or it raises
        return pid
    held = lock.take(paths.run / LOCK)
    if held is None:
        raise HolderError(f"a datacenter holds {paths.run / LOCK} but does not answer: run `pileus down`")
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        paths.data.chmod(0o711)  # guests' uids walk through it to their own files; everything in it has a mode of its own
        with ours, its, (paths.state / "holder.log").open("ab") as log:
            options = {"sync": its.fileno(), "lock": held, "run": os.path.realpath(paths.run), "data": os.path.realpath(paths.data)}
            process = subprocess.Popen(
                [sys.executable, "-S", "-E", os.path.dirname(os.path.abspath(__file__)), json.dumps(options)],
                pass_fds=[its.fileno(), held],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                extra_groups=_groups(),
                env={"PATH": SEARCH} | {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            )
            its.close()
            try:
                _handshake(ours, process.pid)
            except BaseException:
                process.kill()
                raise
            finally:
                process.wait()
    finally:
        os.close(held)
    pid = holder_pid(paths.run)
    if pid is None:
        raise HolderError(f"the datacenter ended as soon as it began: see {paths.state / 'holder.log'}")
    return pid


def _groups() -> list[int] | None:
    """The groups of the datacenter's processes; None: this process's own. Root's guests are not root, and need the one that has KVM."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(OSError):
        return sorted({*os.getgroups(), os.stat("/dev/kvm").st_gid})
    return None


def _handshake(sync: socket.socket, pid: int) -> None:
    sync.settimeout(START_TIMEOUT)
    try:
        for expected in (b"map", b"ready"):
            told = sync.recv(4096)
            if told != expected:
                raise HolderError(_explain(told.decode(errors="replace")))
            if told == b"map":
                write_maps(pid)
                sync.send(b"mapped")
    except TimeoutError:
        raise HolderError(f"the datacenter did not begin within {START_TIMEOUT:g} s") from None
    except OSError as error:
        raise HolderError(f"the datacenter did not begin: {error}") from None


def _explain(told: str) -> str:
    message = f"the datacenter could not be made: {told.removeprefix('error ') or 'its process ended'}"
    if "unshare" in told or "not permitted" in told:
        message += ". This machine may not allow unprivileged user namespaces: `pileus doctor` says what to do"
    return message


def stop(paths: Folders) -> bool:
    """End the datacenter, and all that runs in it, and give the disk files back to the user. Returns False when there was none.

    Raises HolderError when something in it does not die.
    """
    pid = holder_pid(paths.run)
    if pid is None:
        _remove_files(paths)
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        handle = -1
    try:
        with contextlib.suppress(HolderError):
            holder = Holder(paths.run)
            holder.end()
            holder.close()
        if handle >= 0 and not ended(handle, 1.0):
            _wake_parents(pid)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not ended(handle, END_TIMEOUT):
                raise HolderError(f"process {pid}, which holds the datacenter, does not end: a process in it may be stuck in the kernel")
    finally:
        if handle >= 0:
            os.close(handle)
    _remove_files(paths)
    return True


def _wake_parents(holder: int) -> None:
    """Continue stopped parents of processes in the datacenter: it cannot end before they have taken their children's status."""
    with contextlib.suppress(OSError):
        inside = os.stat(f"/proc/{holder}/ns/pid").st_ino
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and os.stat(f"/proc/{entry}/ns/pid_for_children").st_ino == inside:
                    os.kill(int(entry), signal.SIGCONT)


def _remove_files(paths: Folders) -> None:
    held = lock.take(paths.run / LOCK, wait=1.0) if paths.run.exists() else None
    if held is None:
        return
    with contextlib.suppress(FileNotFoundError):
        Path(paths.run / SOCKET).unlink()
    lock.remove(paths.run / LOCK, held)
