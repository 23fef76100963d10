"""Routers and floating IPs: gateways, interfaces, routes, and what leads where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, public, show, subnet
from tests.conftest import Answer, Client


@pytest.fixture
def net() -> Client:
    return new_client()


async def join(net: Client, router: str, verb: str = "add", token: str = "alice", **what: Any) -> Answer:
    return await net("PUT", f"{N}/routers/{router}/{verb}_router_interface", what, token=token)


async def put(net: Client, what: str, id: str, token: str = "alice", **values: Any) -> Answer:
    return await net("PUT", f"{N}/{what}/{id}", {what.removesuffix("s"): values}, token=token)


# -- routers ---------------------------------------------------------------------------------------------------------------


async def test_a_life(net: Client) -> None:
    made = await make(net, "routers", name="r")
    assert (made["status"], made["external_gateway_info"], made["routes"]) == ("ACTIVE", None, [])
    assert "ha" not in made
    outside = await public(net)
    changed = (await put(net, "routers", made["id"], external_gateway_info={"network_id": outside}))["router"]
    info = changed["external_gateway_info"]
    assert (info["network_id"], info["enable_snat"]) == (outside, True)
    assert [ip["ip_address"] for ip in info["external_fixed_ips"]] == ["192.168.37.2"]
    assert (await net("GET", f"{N}/ports?device_id={made['id']}", token="alice"))["ports"] == []  # the gateway's port is the cloud's
    (leg,) = (await net("GET", f"{N}/ports?device_id={made['id']}"))["ports"]
    assert (leg["device_owner"], leg["binding:vif_type"]) == ("network:router_gateway", "bridge")
    kept = (await put(net, "routers", made["id"], name="q"))["router"]
    assert kept["external_gateway_info"] == info
    cleared = (await put(net, "routers", made["id"], external_gateway_info={}))["router"]
    assert cleared["external_gateway_info"] is None
    assert (await net("GET", f"{N}/ports?device_id={made['id']}"))["ports"] == []
    assert (await net("DELETE", f"{N}/routers/{made['id']}", token="alice")).status == 204
    assert error(await net("GET", f"{N}/routers/{made['id']}", token="alice"))[1] == "RouterNotFound"


async def test_a_gateway_goes_with_its_router(net: Client) -> None:
    made = await make(net, "routers", external_gateway_info={"network_id": await public(net)})
    assert (await net("DELETE", f"{N}/routers/{made['id']}", token="alice")).status == 204
    assert (await net("GET", f"{N}/ports"))["ports"] == []


async def test_what_an_admin_may_say_of_a_gateway(net: Client) -> None:
    outside = await public(net)
    made = await make(net, "routers")
    for extra in ({"enable_snat": False}, {"external_fixed_ips": [{"ip_address": "192.168.37.99"}]}):
        answer = await put(net, "routers", made["id"], external_gateway_info={"network_id": outside, **extra})
        assert error(answer)[:2] == (403, "PolicyNotAuthorized")
        assert next(iter(extra)) in error(answer)[2]
        answer = await put(net, "routers", made["id"], "admin", external_gateway_info={"network_id": outside, **extra})
        assert answer.status == 200, answer.text
    info = answer["router"]["external_gateway_info"]
    assert [ip["ip_address"] for ip in info["external_fixed_ips"]] == ["192.168.37.99"]
    taken = {"network_id": outside, "external_fixed_ips": [{"ip_address": "192.168.37.1"}]}
    assert "is the same as the gateway IP" in error(await put(net, "routers", made["id"], "admin", external_gateway_info=taken))[2]


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("x", (400, "HTTPBadRequest")),
        ({"enable_snat": True}, (400, "HTTPBadRequest")),
        ({"network_id": "x"}, (400, "HTTPBadRequest")),
        ({"network_id": "00000000-0000-0000-0000-000000000000"}, (404, "NetworkNotFound")),
        ({"network_id": "INSIDE"}, (400, "BadRequest")),
    ],
)
async def test_gateways_refused(net: Client, info: Any, expected: tuple[int, str]) -> None:
    if isinstance(info, dict) and info.get("network_id") == "INSIDE":
        info = {"network_id": (await make(net, "networks"))["id"]}
    answer = await net("POST", f"{N}/routers", {"router": {"external_gateway_info": info}}, token="alice")
    assert error(answer)[:2] == expected
    assert (await net("GET", f"{N}/routers", token="alice"))["routers"] == []


async def test_interfaces(net: Client) -> None:
    made, router = await subnet(net), await make(net, "routers")
    joined = await join(net, router["id"], subnet_id=made["id"])
    port = await show(net, "ports", joined["port_id"])
    assert [ip["ip_address"] for ip in port["fixed_ips"]] == ["10.0.0.1"]
    assert (port["device_owner"], port["port_security_enabled"], port["security_groups"]) == ("network:router_interface", False, [])
    assert (await show(net, "routers", router["id"]))["revision_number"] == 2
    for path in (f"routers/{router['id']}", f"ports/{port['id']}", f"networks/{made['network_id']}"):
        assert (await net("DELETE", f"{N}/{path}", token="alice")).status == 409, path
    left = await join(net, router["id"], "remove", subnet_id=made["id"])
    assert left.body == joined.body
    assert error(await join(net, router["id"], "remove", subnet_id=made["id"]))[:2] == (404, "RouterInterfaceNotFoundForSubnet")


async def test_an_interface_by_a_port(net: Client) -> None:
    made, router = await subnet(net), await make(net, "routers")
    port = await make(net, "ports", network_id=made["network_id"])
    joined = await join(net, router["id"], port_id=port["id"])
    assert (joined["port_id"], joined["subnet_ids"]) == (port["id"], [made["id"]])
    other = await make(net, "routers")
    assert error(await join(net, other["id"], port_id=port["id"]))[:2] == (409, "PortInUse")
    assert error(await join(net, other["id"], "remove", port_id=port["id"]))[:2] == (404, "RouterInterfaceNotFound")
    wrong = await subnet(net, "10.5.0.0/24")
    answer = await join(net, router["id"], "remove", port_id=port["id"], subnet_id=wrong["id"])
    assert error(answer)[:2] == (400, "SubnetMismatchForPort")
    assert (await join(net, router["id"], "remove", port_id=port["id"])).status == 200
    bare = await make(net, "ports", network_id=made["network_id"], fixed_ips=[])
    assert "at least one fixed IP" in error(await join(net, router["id"], port_id=bare["id"]))[2]


async def test_legs_that_would_not_know_where_to_send(net: Client) -> None:
    router = await make(net, "routers", external_gateway_info={"network_id": await public(net)})
    await join(net, router["id"], subnet_id=(await subnet(net, "10.0.0.0/24"))["id"])
    for cidr in ("10.0.0.0/24", "10.0.0.0/16", "192.168.37.128/25"):
        answer = await join(net, router["id"], subnet_id=(await subnet(net, cidr))["id"])
        assert error(answer)[:2] == (400, "BadRequest")
        assert f"Cidr {cidr} of subnet" in error(answer)[2]
    bare = await subnet(net, "10.1.0.0/24", gateway_ip=None)
    assert "must have a gateway IP" in error(await join(net, router["id"], subnet_id=bare["id"]))[2]


async def test_anothers_subnet(net: Client) -> None:
    network = await make(net, "networks", "admin", shared=True)
    made = await subnet(net, token="admin", network=network["id"])
    router = await make(net, "routers")
    assert "is not owned by project making the request" in error(await join(net, router["id"], subnet_id=made["id"]))[2]
    hidden = await subnet(net, "10.3.0.0/24", token="bob")
    assert error(await join(net, router["id"], subnet_id=hidden["id"]))[:2] == (404, "SubnetNotFound")
    assert error(await join(net, router["id"], token="bob", subnet_id=hidden["id"]))[:2] == (404, "RouterNotFound")


async def test_routes(net: Client) -> None:
    made, router = await subnet(net), await make(net, "routers")
    await join(net, router["id"], subnet_id=made["id"])
    route = {"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}
    assert (await put(net, "routers", router["id"], routes=[route]))["router"]["routes"] == [route]
    assert error(await join(net, router["id"], "remove", subnet_id=made["id"]))[:2] == (409, "RouterInterfaceInUseByRoute")
    for hop in ("10.8.0.9", "10.0.0.1"):
        answer = await put(net, "routers", router["id"], routes=[{**route, "nexthop": hop}])
        assert error(answer)[:2] == (400, "InvalidRoutes")
    many = [{**route, "destination": f"10.9.{i}.0/24"} for i in range(31)]
    assert error(await put(net, "routers", router["id"], routes=many))[:2] == (400, "RoutesExhausted")
    assert (await put(net, "routers", router["id"], routes=None))["router"]["routes"] == []


# -- floating IPs ----------------------------------------------------------------------------------------------------------


@dataclass
class Plant:
    """A router between a subnet of alice's and the outside, and a port inside."""

    outside: str
    router: str
    subnet: dict[str, Any]
    port: dict[str, Any]


