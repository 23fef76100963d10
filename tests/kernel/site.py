"""A cloud as a student has it: `pileus up`, HTTP, commands on the outside host, the micro image. For tests of whole servers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pileus.config import Paths
from pileus.guest.build import build_micro

PILEUS = [sys.executable, "-m", "pileus"]
PUBLIC = "public"


class Site:
    """`home` is the cloud's PILEUS_HOME, which must be in the environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.key = home / "key"
        self.endpoint = ""
        self.control = 0  # the control plane's pid
        self.token = ""

    # -- the command line ----------------------------------------------------------------------------------------------------

    def pileus(self, *argv: str, timeout: float = 90) -> str:
        done = subprocess.run([*PILEUS, *argv], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"pileus {argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> None:
        self.pileus("up")
        status = json.loads(self.pileus("status", "-f", "json"))
        self.endpoint, self.control = status["endpoint"], int(status["pids"]["control"])
        self.sign_in()

    def outside(self, *argv: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a command on the outside host."""
        return subprocess.run([*PILEUS, "exec", "--", *argv], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def pings(self, address: str) -> bool:
        return self.outside("ping", "-n", "-c", "1", "-W", "1", address).returncode == 0

    def ssh(self, address: str, command: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5", "BatchMode=yes"]
        flags = [flag for option in options for flag in ("-o", option)]
        return self.outside("ssh", "-i", str(self.key), *flags, f"cirros@{address}", command, timeout=timeout)

    # -- HTTP ----------------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, *, data: bytes | None = None) -> Any:
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json", "OpenStack-API-Version": "compute 2.79"}
        if data is not None:
            headers["Content-Type"] = "application/octet-stream"
        else:
            data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.endpoint + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                self.headers = answer.headers
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text else None

    def sign_in(self) -> None:
        password = (self.home / "data/admin-password").read_text().strip()
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        self.call(
            "POST",
            "/identity/v3/auth/tokens",
            {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}},
        )
        self.token = self.headers["X-Subject-Token"]

    def until(self, true: Callable[[], Any], seconds: float = 60) -> Any:
        """What `true` gives, when it gives something."""
        end = time.monotonic() + seconds
        while not (value := true()):
            assert time.monotonic() < end, f"not within {seconds} s"
            time.sleep(0.1)
        return value

    # -- what a server needs -------------------------------------------------------------------------------------------------

    def image(self) -> str:
        """The micro image, with its kernel and initrd."""
        micro = build_micro(Paths.resolve().cache, [], lambda stage, part: None)
        parts = {
            "kernel_id": self.upload("micro-kernel", "aki", micro.kernel),
            "ramdisk_id": self.upload("micro-initrd", "ari", micro.initrd),
        }
        return self.upload("micro", "qcow2", micro.disk, os_command_line=micro.cmdline, **parts)

    def upload(self, name: str, kind: str, file: Path, **properties: str) -> str:
        container = kind if kind in ("aki", "ari") else "bare"
        made = self.call("POST", "/image/v2/images", {"name": name, "disk_format": kind, "container_format": container, **properties})
        self.call("PUT", f"/image/v2/images/{made['id']}/file", data=file.read_bytes())
        return str(made["id"])

    def lan(self) -> dict[str, str]:
        """A network behind a router, and a security group that lets ping and SSH in."""
        network = self.call("POST", "/network/v2.0/networks", {"network": {"name": "lan"}})["network"]["id"]
        body = {"network_id": network, "ip_version": 4, "cidr": "10.0.2.0/24"}
        subnet = self.call("POST", "/network/v2.0/subnets", {"subnet": body})["subnet"]["id"]
        public = self.call("GET", f"/network/v2.0/networks?name={PUBLIC}")["networks"][0]["id"]
        gateway = {"router": {"name": "r", "external_gateway_info": {"network_id": public}}}
        router = self.call("POST", "/network/v2.0/routers", gateway)["router"]["id"]
        self.call("PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet})
        group = self.call("POST", "/network/v2.0/security-groups", {"security_group": {"name": "open"}})["security_group"]["id"]
        for rule in ({"protocol": "icmp"}, {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}):
            made = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4", **rule}
            self.call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": made})
        return {"network": network, "public": public, "group": "open"}

    def keypair(self) -> None:
        if not self.key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        public = Path(f"{self.key}.pub").read_text()
        self.call("POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "mine", "public_key": public}})

    def create(self, name: str, image: str, lan: dict[str, str], **more: Any) -> str:
        flavors = {flavor["name"]: flavor["id"] for flavor in self.call("GET", "/compute/v2.1/flavors")["flavors"]}
        body = {
            "name": name, "imageRef": image, "flavorRef": flavors["nano"], "networks": [{"uuid": lan["network"]}], "key_name": "mine",
            "security_groups": [{"name": lan["group"]}], **more,
        }  # fmt: skip
        return str(self.call("POST", "/compute/v2.1/servers", {"server": body})["server"]["id"])

    def floating(self, server: str, lan: dict[str, str]) -> str:
        """A floating IP on a server's only port."""
        port = self.call("GET", f"/network/v2.0/ports?device_id={server}")["ports"][0]["id"]
        body = {"floatingip": {"floating_network_id": lan["public"], "port_id": port}}
        return str(self.call("POST", "/network/v2.0/floatingips", body)["floatingip"]["floating_ip_address"])

    def server(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/compute/v2.1/servers/{id}")["server"]
        return found

    def becomes(self, id: str, status: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until a server has a status and no task; fail at once when it is in error."""

        def done() -> dict[str, Any] | None:
            server = self.server(id)
            assert status == "ERROR" or server["status"] != "ERROR", server.get("fault")
            return server if server["status"] == status and server["OS-EXT-STS:task_state"] is None else None

        found: dict[str, Any] = self.until(done, seconds)
        return found

    def console(self, id: str) -> str:
        return str(self.call("POST", f"/compute/v2.1/servers/{id}/action", {"os-getConsoleOutput": {}})["output"])

    def act(self, id: str, verb: str, value: Any = None) -> None:
        self.call("POST", f"/compute/v2.1/servers/{id}/action", {verb: value})

    def guests(self) -> dict[str, tuple[int, int]]:
        """The QEMUs of this cloud by server: pid and start time."""
        found = {}
        mine = {server["id"] for server in self.call("GET", "/compute/v2.1/servers")["servers"]}
        for folder in Path("/proc").iterdir():
            try:
                argv = (folder / "cmdline").read_text().split("\0")
                stat = (folder / "stat").read_text()
            except (OSError, UnicodeDecodeError):
                continue
            if argv[0] == "qemu-system-x86_64" and "-uuid" in argv and argv[argv.index("-uuid") + 1] in mine:
                found[argv[argv.index("-uuid") + 1]] = (int(folder.name), int(stat.rpartition(")")[2].split()[19]))
        return found
