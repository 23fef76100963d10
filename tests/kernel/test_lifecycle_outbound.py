"""The way out of the datacenter: what it gives, what it must not reach, and that it ends with the holder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pileus.config import Paths
from pileus.drivers.datacenter import Datacenter, outbound, start
from pileus.drivers.datacenter.client import holder_pid
from pileus.drivers.datacenter.process import started
from pileus.errors import HostError
from tests.kernel.conftest import Inside

pytestmark = [pytest.mark.kernel, pytest.mark.single_map]
TOOLS = ["slirp4netns", "pasta"]


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    if name == "pasta" and os.geteuid() == 0:
        pytest.skip("pasta gives root's rights up and may then not open the namespace; Pileus does not choose it for root")
    return name


@pytest.fixture
def service() -> Iterator[int]:
    """The port of something that answers on the host's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.sendall(b"reached")
                client.close()

        threading.Thread(target=answer, daemon=True).start()
        with socket.create_connection(listener.getsockname()) as client:
            assert client.recv(10) == b"reached"
        yield listener.getsockname()[1]


def test_there_is_a_way_out_but_not_to_the_hosts_loopback(tool: str, datacenter: Paths, inside: Inside, service: int) -> None:
    assert outbound.start(datacenter, tool) == tool  # type: ignore[arg-type]
    pid = outbound.running(datacenter)
    assert outbound.start(datacenter, tool) == tool  # type: ignore[arg-type]
    assert outbound.running(datacenter) == pid

    def reached(address: str) -> bytes:
        try:
            with socket.create_connection((address, service), 3) as client:
                return client.recv(10)
        except OSError:
            return b""

    def body(dc: Datacenter) -> None:
        def look() -> tuple[list[str], list[str], bytes, bytes]:
            with open("/proc/thread-self/net/route") as file:
                routes = [line.split() for line in file.read().splitlines()[1:]]
            default = [f"{fields[0]} {socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])}" for fields in routes if fields[1] == "00000000"]
            return [name for _, name in socket.if_nameindex()], default, reached(outbound.GATEWAY), reached("127.0.0.1")

        until = time.monotonic() + 5  # pasta does not say when it is ready
        while not (found := dc.netns.run(None, look))[1] and time.monotonic() < until:
            time.sleep(0.05)
        assert found == (["lo", outbound.TAP], [f"{outbound.TAP} {outbound.GATEWAY}"], b"", b"")

    inside(body)


def test_it_ends_with_the_holder(tool: str, datacenter: Paths) -> None:
    outbound.start(datacenter, tool)  # type: ignore[arg-type]
    helper, holder = outbound.running(datacenter), holder_pid(datacenter.run)
    assert helper and holder
    os.kill(holder, signal.SIGKILL)
    until = time.monotonic() + 5
    while started(helper) is not None:
        assert time.monotonic() < until
        time.sleep(0.02)
    outbound.stop(datacenter)
    assert not (datacenter.run / outbound.RECORD).exists()


def test_one_that_was_killed_is_started_again(tool: str, datacenter: Paths, inside: Inside) -> None:
    outbound.start(datacenter, tool)  # type: ignore[arg-type]
    first = outbound.running(datacenter)
    assert first
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert outbound.running(datacenter) is None
    outbound.start(datacenter, tool)  # type: ignore[arg-type]
    assert outbound.running(datacenter) not in (None, first)
    start.stop(datacenter)
    outbound.stop(datacenter)


def test_none_is_none(datacenter: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outbound.start(datacenter, "none") is None
    assert outbound.running(datacenter) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert outbound.start(datacenter, "auto") is None
    with pytest.raises(HostError, match="slirp4netns is not installed"):
        outbound.start(datacenter, "slirp4netns")
