"""show_per_cpu_s, list20_per_cpu_s, list20_of_5000_per_cpu_s: what a request costs the control plane, beside a bare Falcon."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.load import bare_server, per_cpu_second
from tests.bench.row import Row, row, until
from tests.conformance.cloud import Cloud

MANY = 5000
BATCH = 100


def rows() -> Iterator[Row]:
    with bare_server() as (url, pid):
        floor = per_cpu_second(url, {}, pid)
    with Cloud() as cloud:
        server = prepare(cloud)
        pid = cloud.up()["pids"]["control"]
        headers = {"X-Auth-Token": cloud.login(), "X-OpenStack-Nova-API-Version": "2.79", "Accept": "application/json"}
        servers = cloud.url + "/compute/v2.1/servers"
        yield row("show_per_cpu_s", per_cpu_second(f"{servers}/{server}", headers, pid), "requests / CPU s", floor)
        yield row("list20_per_cpu_s", per_cpu_second(f"{servers}/detail?limit=20", headers, pid), "requests / CPU s", floor)
        grow(cloud, MANY - 20)
        yield row("list20_of_5000_per_cpu_s", per_cpu_second(f"{servers}/detail?limit=20", headers, pid), "requests / CPU s", floor)


def prepare(cloud: Cloud) -> str:
    """A network wide enough for all, quotas lifted, twenty servers; returns the id of one of them."""
    project = cloud.call("GET", "/identity/v3/projects?name=admin")["projects"][0]["id"]
    unlimited = {"instances": -1, "cores": -1, "ram": -1}
    cloud.call("PUT", f"/compute/v2.1/os-quota-sets/{project}", {"quota_set": unlimited}, {"OpenStack-API-Version": "compute 2.1"})
    cloud.call("PUT", f"/network/v2.0/quotas/{project}", {"quota": {"port": -1}})
    network = cloud.call("POST", "/network/v2.0/networks", {"network": {"name": "wide"}})["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.64.0.0/16", "name": "wide"}
    cloud.call("POST", "/network/v2.0/subnets", {"subnet": subnet})
    image = {"name": "blank", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    id = cloud.call("POST", "/image/v2/images", image)["id"]
    cloud.call("PUT", f"/image/v2/images/{id}/file", b"\0" * (1 << 20))
    # so small that thousands fit into the fake machine's memory
    cloud.call("POST", "/compute/v2.1/flavors", {"flavor": {"name": "least", "ram": 16, "vcpus": 1, "disk": 1}})
    grow(cloud, 20)
    return str(cloud.call("GET", "/compute/v2.1/servers?limit=1")["servers"][0]["id"])


def grow(cloud: Cloud, count: int) -> None:
    """So many servers more, all of them built."""
    flavors = {f["name"]: f["id"] for f in cloud.call("GET", "/compute/v2.1/flavors")["flavors"]}
    network = cloud.call("GET", "/network/v2.0/networks?name=wide")["networks"][0]["id"]
    image = cloud.call("GET", "/image/v2/images?name=blank")["images"][0]["id"]
    left = count
    while left:
        batch = min(BATCH, left)
        server = {
            "name": "s",
            "flavorRef": flavors["least"],
            "imageRef": image,
            "networks": [{"uuid": network}],
            "min_count": batch,
            "max_count": batch,
        }
        cloud.call("POST", "/compute/v2.1/servers", {"server": server})
        left -= batch
    until(lambda: not cloud.call("GET", "/compute/v2.1/servers?status=BUILD&limit=1")["servers"], timeout=600, pause=0.5)
    until(lambda: not cloud.call("GET", "/compute/v2.1/servers?status=ERROR&limit=1")["servers"], timeout=1)
