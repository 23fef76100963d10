"""No callback holds the event loop over 100 ms: replay and tenants' stories against a control plane in this process, on the fake drivers.

What counts is the time between a callback's begin and end without the time in which the thread could have run and another program had
the processor. Commits are not flushed to the disk here (as in all tests): how long a disk takes is no fault of a callback.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from asyncio.events import Handle
from dataclasses import dataclass, field

import pytest
import uvicorn

from pileus.app import build
from pileus.config import Paths, Settings
from tests.conformance.cloud import ROOT
from tests.conformance.replay.run import ASK
from tests.conftest import PASSWORD

LIMIT = 0.100  # seconds


@dataclass
class Watch:
    """Measures every callback of this thread's loops while it is installed."""

    longest: list[tuple[float, str]] = field(default_factory=list)
    callbacks: int = 0
    own: asyncio.Task[None] | None = None  # the test's own, whose steps start other processes
    _fd: int = -1

    def waited(self) -> int:
        """Nanoseconds in which this thread could have run and did not: /proc/PID/schedstat, see sched-stats of the kernel."""
        return int(os.pread(self._fd, 100, 0).split()[1])

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        real = Handle._run

        def watched(handle: Handle) -> None:
            if getattr(handle._callback, "__self__", None) is self.own:  # type: ignore[attr-defined]
                real(handle)
                return
            waited, began = self.waited(), time.perf_counter()
            words = name_of(handle)
            real(handle)
            self.note(time.perf_counter() - began - (self.waited() - waited) / 1e9, words)

        monkeypatch.setattr(Handle, "_run", watched)

    def note(self, seconds: float, words: str) -> None:
        self.callbacks += 1
        if len(self.longest) < 5 or seconds > self.longest[-1][0]:
            self.longest = sorted([*self.longest, (seconds, words)], reverse=True)[:5]


def name_of(handle: Handle) -> str:
    """Whose step this is: a task's name and function, or a callback."""
    callback = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return f"{owner.get_name()}: {getattr(owner.get_coro(), '__qualname__', '')}"
    return str(getattr(callback, "__qualname__", callback))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    made.install(monkeypatch)
    return made


async def test_what_holds_the_loop_is_seen(watch: Watch) -> None:
    """The measure itself: work and sleep count."""

    async def hold() -> None:
        time.sleep(0.06)  # noqa: ASYNC251
        end = time.thread_time() + 0.06
        while time.thread_time() < end:
            pass

    await asyncio.create_task(hold(), name="the culprit")
    assert watch.longest[0][0] > LIMIT
    assert "the culprit" in watch.longest[0][1]


async def command(env: dict[str, str], *argv: str) -> None:
    """Run a client; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, said.decode()[-2000:]


CLIENTS = {"replay": [str(ASK)], "stories": ["-m", "tests.acceptance.storyteller"]}


@pytest.mark.parametrize("client", CLIENTS)
async def test_no_callback_holds_the_loop(client: str, watch: Watch, paths: Paths) -> None:
    watch.own = asyncio.current_task()
    await asyncio.sleep(0)  # the step that this is in has been counted as somebody else's
    app = build(Settings(drivers="fake", synchronous="off"), paths, PASSWORD)
    await asyncio.create_task(app.start(), name="start")
    server = uvicorn.Server(uvicorn.Config(app.web.app, http="httptools", lifespan="off", access_log=False, log_config=None))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        seed = [str(random.randrange(1000))] if client == "stories" else []
        await command({"OS_PASSWORD": PASSWORD}, *CLIENTS[client], url, *seed)
    finally:
        server.should_exit = True
        await serving
        await asyncio.create_task(app.stop(), name="stop")
    seconds, words = watch.longest[0]
    print(f"{watch.callbacks} callbacks, the longest {seconds * 1000:.0f} ms: {words}")
    assert watch.callbacks > 3000
    assert seconds < LIMIT, "\n".join(f"{held * 1000:.0f} ms {whose}" for held, whose in watch.longest)
