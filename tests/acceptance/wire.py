"""Guests without QEMU on a cloud's own ports: a network namespace whose eth0 is plugged into a port's tap. Root or not, as the cloud is.

Called in a child process (tests.kernel.conftest.in_child), because it enters the datacenter.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from pileus.config import Paths
from pileus.drivers.datacenter import attach
from pileus.drivers.linuxnet import Linuxnet
from tests.kernel.lan import Guest, Lan, cable, tap


class Wire:
    """The datacenter of the cloud with these paths, entered for good."""

    def __init__(self, paths: Paths) -> None:
        self.datacenter = attach(paths)
        self.driver = Linuxnet(self.datacenter.netns)
        asyncio.run(self.driver.observe_all("port"))
        self.processes: list[Any] = []
        self.sockets: list[Any] = []
        self.stops: list[int] = []
        self.names: list[str] = []

    def plug(self, port: Mapping[str, Any]) -> Guest:
        """A guest for a port as the API shows it; it has the port's MAC address and no IP address yet."""
        lan = cast(Lan, SimpleNamespace(datacenter=self.datacenter, processes=self.processes, sockets=self.sockets))
        ip = port["fixed_ips"][0]["ip_address"] if port["fixed_ips"] else ""
        guest = Guest(lan, f"guest-{port['id'][:8]}", port["id"], port["mac_address"], ip)
        self.datacenter.netns.create(guest.name)
        self.names.append(guest.name)
        inner, outer = self.datacenter.netns.run(guest.name, lambda: tap("eth0")), self.driver.open_tap(port["id"])
        read, write = os.pipe()
        self.stops.append(write)
        threading.Thread(target=cable, args=(inner, outer, read), daemon=True).start()
        guest.run("ip", "link", "set", "lo", "up", check=True)
        guest.run("ip", "link", "set", "eth0", "address", guest.mac, check=True)
        guest.run("ip", "link", "set", "eth0", "up", "mtu", "1450", check=True)
        return guest

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for sock in self.sockets:
            sock.close()
        for stop in self.stops:
            os.write(stop, b"x")
        for name in self.names:
            self.datacenter.netns.delete(name)


@contextmanager
def entered(paths: Paths) -> Iterator[Wire]:
    wire = Wire(paths)
    try:
        yield wire
    finally:
        wire.close()


def in_outside(paths: Paths, call: Callable[[], object]) -> None:
    """Do something on the outside host with the rights that its commands lack. In a child process, too."""
    attach(paths).netns.run("outside", call)
