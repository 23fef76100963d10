"""network_router_ready_ms: from the first request for a network to a router that routes for it, beside the same links made by `ip`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.bench.row import Row, row, until
from tests.conformance.cloud import Cloud

ROUNDS = 15
# What a network with a router consists of at the least: a bridge and a router, each in a namespace, joined by a veth pair, and a second
# leg to the outside. The batches are timed from inside, so that making the sandbox does not count.
BATCHES = {
    "": """\
netns add net
netns add rtr
link add leg netns net type veth peer name leg netns rtr
link add out type veth peer name out netns rtr
link set out up
""",
    "net": """\
link add bridge0 type bridge
link set leg master bridge0
link set bridge0 up
link set leg up
link set lo up
""",
    "rtr": """\
link set leg up
link set out up
link set lo up
addr add 10.0.0.1/24 dev leg
addr add 192.168.37.2/24 dev out
route add default via 192.168.37.1
""",
}
TIMED = """
import json, subprocess, sys, time
batches = json.loads(sys.argv[1])
began = time.monotonic()
for netns, lines in batches.items():
    subprocess.run(["ip", *(["-n", netns] if netns else []), "-batch", "-"], input=lines, text=True, check=True)
print(time.monotonic() - began)
"""


def bare() -> float:
    """Milliseconds for the same links, made by the ip command in a sandbox of its own that is gone afterwards."""
    sandbox = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
    command = [*sandbox, sys.executable, "-c", TIMED, json.dumps(BATCHES)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout) * 1000


def once(cloud: Cloud, number: int, public: str) -> float:
    """Milliseconds until router and interface port are ACTIVE; what was made is removed again."""
    call = cloud.call
    began = time.monotonic()
    network = call("POST", "/network/v2.0/networks", {"network": {"name": f"n{number}"}})["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.0.2.0/24"}
    subnet_id = call("POST", "/network/v2.0/subnets", {"subnet": subnet})["subnet"]["id"]
    wanted = {"name": f"r{number}", "external_gateway_info": {"network_id": public}}
    router = call("POST", "/network/v2.0/routers", {"router": wanted})["router"]["id"]
    leg = call("PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet_id})["port_id"]
    until(lambda: call("GET", f"/network/v2.0/ports/{leg}")["port"]["status"] == "ACTIVE")
    until(lambda: call("GET", f"/network/v2.0/routers/{router}")["router"]["status"] == "ACTIVE")
    spent = (time.monotonic() - began) * 1000
    call("PUT", f"/network/v2.0/routers/{router}/remove_router_interface", {"subnet_id": subnet_id})
    call("DELETE", f"/network/v2.0/routers/{router}")
    call("DELETE", f"/network/v2.0/networks/{network}")
    return spent


def rows() -> Iterator[Row]:
    floors = [bare() for _ in range(ROUNDS)] if shutil.which("ip") else []
    with Cloud("linux") as cloud:
        public = cloud.call("GET", "/network/v2.0/networks?name=public")["networks"][0]["id"]
        samples = [once(cloud, number, public) for number in range(ROUNDS + 1)][1:]  # the first compiles what later ones find compiled
    yield row("network_router_ready_ms", samples, "ms", floors)
