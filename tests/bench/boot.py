"""create_to_ping_vs_qemu and nothing_to_ping_s: from a request, and from nothing, to a guest that answers, over HTTP and real packets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pileus.guest.build import MicroImage, build_micro
from tests.bench.row import Row, row, until
from tests.conformance.cloud import PILEUS, ROOT, Cloud

ROUNDS = 5
FLAVOR = "nano"
MEMORY = 128  # MB, of nano


def rows() -> Iterator[Row]:
    cache = Path(Cloud.cache())
    image = build_micro(cache, [], lambda stage, part: None)
    floor = by_plain_qemu(image)
    with Cloud("linux") as cloud:
        topology = prepare(cloud, image)
        samples = [create_to_ping(cloud, topology) for _ in range(ROUNDS + 1)][1:]  # the first also probes this machine for KVM
    yield row("create_to_ping_vs_qemu", samples, "s", floor)
    yield row("nothing_to_ping_s", [nothing_to_ping(image) for _ in range(ROUNDS)], "s", floor)


def by_plain_qemu(image: MicroImage) -> list[float]:
    """Seconds from QEMU's start to the first answered ping, without any of ours."""
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-m", "tests.bench.plain_qemu"]
    command += [str(image.disk), str(image.kernel), str(image.initrd), image.cmdline, str(MEMORY), str(ROUNDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: list[float] = json.loads(done.stdout)
    return found


def upload(cloud: Cloud, name: str, file: Path, **more: Any) -> str:
    wanted = {"name": name, "container_format": "bare", "visibility": "public", **more}
    id = str(cloud.call("POST", "/image/v2/images", wanted)["id"])
    cloud.call("PUT", f"/image/v2/images/{id}/file", file.read_bytes())
    return id


def prepare(cloud: Cloud, image: MicroImage) -> dict[str, str]:
    """Image, network, router, a rule for ping and a floating IP; the ids a server needs."""
    call = cloud.call
    kernel = upload(cloud, "micro-kernel", image.kernel, disk_format="aki", container_format="aki")
    ramdisk = upload(cloud, "micro-initrd", image.initrd, disk_format="ari", container_format="ari")
    disk = upload(cloud, "micro", image.disk, disk_format="qcow2", kernel_id=kernel, ramdisk_id=ramdisk, os_command_line=image.cmdline)
    network = call("POST", "/network/v2.0/networks", {"network": {"name": "net"}})["network"]["id"]
    wanted = {"network_id": network, "ip_version": 4, "cidr": "10.0.2.0/24"}
    subnet = call("POST", "/network/v2.0/subnets", {"subnet": wanted})["subnet"]["id"]
    public = call("GET", "/network/v2.0/networks?name=public")["networks"][0]["id"]
    gateway = {"network_id": public}
    router = call("POST", "/network/v2.0/routers", {"router": {"name": "r", "external_gateway_info": gateway}})["router"]["id"]
    call("PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet})
    project = call("GET", "/identity/v3/projects?name=admin")["projects"][0]["id"]
    group = call("GET", f"/network/v2.0/security-groups?name=default&project_id={project}")["security_groups"][0]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "icmp", "ethertype": "IPv4"}
    call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": rule})
    floating = call("POST", "/network/v2.0/floatingips", {"floatingip": {"floating_network_id": public}})["floatingip"]
    flavor = next(f["id"] for f in call("GET", "/compute/v2.1/flavors")["flavors"] if f["name"] == FLAVOR)
    return {"image": disk, "network": network, "floating": floating["id"], "address": floating["floating_ip_address"], "flavor": flavor}


def create_to_ping(cloud: Cloud, topology: dict[str, str]) -> float:
    """Seconds from POST /servers to the first ping that comes back to the outside host; the server is deleted again."""
    call = cloud.call
    command = [str(PILEUS), "exec", "--", "sh", "-c", f"until ping -c1 -W0.1 {topology['address']} >/dev/null 2>&1; do :; done"]
    server = {
        "name": "first",
        "flavorRef": topology["flavor"],
        "imageRef": topology["image"],
        "networks": [{"uuid": topology["network"]}],
    }
    began = time.monotonic()
    id = call("POST", "/compute/v2.1/servers", {"server": server})["server"]["id"]
    port = call("GET", f"/network/v2.0/ports?device_id={id}")["ports"][0]["id"]
    call("PUT", f"/network/v2.0/floatingips/{topology['floating']}", {"floatingip": {"port_id": port}})
    subprocess.run(command, env=cloud.env, check=True, timeout=120, stdin=subprocess.DEVNULL)
    spent = time.monotonic() - began
    call("DELETE", f"/compute/v2.1/servers/{id}")
    until(lambda: not any(s["id"] == id for s in call("GET", "/compute/v2.1/servers")["servers"]), pause=0.02)
    return spent


def nothing_to_ping(image: MicroImage) -> float:
    """Seconds from no data folder at all: up, upload, network, router, server, ping."""
    cloud = Cloud("linux")
    try:
        began = time.monotonic()
        cloud.up()
        create_to_ping(cloud, prepare(cloud, image))
        return time.monotonic() - began
    finally:
        cloud.down()
