"""The SOCKS5 proxy into the public network: by curl as a browser would use it, and by hand where curl is too polite."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.compute.live.sight import Sights
from pileus.network.live.socks import Reach, Socks
from tests.kernel.town import Town, play

pytestmark = pytest.mark.kernel


async def proxy(town: Town) -> Socks:
    """As app.py makes one, on any free port."""
    port = int(town.endpoint.rpartition(":")[2])
    named = Sights(town.app.store, town.guests).named
    socks = Socks(town.net.outside, Reach(town.app.store, ipaddress.IPv4Network("192.168.37.0/24"), port, named))
    await socks.open(0)
    return socks


async def curl(socks: Socks, url: str, *options: str, **more: Any) -> tuple[int, str]:
    argv = ["curl", "-s", "-m", "50", "--socks5-hostname", f"127.0.0.1:{socks.port}", *options, url]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=60, **more)
    return done.returncode, done.stdout


class ByHand:
    """A client that says what it is told to say."""

    def __init__(self, socks: Socks) -> None:
        self.sock = socket.create_connection(("127.0.0.1", socks.port), 5)

    def greet(self, data: bytes = b"\5\1\0") -> bytes:
        self.sock.sendall(data)
        return self._read(2)

    def ask(self, kind: int, host: bytes, port: int, *, command: int = 1) -> int:
        """The reply's code; -1 when there is none."""
        self.sock.sendall(bytes((5, command, 0, kind)) + host + struct.pack("!H", port))
        answer = self._read(10)
        return answer[1] if len(answer) == 10 else -1

    def _read(self, size: int) -> bytes:
        data = b""
        with contextlib.suppress(OSError):
            while len(data) < size and (piece := self.sock.recv(size - len(data))):
                data += piece
        return data

    def all(self) -> bytes:
        data = b""
        while piece := self.sock.recv(1 << 16):
            data += piece
        return data


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def bound(port: int) -> list[str]:
    """Where this machine listens on a port."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]]
    return [words[1] for words in lines if words[1].endswith(f":{port:04X}") and words[3] == "0A"]


async def a_web_page(town: Town) -> str:
    """A floating IP behind which a serves a page on port 80."""
    address = await town.floating("a")
    machine = town.machine("a")
    for sock in machine.sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    machine.sockets.clear()
    town.guest("a").start(sys.executable, "-m", "http.server", "80", "--directory", "/usr/share/doc/base-files")
    town.processes += machine.processes
    for _ in range(100):
        if await asyncio.to_thread(town.outside().reaches, address, 80, 0.2):
            return address
        await asyncio.sleep(0.1)
    raise AssertionError("no page")


async def scene_a_browsers_work(town: Town) -> None:
    address = await a_web_page(town)
    socks = await proxy(town)
    assert (await curl(socks, f"http://{address}/"))[1].startswith("<!DOCTYPE")
    assert (await curl(socks, "http://a/"))[0] == 0, "by the name of the server's port"
    assert (await curl(socks, "http://a.openstacklocal/"))[0] == 0
    status, page = await curl(socks, f"{town.endpoint}/healthz")
    assert (status, "ok" in page) == (0, True), "the APIs, as the outside host sees them"
    pages = await asyncio.gather(*(curl(socks, f"http://{address}/copyright") for _ in range(12)))
    assert {status for status, _ in pages} == {0}
    assert len({page for _, page in pages}) == 1
    socks.close()
    assert (await curl(socks, f"http://{address}/"))[0] != 0


async def scene_what_is_refused(town: Town) -> None:
    address = await town.floating("b")
    socks = await proxy(town)
    assert (await curl(socks, "http://10.0.2.5/"))[0] == 97, "not a tenant's own network"
    assert (await curl(socks, "http://192.0.2.1/"))[0] == 97, "not the Internet"
    assert (await curl(socks, "http://nosuch/"))[0] == 97
    assert (await curl(socks, f"http://{address}/", user=1, group=1))[0] == 97, "no other user of this machine"

    def replies() -> None:
        for kind, host, port, reply in (
            (1, packed("10.0.2.6"), 80, 2),
            (1, packed("127.0.0.1"), 22, 2),
            (4, packed("::1"), 22, 2),
            (4, packed("2001:db8::1"), 80, 2),
            (1, packed("192.0.2.1"), 80, 2),
            (3, b"\x06nosuch", 80, 4),
            (1, packed("192.168.37.254"), 9, 5),
            (1, packed("192.168.37.211"), 80, 4),
            (9, b"", 80, 8),
        ):
            client = ByHand(socks)
            assert client.greet() == b"\5\0"
            assert client.ask(kind, host, port) == reply, (kind, host)
        for command in (2, 3):
            client = ByHand(socks)
            client.greet()
            assert client.ask(1, packed(address), 80, command=command) == 7
        assert ByHand(socks).greet(b"\5\1\2") == b"\5\xff", "no method in common"
        assert ByHand(socks).greet(b"\4\1\0\0") in (b"\5\xff", b"")
        client = ByHand(socks)
        client.greet()
        assert client.ask(4, packed(f"::ffff:{address}"), 80) == 0

    await asyncio.to_thread(replies)


async def scene_half_a_connection_and_many(town: Town) -> None:
    address = await town.floating("b")
    socks = await proxy(town)
    data = os.urandom(1 << 20)

    def half() -> bytes:
        client = ByHand(socks)
        client.greet()
        assert client.ask(1, packed(address), 80) == 0

        def say() -> None:
            client.sock.sendall(data)
            client.sock.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=say)
        thread.start()
        got = client.all()
        thread.join()
        return got

    assert await asyncio.to_thread(half) == data, "what was said last comes back after our end was closed"

    def many() -> None:
        clients = [ByHand(socks) for _ in range(100)]
        for client in clients:
            assert client.greet() == b"\5\0"
        for client in clients:
            assert client.ask(1, packed(address), 80) == 0
        for number, client in enumerate(clients):
            client.sock.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            assert client.sock.recv(10) == b"%d" % number
            client.sock.close()

    await asyncio.to_thread(many)
    assert bound(socks.port) == [f"0100007F:{socks.port:04X}"], "on loopback, and nowhere else"


SCENES: dict[str, Callable[[Town], Any]] = {
    name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")
}


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    play(inside, SCENES[name])
