"""Subnets: ranges, gateways, pools, IPv6 modes, and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, show, subnet
from tests.conftest import Client


@pytest.fixture
def net() -> Client:
    return new_client()


async def refused(net: Client, network: str, **values: Any) -> tuple[int, str, str]:
    body = {"network_id": network, "ip_version": 4, **values}
    return error(await net("POST", f"{N}/subnets", {"subnet": body}, token="alice"))


async def test_a_life(net: Client) -> None:
    made = await subnet(net, "10.0.2.0/24", name="s", dns_nameservers=["1.1.1.1"], host_routes=[ROUTE])
    assert (made["gateway_ip"], made["enable_dhcp"], made["revision_number"]) == ("10.0.2.1", True, 0)
    assert made["allocation_pools"] == [{"start": "10.0.2.2", "end": "10.0.2.254"}]
    network = await show(net, "networks", made["network_id"])
    assert (network["subnets"], network["revision_number"]) == ([made["id"]], 2)
    changed = await net("PUT", f"{N}/subnets/{made['id']}", {"subnet": {"dns_nameservers": ["8.8.8.8", "9.9.9.9"]}}, token="alice")
    assert (changed["subnet"]["dns_nameservers"], changed["subnet"]["host_routes"]) == (["8.8.8.8", "9.9.9.9"], [ROUTE])
    assert (await net("DELETE", f"{N}/subnets/{made['id']}", token="alice")).status == 204
    assert (await show(net, "networks", made["network_id"]))["subnets"] == []
    assert error(await net("GET", f"{N}/subnets/{made['id']}", token="alice"))[:2] == (404, "SubnetNotFound")


ROUTE = {"destination": "10.9.0.0/16", "nexthop": "10.0.2.9"}


@pytest.mark.parametrize(
    ("cidr", "values", "gateway", "pools"),
    [
        ("10.0.0.0/24", {"gateway_ip": "10.0.0.254"}, "10.0.0.254", [("10.0.0.1", "10.0.0.253")]),
        ("10.0.0.0/24", {"gateway_ip": "10.0.0.9"}, "10.0.0.9", [("10.0.0.1", "10.0.0.8"), ("10.0.0.10", "10.0.0.254")]),
        ("10.0.0.0/24", {"gateway_ip": None}, None, [("10.0.0.1", "10.0.0.254")]),
        ("10.0.0.0/24", {"gateway_ip": "10.1.0.1"}, "10.1.0.1", [("10.0.0.1", "10.0.0.254")]),
        ("10.0.0.0/30", {}, "10.0.0.1", [("10.0.0.2", "10.0.0.2")]),
        ("10.0.0.0/31", {"enable_dhcp": False}, "10.0.0.0", [("10.0.0.1", "10.0.0.1")]),
        ("fd00:1::/64", {}, "fd00:1::1", [("fd00:1::2", "fd00:1::ffff:ffff:ffff:ffff")]),
        ("10.0.0.7/24", {}, "10.0.0.1", [("10.0.0.2", "10.0.0.254")]),
        ("10.0.0.0/24", {"allocation_pools": [{"start": "10.0.0.5", "end": "10.0.0.6"}]}, "10.0.0.1", [("10.0.0.5", "10.0.0.6")]),
    ],
)
async def test_gateways_and_pools(
    net: Client, cidr: str, values: dict[str, Any], gateway: str | None, pools: list[tuple[str, str]]
) -> None:
    made = await subnet(net, cidr, **values)
    assert made["gateway_ip"] == gateway
    assert [(pool["start"], pool["end"]) for pool in made["allocation_pools"]] == pools


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"cidr": "10.0.0.128/25"}, (400, "InvalidInput", "overlaps with another subnet")),
        ({"cidr": "10.0.0.0/8"}, (400, "InvalidInput", "overlaps with another subnet")),
        ({"cidr": "0.0.0.0/0", "enable_dhcp": False}, (400, "InvalidInput", "0 is not allowed as CIDR prefix length")),
        ({"cidr": "nope"}, (400, "InvalidInput", "nope is not in a CIDR format")),
        ({"cidr": "10.1.0.0/31"}, (400, "InvalidInput", "incompatible with DHCP service enabled")),
        ({"cidr": "224.0.0.0/24"}, (400, "InvalidInput", "Multicast IP subnet")),
        ({"cidr": "127.0.0.0/24"}, (400, "InvalidInput", "Loopback IP subnet")),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.255"}, (400, "InvalidInput", "Gateway is not valid on subnet")),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "fd00::1"}, (400, "InvalidInput", "gateway_ip 'fd00::1' does not match")),
        ({"cidr": "10.1.0.0/24", "ip_version": 5}, (400, "HTTPBadRequest", "5 is not in valid_values")),
        ({"cidr": "10.1.0.0/24", "ip_version": "x"}, (400, "InvalidInput", "'x' is not an integer")),
        ({"cidr": "10.1.0.0/24", "prefixlen": 24}, (400, "BadRequest", "must not be supplied together")),
        ({"subnetpool_id": "00000000-0000-0000-0000-000000000000"}, (404, "SubnetPoolNotFound", "could not be found")),
        ({"cidr": "10.1.0.0/24", "dns_nameservers": ["fd00::1"]}, (400, "InvalidInput", "dns_nameserver 'fd00::1' does not match")),
        ({"cidr": "10.1.0.0/24", "dns_nameservers": [f"1.1.1.{i}" for i in range(6)]}, (400, "DNSNameServersExhausted", "limit 5")),
        ({"cidr": "10.1.0.0/24", "host_routes": [{"destination": "x", "nexthop": "y"}]}, (400, "HTTPBadRequest", "not a valid CIDR")),
        ({"cidr": "10.1.0.0/24", "host_routes": [{"nexthop": "y"}]}, (400, "HTTPBadRequest", "Validation of dictionary's keys failed")),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.2.0.1", "end": "10.2.0.2"}]}, (400, "OutOfBoundsAllocationPool", "")),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.1", "end": "10.1.0.5"}]},
         (409, "GatewayConflictWithAllocationPools", "Gateway ip 10.1.0.1 conflicts")),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.3", "end": "10.1.0.5"}, {"start": "10.1.0.5", "end": "10.1.0.6"}]},
         (409, "OverlappingAllocationPools", "Found overlapping allocation pools")),
        ({"cidr": "10.1.0.0/24", "allocation_pools": "x"}, (400, "InvalidInput", "Invalid data format for allocation pools")),
        ({"cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"}, (400, "InvalidInput", "ipv6_ra_mode is not valid when ip_version is 4")),
        ({"cidr": "fd00::/64", "ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"},
         (400, "InvalidInput", "they must be the same value")),
        ({"cidr": "fd00::/80", "ip_version": 6, "ipv6_address_mode": "slaac"}, (400, "InvalidInput", "requires the prefix to be /64")),
        ({"cidr": "fd00::/64", "ip_version": 6, "ipv6_ra_mode": "slaac", "enable_dhcp": False},
         (400, "InvalidInput", "cannot be set when enable_dhcp")),
    ],
)  # fmt: skip
async def test_refused_at_creation(net: Client, values: dict[str, Any], expected: tuple[int, str, str]) -> None:
    first = await subnet(net, "10.0.0.0/24")
    status, kind, words = await refused(net, first["network_id"], **values)
    assert (status, kind) == expected[:2]
    assert expected[2] in words


async def test_the_same_range_in_two_networks(net: Client) -> None:
    assert (await subnet(net))["cidr"] == (await subnet(net))["cidr"]


async def test_a_network_too_narrow(net: Client) -> None:
    network = await make(net, "networks", mtu=1000)
    assert (await refused(net, network["id"], cidr="fd00::/64", ip_version=6))[:2] == (409, "NetworkMTUSubnetConflict")
    await subnet(net, network=network["id"])
    answer = await net("PUT", f"{N}/networks/{network['id']}", {"network": {"mtu": 67}}, token="alice")
    assert error(answer)[:2] == (409, "NetworkMTUSubnetConflict")


async def test_only_the_networks_owner_adds_subnets(net: Client) -> None:
    network = await make(net, "networks", "admin", shared=True)
    assert await refused(net, network["id"], cidr="10.0.0.0/24") == (
        403,
        "PolicyNotAuthorized",
        "rule:create_subnet is disallowed by policy",
    )
    made = await subnet(net, token="admin", network=network["id"])
    assert (await show(net, "subnets", made["id"], "bob"))["id"] == made["id"]
    for method, body in (("PUT", {"subnet": {"name": "x"}}), ("DELETE", None)):
        assert error(await net(method, f"{N}/subnets/{made['id']}", body, token="bob"))[:2] == (404, "HTTPNotFound")
    hidden = await subnet(net)
    assert error(await net("GET", f"{N}/subnets/{hidden['id']}", token="bob"))[:2] == (404, "SubnetNotFound")


async def test_a_gateway_that_a_router_has_stays(net: Client) -> None:
    made = await subnet(net)
    router = await make(net, "routers")
    joined = await net("PUT", f"{N}/routers/{router['id']}/add_router_interface", {"subnet_id": made["id"]}, token="alice")
    answer = await net("PUT", f"{N}/subnets/{made['id']}", {"subnet": {"gateway_ip": "10.0.0.200"}}, token="alice")
    words = f"Current gateway ip 10.0.0.1 already in use by port {joined['port_id']}. Unable to update."
    assert error(answer) == (409, "GatewayIpInUse", words)


async def test_changes_are_held_against_the_range(net: Client) -> None:
    made = await subnet(net, allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.20"}])
    for values, kind in (
        ({"gateway_ip": "10.0.0.12"}, "GatewayConflictWithAllocationPools"),
        ({"gateway_ip": "10.0.0.0"}, "InvalidInput"),
        ({"allocation_pools": [{"start": "10.0.1.1", "end": "10.0.1.2"}]}, "OutOfBoundsAllocationPool"),
        ({"cidr": "10.0.0.0/25"}, "HTTPBadRequest"),
    ):
        assert error(await net("PUT", f"{N}/subnets/{made['id']}", {"subnet": values}, token="alice"))[1] == kind
    values = {"gateway_ip": "10.0.0.12", "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.4"}], "enable_dhcp": False}
    changed = (await net("PUT", f"{N}/subnets/{made['id']}", {"subnet": values}, token="alice"))["subnet"]
    assert {name: changed[name] for name in values} == values


async def test_in_use(net: Client) -> None:
    made = await subnet(net)
    port = await make(net, "ports", network_id=made["network_id"])
    answer = await net("DELETE", f"{N}/subnets/{made['id']}", token="alice")
    words = f"Unable to complete operation on subnet {made['id']}: One or more ports have an IP allocation from this subnet."
    assert error(answer) == (409, "SubnetInUse", words)
    assert error(await net("DELETE", f"{N}/networks/{made['network_id']}", token="alice"))[:2] == (409, "NetworkInUse")
    assert (await net("DELETE", f"{N}/ports/{port['id']}", token="alice")).status == 204
    assert (await net("DELETE", f"{N}/subnets/{made['id']}", token="alice")).status == 204


async def test_what_goes_with_a_network(net: Client) -> None:
    made = await subnet(net)
    await make(net, "ports", network_id=made["network_id"], device_owner="network:dhcp")
    assert (await net("DELETE", f"{N}/networks/{made['network_id']}", token="alice")).status == 204
    assert error(await net("GET", f"{N}/subnets/{made['id']}", token="alice"))[0] == 404
    assert (await net("GET", f"{N}/ports", token="alice"))["ports"] == []


async def test_filters(net: Client) -> None:
    made = await subnet(net, "10.0.0.0/24", name="a")
    await subnet(net, "fd00::/64", name="b", enable_dhcp=False)
    for query, expected in (
        ("ip_version=4&enable_dhcp=1", ["a"]),
        ("ip_version=6", ["b"]),
        (f"network_id={made['network_id']}", ["a"]),
        ("cidr=fd00::/64", ["b"]),
        ("gateway_ip=10.0.0.1", ["a"]),
        ("shared=true", []),
        ("shared=false&enable_dhcp=False&ip_version=6", ["b"]),
    ):
        answer = await net("GET", f"{N}/subnets?{query}", token="alice")
        assert [item["name"] for item in answer["subnets"] if item["name"] != "public-subnet"] == expected, query
