"""A server's cards come in the order they were asked for, whichever port was made first; and memory beside a guest's own is counted."""

from __future__ import annotations

from typing import Any

from pileus.app import App
from pileus.network.actions import ports_of_device
from tests.conftest import Client

N, C = "/network/v2.0", "/compute/v2.1"


async def made(api: Client, path: str, body: Any) -> Any:
    answer = await api("POST", path, body)
    assert answer.status in (200, 201, 202), answer.text
    return next(iter(answer.body.values()))


async def test_cards_in_the_order_asked_for(api: Client, app: App) -> None:
    image = (await api("POST", "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}))["id"]
    await api("PUT", f"/image/v2/images/{image}/file", b"\0" * 4096)
    network = (await made(api, f"{N}/networks", {"network": {"name": "n"}}))["id"]
    await made(api, f"{N}/subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24"}})
    first, second = [(await made(api, f"{N}/ports", {"port": {"network_id": network}}))["id"] for _ in range(2)]
    flavor = next(f["id"] for f in (await api("GET", f"{C}/flavors"))["flavors"] if f["name"] == "nano")
    wanted = [{"port": second}, {"uuid": network}, {"port": first}]
    body = {"server": {"name": "s", "flavorRef": flavor, "imageRef": image, "networks": wanted}}
    server = (await made(api, f"{C}/servers", body))["id"]
    found = [row["id"] for row in ports_of_device(app.store, server)]
    assert (found[0], found[2]) == (second, first)
    assert len(found) == 3


async def test_what_a_guest_takes_beside_its_memory_is_counted(api: Client, app: App) -> None:
    image = (await api("POST", "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}))["id"]
    await api("PUT", f"/image/v2/images/{image}/file", b"\0" * 4096)
    flavor = next(f["id"] for f in (await api("GET", f"{C}/flavors"))["flavors"] if f["name"] == "nano")
    app.cloud.host = {**app.cloud.host, "memory_mb": 512 + 3 * 128, "overhead_mb": 64}
    for wanted in (True, True, False):
        server = (await made(api, f"{C}/servers", {"server": {"name": "s", "flavorRef": flavor, "imageRef": image}}))["id"]
        shown = (await api("GET", f"{C}/servers/{server}"))["server"]
        assert (shown["status"] != "ERROR") is wanted
    assert "No valid host" in shown["fault"]["message"]
