"""Requests per CPU-second of a server process: keep-alive connections that ask the same question again and again, and /proc/PID/stat.

Not here: whom to ask and what for. The wall clock plays no part, so a busy machine or a slow load generator changes little.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.row import until

CONNECTIONS = 8
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads; a hundredth of a second is the grain."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Asker(asyncio.Protocol):
    """One connection: sends the same request as soon as the answer to the last one is whole, `rounds` times."""

    def __init__(self, request: bytes, rounds: int) -> None:
        self.request, self.left = request, rounds
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        size = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < size:
            return
        if not lower.startswith(b"http/1.1 200"):
            self.fail(ConnectionError(self.buffer[:600].decode(errors="replace")))
            return
        self.buffer = b""
        self.left -= 1
        if self.left:
            self.transport.write(self.request)
        elif not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.fail(error or ConnectionError("the server closed the connection"))


async def _ask(url: str, headers: dict[str, str], rounds: int) -> None:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", *(f"{name}: {value}" for name, value in headers.items())]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    loop = asyncio.get_running_loop()
    askers = []
    for _ in range(CONNECTIONS):
        _, asker = await loop.create_connection(lambda: Asker(request, rounds), parts.hostname or "", parts.port or 80)
        askers.append(asker)
    await asyncio.gather(*(asker.done for asker in askers))
    for asker in askers:
        asker.transport.close()


def per_cpu_second(url: str, headers: dict[str, str], pid: int, *, samples: int = 5, cpu: float = 1.0) -> list[float]:
    """Samples of requests per CPU-second that the process spends; each sample is sized to cost it about `cpu` seconds."""
    asyncio.run(_ask(url, headers, 50))  # everything is compiled and cached
    rounds = 100
    before = cpu_seconds(pid)
    asyncio.run(_ask(url, headers, rounds))
    spent = max(cpu_seconds(pid) - before, 1 / TICKS)
    rounds = max(20, int(rounds * cpu / spent))
    found = []
    for _ in range(samples):
        before = cpu_seconds(pid)
        asyncio.run(_ask(url, headers, rounds))
        found.append(rounds * CONNECTIONS / (cpu_seconds(pid) - before))
    return found


@contextmanager
def bare_server() -> Iterator[tuple[str, int]]:
    """The bare Falcon of bare.py: its URL and process id."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "tests.bench.bare", str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/compute/v2.1/servers/1"
        until(lambda: answers(url), 20)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(10)


def answers(url: str) -> bool:
    """Whether somebody answers at a URL, with 200."""
    try:
        asyncio.run(asyncio.wait_for(_ask(url, {}, 1), 5))
    except (OSError, TimeoutError):
        return False
    return True
