"""A whole cloud for the kernel tests of `pileus why`: real networks, and guests that are network namespaces, started by the real API.

The servers are real to the cloud (the fake guests driver runs them); whenever one is started, a namespace is plugged into its ports' taps
and asks DHCP for its address, as a machine would that boots. The unmodified `openstack` client and `pileus` talk to it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from pileus.app import Drivers, _twin, build
from pileus.cli import clouds_yaml, http
from pileus.cli.cloud import Cloud
from pileus.compute.host import Unfit
from pileus.config import Paths, Settings
from pileus.drivers.datacenter import Datacenter, lock
from pileus.drivers.datacenter.process import started
from pileus.drivers.fake.compute import FakeGuests
from pileus.drivers.fake.host import FakeHost
from pileus.drivers.fake.images import FakeImages
from pileus.drivers.linuxnet import Linuxnet
from pileus.errors import HostError
from pileus.kit.server import Server
from tests.kernel.lan import Guest, cable, tap

TIMEOUT = 900  # seconds
ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / ".venv-clients/bin"
SCRIPT = """#!/bin/sh
# udhcpc calls this: put the lease into effect
test "$1" = bound -o "$1" = renew || exit 0
ip address replace $ip/$mask dev $interface
ip link set $interface mtu $mtu
echo "$dns" > $LEASE
set -- $staticroutes
while test $# -ge 2; do ip route replace $1 via $2 dev $interface onlink 2>/dev/null || ip route replace $1 dev $interface; shift 2; done
"""


@dataclass
class Machine:
    """A server's namespace. What `listens` is started again at each boot."""

    town: Town
    id: str
    name: str
    guest: Guest | None = None
    listens: set[int] = field(default_factory=set)
    stops: list[int] = field(default_factory=list)
    cable: threading.Thread | None = None
    sockets: list[socket.socket] = field(default_factory=list)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def datacenter(self) -> Datacenter:
        return self.town.datacenter

    def boot(self, nics: list[tuple[str, str]]) -> None:
        """Plug the first card in and ask DHCP. Runs in a thread of its own."""
        self.shut()
        netns = self.town.datacenter.netns
        netns.create(f"guest-{self.name}")
        port, mac = nics[0]
        guest = self.guest = Guest(self, f"guest-{self.name}", port, mac)  # type: ignore[arg-type]
        inner, outer = netns.run(guest.name, lambda: tap("eth0")), self.town.net.open_tap(port)
        read, write = os.pipe()
        self.stops.append(write)
        self.cable = threading.Thread(target=cable, args=(inner, outer, read), daemon=True)
        self.cable.start()
        guest.run("ip", "link", "set", "eth0", "address", mac, check=True)
        guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1", "net.ipv4.ip_forward=1")
        guest.run("ip", "link", "set", "eth0", "up", check=True)
        self.lease()
        for number in self.listens:
            guest.listen(number)

    def lease(self) -> None:
        assert self.guest is not None
        script = Path(self.town.folder, f"script-{self.name}")
        script.write_text(SCRIPT.replace("$LEASE", str(Path(self.town.folder, f"dns-{self.name}"))))
        script.chmod(0o755)
        self.guest.run(
            "busybox", "udhcpc", "-i", "eth0", "-s", str(script), "-n", "-q", "-f", "-t", "3", "-T", "1", "-O", "121", "-O", "26"
        )

    def shut(self) -> None:
        for stop in self.stops:
            os.write(stop, b"x")
            os.close(stop)
        self.stops.clear()
        if self.cable is not None:
            self.cable.join(5)  # it has the tap
        if self.guest is not None:
            for sock in self.sockets:
                sock.close()
            self.sockets.clear()
            self.town.datacenter.netns.delete(self.guest.name)
            self.guest = None


class Guests(FakeGuests):
    """The fake guests driver, which tells the town what starts and stops."""

    def __init__(self, host: FakeHost, town: Town) -> None:
        super().__init__(host)
        self.town = town
        self.broken = False

    def _start(self, record: Any, step: Any, id: str) -> None:
        if self.broken:
            raise Unfit("the host has no memory left for this guest")
        was = str(step.generation) in record["living"]
        super()._start(record, step, id)
        if not was:
            self.town.starts(id, [(nic.port, nic.mac) for nic in step.guest.nics])

    def _stop(self, record: Any, step: Any, id: str) -> None:
        super()._stop(record, step, id)
        self.town.ends(id)

    def end(self, id: str, status: int) -> None:
        super().end(id, status)
        self.town.ends(id)


