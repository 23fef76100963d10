"""IPv6 in the API: addresses that hosts make for themselves, and a router's leg that several subnets share."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, show, subnet
from tests.conftest import Client

SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
MAC, TAIL = "fa:16:3e:01:02:03", "f816:3eff:fe01:203"


@pytest.fixture
def net() -> Client:
    return new_client()


def places(port: dict[str, Any]) -> list[str]:
    return [ip["ip_address"] for ip in port["fixed_ips"]]


async def dual(net: Client) -> tuple[str, str, str, dict[str, Any]]:
    """Network, subnets of both kinds, and a port."""
    four = await subnet(net, "10.0.2.0/24")
    network = four["network_id"]
    six = await subnet(net, "fd00:1::/64", network=network, **SLAAC)
    return network, four["id"], six["id"], await make(net, "ports", network_id=network, mac_address=MAC)


async def put(net: Client, path: str, body: dict[str, Any]) -> Any:
    return await net("PUT", f"{N}/{path}", body, token="alice")


async def test_an_address_comes_with_the_subnet_and_goes_with_it(net: Client) -> None:
    network, _, six, port = await dual(net)
    assert places(port)[1:] == [f"fd00:1::{TAIL}"]
    more = await subnet(net, "fd00:2::/64", network=network, ipv6_ra_mode="dhcpv6-stateless", ipv6_address_mode="dhcpv6-stateless")
    assert places(await show(net, "ports", port["id"]))[1:] == [f"fd00:1::{TAIL}", f"fd00:2::{TAIL}"]
    assert (await net("DELETE", f"{N}/subnets/{more['id']}", token="alice")).status == 204
    assert places(await show(net, "ports", port["id"]))[1:] == [f"fd00:1::{TAIL}"]
    router = await make(net, "routers")
    assert (await put(net, f"routers/{router['id']}/add_router_interface", {"subnet_id": six})).status == 200
    assert error(await net("DELETE", f"{N}/subnets/{six}", token="alice"))[:2] == (409, "SubnetInUse")


async def test_an_address_stays_when_others_are_named_and_follows_the_mac(net: Client) -> None:
    _, four, six, port = await dual(net)
    wanted = [{"subnet_id": four, "ip_address": "10.0.2.77"}]
    changed = await put(net, f"ports/{port['id']}", {"port": {"fixed_ips": wanted}})
    assert changed.status == 200
    assert set(places(changed["port"])) == {"10.0.2.77", f"fd00:1::{TAIL}"}
    changed = await put(net, f"ports/{port['id']}", {"port": {"fixed_ips": [*wanted, {"subnet_id": six}]}})
    assert set(places(changed["port"])) == {"10.0.2.77", f"fd00:1::{TAIL}"}
    changed = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"mac_address": "fa:16:3e:01:02:04"}}, token="admin")
    assert changed.status == 200
    assert f"fd00:1::{TAIL[:-1]}4" in places(await show(net, "ports", port["id"]))


async def test_subnets_of_one_network_share_a_leg(net: Client) -> None:
    network, four, six, _ = await dual(net)
    other = (await subnet(net, "fd00:2::/64", network=network, **SLAAC))["id"]
    router = (await make(net, "routers"))["id"]
    joined = [(await put(net, f"routers/{router}/add_router_interface", {"subnet_id": each})) for each in (four, six, other)]
    assert joined[0]["port_id"] != joined[1]["port_id"] == joined[2]["port_id"]
    assert joined[2]["subnet_ids"] == [other]
    leg = await show(net, "ports", joined[1]["port_id"])
    assert places(leg) == ["fd00:1::1", "fd00:2::1"]
    port = await make(net, "ports", network_id=network, fixed_ips=[{"subnet_id": six}])
    refused = error(await put(net, f"routers/{router}/add_router_interface", {"port_id": port["id"]}))
    assert refused[:2] == (400, "BadRequest")
    left = await put(net, f"routers/{router}/remove_router_interface", {"subnet_id": six})
    assert (left["port_id"], left["subnet_ids"]) == (leg["id"], [six])
    assert places(await show(net, "ports", leg["id"])) == ["fd00:2::1"]
    assert (await put(net, f"routers/{router}/remove_router_interface", {"subnet_id": other})).status == 200
    assert (await net("GET", f"{N}/ports/{leg['id']}", token="alice")).status == 404


async def test_a_leg_may_be_where_hosts_make_their_own(net: Client) -> None:
    """A router's address in such a subnet is the gateway's, not one of its MAC."""
    network, _, six, _ = await dual(net)
    router = (await make(net, "routers"))["id"]
    joined = await put(net, f"routers/{router}/add_router_interface", {"subnet_id": six})
    assert places(await show(net, "ports", joined["port_id"])) == ["fd00:1::1"]
    wrong = error(
        await net("POST", f"{N}/ports", {"port": {"network_id": network, "fixed_ips": [{"ip_address": "fd00:1::7"}]}}, token="alice")
    )
    assert wrong[1] == "AllocationOnAutoAddressSubnet"