@pytest.fixture
async def plant(net: Client) -> Plant:
    outside, made = await public(net), await subnet(net)
    router = await make(net, "routers", external_gateway_info={"network_id": outside})
    await join(net, router["id"], subnet_id=made["id"])
    port = await make(net, "ports", network_id=made["network_id"], name="inner", device_id="d", device_owner="compute:nova")
    return Plant(outside, router["id"], made, port)


async def test_a_floating_ip_leads_somewhere(net: Client, plant: Plant) -> None:
    made = await make(net, "floatingips", floating_network_id=plant.outside)
    assert (made["floating_ip_address"], made["port_id"], made["status"]) == ("192.168.37.3", None, "DOWN")
    led = (await put(net, "floatingips", made["id"], port_id=plant.port["id"]))["floatingip"]
    assert (led["router_id"], led["fixed_ip_address"]) == (plant.router, plant.port["fixed_ips"][0]["ip_address"])
    assert (led["port_details"]["name"], led["port_details"]["device_id"]) == ("inner", "d")
    kept = (await put(net, "floatingips", made["id"], description="x"))["floatingip"]
    assert kept["port_id"] == plant.port["id"]
    loose = (await put(net, "floatingips", made["id"], port_id=None))["floatingip"]
    assert (loose["router_id"], loose["port_id"], loose["fixed_ip_address"], loose["port_details"]) == (None,) * 4
    await put(net, "floatingips", made["id"], port_id=plant.port["id"])
    assert (await put(net, "floatingips", made["id"]))["floatingip"]["port_id"] is None
    (place,) = (await net("GET", f"{N}/ports?device_id={made['id']}"))["ports"]
    assert error(await net("DELETE", f"{N}/ports/{place['id']}"))[:2] == (409, "ServicePortInUse")
    assert (await net("DELETE", f"{N}/floatingips/{made['id']}", token="alice")).status == 204
    assert error(await net("GET", f"{N}/floatingips/{made['id']}", token="alice"))[1] == "FloatingIPNotFound"
    assert (await net("GET", f"{N}/ports?device_id={made['id']}"))["ports"] == []