class Town:
    """One cloud."""

    def __init__(self, datacenter: Datacenter) -> None:
        self.datacenter = datacenter
        self.paths = Paths.resolve()
        self.folder = str(self.paths.state)
        self.sockets: list[socket.socket] = []
        self.processes: list[subprocess.Popen[str]] = []
        self.machines: dict[str, Machine] = {}
        self.boots: set[asyncio.Future[None]] = set()
        self.net = Linuxnet(datacenter.netns)
        self.host = FakeHost()
        self.guests = Guests(self.host, self)
        self.openstack: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        cloud = Cloud.of_environment()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        images = FakeImages(self.host, self.paths.data)
        facts = dict(self.guests.host_facts())
        drivers = Drivers(images, self.net, self.guests, facts, fake=None)
        settings = Settings(synchronous="off", port=port)
        self.app = build(settings, self.paths, cloud.password(), drivers=drivers, data=self.paths.data, memory=True)
        await self.app.start()
        ready = asyncio.Event()
        twin = self.datacenter.netns.run("outside", lambda: _twin(port))
        self.serving = asyncio.create_task(Server(self.app.web.app).run_on([listener, twin], ready.set))
        await ready.wait()
        self.endpoint = f"http://127.0.0.1:{port}"
        held = lock.take(cloud.control_lock)
        assert held is not None
        os.pwrite(held, json.dumps({"pid": os.getpid(), "start": started(os.getpid()), "drivers": "linux"}).encode(), 0)
        cloud.control_file.write_text(json.dumps({"pid": os.getpid(), "endpoint": self.endpoint, "version": "test", "drivers": "linux"}))
        clouds_yaml.install(cloud, self.endpoint)
        self.client = http.Client(self.endpoint, cloud.password())
        await self.app.loop.settle()

    def close(self) -> None:
        for machine in self.machines.values():
            machine.shut()
        if self.openstack is not None:
            self.openstack.kill()
        for process in self.processes:
            process.kill()
            process.wait()

    # -- commands ----------------------------------------------------------------------------------------------------------

    async def run(self, line: str, timeout: float = 120) -> tuple[int, str, str]:
        """Run a line as a student's shell would: (status, stdout, stderr)."""
        argv = shlex.split(line)
        pipe = asyncio.subprocess.PIPE
        if argv[0] == "openstack":
            told = await asyncio.wait_for(self._openstack(argv[1:]), timeout)
            await self.quiet()
            return told["status"], told["out"], told["err"]
        assert argv[0] == "pileus"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pileus", *argv[1:], stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        out, err = await asyncio.wait_for(process.communicate(), timeout)
        await self.quiet()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def _openstack(self, argv: list[str]) -> dict[str, Any]:
        if self.openstack is None:
            clouds, secure = clouds_yaml.files(Cloud.of_environment())
            named = {"OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLIENT_SECURE_FILE": str(secure), "OS_CLOUD": clouds_yaml.NAME}
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            self.openstack = await asyncio.create_subprocess_exec(
                str(CLIENTS / "python"),
                str(Path(__file__).with_name("openstack_client.py")),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**environment, **named},
                limit=1 << 20,
            )
        assert self.openstack.stdin is not None
        assert self.openstack.stdout is not None
        self.openstack.stdin.write(json.dumps(argv).encode() + b"\n")
        found: dict[str, Any] = json.loads(await self.openstack.stdout.readline())
        return found

    async def do(self, *lines: str) -> None:
        """Lines that have to succeed."""
        for line in lines:
            status, out, err = await self.run(line)
            assert status == 0, f"{line}: {out}{err}"

    async def why(self, words: str) -> tuple[int, dict[str, Any]]:
        status, out, err = await self.run(f"pileus why {words} -f json")
        assert out, err
        found: dict[str, Any] = json.loads(out)
        return status, found

    async def passes(self, words: str) -> bool | None:
        """What the same question is told, asked without the command line, which takes most of the time."""
        argv = shlex.split(words)
        body: dict[str, Any] = {"source": argv[0], "destination": argv[1]}
        for flag, value in itertools.pairwise(argv):
            if flag in ("--tcp", "--udp", "--size"):
                body[flag.removeprefix("--")] = int(value)
        told: dict[str, Any] = (await self.call("POST", "/pileus/v1/traces", body))["trace"]
        print(f"   {words}: {told['verdict']['words']}")
        found: bool | None = told["verdict"]["passes"]
        return found

    async def quiet(self) -> None:
        """Wait until nothing is under way: neither looks nor boots."""
        while self.app.loop.tasks or self.boots:
            await self.app.loop.settle()
            if self.boots:
                await asyncio.wait(set(self.boots))

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = await asyncio.to_thread(self.client.call, method, path, body)
        except HostError:  # the server has let go of a connection that said nothing for long
            answer = await asyncio.to_thread(self.client.call, method, path, body)
        return answer.body

    # -- servers ----------------------------------------------------------------------------------------------------------------

    def starts(self, id: str, nics: list[tuple[str, str]]) -> None:
        row = self.app.store.get("server", id)
        assert row is not None
        machine = self.machines.setdefault(id, Machine(self, id, row["name"]))
        future = asyncio.ensure_future(asyncio.to_thread(machine.boot, nics))
        self.boots.add(future)
        future.add_done_callback(self._booted)

    def _booted(self, future: asyncio.Future[None]) -> None:
        self.boots.discard(future)
        if error := future.exception():
            print("a guest did not boot:", error)

    def ends(self, id: str) -> None:
        if id in self.machines:
            self.machines[id].shut()

    def machine(self, name: str) -> Machine:
        return next(machine for machine in self.machines.values() if machine.name == name)

    def guest(self, name: str) -> Guest:
        found = self.machine(name).guest
        assert found is not None, f"{name} does not run"
        return found

    def outside(self) -> Guest:
        return Guest(self, "outside", "", "", "192.168.37.254")  # type: ignore[arg-type]

    def inside(self, namespace: str | None, line: str) -> str:
        """Run a line on the host, in a network namespace of the datacenter: what somebody's hand does there."""

        def run() -> str:
            return subprocess.run(shlex.split(line), capture_output=True, text=True, check=True, timeout=20).stdout

        return self.datacenter.netns.run(namespace, run)

    async def network(self, name: str, cidr: str) -> str:
        body = {"network": {"name": name}}
        network = (await self.call("POST", "/network/v2.0/networks", body))["network"]["id"]
        await self.call(
            "POST", "/network/v2.0/subnets", {"subnet": {"name": f"{name}-sub", "network_id": network, "ip_version": 4, "cidr": cidr}}
        )
        return str(network)

    async def server(self, name: str, network: str, address: str, *groups: str, listens: tuple[int, ...] = (80,)) -> str:
        """A server on a port of its own, called `NAME-port`, that has booted."""
        found = (await self.call("GET", "/network/v2.0/security-groups"))["security_groups"]
        ids = [one["id"] for group in groups for one in found if one["name"] == group]
        wish = {"name": f"{name}-port", "network_id": network, "fixed_ips": [{"ip_address": address}], "security_groups": ids}
        port = (await self.call("POST", "/network/v2.0/ports", {"port": wish}))["port"]["id"]
        flavors = (await self.call("GET", "/compute/v2.1/flavors"))["flavors"]
        body = {"name": name, "imageRef": self.image, "flavorRef": flavors[0]["id"], "networks": [{"port": port}]}
        id = (await self.call("POST", "/compute/v2.1/servers", {"server": body}))["server"]["id"]
        self.machines[id] = Machine(self, id, name, listens=set(listens))
        await self.quiet()
        return str(id)

    async def build(self) -> None:
        """Two networks behind a router with a gateway, a, b and c; group `open` lets ping and TCP 80 in, `a` has a floating IP."""
        made = await self.call("POST", "/image/v2/images", {"name": "blank", "disk_format": "raw", "container_format": "bare"})
        self.image = made["id"]
        await asyncio.to_thread(self.client.call, "PUT", f"/image/v2/images/{self.image}/file", data=b"\0" * 65536)
        await self.group("open", {"protocol": "icmp"}, {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
        lan, far = await self.network("lan", "10.0.2.0/24"), await self.network("far", "10.0.3.0/24")
        public = (await self.call("GET", "/network/v2.0/networks?name=public"))["networks"][0]["id"]
        wish = {"router": {"name": "r", "external_gateway_info": {"network_id": public}}}
        self.router = (await self.call("POST", "/network/v2.0/routers", wish))["router"]["id"]
        for name in ("lan-sub", "far-sub"):
            subnet = (await self.call("GET", f"/network/v2.0/subnets?name={name}"))["subnets"][0]["id"]
            await self.call("PUT", f"/network/v2.0/routers/{self.router}/add_router_interface", {"subnet_id": subnet})
        self.lan, self.far, self.public = lan, far, public
        for name, network, address in (("a", lan, "10.0.2.5"), ("b", lan, "10.0.2.6"), ("c", far, "10.0.3.7")):
            await self.server(name, network, address, "open")
        await self.quiet()

    async def group(self, name: str, *rules: dict[str, Any]) -> str:
        group = (await self.call("POST", "/network/v2.0/security-groups", {"security_group": {"name": name}}))["security_group"]["id"]
        for rule in rules:
            body = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4", **rule}
            await self.call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": body})
        return str(group)

    async def floating(self, server: str) -> str:
        port = (await self.call("GET", f"/network/v2.0/ports?name={server}-port"))["ports"][0]["id"]
        body = {"floatingip": {"floating_network_id": self.public, "port_id": port}}
        found = (await self.call("POST", "/network/v2.0/floatingips", body))["floatingip"]["floating_ip_address"]
        await self.quiet()
        return str(found)


def play(inside: Any, scene: Callable[[Town], Awaitable[None]]) -> None:
    """Run a scene in a town of its own, inside the datacenter."""

    def call(datacenter: Datacenter) -> None:
        signal.alarm(TIMEOUT)  # in place of the shorter one that a child has: each command of a client takes a second or more

        async def main() -> None:
            town = Town(datacenter)
            try:
                await town.start()
                await town.build()
                await scene(town)
            finally:
                town.close()

        uvloop.run(main())

    inside(call)
