"""throughput_port_port, throughput_routed, throughput_crowded: TCP between namespaces on tenant ports, beside a bare veth pair.

A namespace sits on a port in the guest's place: a veth end that has the tap's name, which the product guards and attaches as it does a tap,
so that no QEMU and no copying of ours is measured. Floor and figure take turns, so that whatever else the machine does weighs on both.
`throughput_crowded` has 1,000 rules in the group and 500 networks beside it; its floor is the same flow before these were there.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from pileus.config import Paths
from pileus.drivers.datacenter import Datacenter, attach, start
from tests.bench.row import Row, row
from tests.kernel.conftest import in_child
from tests.kernel.lan import Lan

ROUNDS = 7
SECONDS = 1.0  # of one flow
BLOCK = 256 * 1024  # bytes of one send or receive
LIMIT = 900  # seconds for all of it
RULES, NETWORKS = 1000, 500
Samples = dict[str, list[float]]
Place = tuple[str, str]  # namespace, address


def flow(lan: Lan, sender: Place, receiver: Place) -> float:
    """Gbit/s of one TCP connection, as its receiver sees it."""
    netns = lan.datacenter.netns
    listener = netns.run(receiver[0], lambda: socket.create_server((receiver[1], 0)))
    client = netns.run(sender[0], lambda: socket.socket())
    with listener, client:
        read, write = os.pipe()
        children = [fork(lambda: receive(listener, write)), fork(lambda: send(client, listener.getsockname()))]
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    for child in children:
        os.waitpid(child, 0)
    if not text:
        raise RuntimeError(f"nothing came from {sender} to {receiver}")
    return float(text)


def fork(work: Callable[[], None]) -> int:
    """A child that does this and ends; its process id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    return child


def send(client: socket.socket, address: tuple[str, int]) -> None:
    client.settimeout(10)
    client.connect(address)
    block, end = bytes(BLOCK), time.monotonic() + SECONDS
    while time.monotonic() < end:
        client.sendall(block)
    client.shutdown(socket.SHUT_WR)  # the other child has a copy of it


def receive(listener: socket.socket, write: int) -> None:
    """Write Gbit/s to a pipe; the time runs from the first byte to the last."""
    listener.settimeout(10)
    connection, _ = listener.accept()
    connection.settimeout(10)
    buffer = bytearray(4 * BLOCK)
    total = connection.recv_into(buffer)
    began = time.monotonic()
    while got := connection.recv_into(buffer):
        total += got
    os.write(write, f"{total * 8 / (time.monotonic() - began) / 1e9}".encode())


def ip(namespace: str, *lines: str) -> None:
    """A batch of the ip command in a namespace."""
    command = ["nsenter", f"--net=/netns/{namespace}", "ip", "-batch", "-"]
    subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True, capture_output=True)


def bare(lan: Lan) -> tuple[Place, Place]:
    """Two namespaces with a veth pair between them, and nothing else."""
    for name in ("bare-a", "bare-b"):
        lan.datacenter.netns.create(name)
    ip("bare-a", "link add eth0 mtu 1450 type veth peer name eth0 netns /netns/bare-b")
    ip("bare-a", "addr add 10.99.0.1/24 dev eth0", "link set eth0 up")
    ip("bare-b", "addr add 10.99.0.2/24 dev eth0", "link set eth0 mtu 1450 up")
    return ("bare-a", "10.99.0.1"), ("bare-b", "10.99.0.2")


async def seat(lan: Lan, name: str, port_id: str) -> Place:
    """A namespace on a port: what has the tap's name is a veth end, and the product makes of it what it makes of a tap."""
    port = lan.row("port", port_id)
    fixed = lan.store.query(
        "SELECT f.ip_address, s.gateway_ip FROM fixed_ip f JOIN subnet s ON s.id = f.subnet_id WHERE f.port_id = ?", port_id
    )
    guest, network, tap = f"seat-{name}", f"net-{port['network_id']}", f"tap{port_id[:11]}"
    lan.datacenter.netns.create(guest)
    ip(network, f"link del {tap}", f"link add {tap} mtu 1450 type veth peer name eth0 netns /netns/{guest}")
    address, gateway = fixed[0]["ip_address"], fixed[0]["gateway_ip"]
    ip(
        guest,
        f"link set eth0 address {port['mac_address']} mtu 1450 up",
        f"addr add {address}/24 dev eth0",
        f"route add default via {gateway}",
    )
    await lan.settle(("port", port_id))
    return guest, address


async def scene(lan: Lan) -> Samples:
    floor = bare(lan)
    group = lan.group({"protocol": "tcp"}, {"protocol": "icmp"})
    (net1, sub1), (net2, sub2) = lan.network("10.0.2.0/24"), lan.network("10.0.3.0/24")
    ports = [
        lan.port(net1, sub1, "10.0.2.1", [group]),
        lan.port(net1, sub1, "10.0.2.2", [group]),
        lan.port(net2, sub2, "10.0.3.1", [group]),
    ]
    router = lan.router((net1, sub1, "10.0.2.254"), (net2, sub2, "10.0.3.254"))
    await lan.settle(("network", net1), ("network", net2), ("router", router), *(("port", port) for port in ports))
    one, two, far = [await seat(lan, str(number), port) for number, port in enumerate(ports)]
    found: Samples = {"bare": [], "port": [], "routed": [], "before": [], "crowded": []}
    for _ in range(ROUNDS):
        found["bare"].append(flow(lan, *floor))
        found["port"].append(flow(lan, one, two))
        found["routed"].append(flow(lan, one, far))
    found["before"] = found["port"]
    await crowd(lan, group)
    found["crowded"] = [flow(lan, one, two) for _ in range(ROUNDS)]
    return found


async def crowd(lan: Lan, group: str) -> None:
    """Many rules in the group, and many networks beside."""
    for number in range(RULES):
        lan.rule(group, protocol="udp", port_range_min=1000 + number, port_range_max=1000 + number)
    networks = [lan.network(f"10.{1 + number // 250}.{number % 250}.0/24")[0] for number in range(NETWORKS)]
    await lan.settle(("security_group", group), *(("network", network) for network in networks))


def measure(datacenter: Datacenter) -> Samples:
    async def main() -> Samples:
        lan = Lan(datacenter)
        try:
            await lan.start()
            return await scene(lan)
        finally:
            lan.close()

    return uvloop.run(main())


def rows() -> Iterator[Row]:
    home = tempfile.mkdtemp(prefix="pileus-", dir="/tmp")
    paths = Paths.resolve({"PILEUS_HOME": home, "HOME": home})
    paths.make()
    try:
        start.start(paths)
        found: Samples = in_child(lambda: measure(attach(paths)), LIMIT)
    finally:
        start.stop(paths)
        shutil.rmtree(Path(home), ignore_errors=True)
    yield row("throughput_port_port", found["port"], "Gbit/s", found["bare"])
    yield row("throughput_routed", found["routed"], "Gbit/s", found["bare"])
    yield row("throughput_crowded", found["crowded"], "Gbit/s", found["before"])
