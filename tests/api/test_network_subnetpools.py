"""Subnet pools and address scopes: what is taken from them, what may not be, and who may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import ONE, TWO, N, error, make, new_client, show
from tests.conftest import Answer, Client


@pytest.fixture
def net() -> Client:
    return new_client()


async def pool(net: Client, token: str = "alice", **values: Any) -> dict[str, Any]:
    return await make(net, "subnetpools", token, **{"name": "p", "prefixes": ["10.0.0.0/16"], "default_prefixlen": 24, **values})


async def subnet(net: Client, token: str = "alice", network: str = "", **values: Any) -> Answer:
    network = network or (await make(net, "networks", token))["id"]
    return await net("POST", f"{N}/subnets", {"subnet": {"network_id": network, "ip_version": 4, **values}}, token=token)


async def test_a_life(net: Client) -> None:
    made = await make(net, "subnetpools", name="p", prefixes=["10.1.0.0/16", "10.0.0.0/16", "10.0.1.0/24"])
    assert made["prefixes"] == ["10.0.0.0/15"]
    lengths = [made[f"{which}_prefixlen"] for which in ("min", "default", "max")]
    assert (lengths, made["ip_version"], made["default_quota"], made["is_default"]) == (["8", "8", "32"], 4, None, False)
    assert (made["shared"], made["address_scope_id"], made["revision_number"]) == (False, None, 1)
    at = f"{N}/subnetpools/{made['id']}"
    changed = await net("PUT", at, {"subnetpool": {"default_prefixlen": 25, "name": "q"}}, token="alice")
    assert (changed["subnetpool"]["default_prefixlen"], changed["subnetpool"]["name"]) == ("25", "q")
    grown = await net("PUT", f"{at}/add_prefixes", {"prefixes": ["10.4.0.0/16"]}, token="alice")
    assert grown["prefixes"] == ["10.0.0.0/15", "10.4.0.0/16"]
    shrunk = await net("PUT", f"{at}/remove_prefixes", {"prefixes": ["10.0.0.0/16"]}, token="alice")
    assert shrunk["prefixes"] == ["10.1.0.0/16", "10.4.0.0/16"]
    less = await net("PUT", at, {"subnetpool": {"prefixes": ["10.1.0.0/16"]}}, token="alice")
    words = "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes."
    assert error(less) == (400, "IllegalSubnetPoolPrefixUpdate", words)
    assert (await net("DELETE", at, token="alice")).status == 204
    assert error(await net("GET", at, token="alice")) == (404, "SubnetPoolNotFound", f"Subnet pool {made['id']} could not be found.")


async def test_one_range_needs_no_list(net: Client) -> None:
    assert (await make(net, "subnetpools", name="p", prefixes="10.0.0.0/8"))["prefixes"] == ["10.0.0.0/8"]
    six = await make(net, "subnetpools", name="six", prefixes=["2001:db8::/48"])
    assert [six[f"{which}_prefixlen"] for which in ("min", "default", "max")] == ["64", "64", "128"]


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"prefixes": []}, "EmptySubnetPoolPrefixList", "Empty subnet pool prefix list."),
        ({"prefixes": ["10.0.0.0/8", "fd00::/8"]}, "PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."),
        ({"min_prefixlen": 30, "max_prefixlen": 20}, "IllegalSubnetPoolPrefixBounds", None),
        (
            {"max_prefixlen": 33},
            "IllegalSubnetPoolPrefixBounds",
            "Illegal prefix bounds: max_prefixlen=33, ip_version_max=32.",
        ),
        (
            {"default_prefixlen": 4},
            "IllegalSubnetPoolPrefixBounds",
            "Illegal prefix bounds: default_prefixlen=4, min_prefixlen=8.",
        ),
        ({"name": " "}, "HTTPBadRequest", None),
        ({"prefixes": ["10.0.0.1"]}, "HTTPBadRequest", None),
        ({"ip_version": 4}, "HTTPBadRequest", "Attribute 'ip_version' not allowed in POST"),
    ],
)
async def test_refused(net: Client, values: dict[str, Any], kind: str, words: str | None) -> None:
    body = {"subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"], **values}}
    answer = await net("POST", f"{N}/subnetpools", body, token="alice")
    assert error(answer)[:2] == (400, kind)
    assert words is None or error(answer)[2] == words


async def test_subnets_are_taken_from_a_pool(net: Client) -> None:
    made = await pool(net, min_prefixlen=20, max_prefixlen=28)
    first = await subnet(net, subnetpool_id=made["id"])
    assert (first["subnet"]["cidr"], first["subnet"]["subnetpool_id"], first["subnet"]["gateway_ip"]) == (
        "10.0.0.0/24",
        made["id"],
        "10.0.0.1",
    )
    assert (await subnet(net, subnetpool_id=made["id"], prefixlen=26))["subnet"]["cidr"] == "10.0.1.0/26"
    assert (await subnet(net, subnetpool_id=made["id"], cidr="10.0.9.0/24"))["subnet"]["cidr"] == "10.0.9.0/24"
    for values, expected in (
        ({"prefixlen": 29}, (400, "MaxPrefixSubnetAllocationError")),
        ({"prefixlen": 19}, (400, "MinPrefixSubnetAllocationError")),
        ({"cidr": "10.0.9.0/25"}, (409, "SubnetAllocationError")),
        ({"cidr": "10.1.0.0/24"}, (409, "SubnetAllocationError")),
        ({"ip_version": 6}, (400, "BadRequest")),
        ({"prefixlen": 24, "cidr": "10.0.8.0/24"}, (400, "BadRequest")),
        ({"use_default_subnetpool": True}, (400, "BadRequest")),
        ({"allocation_pools": [{"start": "10.0.2.2", "end": "10.0.2.3"}]}, (400, "BadRequest")),
    ):
        assert error(await subnet(net, subnetpool_id=made["id"], **values))[:2] == expected, values
    used = await net("DELETE", f"{N}/subnetpools/{made['id']}", token="alice")
    words = "Unable to delete subnet pool: Subnet pool has existing allocations."
    assert error(used) == (400, "SubnetPoolDeleteError", words)
    shrink = await net("PUT", f"{N}/subnetpools/{made['id']}/remove_prefixes", {"prefixes": ["10.0.0.0/20"]}, token="alice")
    assert error(shrink)[:2] == (400, "IllegalSubnetPoolPrefixUpdate")
    await net("DELETE", f"{N}/subnets/{first['subnet']['id']}", token="alice")
    assert (await subnet(net, subnetpool_id=made["id"]))["subnet"]["cidr"] == "10.0.0.0/24"
    full = await pool(net, prefixes=["192.168.0.0/24"])
    await subnet(net, subnetpool_id=full["id"])
    words = "Failed to allocate subnet: Insufficient prefix space to allocate subnet size /24."
    assert error(await subnet(net, subnetpool_id=full["id"])) == (409, "SubnetAllocationError", words)


async def test_the_default_pool(net: Client) -> None:
    body = {"subnetpool": {"name": "p", "prefixes": "10.0.0.0/8", "is_default": True}}
    answer = await subnet(net, use_default_subnetpool=True)
    assert error(answer) == (400, "BadRequest", "Bad subnets request: No default subnetpool found for IPv4.")
    denied = await net("POST", f"{N}/subnetpools", body, token="alice")
    assert error(denied)[:2] == (403, "PolicyNotAuthorized")
    made = await pool(net, "admin", is_default=True, shared=True)
    twice = await net("POST", f"{N}/subnetpools", body)
    assert error(twice)[:2] == (400, "InvalidInput")
    taken = await subnet(net, use_default_subnetpool=True)
    assert (taken["subnet"]["subnetpool_id"], taken["subnet"]["cidr"]) == (made["id"], "10.0.0.0/24")
    assert (await show(net, "subnetpools", made["id"], "bob"))["shared"] is True


async def test_what_a_project_may_take(net: Client) -> None:
    made = await pool(net, "admin", default_quota=512, shared=True)
    for _ in range(2):
        assert (await subnet(net, subnetpool_id=made["id"])).status == 201
    words = "Per-tenant subnet pool prefix quota exceeded."
    assert error(await subnet(net, subnetpool_id=made["id"])) == (409, "SubnetPoolQuotaExceeded", words)
    assert (await subnet(net, "bob", subnetpool_id=made["id"])).status == 201
    used = (await net("GET", f"{N}/rbac-policies?object_id={made['id']}", token="admin"))["rbac_policies"]
    assert error(await net("DELETE", f"{N}/rbac-policies/{used[0]['id']}", token="admin"))[:2] == (409, "RbacPolicyInUse")
    await net("PUT", f"{N}/quotas/{ONE}", {"quota": {"subnetpool": 0}})
    body = {"subnetpool": {"name": "p", "prefixes": "10.0.0.0/8"}}
    assert error(await net("POST", f"{N}/subnetpools", body, token="alice"))[:2] == (409, "OverQuota")


async def test_onboarding(net: Client) -> None:
    made = await pool(net)
    network = await make(net, "networks")
    there = await subnet(net, network=network["id"], cidr="172.16.0.0/24")
    answer = await net("PUT", f"{N}/subnetpools/{made['id']}/onboard_network_subnets", {"network_id": network["id"]}, token="alice")
    assert answer["subnets"] == [{"id": there["subnet"]["id"], "cidr": "172.16.0.0/24"}]
    assert (await show(net, "subnets", there["subnet"]["id"]))["subnetpool_id"] == made["id"]
    assert (await show(net, "subnetpools", made["id"]))["prefixes"] == ["10.0.0.0/16", "172.16.0.0/24"]
    again = await net("PUT", f"{N}/subnetpools/{made['id']}/onboard_network_subnets", {"network_id": network["id"]}, token="alice")
    assert error(again)[:2] == (400, "IllegalSubnetPoolUpdate")


async def test_one_network_one_pool(net: Client) -> None:
    first, second = await pool(net), await pool(net, prefixes=["172.16.0.0/16"])
    network = await make(net, "networks")
    await subnet(net, network=network["id"], subnetpool_id=first["id"])
    answer = await subnet(net, network=network["id"], subnetpool_id=second["id"])
    assert error(answer)[:2] == (400, "NetworkSubnetPoolAffinityError")
    assert error(await subnet(net, network=network["id"], cidr="192.168.0.0/24"))[:2] == (400, "NetworkSubnetPoolAffinityError")


# -- scopes ----------------------------------------------------------------------------------------------------------------


async def test_a_scope(net: Client) -> None:
    scope = await make(net, "address_scopes", name="s", ip_version=4)
    assert (scope["shared"], scope["ip_version"], scope["name"]) == (False, 4, "s")
    made = await pool(net, address_scope_id=scope["id"])
    overlapping = await net(
        "POST",
        f"{N}/subnetpools",
        {"subnetpool": {"name": "p", "prefixes": "10.0.0.0/8", "address_scope_id": scope["id"]}},
        token="alice",
    )
    assert error(overlapping)[:2] == (409, "AddressScopePrefixConflict")
    six = await net(
        "POST",
        f"{N}/subnetpools",
        {"subnetpool": {"name": "p", "prefixes": "fd00::/48", "address_scope_id": scope["id"]}},
        token="alice",
    )
    assert error(six)[:2] == (400, "IllegalSubnetPoolIpVersionAssociationToAddressScope")
    network = await make(net, "networks")
    assert network["ipv4_address_scope"] is None
    await subnet(net, network=network["id"], subnetpool_id=made["id"])
    shown = await show(net, "networks", network["id"])
    assert (shown["ipv4_address_scope"], shown["ipv6_address_scope"]) == (scope["id"], None)
    other = await pool(net, prefixes=["172.16.0.0/16"], address_scope_id=scope["id"])
    assert (await subnet(net, network=network["id"], subnetpool_id=other["id"])).status == 201
    alone = await pool(net, prefixes=["192.168.0.0/16"])
    assert error(await subnet(net, network=network["id"], subnetpool_id=alone["id"]))[:2] == (400, "NetworkAddressScopeAffinityError")
    leaves = await net("PUT", f"{N}/subnetpools/{made['id']}", {"subnetpool": {"address_scope_id": None}}, token="alice")
    assert leaves.status == 200
    used = await net("DELETE", f"{N}/address-scopes/{scope['id']}", token="alice")
    assert error(used)[:2] == (409, "AddressScopeInUse")


async def test_sharing_a_scope(net: Client) -> None:
    denied = await net("POST", f"{N}/address-scopes", {"address_scope": {"ip_version": 4, "shared": True}}, token="alice")
    assert error(denied)[:2] == (403, "PolicyNotAuthorized")
    scope = await make(net, "address_scopes", "admin", ip_version=4, shared=True)
    assert (await show(net, "address_scopes", scope["id"], "bob"))["shared"] is True
    back = await net("PUT", f"{N}/address-scopes/{scope['id']}", {"address_scope": {"shared": False}})
    words = f"Unable to update address scope {scope['id']} : Shared address scope can't be unshared."
    assert error(back) == (400, "AddressScopeUpdateError", words)
    mine = await make(net, "address_scopes", ip_version=6)
    assert error(await net("GET", f"{N}/address-scopes/{mine['id']}", token="bob"))[:2] == (404, "AddressScopeNotFound")
    policy = {"object_type": "address_scope", "object_id": mine["id"], "target_tenant": TWO, "action": "access_as_shared"}
    assert (await net("POST", f"{N}/rbac-policies", {"rbac_policy": policy}, token="alice")).status == 201
    await make(net, "subnetpools", "bob", name="p", prefixes="fd00::/48", address_scope_id=mine["id"])
    found = (await net("GET", f"{N}/rbac-policies?object_id={mine['id']}", token="alice"))["rbac_policies"]
    assert error(await net("DELETE", f"{N}/rbac-policies/{found[0]['id']}", token="alice"))[:2] == (409, "RbacPolicyInUse")
    for method, url, body in (
        ("POST", f"{N}/address-scopes", {"address_scope": {"ip_version": 4}}),
        ("PUT", f"{N}/address-scopes/{mine['id']}", {"address_scope": {"name": "b"}}),
        ("DELETE", f"{N}/address-scopes/{mine['id']}", None),
    ):
        assert error(await net(method, url, body, token="ray"))[:2] == (403, "PolicyNotAuthorized")
