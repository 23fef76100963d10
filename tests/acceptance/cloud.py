"""A cloud with real guests as a student has it: the command line, the unmodified client, the calculator lab; and what of it lives here.

Not here: what must be true of it.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tests.conformance.cloud import PILEUS, ROOT, Cloud

CLIENT = ROOT / ".venv-clients/bin/openstack"
SERVERS = ("sumService", "SubService", "MulService", "DivService", "CalculatorService")
ADDRESS = "192.168.37.10"
LAB_SECONDS = 1500.0  # of a lab run on a machine with much else to do
T = TypeVar("T")


class Student(Cloud):
    """`lab` carries out the calculator lab; the rest is what a student could type."""

    def __init__(self, **settings: str) -> None:
        super().__init__("linux", {"PILEUS_PORT": "0", **settings})
        self.shown: dict[str, str] = {}

    @property
    def home(self) -> Path:
        return Path(self.env["PILEUS_HOME"])

    @property
    def folder(self) -> Path:
        """Where the lab keeps its files and its key."""
        return self.home / "data/labs/calculator"

    # -- the command line ----------------------------------------------------------------------------------------------------

    def up(self) -> dict[str, Any]:
        """Start it, or what a crash left of it; returns what `pileus status` says."""
        self.run("up")
        status = self.status()
        self.url, self.token = status["endpoint"], ""
        return status

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        try:
            return super().call(method, path, body, headers)
        except AssertionError as error:
            error.add_note(self.log())
            raise

    def start_lab(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PILEUS, "lab", "run", "calculator"],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lab(self) -> tuple[str, str]:
        """The lab, to its end: what it printed and what it told. Fails when it does."""
        process = self.start_lab()
        try:
            out, err = process.communicate(timeout=LAB_SECONDS)
        except BaseException:
            process.kill()
            raise
        assert process.returncode == 0, f"{out}\n{err}\n{self.log()}"
        self.url, self.token = self.status()["endpoint"], ""
        return out, err

    def openstack(self, words: str, *, check: bool = True) -> str:
        """What the client prints. Raises AssertionError."""
        if not self.shown:
            lines = self.run("env").stdout.splitlines()
            pairs = (shlex.split(line.removeprefix("export "))[0].partition("=") for line in lines if "=" in line)
            self.shown = {name: value for name, _, value in pairs}
        done = subprocess.run(
            [CLIENT, *shlex.split(words)],
            env={**self.env, **self.shown},
            capture_output=True,
            text=True,
            timeout=180,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0 or not check, f"openstack {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def outside(self, *argv: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command on the outside host, whatever comes of it."""
        return self.run("exec", "--", *argv, check=False, timeout=timeout)

    def ask(self, text: str) -> str:
        """What the calculator answers to the outside host."""
        return self.outside("curl", "-s", "-m", "20", "-d", text, "-X", "POST", f"http://{ADDRESS}:80").stdout.strip()

    # -- what lives ----------------------------------------------------------------------------------------------------------

    def kill_control(self) -> None:
        """SIGKILL for the control plane, if there is one at this moment."""
        pid = self.status()["pids"]["control"]
        if pid:
            os.kill(pid, signal.SIGKILL)

    def guests(self) -> dict[str, tuple[int, int]]:
        """This cloud's QEMUs, by the server's id: pid and start time in clock ticks."""
        found = {}
        holder = self.status()["pids"]["datacenter"]
        for pid in descendants(holder) if holder else ():
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                start = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
            except OSError:
                continue
            if argv[0].endswith("qemu-system-x86_64") and "-uuid" in argv:
                found[argv[argv.index("-uuid") + 1]] = pid, start
        return found

    def boots(self) -> dict[str, str]:
        """The boot id of each of the lab's servers, asked over SSH; a rule lets port 22 in meanwhile."""
        for group in ("HTTP", "services"):
            self.openstack(f"security group rule create --protocol tcp --dst-port 22 {group}", check=False)
        found = {}
        for server in SERVERS:
            words = ("-i", str(self.folder / "MuKey.pem"), "-o", "ConnectTimeout=20", "cat /proc/sys/kernel/random/boot_id")
            found[server] = self.run("ssh", server, "--", *words, timeout=120).stdout.strip()
            assert re.fullmatch(r"[0-9a-f-]{36}", found[server])
        return found


def descendants(pid: int) -> list[int]:
    """Processes below this one."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found, todo = [], [pid]
    while todo:
        todo += (below := children.get(todo.pop(), []))
        found += below
    return found


def until(true: Callable[[], T], seconds: float, pause: float = 0.1) -> T:
    """What `true` gives, once it gives something."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(pause)
    return value


def end_state(cloud: Cloud) -> dict[str, list[tuple[Any, ...]]]:
    """What the APIs tell of a cloud, without ids and times: two clouds that went the same way are equal in it."""

    def all_of(noun: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = cloud.call("GET", f"/network/v2.0/{noun}")[noun.replace("-", "_")]
        return found

    servers = cloud.call("GET", "/compute/v2.1/servers/detail")["servers"]
    names = {server["id"]: server["name"] for server in servers}
    names |= {thing["id"]: thing["name"] for noun in ("networks", "subnets", "routers", "security-groups") for thing in all_of(noun)}
    rule = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix")
    pooled = ("network:router_gateway", "network:dhcp")  # whose address is any free one

    def port(one: dict[str, Any]) -> tuple[Any, ...]:
        ips = sorted(ip["ip_address"] for ip in one["fixed_ips"]) if one["device_owner"] not in pooled else ()
        groups = sorted(names[group] for group in one["security_groups"])
        return one["device_owner"], names.get(one["device_id"], ""), names[one["network_id"]], tuple(ips), tuple(groups), one["status"]

    images = cloud.call("GET", "/image/v2/images")["images"]
    found: dict[str, list[tuple[Any, ...]]] = {
        "servers": [(s["name"], s["status"], s["flavor"]["original_name"], s.get("key_name")) for s in servers],
        "networks": [(n["name"], n["status"], n["router:external"]) for n in all_of("networks")],
        "subnets": [(s["name"], s["cidr"], s["gateway_ip"]) for s in all_of("subnets")],
        "routers": [(r["name"], r["status"]) for r in all_of("routers")],
        "ports": [port(one) for one in all_of("ports")],
        "floating_ips": [(f["floating_ip_address"], f["fixed_ip_address"], f["status"]) for f in all_of("floatingips")],
        "groups": [(g["name"], g["project_id"] == "") for g in all_of("security-groups")],
        "rules": [(names[r["security_group_id"]], *(str(r[key]) for key in rule)) for r in all_of("security-group-rules")],
        "keypairs": [(k["keypair"]["name"],) for k in cloud.call("GET", "/compute/v2.1/os-keypairs")["keypairs"]],
        "images": [(i["name"], i["status"], i["visibility"]) for i in images],
    }
    return {kind: sorted(rows, key=repr) for kind, rows in found.items()}
