"""`down` leaves nothing: processes, namespaces, mounts, links, sockets and listeners are as they were, and every file is the user's.

A cycle is up, the lab's network, a server, down. Every process that a cycle starts stays below one parent (nursery.py), so what other
programs do on this machine meanwhile does not count.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cloud import Student, until
from tests.acceptance.conftest import Tell
from tests.acceptance.nursery import Nursery
from tests.conformance.cloud import PILEUS

pytestmark = [pytest.mark.kernel, pytest.mark.single_map]
TABLES = ("tcp", "tcp6", "udp", "udp6", "raw", "unix", "packet", "netlink")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@dataclass
class Rig:
    cloud: Student
    nursery: Nursery

    def pileus(self, *words: str) -> str:
        return self.nursery.run(str(PILEUS), *words)

    def up(self) -> None:
        self.pileus("up")
        self.cloud.url, self.cloud.token = self.cloud.status()["endpoint"], ""

    def processes(self) -> set[int]:
        return set(self.nursery.below())


@pytest.fixture
def rig() -> Iterator[Rig]:
    cloud = Student()
    with contextlib.ExitStack() as stack:
        stack.callback(cloud.down)
        yield Rig(cloud, stack.enter_context(Nursery(cloud.env)))


def machine() -> dict[str, Any]:
    """What of this machine's own a cloud could leave changed."""
    return {
        "links": sorted(os.listdir("/sys/class/net")),
        "routes": Path("/proc/net/route").read_text(),
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "netns": sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else [],
        "settings": {name: Path("/proc/sys/net", name).read_text() for name in ("ipv4/ip_forward", "ipv4/conf/all/rp_filter")},
        "rules": subprocess.run(["nft", "list", "ruleset"], capture_output=True, check=True).stdout if os.getuid() == 0 else b"",
    }