async def test_a_floating_ip_may_lead_to_the_router_itself(net: Client, plant: Plant) -> None:
    (leg,) = (await net("GET", f"{N}/ports?device_owner=network:router_interface", token="alice"))["ports"]
    made = await make(net, "floatingips", floating_network_id=plant.outside, port_id=leg["id"])
    assert (made["router_id"], made["fixed_ip_address"]) == (plant.router, leg["fixed_ips"][0]["ip_address"])


async def test_an_address_of_ones_choice(net: Client, plant: Plant) -> None:
    asked = {"floating_network_id": plant.outside, "floating_ip_address": "192.168.37.10"}
    answer = await net("POST", f"{N}/floatingips", {"floatingip": asked}, token="alice")
    assert error(answer)[:2] == (403, "PolicyNotAuthorized")
    assert (await make(net, "floatingips", "admin", **asked))["floating_ip_address"] == "192.168.37.10"
    assert error(await net("POST", f"{N}/floatingips", {"floatingip": asked}))[:2] == (409, "IpAddressAlreadyAllocated")
    wrong = {**asked, "floating_ip_address": "10.0.0.1"}
    assert error(await net("POST", f"{N}/floatingips", {"floatingip": wrong}))[:2] == (400, "InvalidIpForNetwork")


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        ("address alone", "BadRequest", "fixed_ip_address cannot be specified without a port_id"),
        ("not its address", "BadRequest", "does not have fixed ip 10.0.0.77"),
        ("not IPv4", "BadRequest", "since that is not an IPv4 address"),
        ("two addresses", "BadRequest", "has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address"),
        ("no address", "BadRequest", "that has no fixed IPv4 addresses"),
        ("a foot", "BadRequest", "is unable to be assigned a floating IP"),
        ("no way", "ExternalGatewayForFloatingIPNotFound", "is not reachable from subnet"),
        ("no port", "PortNotFound", "could not be found"),
        ("twice", "FloatingIPPortAlreadyAssociated", "as that fixed IP already has a floating IP on external network"),
    ],
)
async def test_floating_ips_refused(net: Client, plant: Plant, case: str, kind: str, words: str) -> None:
    network, id = plant.subnet["network_id"], plant.port["id"]
    foot = await make(net, "ports", network_id=network, device_owner="network:dhcp")
    apart = await subnet(net, "10.4.0.0/24")
    two = [{"subnet_id": plant.subnet["id"]}] * 2
    values: dict[str, Any] = {
        "address alone": {"fixed_ip_address": "10.0.0.2"},
        "not its address": {"port_id": id, "fixed_ip_address": "10.0.0.77"},
        "not IPv4": {"port_id": id, "fixed_ip_address": "fd00::1"},
        "two addresses": {"port_id": (await make(net, "ports", network_id=network, fixed_ips=two))["id"]},
        "no address": {"port_id": (await make(net, "ports", network_id=network, fixed_ips=[]))["id"]},
        "a foot": {"port_id": foot["id"]},
        "no way": {"port_id": (await make(net, "ports", network_id=apart["network_id"]))["id"]},
        "no port": {"port_id": "00000000-0000-0000-0000-000000000000"},
        "twice": {"port_id": id},
    }[case]
    if case == "twice":
        await make(net, "floatingips", floating_network_id=plant.outside, port_id=id)
    before = len((await net("GET", f"{N}/floatingips", token="alice"))["floatingips"])
    answer = await net("POST", f"{N}/floatingips", {"floatingip": {"floating_network_id": plant.outside, **values}}, token="alice")
    assert error(answer)[1] == kind
    assert words in error(answer)[2]
    assert len((await net("GET", f"{N}/floatingips", token="alice"))["floatingips"]) == before


