"""Namespaces in the guests' place on the walks' ports, and what carries frames between them and the ports' taps, as QEMU would.

Each guest answers pings, and by TCP and UDP says who it is; `heard` counts what came to it from the other project. Not here: questions.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pileus.drivers.datacenter import Datacenter
from tests.kernel.lan import ETH_P_ALL, tap
from tests.kernel.walk_model import OUTSIDE, OUTSIDE_IP, Net, Port, World
from tests.kernel.walk_steps import PORTS

SPAN = 20000  # source ports of one project; the first project's begin here as well
MARK = b"walk"  # then a byte that is the project, or 255 for the outside host
# A guest that forgets a neighbour as soon as it is silent, so that a test need not wait for what a router's new MAC costs anybody.
NEIGHBOURS = {"base_reachable_time_ms": 300, "delay_first_probe_time": 0, "retrans_time_ms": 150, "gc_stale_time": 1}


def project_of(port: int) -> int | None:
    """Whose source port this is."""
    return port // SPAN - 1 if SPAN <= port < 3 * SPAN else None


class Wires(threading.Thread):
    """Carries frames between pairs of taps, all of them in one thread."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.poll = select.epoll()
        self.other: dict[int, int] = {}
        self.stopped = False

    def join_taps(self, one: int, two: int) -> None:
        self.other |= {one: two, two: one}
        for fd in (one, two):
            self.poll.register(fd, select.EPOLLIN)

    def part(self, fd: int) -> None:
        """Unplug: both descriptors are closed, as QEMU's end closes them."""
        other = self.other.pop(fd)
        del self.other[other]
        for each in (fd, other):
            self.poll.unregister(each)
            os.close(each)

    def run(self) -> None:
        while not self.stopped:
            for fd, _ in self.poll.poll(0.2):
                with contextlib.suppress(OSError, KeyError):
                    for _ in range(16):
                        os.write(self.other[fd], os.read(fd, 70000))


@dataclass
class Guest:
    """One namespace. `replies` by ICMP, `servers` answer, `ear` hears everything that comes in."""

    id: str
    ip: str
    namespace: str
    project: int = -1
    mac: str = ""
    fd: int = -1
    replies: socket.socket = field(init=False)
    ear: socket.socket | None = None
    servers: list[socket.socket] = field(default_factory=list)
    asked: int = 0  # source ports used

    def source_port(self) -> int:
        self.asked += 1
        return SPAN * (self.project + 1) + self.asked % SPAN if self.project >= 0 else 0

    def close(self) -> None:
        for sock in (self.replies, *self.servers, *([self.ear] if self.ear else [])):
            sock.close()


class Guests:
    """All guests of a topology, by port, and the outside host as OUTSIDE."""

    def __init__(self, datacenter: Datacenter, open_tap: Callable[[str], int]) -> None:
        self.netns, self.open_tap = datacenter.netns, open_tap
        self.wires = Wires()
        self.wires.start()
        self.all = {OUTSIDE: Guest(OUTSIDE, OUTSIDE_IP, "outside")}
        self._sockets(self.all[OUTSIDE])
        self.heard = 0  # frames that came to guests
        self.strange: list[str] = []  # those of them that were the other project's

    def follow(self, world: World) -> None:
        """Plug in what is new, unplug what is gone."""
        for id in [id for id in self.all if id not in world.ports and id != OUTSIDE]:
            self.unplug(self.all.pop(id))
        for id, port in world.ports.items():
            if id not in self.all:
                self.all[id] = self.plug(port, world.nets[port.net])

    def plug(self, port: Port, net: Net) -> Guest:
        guest = Guest(port.id, port.ip, f"guest-{port.id[:8]}", net.project, port.mac)
        self.netns.create(guest.namespace)
        inner = self.netns.run(guest.namespace, lambda: tap("eth0"))
        guest.fd = self.open_tap(port.id)
        self.wires.join_taps(guest.fd, inner)
        settings = "".join(f"echo {value} > /proc/sys/net/ipv4/neigh/eth0/{name}; " for name, value in NEIGHBOURS.items())
        lines = f"link set eth0 address {port.mac} mtu 1450 up\naddr add {port.ip}/24 dev eth0\nroute add default via {net.gateway}\n"
        command = ["nsenter", f"--net=/netns/{guest.namespace}", "sh", "-c", f"ip -batch - && {settings}"]
        subprocess.run(command, input=lines, text=True, check=True, capture_output=True, timeout=20)
        self._sockets(guest)
        return guest

    def unplug(self, guest: Guest) -> None:
        self.wires.part(guest.fd)
        guest.close()
        self.netns.delete(guest.namespace)

    def close(self) -> None:
        for id, guest in [*self.all.items()]:
            if id == OUTSIDE:
                guest.close()
            else:
                self.unplug(guest)
        self.wires.stopped = True
        self.wires.join()

    def _sockets(self, guest: Guest) -> None:
        def make() -> None:
            guest.replies = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
            for port in PORTS:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind(("", port))
                    if kind == socket.SOCK_STREAM:
                        sock.listen(128)
                    guest.servers.append(sock)
            if guest.id != OUTSIDE:
                guest.ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
                guest.ear.bind(("eth0", ETH_P_ALL))

        self.netns.run(guest.namespace, make)

    # -- answering and hearing ---------------------------------------------------------------------------------------------

    def serve(self, guest: Guest, sock: socket.socket) -> None:
        """Say who it is to whoever asks."""
        with contextlib.suppress(OSError):
            while True:
                if sock.type == socket.SOCK_STREAM:
                    connection, _ = sock.accept()
                    with connection:
                        connection.send(guest.id.encode())
                else:
                    question, peer = sock.recvfrom(2000)
                    sock.sendto(question + guest.id.encode(), peer)

    def listen(self, guest: Guest) -> None:
        """Look at all that came to a guest; remember what is the other project's."""
        assert guest.ear
        others = {bytes.fromhex(one.mac.replace(":", "")) for one in self.all.values() if one.project not in (-1, guest.project)}
        with contextlib.suppress(OSError):
            while True:
                frame, address = guest.ear.recvfrom(2000)
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                self.heard += 1
                if frame[6:12] in others or is_strange(frame, guest.project):
                    self.strange.append(f"to {guest.ip} of project {guest.project}: {frame[:60].hex()}")


def is_strange(frame: bytes, project: int) -> bool:
    """Whether a frame was sent by a guest of another project, and did not come by way of the outside network."""
    if frame[12:14] != b"\x08\x00":
        return False
    begin = 14 + (frame[14] & 15) * 4
    protocol, source = frame[23], frame[26:30]
    if source.startswith(bytes((192, 168, 37))):
        return False
    if protocol == socket.IPPROTO_ICMP:
        mark = frame.find(MARK, begin)
        return mark > 0 and frame[mark + 4] not in (project, 255)
    if protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        ports: tuple[int, int] = struct.unpack_from("!HH", frame, begin)
        return any(project_of(port) not in (None, project) for port in ports)
    return False
