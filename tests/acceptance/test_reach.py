"""Who reaches whom, on real guests: SSH and the calculator's services through floating IPs, rules that open and close, two projects.

One cloud for the whole file: CalculatorService and sumService of the lab, each with a floating IP of its own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pileus.config import Paths
from tests.acceptance.cloud import Student, until
from tests.acceptance.conftest import Tell, as_student
from tests.acceptance.wire import entered, in_outside
from tests.conformance.cloud import PILEUS, ROOT
from tests.kernel.conftest import in_child
from tests.kernel.lan import ETH_P_ALL, frame

pytestmark = pytest.mark.kernel
FILES = ROOT / "labs/calculator/files"
RANGE, CALCULATOR, SUM = "10.0.2.0/24", "10.0.2.6", "10.0.2.8"
OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5", "BatchMode=yes")
BOOT = 150.0  # seconds for two guests side by side, on a machine that is busy with other things
MARK = bytes.fromhex("c0ffee11")


class Street(Student):
    """A cloud with two of the lab's servers, and somebody on the outside host who tries their doors."""

    prober: subprocess.Popen[str]

    def build(self) -> None:
        self.up()
        self.run("image", "build", "micro", "--packages", "python3", "--name", "micro-python", timeout=600)
        self.network, subnet = self.lan("admin")
        self.public = self.call("GET", "/network/v2.0/networks?name=public")["networks"][0]["id"]
        gateway = {"router": {"name": "router", "external_gateway_info": {"network_id": self.public}}}
        router = self.call("POST", "/network/v2.0/routers", gateway)["router"]
        self.gateway = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
        self.call("PUT", f"/network/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet})
        self.groups = {name: self.group(name) for name in ("HTTP", "services", "ssh")}
        self.rule("HTTP", 80)
        self.rule("services", 50001, remote_group_id=self.groups["HTTP"])
        made = self.call("POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "generated"}})["keypair"]
        self.key = self.home / "key"
        self.key.touch(0o600)
        self.key.write_text(made["private_key"])
        calculator = self.server("CalculatorService", CALCULATOR, "HTTP", "ssh")
        adder = self.server("sumService", SUM, "services")
        self.calculator_ip, self.sum_ip = self.floating(calculator), self.floating(adder)
        self.prober = subprocess.Popen(
            [PILEUS, "exec", "--", sys.executable, "-m", "tests.acceptance.prober"],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        until(lambda: self.adds("5", "6") == "result = 11", BOOT)

    def down(self) -> None:
        if hasattr(self, "prober"):
            self.prober.kill()
            self.prober.wait()
        super().down()

    # -- what there is -------------------------------------------------------------------------------------------------------

    def lan(self, name: str, **more: Any) -> tuple[str, str]:
        network = self.call("POST", "/network/v2.0/networks", {"network": {"name": name, **more}})["network"]["id"]
        subnet = {"network_id": network, "ip_version": 4, "cidr": RANGE, "gateway_ip": "10.0.2.1", **more}
        return network, self.call("POST", "/network/v2.0/subnets", {"subnet": subnet})["subnet"]["id"]

    def group(self, name: str) -> str:
        return str(self.call("POST", "/network/v2.0/security-groups", {"security_group": {"name": name}})["security_group"]["id"])

    def rule(self, group: str, tcp_port: int, **more: Any) -> str:
        rule = {"security_group_id": self.groups[group], "direction": "ingress", "protocol": "tcp", **more}
        ports = {"port_range_min": tcp_port, "port_range_max": tcp_port}
        made = self.call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": {**rule, **ports}})
        return str(made["security_group_rule"]["id"])

    def unrule(self, id: str) -> None:
        self.call("DELETE", f"/network/v2.0/security-group-rules/{id}")

    def server(self, name: str, ip: str, *groups: str) -> str:
        script = subprocess.run([FILES / "user-data", name if name[0].isupper() else "SumService"], capture_output=True, check=True).stdout
        flavors = {flavor["name"]: flavor["id"] for flavor in self.call("GET", "/compute/v2.1/flavors")["flavors"]}
        image = self.call("GET", "/image/v2/images?name=micro-python")["images"][0]["id"]
        body = {
            "name": name, "imageRef": image, "flavorRef": flavors["nano"], "key_name": "generated",
            "networks": [{"uuid": self.network, "fixed_ip": ip}],
            "security_groups": [{"name": group} for group in groups], "user_data": base64.b64encode(script).decode(),
        }  # fmt: skip
        return str(self.call("POST", "/compute/v2.1/servers", {"server": body})["server"]["id"])

    def floating(self, server: str) -> str:
        port = until(lambda: self.call("GET", f"/network/v2.0/ports?device_id={server}")["ports"], 30)[0]["id"]
        body = {"floatingip": {"floating_network_id": self.public, "port_id": port}}
        return str(self.call("POST", "/network/v2.0/floatingips", body)["floatingip"]["floating_ip_address"])

    # -- who tries it --------------------------------------------------------------------------------------------------------

    def adds(self, a: str, b: str) -> str:
        """What the calculator answers, which cannot add by itself."""
        return self.outside("curl", "-s", "-m", "5", "-d", f"{a}+{b}", f"http://{self.calculator_ip}:80").stdout.strip()

    def _prober(self, **question: Any) -> Any:
        assert self.prober.stdin
        assert self.prober.stdout
        self.prober.stdin.write(json.dumps(question) + "\n")
        self.prober.stdin.flush()
        return json.loads(self.prober.stdout.readline())

    def door(self, address: str, port: int) -> str:
        """What a connection from the outside host meets: open, refused or silent."""
        return str(self._prober(**{"try": (address, port, 1.5)}))

    def becomes(self, word: str, address: str, port: int, since: float) -> float:
        """Seconds from `since` until a connection meets this."""
        moment = self._prober(until=(word, address, port, 5.0))
        assert moment is not None, f"{address}:{port} does not become {word}"
        return float(moment) - since

    @contextlib.contextmanager
    def session(self) -> Iterator[subprocess.Popen[bytes]]:
        """A shell on CalculatorService that counts on and on, ten times a second."""
        flags = [word for option in OPTIONS for word in ("-o", option)]
        count = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
        command = [str(PILEUS), "exec", "--", "ssh", "-i", str(self.key), *flags, f"cirros@{self.calculator_ip}", count]
        process = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    cloud = Street()
    try:
        cloud.build()
        yield cloud
    finally:
        cloud.down()


def last_word(process: subprocess.Popen[bytes], quiet: float) -> float:
    """When a session was heard last, once it has been quiet for so many seconds."""
    assert process.stdout
    heard = time.monotonic()
    while select.select([process.stdout], [], [], quiet)[0]:
        assert os.read(process.stdout.fileno(), 4096), "the session was ended, not cut"
        heard = time.monotonic()
    return heard


def test_ssh_opens_and_closes_with_its_rule(street: Street) -> None:
    assert street.door(street.calculator_ip, 22) == "silent"
    began = time.monotonic()
    rule = street.rule("ssh", 22)
    opened = street.becomes("open", street.calculator_ip, 22, began)
    with street.session() as session:
        assert session.stdout
        assert session.stdout.readline() == b"1\n", "with the key that the API generated"
        assert session.stdout.readline() == b"2\n"
        began = time.monotonic()
        street.unrule(rule)
        closed = street.becomes("silent", street.calculator_ip, 22, began)
        heard = last_word(session, 1.5) - began
    assert street.door(street.calculator_ip, 22) == "silent"
    print(
        f"SSH open {opened:.3f} s after its rule, closed {closed:.3f} s after its removal; an open session heard last after {heard:.3f} s"
    )
    assert opened < 1
    assert closed < 1
    assert heard < 1


def test_a_service_answers_the_calculator_alone(street: Street) -> None:
    assert street.adds("20", "22") == "result = 42"
    assert street.door(street.calculator_ip, 50001) == "silent"
    assert street.door(street.sum_ip, 50001) == "silent", "on a floating IP of its own"
    began = time.monotonic()
    rule = street.rule("services", 50001)
    opened = street.becomes("open", street.sum_ip, 50001, began)
    assert street.outside("curl", "-s", "-m", "5", "-d", "3 2", f"http://{street.sum_ip}:50001").stdout.strip() == "5"
    began = time.monotonic()
    street.unrule(rule)
    closed = street.becomes("silent", street.sum_ip, 50001, began)
    print(f"50001 open {opened:.3f} s after its rule, closed {closed:.3f} s after its removal")
    assert opened < 1
    assert closed < 1
    assert street.adds("1", "2") == "result = 3"


def test_fixed_addresses_are_not_reached_from_outside(street: Street) -> None:
    """Even by somebody who knows the way, and while a rule lets everybody in."""
    paths = Paths.resolve(street.env)
    way = ["ip", "route", "replace", RANGE, "via", street.gateway]
    in_child(lambda: in_outside(paths, lambda: subprocess.run(way, check=True)))
    rule = street.rule("services", 50001)
    try:
        street.becomes("open", street.sum_ip, 50001, 0)
        assert street.door(SUM, 50001) == "silent"
        assert street.door(CALCULATOR, 80) == "silent"
    finally:
        street.unrule(rule)
        in_child(lambda: in_outside(paths, lambda: subprocess.run(["ip", "route", "delete", RANGE], check=True)))


def test_two_projects_with_the_same_range(street: Street) -> None:
    """Nothing of one project's traffic arrives at the other's ports, whatever it is addressed to; nobody's ports are guarded here."""
    project = street.call("POST", "/identity/v3/projects", {"project": {"name": "neighbours"}})["project"]["id"]
    network, _ = street.lan("neighbours", project_id=project)

    def port(where: str, ip: str, **more: Any) -> dict[str, Any]:
        body = {"network_id": where, "fixed_ips": [{"ip_address": ip}], "device_id": f"wire-{ip}", "port_security_enabled": False, **more}
        id = street.call("POST", "/network/v2.0/ports", {"port": body})["port"]["id"]
        return dict(until(lambda: _active(street, id), 20))

    ours = [port(street.network, ip) for ip in ("10.0.2.50", "10.0.2.51")]
    theirs = [port(network, ip, project_id=project) for ip in (CALCULATOR, "10.0.2.60")]
    paths = Paths.resolve(street.env)
    counts = in_child(lambda: across(paths, ours, theirs))
    print(f"two projects with {RANGE}: {counts}")
    assert counts["heard of each other at home"] > 0
    assert counts["the calculator's own network"] == "result = 11"
    assert counts["theirs heard of ours"] == 0
    assert counts["ours heard of theirs"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("map", ["subuid", "single"])
def test_all_of_it_as_a_plain_user(map: str, tell: Tell) -> None:
    said = as_student(map, __file__)
    assert "4 passed" in said
    for line in re.findall(r"^\.*(.* after its rule.*)$", said, re.MULTILINE):
        tell(f"{line} ({map} map)")


def _active(street: Street, id: str) -> Any:
    found = street.call("GET", f"/network/v2.0/ports/{id}")["port"]
    return found if found["status"] == "ACTIVE" else None


def across(paths: Paths, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """Everybody sends to all addresses of all, with a mark of their own: how many marked frames arrive where."""
    with entered(paths) as wire:
        sides = [[wire.plug(port) for port in ports] for ports in (ours, theirs)]
        ears = {guest.name: guest.packets(ETH_P_ALL) for side in sides for guest in side}
        for guest in (guest for side in sides for guest in side):
            guest.run("ip", "address", "add", f"{guest.ip}/24", "dev", "eth0", check=True)
            guest.run("ip", "route", "add", "default", "via", "10.0.2.1", check=True)
        addresses = [guest.ip for side in sides for guest in side] + [SUM, "10.0.2.255", "10.0.2.1"]
        for number, side in enumerate(sides):
            pattern = (MARK + bytes([number])).hex()
            for guest in side:
                for ip in addresses:
                    guest.run("ping", "-n", "-b", "-c", "2", "-i", "0.1", "-W", "0.2", "-p", pattern, ip)
                everybody = [other.mac for side in sides for other in side] + ["ff:ff:ff:ff:ff:ff"]
                with guest.packets() as out:
                    for mac in everybody:
                        out.send(frame(guest.mac, mac, 0x0800, bytes(40) + (MARK + bytes([number])) * 3))
        asked = sides[0][0].run("curl", "-s", "-m", "5", "-d", "5+6", f"http://{CALCULATOR}:80").stdout.strip()
        heard = [[sum(_heard(ears[guest.name], number) for guest in side) for number in (0, 1)] for side in sides]
    return {
        "the calculator's own network": asked,
        "heard of each other at home": min(heard[0][0], heard[1][1]),
        "ours heard of theirs": heard[0][1],
        "theirs heard of ours": heard[1][0],
    }


def _heard(ear: socket.socket, number: int) -> int:
    """Frames that came in (not those that went out) with the mark of one side; what others sent is kept for the next count."""
    kept: list[bytes] = _KEPT.setdefault(ear.fileno(), [])
    ear.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            data, where = ear.recvfrom(2000)
            if where[2] != socket.PACKET_OUTGOING:
                kept.append(data)
    return sum(MARK + bytes([number]) in data for data in kept)


_KEPT: dict[int, list[bytes]] = {}