async def test_a_network_that_gives_none(net: Client, plant: Plant) -> None:
    answer = await net("POST", f"{N}/floatingips", {"floatingip": {"floating_network_id": plant.subnet["network_id"]}}, token="alice")
    assert "is not a valid external network" in error(answer)[2]
    bare = await make(net, "networks", "admin", **{"router:external": True})
    answer = await net("POST", f"{N}/floatingips", {"floatingip": {"floating_network_id": bare["id"]}}, token="alice")
    assert "does not contain any IPv4 subnet" in error(answer)[2]


async def test_a_way_that_is_needed_stays(net: Client, plant: Plant) -> None:
    made = await make(net, "floatingips", floating_network_id=plant.outside, port_id=plant.port["id"])
    assert error(await join(net, plant.router, "remove", subnet_id=plant.subnet["id"]))[:2] == (409, "RouterInterfaceInUseByFloatingIP")
    answer = await put(net, "routers", plant.router, external_gateway_info={})
    assert error(answer)[:2] == (409, "RouterExternalGatewayInUseByFloatingIp")
    answer = await put(net, "ports", plant.port["id"], fixed_ips=[{"ip_address": "10.0.0.88"}])
    assert "its original fixed_ip has been associated to a floating ip" in error(answer)[2]
    assert (await net("DELETE", f"{N}/ports/{plant.port['id']}", token="alice")).status == 204
    left = await show(net, "floatingips", made["id"])
    assert (left["port_id"], left["router_id"]) == (None, None)
    assert (await join(net, plant.router, "remove", subnet_id=plant.subnet["id"])).status == 200


