"""Port forwardings of floating IPs: a life, ranges, what collides, and what ends with what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, public, show, subnet
from tests.conftest import Client


@pytest.fixture
def net() -> Client:
    return new_client()


class House:
    """A port behind a router with a gateway, and a floating IP."""

    def __init__(self, net: Client) -> None:
        self.net = net

    async def build(self) -> House:
        self.outer = await public(self.net)
        self.inner = await subnet(self.net, "10.0.2.0/24")
        self.router = (await make(self.net, "routers", external_gateway_info={"network_id": self.outer}))["id"]
        await self.put(f"routers/{self.router}/add_router_interface", {"subnet_id": self.inner["id"]})
        self.port = await make(self.net, "ports", network_id=self.inner["network_id"])
        self.address = self.port["fixed_ips"][0]["ip_address"]
        self.floating = (await make(self.net, "floatingips", floating_network_id=self.outer))["id"]
        self.at = f"{N}/floatingips/{self.floating}/port_forwardings"
        return self

    async def put(self, path: str, body: dict[str, Any]) -> Any:
        return await self.net("PUT", f"{N}/{path}", body, token="alice")

    async def post(self, token: str = "alice", **values: Any) -> Any:
        body = {"protocol": "tcp", "internal_port_id": self.port["id"], **values}
        return await self.net("POST", self.at, {"port_forwarding": body}, token=token)

    async def forward(self, external: int, internal: int, **values: Any) -> dict[str, Any]:
        made = await self.post(external_port=external, internal_port=internal, **values)
        assert made.status == 201, made.text
        found: dict[str, Any] = made["port_forwarding"]
        return found


@pytest.fixture
async def house(net: Client) -> House:
    return await House(net).build()


async def test_a_life(house: House, net: Client) -> None:
    made = await house.forward(2230, 25, internal_ip_address=house.address, description="mail")
    assert made == {
        "id": made["id"], "protocol": "tcp", "internal_port_id": house.port["id"], "internal_ip_address": house.address,
        "internal_port": 25, "internal_port_range": "25:25", "external_port": 2230, "external_port_range": "2230:2230",
        "description": "mail",
    }  # fmt: skip
    floating = await show(net, "floatingips", house.floating)
    inner = {key: made[key] for key in ("id", "internal_port_id", "internal_ip_address", "protocol", "internal_port", "external_port")}
    assert (floating["router_id"], floating["port_id"], floating["port_forwardings"]) == (house.router, None, [inner])
    second = await house.forward(2231, 26)
    assert second["internal_ip_address"] == house.address
    listed = await net("GET", f"{house.at}?sort_key=external_port&sort_dir=desc&fields=id", token="alice")
    assert listed["port_forwardings"] == [{"id": second["id"]}, {"id": made["id"]}]
    for query, count in (("external_port=2231", 1), ("protocol=udp", 0), (f"internal_port_id={house.port['id']}", 2)):
        assert len((await net("GET", f"{house.at}?{query}", token="alice"))["port_forwardings"]) == count
    changed = await net("PUT", f"{house.at}/{made['id']}", {"port_forwarding": {"internal_port": 30, "protocol": "udp"}}, token="alice")
    assert changed.status == 200
    shown = (await net("GET", f"{house.at}/{made['id']}", token="ray"))["port_forwarding"]
    assert (shown["internal_port"], shown["protocol"], shown["external_port"]) == (30, "udp", 2230)
    for one in (made, second):
        assert (await net("DELETE", f"{house.at}/{one['id']}", token="alice")).status == 204
    floating = await show(net, "floatingips", house.floating)
    assert (floating["router_id"], floating.get("port_forwardings"), floating["status"]) == (None, None, "DOWN")
    assert error(await net("GET", f"{house.at}/{made['id']}", token="alice"))[:2] == (404, "PortForwardingNotFound")


async def test_ranges(house: House, net: Client) -> None:
    made = (await house.post(external_port_range="100:109", internal_port_range="200:209"))["port_forwarding"]
    assert (made["external_port_range"], made["internal_port_range"], made["external_port"]) == ("100:109", "200:209", None)
    to_one = (await house.post(external_port_range="300:309", internal_port=80))["port_forwarding"]
    assert (to_one["internal_port"], to_one["internal_port_range"]) == (80, "80:80")
    same = (await house.post(external_port_range="99", internal_port_range=99))["port_forwarding"]
    assert (same["external_port"], same["internal_port"]) == (99, 99)
    inside = (await show(net, "floatingips", house.floating))["port_forwardings"]
    assert ["external_port" in each for each in inside] == [False, False, True]
    for values, words in (
        ({"external_port_range": "400:409", "internal_port_range": "500:508"}, "must be N-N or 1-N"),
        ({"external_port_range": "105:106", "internal_port": 1}, "port collision with the external_port_range"),
        ({"external_port": 1, "internal_port": 205}, "port collision with the internal_port_range"),
        ({"external_port": 1, "external_port_range": "2:3", "internal_port": 9}, "do not match"),
        ({"external_port": 1}, "internal_port or internal_port_range must be given"),
    ):
        refused = error(await house.post(**values))
        assert refused[:2] == (400, "BadRequest"), values
        assert words in refused[2]
    assert (await house.post(external_port=105, internal_port=205, protocol="udp")).status == 201


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"external_port": 0}, "Invalid input for external_port. Reason: '0' is too small - must be at least '1'."),
        ({"external_port": 65536}, "Invalid input for external_port. Reason: '65536' is too large - must be no larger than '65535'."),
        ({"external_port": "x"}, "Invalid input for operation: 'x' is not an integer."),
        ({"external_port_range": "5:4"}, "First port in a port range must be lower than the second port"),
        ({"external_port_range": "1:2:3"}, "Port range must be two integers separated by a colon"),
        ({"external_port_range": "0:3"}, "Invalid port: 0, the port must be in the range [1, 65535]"),
        ({"external_port_range": "99999"}, "Invalid port: 99999"),
        ({"protocol": "icmp"}, "icmp is not in valid_values"),
        ({"internal_port_id": "x"}, "'x' is not a valid UUID"),
        ({"internal_ip_address": "10.0.2"}, "is not a valid IP address"),
        ({"internal_ip_address": "10.0.2.99"}, "is not suitable for internal neutron port"),
        ({"surprise": 1}, "Unrecognized attribute(s) 'surprise'"),
    ],
)
async def test_what_is_refused(house: House, values: dict[str, Any], words: str) -> None:
    refused = error(await house.post(**{"external_port": 80, "internal_port": 80, **values}))
    assert refused[0] == 400
    assert words in refused[2]


async def test_who_may(house: House, net: Client) -> None:
    assert (await house.post("ray", external_port=1, internal_port=1)).status == 403
    assert (await house.post("bob", external_port=1, internal_port=1)).status == 404
    made = await house.forward(80, 8080)
    assert (await net("GET", house.at, token="bob")).status == 404
    assert (await net("DELETE", f"{house.at}/{made['id']}", token="ray")).status == 403
    assert (await net("DELETE", f"{house.at}/{made['id']}", token="admin")).status == 204


async def test_a_floating_ip_has_either(house: House, net: Client) -> None:
    made = await house.forward(80, 8080)
    refused = error(await house.put(f"floatingips/{house.floating}", {"floatingip": {"port_id": house.port["id"]}}))
    assert refused[:2] == (409, "FipInUseByPortForwarding")
    assert (await house.put(f"floatingips/{house.floating}", {"floatingip": {"port_id": None}}))["floatingip"]["router_id"] == house.router
    assert error(await net("DELETE", f"{N}/floatingips/{house.floating}", token="alice"))[:2] == (409, "FipInUseByPortForwarding")
    path = f"routers/{house.router}/remove_router_interface"
    assert error(await house.put(path, {"subnet_id": house.inner["id"]}))[:2] == (409, "RouterInterfaceInUseByFloatingIP")
    body = {"router": {"external_gateway_info": {}}}
    assert error(await house.put(f"routers/{house.router}", body))[:2] == (409, "RouterExternalGatewayInUseByFloatingIp")
    assert (await net("DELETE", f"{house.at}/{made['id']}", token="alice")).status == 204
    assert (await house.put(f"floatingips/{house.floating}", {"floatingip": {"port_id": house.port["id"]}})).status == 200
    assert error(await house.post(external_port=80, internal_port=8080))[:2] == (409, "PortHasBindingFloatingIP")
    other = await make(net, "ports", network_id=house.inner["network_id"])
    assert (
        error(await house.post(external_port=80, internal_port=8080, internal_port_id=other["id"]))[1] == "FloatingIPPortAlreadyAssociated"
    )


async def test_it_ends_with_the_port_and_with_its_address(house: House, net: Client) -> None:
    await house.forward(80, 8080)
    moved = [{"subnet_id": house.inner["id"], "ip_address": "10.0.2.77"}]
    assert (await house.put(f"ports/{house.port['id']}", {"port": {"fixed_ips": moved}})).status == 200
    assert "port_forwardings" not in await show(net, "floatingips", house.floating)
    await house.forward(80, 8080)
    assert (await net("DELETE", f"{N}/ports/{house.port['id']}", token="alice")).status == 204
    floating = await show(net, "floatingips", house.floating)
    assert (floating.get("port_forwardings"), floating["router_id"]) == (None, None)


async def test_a_port_that_no_router_leads_to(house: House, net: Client) -> None:
    far = await make(net, "ports", network_id=(await subnet(net, "10.0.3.0/24"))["network_id"])
    refused = error(await house.post(external_port=80, internal_port=8080, internal_port_id=far["id"]))
    assert refused[:2] == (400, "BadRequest")
    assert "is not reachable from subnet" in refused[2]
