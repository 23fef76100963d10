"""The HTTP server: uvicorn, woken rather than polled, so that an idle cloud does nothing and `down` need not wait for the next tick.

Not here: what is served (web.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import uvicorn

PATIENCE = 3.0  # seconds that requests under way have to finish
SECOND = 10  # of uvicorn's ticks: it renews the Date header at every tenth


class Server(uvicorn.Server):
    """Serves an ASGI application on sockets that are listening already, until SIGTERM or SIGINT."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,  # no proxy stands before us: a header that claims so is not believed
            server_header=False,
        )
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run_on(self, sockets: Sequence[socket.socket], ready: Callable[[], None]) -> None:
        """Serve; `ready` is called when connections are accepted. Returns when told to end and the requests under way are done."""
        self._loop = asyncio.get_running_loop()
        self._ready = ready
        await self.serve(sockets=list(sockets))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        self._ready()
        while not await self.on_tick(SECOND):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=PATIENCE)
