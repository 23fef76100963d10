"""The monitor's client against a QEMU that says what the test wants."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pileus.drivers.qemu.qmp import Qmp
from pileus.errors import HostError

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'


class Monitor:
    """`said`: what it answers to each command, in order; None hangs up, b"" keeps silent."""

    def __init__(self, path: Path, said: list[bytes | None], greeting: bytes = GREETING) -> None:
        self.path, self.said, self.greeting = path, said, greeting
        self.heard: list[object] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.greeting)
        answers = iter([b'{"return": {}}\r\n', *self.said])
        while line := await reader.readline():
            self.heard.append(json.loads(line))
            answer = next(answers)
            if answer is None:
                break
            writer.write(answer)
        writer.close()


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


async def ask(folder: Path, *said: bytes | None, greeting: bytes = GREETING) -> tuple[object, Monitor]:
    monitor = Monitor(folder / "qmp", list(said), greeting)
    async with await asyncio.start_unix_server(monitor.serve, monitor.path), Qmp(str(monitor.path), 0.2) as qmp:
        return await qmp("query-status", verbose=True), monitor


async def test_an_answer_among_events(folder: Path) -> None:
    answer, monitor = await ask(folder, b'{"event": "RESUME"}\r\n{"return": {"status": "running"}}\r\n')
    assert answer == {"status": "running"}
    assert monitor.heard == [
        {"execute": "qmp_capabilities", "arguments": {}},
        {"execute": "query-status", "arguments": {"verbose": True}},
    ]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b'{"error": {"class": "GenericError", "desc": "no such thing"}}\r\n', "QEMU refuses query-status: no such thing"),
        (None, "QEMU ended before it answered"),
        (b"", "did not answer .* within 0.2 s"),
        (b"x" * (2 << 20) + b"\n", "could not be read"),
    ],
)
async def test_what_can_go_wrong_is_said(folder: Path, said: bytes | None, words: str) -> None:
    with pytest.raises(HostError, match=words):
        await ask(folder, said)


async def test_nobody_is_there(folder: Path) -> None:
    with pytest.raises(HostError, match="no QEMU listens"):
        await Qmp(str(folder / "none")).__aenter__()


async def test_silence_from_the_start(folder: Path) -> None:
    with pytest.raises(HostError, match="did not answer \\(its greeting\\)"):
        await ask(folder, b"", greeting=b"")


async def test_events_that_came_among_answers_are_not_lost(folder: Path) -> None:
    gone = b'{"event": "DEVICE_DELETED", "data": {"device": "nic-1", "path": "/x"}}\r\n'
    monitor = Monitor(folder / "qmp", [gone + b'{"return": {}}\r\n', b'{"return": {}}\r\n' + gone.replace(b"nic-1", b"nic-2")])
    async with await asyncio.start_unix_server(monitor.serve, monitor.path), Qmp(str(monitor.path), 5) as qmp:
        await qmp("device_del", id="nic-1")
        assert await qmp.event("DEVICE_DELETED", 0, device="nic-1")
        assert not await qmp.event("DEVICE_DELETED", 0.05, device="nic-2")
        await qmp("device_del", id="nic-2")
        assert await qmp.event("DEVICE_DELETED", 5, device="nic-2")


async def test_a_descriptor_is_handed_over(folder: Path) -> None:
    read, write = os.pipe()
    got: list[int] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(GREETING)
            connection.recv(4096)
            connection.sendall(b'{"return": {}}\r\n')
            line, fds, _, _ = socket.recv_fds(connection, 4096, 1)
            assert json.loads(line) == {"execute": "getfd", "arguments": {"fdname": "tap"}}
            got.extend(fds)
            connection.sendall(b'{"return": {}}\r\n')

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "qmp"))
        listener.listen(1)
        served = asyncio.create_task(asyncio.to_thread(serve))
        async with Qmp(str(folder / "qmp"), 5) as qmp:
            await qmp.hand_over("tap", write)
        await served
    os.close(write)
    os.write(got[0], b"through")
    os.close(got[0])
    assert os.read(read, 100) == b"through"
    os.close(read)
