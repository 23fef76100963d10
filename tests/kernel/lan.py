"""A small cloud for the kernel tests of networks: rows, the real driver, the real loop, and guests that are network namespaces.

A guest is a namespace of its own whose eth0 is a tap; a thread carries frames between it and the port's tap, as QEMU would.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from pileus.drivers.datacenter import Datacenter
from pileus.drivers.linuxnet import Linuxnet
from pileus.kit.clock import Clock
from pileus.kit.context import Cloud
from pileus.kit.loop import Loop
from pileus.network.live import Live, MetadataHandler
from pileus.network.reconcile import Reconciler
from tests.network_rows import Rows, new_store

FLAGS = 0x0002 | 0x1000 | 0x4000  # IFF_TAP | IFF_NO_PI | IFF_VNET_HDR


@dataclass
class Guest:
    """A namespace with one NIC that is plugged into a port's tap."""

    lan: Lan
    name: str
    port_id: str
    mac: str
    ip: str = ""
    _fds: list[int] = field(default_factory=list)

    def run(self, *argv: str, timeout: float = 20, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest."""
        command = ["nsenter", f"--net=/netns/{self.name}", *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=check)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command in the guest that is ended with the lan."""
        command = ["nsenter", f"--net=/netns/{self.name}", *argv]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.PIPE, text=True)
        self.lan.processes.append(process)
        return process

    def pings(self, address: str, *, count: int = 1, wait: float = 3) -> bool:
        return self.run("ping", "-n", "-c", str(count), "-i", "0.2", "-W", str(wait), address).returncode == 0

    def socket(self, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET, proto: int = 0) -> socket.socket:
        sock = self.lan.datacenter.netns.run(self.name, lambda: socket.socket(family, kind, proto))
        self.lan.sockets.append(sock)
        return sock

    def reaches(self, address: str, tcp_port: int, wait: float = 3) -> bool:
        """Whether a TCP connection comes about."""
        with self.socket() as sock:
            sock.settimeout(wait)
            try:
                sock.connect((address, tcp_port))
            except OSError:
                return False
        return True

    def packets(self, kind: int = 0) -> socket.socket:
        """A socket for frames on the guest's NIC; with `kind` ETH_P_ALL it also receives."""
        sock = self.lan.datacenter.netns.run(self.name, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)))
        sock.bind(("eth0", kind))
        self.lan.sockets.append(sock)
        return sock

    def listen(self, tcp_port: int) -> socket.socket:
        """Accept connections and send back what comes, in a thread."""
        sock = self.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", tcp_port))
        sock.listen(16)
        threading.Thread(target=_echo_server, args=(sock,), daemon=True).start()
        return sock


ETH_P_ALL = 3


def frame(source: str, target: str, kind: int, payload: bytes) -> bytes:
    """An Ethernet frame."""
    return _mac(target) + _mac(source) + struct.pack("!H", kind) + payload


