"""up_500_networks_s: from `pileus up` to 500 networks with their subnets on the host, after `pileus down`, and after a kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

from tests.bench.row import Row, row, seconds, until
from tests.conformance.cloud import Cloud

NETWORKS = 500
ROUNDS = 3


def there(cloud: Cloud) -> int:
    """How many of the networks are on the host: namespaces that the holder sees."""
    holder = cloud.status()["pids"]["datacenter"]
    return len([name for name in os.listdir(f"/proc/{holder}/root/netns") if name.startswith("net-")])


def fill(cloud: Cloud) -> None:
    """500 networks, each with a subnet."""
    project = cloud.call("GET", "/identity/v3/projects?name=admin")["projects"][0]["id"]
    cloud.call("PUT", f"/network/v2.0/quotas/{project}", {"quota": {"network": -1, "subnet": -1, "port": -1}})
    for number in range(NETWORKS):
        network = cloud.call("POST", "/network/v2.0/networks", {"network": {"name": f"n{number}"}})["network"]["id"]
        subnet = {"network_id": network, "ip_version": 4, "cidr": f"10.{number // 250}.{number % 250}.0/24"}
        cloud.call("POST", "/network/v2.0/subnets", {"subnet": subnet})
    until(lambda: there(cloud) >= NETWORKS, 120, 0.05)


def up(cloud: Cloud) -> float:
    """Seconds until `pileus up` has ended and all networks are there."""
    began = time.monotonic()
    cloud.up()
    until(lambda: there(cloud) >= NETWORKS, 120, 0.02)
    return time.monotonic() - began


def rows() -> Iterator[Row]:
    with Cloud("linux") as cloud:
        fill(cloud)
        fresh, adopted, empty = [], [], []
        for _ in range(ROUNDS):
            cloud.run("down")
            fresh.append(up(cloud))
            os.kill(cloud.status()["pids"]["control"], signal.SIGKILL)
            adopted.append(up(cloud))
    for _ in range(ROUNDS):
        with_nothing = Cloud("linux")
        try:
            empty.append(seconds(with_nothing.up))
        finally:
            with_nothing.down()
    yield row("up_500_networks_s", fresh, "s", empty)
    yield row("up_500_networks_adopted_s", adopted, "s", empty)
