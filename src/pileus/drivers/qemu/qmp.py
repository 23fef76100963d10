"""QEMU's monitor (QMP): greeting, commands, answers, events. One client at a time; QEMU listens again when it has gone.

Source: https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from types import TracebackType
from typing import Any

from pileus.errors import HostError

TIMEOUT = 30.0  # seconds for one answer; a loaded machine takes its time to start a QEMU
LINE_MAX = 1 << 20  # bytes


class Qmp:
    """`async with Qmp(path) as qmp: await qmp("query-status")`. Raises HostError: QEMU is not there, refuses, or does not answer."""

    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        self._path, self._timeout = path, timeout
        self._events: list[dict[str, Any]] = []  # that came while an answer was waited for
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Qmp:
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(self._path, limit=LINE_MAX)
        except OSError as error:
            raise HostError(f"no QEMU listens at {self._path}: {error.strerror or error}") from None
        try:
            await self._read("its greeting")
            await self("qmp_capabilities")
        except BaseException:
            self._writer.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._writer.close()

    async def __call__(self, command: str, **arguments: Any) -> Any:
        """The answer to a command."""
        self._writer.write(_line(command, arguments))
        return await self._answer(command)

    async def hand_over(self, name: str, fd: int) -> None:
        """Give QEMU a descriptor under a name, in place of the one it may still have under it."""
        ours = self._writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(ours)) as line:  # nothing waits in the writer: each command's answer has been read
            socket.send_fds(line, [_line("getfd", {"fdname": name})], [fd])
        await self._answer("getfd")

    async def event(self, name: str, seconds: float, **data: Any) -> bool:
        """Wait until QEMU tells of an event with these data; whether it did in time. One that came since the connection counts."""

        def found() -> bool:
            return any(event["event"] == name and data.items() <= event.get("data", {}).items() for event in self._events)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not found():
                    message = await self._read(name)
                    if "event" in message:
                        self._events.append(message)
        return found()

    async def _answer(self, command: str) -> Any:
        while True:
            message = await self._read(command)
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise HostError(f"QEMU refuses {command}: {message['error'].get('desc', message['error'])}")
            if "event" in message:
                self._events.append(message)

    async def _read(self, what: str) -> dict[str, Any]:
        try:
            line = await asyncio.wait_for(self._reader.readline(), self._timeout)
        except TimeoutError:
            raise HostError(f"QEMU did not answer ({what}) within {self._timeout:g} s") from None
        except (OSError, ValueError) as error:
            raise HostError(f"QEMU's answer ({what}) could not be read: {error}") from None
        if not line:
            raise HostError(f"QEMU ended before it answered ({what})")
        message: dict[str, Any] = json.loads(line)
        return message


def _line(command: str, arguments: dict[str, Any]) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