@contextlib.contextmanager
def namespaces(pids: set[int]) -> Iterator[set[str]]:
    """The namespaces that these processes are in and we are not, as /proc names them; held, so that the kernel gives no name twice."""
    own = {os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES}
    held: dict[str, int] = {}
    try:
        for path in (f"/proc/{pid}/ns/{kind}" for pid in pids for kind in NAMESPACES):
            if (name := os.readlink(path)) not in own and name not in held:
                held[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        yield set(held)
    finally:
        for fd in held.values():
            os.close(fd)


def sockets(pids: set[int]) -> set[str]:
    """The inodes of sockets that these processes hold."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(fd)
                    if target.startswith("socket:["):
                        found.add(target[8:-1])
    return found


def who_is_in(spaces: set[str]) -> list[str]:
    """Mounts of this machine, and other processes and their open files, that keep one of these namespaces alive."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if any(space in line for space in spaces)]
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                links = [*(folder / "ns").iterdir(), *(folder / "fd").iterdir()]
                found += [f"{link}" for link in links if _target(link) in spaces]
    return found


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def listed(inodes: set[str]) -> list[str]:
    """Sockets of this machine's network with one of these inodes."""
    lines = [line for table in TABLES for line in Path("/proc/net", table).read_text().splitlines()]
    return [line for line in lines if inodes & set(line.split())]


def lab_network(cloud: Student, number: int) -> dict[str, str]:
    """Network, router, groups and floating IP of the lab; returns what a server needs."""
    network = cloud.call("POST", "/network/v2.0/networks", {"network": {"name": f"private{number}"}})["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.0.2.0/24", "gateway_ip": "10.0.2.1"}
    subnet_id = cloud.call("POST", "/network/v2.0/subnets", {"subnet": subnet})["subnet"]["id"]
    public = cloud.call("GET", "/network/v2.0/networks?name=public")["networks"][0]["id"]
    body = {"router": {"name": f"router{number}", "external_gateway_info": {"network_id": public}}}
    router = cloud.call("POST", "/network/v2.0/routers", body)["router"]["id"]
    cloud.call("PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet_id})
    group = cloud.call("POST", "/network/v2.0/security-groups", {"security_group": {"name": f"HTTP{number}"}})["security_group"]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
    cloud.call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": rule})
    port = {"network_id": network, "device_id": f"a-guest-{number}", "security_groups": [group]}
    port_id = cloud.call("POST", "/network/v2.0/ports", {"port": port})["port"]["id"]
    cloud.call("POST", "/network/v2.0/floatingips", {"floatingip": {"floating_network_id": public, "port_id": port_id}})
    until(lambda: cloud.call("GET", f"/network/v2.0/routers/{router}")["router"]["status"] == "ACTIVE", 30)
    until(lambda: cloud.call("GET", f"/network/v2.0/ports/{port_id}")["port"]["status"] == "ACTIVE", 30)
    return {"network": network, "group": f"HTTP{number}"}


def image(cloud: Student) -> str:
    """A disk with nothing on it: its guest looks for something to boot for ever."""
    body = {"name": "empty", "disk_format": "raw", "container_format": "bare"}
    id = str(cloud.call("POST", "/image/v2/images", body)["id"])
    cloud.call("PUT", f"/image/v2/images/{id}/file", bytes(1 << 20))
    until(lambda: cloud.call("GET", f"/image/v2/images/{id}")["status"] == "active", 30)
    return id


def create(cloud: Student, image_id: str, lan: dict[str, str]) -> str:
    flavors = cloud.call("GET", "/compute/v2.1/flavors")["flavors"]
    flavor = next(flavor["id"] for flavor in flavors if flavor["name"] == "nano")
    wanted = {"name": "one", "imageRef": image_id, "flavorRef": flavor, "networks": [{"uuid": lan["network"]}]}
    made = cloud.call("POST", "/compute/v2.1/servers", {"server": {**wanted, "security_groups": [{"name": lan["group"]}]}})
    return str(made["server"]["id"])


def cycle(rig: Rig, number: int, trouble: Callable[[Rig, dict[str, str]], None] | None = None) -> tuple[float, float]:
    """One cycle: seconds of `up` and of `down`. `trouble` is what goes wrong before `down`."""
    before, running = machine(), rig.processes()
    began = time.monotonic()
    rig.up()
    up = time.monotonic() - began
    lan = lab_network(rig.cloud, number)
    if trouble:
        trouble(rig, lan)
    ours = rig.processes() - running
    inodes = sockets(ours)
    assert listed(inodes), "a control plane listens"
    with namespaces(ours) as spaces:
        assert {space.partition(":")[0] for space in spaces} >= {"mnt", "net", "pid", "user"}
        began = time.monotonic()
        rig.pileus("down")
        down = time.monotonic() - began
        until(lambda: rig.processes() == running, 3)  # `pileus exec` itself, not the cloud's, needs a moment to say how it ended
        assert who_is_in(spaces) == []
    assert listed(inodes) == []
    assert machine() == before
    files = [rig.cloud.home, *rig.cloud.home.rglob("*")]
    assert {file.lstat().st_uid for file in files} == {os.getuid()}
    assert not [file for file in files if file.is_socket() or file.is_fifo()]
    assert not (rig.cloud.home / "run").exists()
    return up, down


def server_running(rig: Rig, lan: dict[str, str]) -> None:
    id = create(rig.cloud, image(rig.cloud), lan)
    rig.cloud.settled(id, ("ACTIVE",))


def killed_in_mid_create(rig: Rig, lan: dict[str, str]) -> None:
    """The control plane goes while it makes servers: at once, and at some moment of the next second."""
    made = image(rig.cloud)
    for _ in range(3):
        create(rig.cloud, made, lan)
    time.sleep(random.choice((0, random.random())))
    os.kill(rig.cloud.status()["pids"]["control"], signal.SIGKILL)
    until(lambda: rig.cloud.status()["state"] == "crashed", 10)
    assert rig.cloud.status()["pids"]["datacenter"]


def killed_and_up_again(rig: Rig, lan: dict[str, str]) -> None:
    killed_in_mid_create(rig, lan)
    rig.up()
    until(lambda: all(s["status"] == "ACTIVE" for s in rig.cloud.call("GET", "/compute/v2.1/servers/detail")["servers"]), 90)


def shell_left_open(rig: Rig, lan: dict[str, str]) -> None:
    """One that works, and one that stands still."""
    pids = [rig.nursery.open(str(PILEUS), "exec", "sh", "-c", "echo here; sleep 1000 & sleep 1000") for _ in range(2)]
    os.kill(pids[0], signal.SIGSTOP)


TROUBLES = [server_running, killed_in_mid_create, killed_and_up_again, shell_left_open]


def test_two_cycles(rig: Rig) -> None:
    cycle(rig, 1)
    cycle(rig, 2, server_running)


@pytest.mark.parametrize("trouble", [killed_in_mid_create, shell_left_open])
def test_what_went_wrong_before(rig: Rig, trouble: Callable[[Rig, dict[str, str]], None]) -> None:
    cycle(rig, 1, trouble)


@pytest.mark.slow
def test_twenty_cycles(rig: Rig, tell: Tell) -> None:
    ups, downs = [], []
    for number in range(20):
        up, down = cycle(rig, number, TROUBLES[number % 5] if number % 5 < 4 else None)
        ups.append(up)
        downs.append(down)
        if number % 5 == 4:  # quotas; until then each cycle also brings back what the ones before have left
            rig.pileus("destroy", "--yes")
            assert not rig.cloud.home.exists()
    words = f"up {statistics.median(ups):.2f} s (at most {max(ups):.2f}), down {statistics.median(downs):.2f} s (at most {max(downs):.2f})"
    tell(f"20 cycles of up, the lab's network, down as {getpass.getuser()}: nothing left; {words}")
