"""Starts and reaps processes in the test's own process, as the datacenter's holder does in its namespaces: for tests of guests alone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
from collections.abc import AsyncIterator

from pileus.drivers.datacenter import Exit, Process


class LocalHolder:
    """`uid` of a spawn is kept only when the test runs as root."""

    def __init__(self) -> None:
        self.living: dict[str, subprocess.Popen[bytes]] = {}
        self.ended: dict[str, Exit] = {}

    def spawn(
        self,
        name: str,
        argv: list[str],
        *,
        netns: str | None = None,
        fds: dict[int, int] | None = None,
        log: str | None = None,
        uid: int | None = None,
        oom_score_adj: int = 0,
    ) -> Process:
        assert netns is None, "there is only one network here"
        assert name not in self.living and name not in self.ended, f"{name} is already there"
        out = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        moved = {target: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200) for target, fd in (fds or {}).items()}

        def hand_over() -> None:
            for target, fd in moved.items():
                os.dup2(fd, target)

        user = {"user": uid, "group": uid, "extra_groups": []} if uid and os.getuid() == 0 else {}
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=hand_over, pass_fds=list(moved), **user
            )  # type: ignore[call-overload]
        finally:
            for fd in [out, *moved.values()]:
                os.close(fd)
        self.living[name] = child
        return Process(name, child.pid, start_of(child.pid))

    def list(self) -> tuple[dict[str, Process], dict[str, Exit]]:
        for name, child in [*self.living.items()]:
            if (status := child.poll()) is not None:
                del self.living[name]
                self.ended[name] = Exit(name, status)
        return {name: Process(name, child.pid, start_of(child.pid)) for name, child in self.living.items()}, dict(self.ended)

    def kill(self, name: str, signal: int) -> None:
        if name in self.living:
            self.living[name].send_signal(signal)

    def acknowledge(self, name: str) -> None:
        del self.ended[name]

    async def exits(self) -> AsyncIterator[Exit]:
        told: set[str] = set()
        while True:
            for name, end in self.list()[1].items():
                if name not in told:
                    told.add(name)
                    yield end
            told &= set(self.ended)
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """End everything that was started and has not ended."""
        for child in self.living.values():
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait()
        self.living.clear()


def start_of(pid: int) -> int:
    """Field 22 of /proc/<pid>/stat: when the process was started."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])