async def test_of_two_routers_the_subnets_gateway(net: Client, plant: Plant) -> None:
    other = await make(net, "routers", external_gateway_info={"network_id": plant.outside})
    port = await make(net, "ports", network_id=plant.subnet["network_id"], fixed_ips=[{"ip_address": "10.0.0.253"}])
    assert (await join(net, other["id"], port_id=port["id"])).status == 200
    made = await make(net, "floatingips", floating_network_id=plant.outside, port_id=plant.port["id"])
    assert made["router_id"] == plant.router


async def test_floating_ips_of_others(net: Client, plant: Plant) -> None:
    made = await make(net, "floatingips", floating_network_id=plant.outside)
    assert error(await net("GET", f"{N}/floatingips/{made['id']}", token="bob"))[1] == "FloatingIPNotFound"
    assert (await net("GET", f"{N}/floatingips?router_id={plant.router}", token="bob"))["floatingips"] == []
    answer = await net(
        "POST", f"{N}/floatingips", {"floatingip": {"floating_network_id": plant.outside, "port_id": plant.port["id"]}}, token="bob"
    )
    assert error(answer)[1] == "PortNotFound"


async def test_routes_are_added_and_removed_one_by_one(net: Client) -> None:
    made = await subnet(net, "10.0.2.0/24")
    router = (await make(net, "routers"))["id"]
    assert (await net("PUT", f"{N}/routers/{router}/add_router_interface", {"subnet_id": made["id"]}, token="alice")).status == 200
    one, two, three = ({"destination": f"10.{n}.0.0/16", "nexthop": "10.0.2.9"} for n in (1, 2, 3))

    async def ask(verb: str, *routes: dict[str, str], token: str = "alice") -> Any:
        return await net("PUT", f"{N}/routers/{router}/{verb}_extraroutes", {"router": {"routes": list(routes)}}, token=token)

    assert (await ask("add", one, two))["router"]["routes"] == [one, two]
    assert (await ask("add", two, three))["router"]["routes"] == [one, two, three]
    assert (await ask("remove", two, {**three, "nexthop": "10.0.2.8"}))["router"]["routes"] == [one, three]
    assert error(await ask("add", {"destination": "10.9.0.0/16", "nexthop": "10.7.0.1"}))[:2] == (400, "InvalidRoutes")
    assert error(await ask("add", {"destination": "fd00:9::/64", "nexthop": "10.0.2.9"}))[:2] == (400, "InvalidRoutes")
    assert error(await ask("add", {"destination": "10.9.0.0"}))[0] == 400  # type: ignore[dict-item]
    for body in ({}, {"router": {}}, {"router": {"name": "x"}}):
        assert (await net("PUT", f"{N}/routers/{router}/add_extraroutes", body, token="alice")).status == 400
    assert (await ask("add", two, token="ray")).status == 403
    assert (await ask("add", two, token="bob")).status == 404
    assert (await show(net, "routers", router))["routes"] == [one, three]