def arp(mac: str, ip: str, target: str, *, operation: int = 1, frame_mac: str = "") -> bytes:
    """An ARP packet in its frame: `mac` says that it has `ip`."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + _mac(mac) + socket.inet_aton(ip) + b"\0" * 6 + socket.inet_aton(target)
    return frame(frame_mac or mac, "ff:ff:ff:ff:ff:ff", 0x0806, body)


def udp(mac: str, target_mac: str, source: tuple[str, int], target: tuple[str, int], data: bytes) -> bytes:
    """A UDP datagram over IPv4 in its frame; without a UDP checksum, which IPv4 allows."""
    segment = struct.pack("!HHHH", source[1], target[1], 8 + len(data), 0) + data
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 1, 0, 64, 17, 0, socket.inet_aton(source[0]), socket.inet_aton(target[0])
    )
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return frame(mac, target_mac, 0x0800, head + segment)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def hears(sock: socket.socket, what: bytes, wait: float = 0.4) -> bool:
    """Whether a frame that holds `what` comes in."""
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if what in sock.recv(2000):
                return True
        except TimeoutError:
            return False
    return False


def _echo_server(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = sock.accept()
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        while data := connection.recv(4096):
            connection.sendall(data)


def tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), FLAGS))
    return fd


def cable(one: int, two: int, stop: int) -> None:
    """Carry frames between two taps until something comes from `stop`."""
    poll = select.poll()
    for fd in (one, two, stop):
        poll.register(fd, select.POLLIN)
    other = {one: two, two: one}
    while True:
        for fd, _ in poll.poll():
            if fd == stop:
                os.close(one)
                os.close(two)
                return
            with contextlib.suppress(OSError):
                frame = os.read(fd, 70000)
                with contextlib.suppress(OSError):
                    os.write(other[fd], frame)


def play(inside: Any, scene: Callable[[Lan], Awaitable[None]], **options: Any) -> None:
    """Run a scene in a lan of its own, inside the datacenter."""

    def call(datacenter: Datacenter) -> None:
        async def main() -> None:
            lan = Lan(datacenter, **options)
            try:
                await lan.start()
                await scene(lan)
            finally:
                lan.close()

        uvloop.run(main())  # as the daemon does

    inside(call)


class Lan(Rows):
    """Rows, the looks that make them so, and guests."""

    def __init__(self, datacenter: Datacenter, metadata: MetadataHandler | None = None, **live: Any) -> None:
        super().__init__(new_store())
        self.datacenter, self.metadata, self.options = datacenter, metadata, live
        self.processes: list[subprocess.Popen[str]] = []
        self.sockets: list[socket.socket] = []
        self.stops: list[int] = []
        self.folder = tempfile.mkdtemp(prefix="lan-")
        self.build()

    def build(self) -> None:
        """A control plane as after a start: it remembers nothing."""
        self.loop = Loop()
        self.cloud = Cloud(self.store, Clock(), self.loop.wake)
        self.driver = Linuxnet(self.datacenter.netns)
        self.live = Live(self.cloud, self.driver, self.metadata, **self.options)
        self.reconciler = Reconciler(self.cloud, self.driver, self.live)
        for kind, look in self.reconciler.looks().items():
            self.loop.register(kind, look, self.reconciler.give_ups().get(kind))

    async def start(self) -> None:
        await self.reconciler.resync()
        await self.loop.settle()

    async def settle(self, *keys: tuple[str, str]) -> None:
        for kind, id in keys:
            self.loop.wake(kind, id)
        await self.loop.settle()
        assert not self.loop.reasons, self.loop.reasons

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for sock in self.sockets:
            sock.close()
        for stop in self.stops:
            os.write(stop, b"x")
        shutil.rmtree(self.folder)

    async def pair(self, first: Iterable[str], second: Iterable[str], **ports: Any) -> tuple[Guest, Guest]:
        """Two guests on a network of their own, 10.0.2.1 and 10.0.2.2, in these groups."""
        network, subnet = self.network("10.0.2.0/24")
        a, b = (self.port(network, subnet, f"10.0.2.{n}", groups, **ports) for n, groups in ((1, first), (2, second)))
        await self.settle(("network", network), ("port", a), ("port", b))
        return self.guest("a", a), self.guest("b", b)

    # -- guests -----------------------------------------------------------------------------------------------------------

    def guest(self, name: str, port_id: str, *, address: bool = True) -> Guest:
        """Plug a guest in. `address`: give it its port's address and gateway by hand, without DHCP."""
        row = self.store.get("port", port_id)
        assert row
        ip = self.store.query(
            "SELECT f.ip_address, s.cidr, s.gateway_ip FROM fixed_ip f JOIN subnet s ON s.id = f.subnet_id WHERE f.port_id = ?", port_id
        )[0]
        guest = Guest(self, f"guest-{name}", port_id, row["mac_address"], ip["ip_address"])
        self.datacenter.netns.create(guest.name)
        inner = self.datacenter.netns.run(guest.name, lambda: tap("eth0"))
        outer = self.driver.open_tap(port_id)
        read, write = os.pipe()
        self.stops.append(write)
        threading.Thread(target=cable, args=(inner, outer, read), daemon=True).start()
        guest.run("ip", "link", "set", "eth0", "address", guest.mac, check=True)
        guest.run("ip", "link", "set", "eth0", "up", "mtu", "1450", check=True)
        if address:
            guest.run("ip", "address", "add", f"{guest.ip}/{ip['cidr'].partition('/')[2]}", "dev", "eth0", check=True)
            if ip["gateway_ip"]:
                guest.run("ip", "route", "add", "default", "via", ip["gateway_ip"], check=True)
        return guest

    def outside(self) -> Guest:
        return Guest(self, "outside", "", "", "192.168.37.254")


def until(call: Any, seconds: float = 3) -> float:
    """Seconds until `call()` is true; it fails when that takes too long."""
    start = time.monotonic()
    while not call():
        assert time.monotonic() - start < seconds, f"not true within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - start
