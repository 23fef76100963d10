"""The way from the datacenter to the Internet: a user-mode network stack on the host's side of a tap in the datacenter's root namespace.

The tap, its address and the default route are made by the tool itself; whoever wants a tenant to get out masquerades towards `TAP`.
The host's loopback is not reachable through it. The tool ends when the holder does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from pileus.drivers.datacenter.client import Holder
from pileus.drivers.datacenter.folders import Folders
from pileus.drivers.datacenter.process import end, ended, started
from pileus.errors import HostError

Choice = Literal["auto", "none", "slirp4netns", "pasta"]
TAP = "outbound0"
NETWORK = "172.31.255.0/24"  # outside the ranges of all labs (10/8, 192.168/16, 172.16-172.24)
ADDRESS, GATEWAY, RESOLVER = "172.31.255.100", "172.31.255.2", "172.31.255.3"
MTU = 65520
READY_TIMEOUT = 10.0  # seconds; it takes 0.1
RECORD = "outbound.json"
COMMANDS = ("slirp4netns", "pasta", "passt")  # what the kernel calls their processes


def tool(choice: Choice) -> str | None:
    """The program that serves `choice` on this machine, or None when there is to be none or there is none."""
    names = {"auto": ["slirp4netns", "pasta"], "none": []}.get(choice, [choice])
    if os.geteuid() == 0 and choice == "auto":
        names = ["slirp4netns"]  # pasta gives root's rights up before it opens the namespace, and then may not
    return next((path for name in names if (path := shutil.which(name))), None)


def start(paths: Folders, choice: Choice) -> str | None:
    """Make sure that the way out is there; returns the tool's name, or None when `choice` and the machine give none.

    Raises HostError when the tool that was asked for by name is missing, or one does not start.
    """
    program = tool(choice)
    if program is None:
        if choice in ("slirp4netns", "pasta"):
            raise HostError(f"outbound = {choice}, but {choice} is not installed")
        return None
    if running(paths):
        return Path(program).name
    _sweep(paths)
    holder = Holder(paths.run)
    lifeline, kept = os.pipe2(os.O_CLOEXEC)
    try:
        holder.hold("outbound", kept)
        os.close(kept)
        launch = _slirp4netns if Path(program).name == "slirp4netns" else _pasta
        process = launch(program, holder.pid, lifeline, paths.state / "outbound.log")
        _record(paths.run, process.pid, Path(program).name)
    finally:
        os.close(lifeline)
        holder.close()
    return Path(program).name


def _slirp4netns(program: str, holder: int, lifeline: int, log: Path) -> subprocess.Popen[bytes]:
    ready, told = os.pipe2(os.O_CLOEXEC)
    argv = [
        program, "--configure", f"--mtu={MTU}", "--disable-host-loopback", f"--cidr={NETWORK}", f"--exit-fd={lifeline}",
        f"--ready-fd={told}", f"--userns-path=/proc/{holder}/ns/user", "--netns-type=path", f"/proc/{holder}/ns/net", TAP,
    ]  # fmt: skip
    try:
        process = _launch(argv, (lifeline, told), log)
        os.close(told)
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        if not poll.poll(READY_TIMEOUT * 1000) or os.read(ready, 1) != b"1":
            raise _failed(process, "slirp4netns", log)
    finally:
        os.close(ready)
    return process


def _pasta(program: str, holder: int, lifeline: int, log: Path) -> subprocess.Popen[bytes]:
    """pasta has no --exit-fd: a small process of ours waits for the lifeline and ends it."""
    leash = [sys.executable, "-S", "-E", str(Path(__file__).with_name("leash.py")), str(lifeline)]
    argv = [
        program, "--config-net", "--foreground", "--quiet", "--ns-ifname", TAP, "--address", ADDRESS, "--netmask", "24",
        "--gateway", GATEWAY, "--dns-forward", RESOLVER, "--no-map-gw", "--mtu", str(MTU), "-4",
        "-t", "none", "-u", "none", "-T", "none", "-U", "none",
        "--userns", f"/proc/{holder}/ns/user", "--netns", f"/proc/{holder}/ns/net",
    ]  # fmt: skip
    process = _launch([*leash, *argv], (lifeline,), log)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.3)  # what it cannot do it says at once
        raise _failed(process, "pasta", log)
    return process


def _launch(argv: list[str], fds: tuple[int, ...], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(argv, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/")


def _failed(process: subprocess.Popen[bytes], name: str, log: Path) -> HostError:
    process.kill()
    process.wait()
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        return HostError(
            f"{name} did not start: {lines[-1] if lines else 'it said nothing'} (all of it: {log}). Without it: outbound = none"
        )
    return HostError(f"{name} did not start")


def running(paths: Folders) -> int | None:
    """The pid of the tool that `start` has started, if it lives."""
    record = _recorded(paths)
    return record["pid"] if record and started(record["pid"]) == record["start"] else None


def _recorded(paths: Folders) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads((paths.run / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record


def _record(run: Path, pid: int, name: str) -> None:
    (run / RECORD).write_text(json.dumps({"pid": pid, "start": started(pid), "tool": name}))


def stop(paths: Folders) -> None:
    """End the tool, if it has not ended with the holder, and forget it."""
    if pid := running(paths):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            gone = ended(handle, 2)  # it has seen the holder end, and is about to
            os.close(handle)
            if not gone:
                end(pid, (signal.SIGTERM, 2), (signal.SIGKILL, 2))
    _sweep(paths)
    (paths.run / RECORD).unlink(missing_ok=True)


def _sweep(paths: Folders) -> None:
    """End a tool whose leash was killed: it has the tap, and nobody else ends it."""
    record = _recorded(paths)
    if record is None:
        return
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            name, _, rest = Path("/proc", entry, "stat").read_text().partition(" (")[2].rpartition(") ")
            if int(rest.split()[2]) == record["pid"] and name.startswith(COMMANDS):  # by its process group
                end(int(entry), (signal.SIGKILL, 2))
