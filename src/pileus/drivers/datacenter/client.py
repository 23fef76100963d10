"""The holder as the control plane and the command line see it: a small blocking client of its socket (protocol: see holder.py)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.drivers.datacenter import holder as served
from pileus.drivers.datacenter import namespaces
from pileus.errors import HostError

TIMEOUT = 5.0  # seconds for one answer
SOCKET = "holder.socket"


class HolderError(HostError):
    """The holder refused, is not there, or did not answer in time."""


@dataclass(frozen=True)
class Process:
    """A living process of the datacenter. `start` is field 22 of /proc/pid/stat, in clock ticks; both as the host sees them."""

    name: str
    pid: int
    start: int


@dataclass(frozen=True)
class Exit:
    """How a process ended: `status` >= 0 is its exit code, < 0 minus the signal."""

    name: str
    status: int


class Holder:
    """A connection to the holder whose socket is in the folder `run`. Any thread may use it; a call takes about 0.2 ms.

    Every method raises HolderError.
    """

    def __init__(self, run: Path) -> None:
        self._path = str(run / SOCKET)
        self._lock = threading.Lock()
        self._count = 0
        self._socket = self._connect()
        try:
            self._check_version()
        except HolderError:
            self.close()
            raise

    def _check_version(self) -> None:
        hello = self._call({"op": "hello"})
        ours = {"protocol": served.PROTOCOL, "layout": namespaces.LAYOUT}
        if any(hello.get(key) != value for key, value in ours.items()):
            raise HolderError("this datacenter was started by another version of Pileus: run `pileus down`, then `pileus up`")

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(TIMEOUT)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, served.MESSAGE_MAX)
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            raise HolderError(f"no datacenter answers at {self._path}: {error.strerror or error}. Start it with `pileus up`") from None
        return sock

    @property
    def pid(self) -> int:
        """The holder's pid, as this process sees it."""
        return peer_pid(self._socket)

    def close(self) -> None:
        """End the connection; the holder goes on."""
        self._socket.close()

    def _call(self, request: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        with self._lock:
            self._count += 1
            request["id"] = self._count
            try:
                socket.send_fds(self._socket, [json.dumps(request).encode()], list(fds))
                while True:
                    data = self._socket.recv(served.MESSAGE_MAX)
                    if not data:
                        raise HolderError("the datacenter has ended")
                    reply: dict[str, Any] = json.loads(data)
                    if reply.get("id") == self._count:  # else the late answer to a call that was given up
                        break
            except TimeoutError:
                raise HolderError(f"the holder did not answer {request['op']} in {TIMEOUT:g} s") from None
            except OSError as error:
                raise HolderError(f"the holder cannot be asked: {error.strerror or error}") from None
        if message := reply.get("error"):
            raise HolderError(f"{request['op']} {request.get('name', '')}: {message}")
        return reply

    def spawn(
        self,
        name: str,
        argv: list[str],
        *,
        netns: str | None = None,
        fds: dict[int, int] | None = None,
        log: str | None = None,
        uid: int | None = None,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        oom_score_adj: int = 0,
        keep_caps: bool = False,
    ) -> Process:
        """Start a process under a name that no living or unacknowledged one has; returns when the program runs.

        fds: the child's number -> ours. log: a path as the datacenter sees it, appended to. uid: inside the user namespace (groups stay).
        Without `keep_caps` it has no capability and can gain none: a program whose file asks for one, like ping, does not start.
        env, cwd: the holder's own and `/` unless given.
        """
        if keep_caps and uid:
            raise ValueError("only uid 0 keeps capabilities")
        fds = fds or {}
        wish = {
            "op": "spawn", "name": name, "argv": argv, "netns": netns, "fds": list(fds), "log": log, "uid": uid, "env": env,
            "cwd": cwd, "oom_score_adj": oom_score_adj, "keep_caps": keep_caps,
        }  # fmt: skip
        reply = self._call(wish, list(fds.values()))
        return Process(name, reply["pid"], reply["start"])

    def list(self) -> tuple[dict[str, Process], dict[str, Exit]]:
        """The living, and those that ended and were not acknowledged, by name."""
        reply = self._call({"op": "list"})
        living = {name: Process(name, pid, start) for name, (pid, start) in reply["living"].items()}
        return living, {name: Exit(name, status) for name, status in reply["ended"].items()}

    def kill(self, name: str, signal: int) -> None:
        """Send a signal; to one that has just ended, none."""
        self._call({"op": "kill", "name": name, "signal": int(signal)})

    def acknowledge(self, name: str) -> None:
        """Let the holder forget how `name` ended; the name is free again."""
        self._call({"op": "acknowledge", "name": name})

    def hold(self, name: str, fd: int) -> None:
        """Let the holder keep a copy of `fd` for as long as it lives, or until something else is held under `name`."""
        self._call({"op": "hold", "name": name}, [fd])

    def end(self) -> int:
        """Kill all, give every file in the data folder back to the user, end. Returns how many files there were."""
        count: int = self._call({"op": "end"})["files"]
        return count

    async def exits(self) -> AsyncIterator[Exit]:
        """How processes end, as it happens, beginning with those not acknowledged. On a connection of its own."""
        loop = asyncio.get_running_loop()
        sock = await loop.run_in_executor(None, self._connect)
        messages: asyncio.Queue[bytes] = asyncio.Queue()

        def read() -> None:
            with contextlib.suppress(BlockingIOError):
                try:
                    messages.put_nowait(sock.recv(served.MESSAGE_MAX))
                except BlockingIOError:
                    raise
                except OSError:
                    messages.put_nowait(b"")

        sock.setblocking(False)
        try:
            sock.send(json.dumps({"op": "watch", "id": 0}).encode())
            loop.add_reader(sock, read)
            while data := await messages.get():
                message = json.loads(data)
                if "exit" in message:
                    yield Exit(message["exit"], message["status"])
            raise HolderError("the datacenter has ended")
        finally:
            loop.remove_reader(sock)
            sock.close()


def peer_pid(sock: socket.socket) -> int:
    """The pid of the process that listens on the other side, as this process sees it."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def holder_pid(run: Path) -> int | None:
    """The pid of the holder that listens in the folder `run`, whether it answers or not; None when there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(TIMEOUT)
        try:
            sock.connect(os.fspath(run / SOCKET))
        except OSError:
            return None
        return peer_pid(sock)
