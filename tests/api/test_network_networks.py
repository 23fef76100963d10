"""Networks: what may be asked, who sees what, lists page by page, tags and revisions."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.network.seed import seed
from tests.api.network import TWO, N, error, make, new_client, subnet
from tests.conftest import Client


@pytest.fixture
def net() -> Client:
    return new_client()


async def names(net: Client, query: str, token: str = "alice") -> list[str]:
    answer = await net("GET", f"{N}/networks?{query}", token=token)
    assert answer.status == 200, answer.text
    return [item["name"] for item in answer["networks"]]


async def test_a_life(net: Client) -> None:
    made = await make(net, "networks", name="a", description="d", mtu=1400)
    assert (made["status"], made["mtu"], made["subnets"], made["shared"], made["revision_number"]) == ("ACTIVE", 1400, [], False, 1)
    assert "provider:network_type" not in made
    shown = await net("GET", f"{N}/networks/{made['id']}", token="alice")
    assert shown["network"] == {key: value for key, value in made.items() if key != "is_default"}
    changed = await net("PUT", f"{N}/networks/{made['id']}", {"network": {"name": "b", "admin_state_up": False}}, token="alice")
    assert (changed["network"]["name"], changed["network"]["admin_state_up"], changed["network"]["revision_number"]) == ("b", False, 2)
    assert (await net("DELETE", f"{N}/networks/{made['id']}", token="alice")).status == 204
    gone = await net("GET", f"{N}/networks/{made['id']}", token="alice")
    assert error(gone) == (404, "NetworkNotFound", f"Network {made['id']} could not be found.")


async def test_an_admin_sees_what_carries_a_network(net: Client) -> None:
    first, second = [await make(net, "networks", "admin", name=name) for name in "ab"]
    assert first["provider:network_type"] == "vxlan"
    assert first["provider:segmentation_id"] != second["provider:segmentation_id"]
    assert (await make(net, "networks", "admin", **{"provider:network_type": "vxlan", "provider:segmentation_id": 77}))[
        "provider:segmentation_id"
    ] == 77


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"provider:network_type": "vxlan", "provider:segmentation_id": 1}, (409, "TunnelIdInUse")),
        ({"provider:network_type": "flat"}, (400, "InvalidInput")),
        ({"provider:network_type": "flat", "provider:physical_network": "public"}, (409, "FlatNetworkInUse")),
        ({"provider:network_type": "vlan", "provider:physical_network": "x"}, (400, "InvalidInput")),
        ({"provider:network_type": "gre"}, (400, "InvalidInput")),
        ({"provider:segmentation_id": 5}, (400, "InvalidInput")),
        ({"availability_zone_hints": ["mars"]}, (404, "AvailabilityZoneNotFound")),
        ({"name": "x" * 256}, (400, "HTTPBadRequest")),
        ({"mtu": -1}, (400, "HTTPBadRequest")),
        ({"mtu": 1451}, (400, "InvalidInput")),
        ({"status": "ACTIVE"}, (400, "HTTPBadRequest")),
        ({"is_default": True}, (400, "InvalidInput")),
        ({"is_default": True, "router:external": True}, (409, "DefaultExternalNetworkExists")),
        ({"tenant_id": "a", "project_id": "b"}, (400, "HTTPBadRequest")),
    ],
)
async def test_refused_at_creation(net: Client, values: dict[str, Any], expected: tuple[int, str]) -> None:
    await make(net, "networks", "admin", **{"provider:network_type": "vxlan", "provider:segmentation_id": 1})
    answer = await net("POST", f"{N}/networks", {"network": values})
    assert error(answer)[:2] == expected


@pytest.mark.parametrize("body", [b"{bad", b"", b"[]", b"null", b'"network"'])
async def test_a_body_that_is_none(net: Client, body: bytes) -> None:
    answer = await net("POST", f"{N}/networks", body, token="alice")
    assert error(answer) == (400, "HTTPBadRequest", "Body contains invalid data")


async def test_what_cannot_be_changed(net: Client) -> None:
    made = await make(net, "networks", name="a")
    for name in ("id", "status", "subnets", "project_id", "created_at"):
        answer = await net("PUT", f"{N}/networks/{made['id']}", {"network": {name: "x"}}, token="alice")
        assert error(answer) == (400, "HTTPBadRequest", f"Cannot update read-only attribute {name}")
    answer = await net("PUT", f"{N}/networks/{made['id']}", {"network": {"nope": 1}}, token="alice")
    assert error(answer) == (400, "HTTPBadRequest", "Unrecognized attribute(s) 'nope'")


# -- who may ---------------------------------------------------------------------------------------------------------------


async def test_a_stranger_finds_nothing(net: Client) -> None:
    made = await make(net, "networks", name="a")
    for method, body in (("GET", None), ("PUT", {"network": {"name": "x"}}), ("DELETE", None)):
        assert error(await net(method, f"{N}/networks/{made['id']}", body, token="bob"))[:2] == (404, "NetworkNotFound")
    assert await names(net, "name=a", token="bob") == []
    assert await names(net, "name=a", token="admin") == ["a"]


async def test_a_shared_network_is_seen_and_not_changed(net: Client) -> None:
    made = await make(net, "networks", "admin", name="all", shared=True)
    assert await names(net, "name=all", token="bob") == ["all"]
    for method, body in (("PUT", {"network": {"name": "x"}}), ("DELETE", None)):
        answer = await net(method, f"{N}/networks/{made['id']}", body, token="bob")
        assert error(answer) == (404, "HTTPNotFound", "The resource could not be found.")


async def test_a_reader_reads(net: Client) -> None:
    made = await make(net, "networks", name="a")
    assert (await net("GET", f"{N}/networks/{made['id']}", token="ray")).status == 200
    answer = await net("POST", f"{N}/networks", {"network": {}}, token="ray")
    assert error(answer) == (403, "PolicyNotAuthorized", "rule:create_network is disallowed by policy")


async def test_what_only_an_admin_may_say(net: Client) -> None:
    made = await make(net, "networks", name="a", shared=False)  # saying what would be anyway is no offence
    for name, value in (("shared", True), ("router:external", True), ("provider:segmentation_id", 4)):
        answer = await net("PUT", f"{N}/networks/{made['id']}", {"network": {name: value}}, token="alice")
        assert error(answer)[2] == f"(rule:update_network and rule:update_network:{name}) is disallowed by policy"
    answer = await net("POST", f"{N}/networks", {"network": {"project_id": TWO}}, token="alice")
    assert error(answer)[:2] == (400, "HTTPBadRequest")
    assert "requires admin privileges" in error(answer)[2]
    assert (await make(net, "networks", "admin", tenant_id=TWO))["project_id"] == TWO


async def test_sharing_cannot_end_while_others_are_there(net: Client) -> None:
    made = await make(net, "networks", "admin", name="all", shared=True)
    await subnet(net, token="admin", network=made["id"])
    port = await make(net, "ports", "bob", network_id=made["id"])
    answer = await net("PUT", f"{N}/networks/{made['id']}", {"network": {"shared": False}})
    assert error(answer)[:2] == (409, "InvalidSharedSetting")
    await net("DELETE", f"{N}/ports/{port['id']}", token="bob")
    assert (await net("PUT", f"{N}/networks/{made['id']}", {"network": {"shared": False}})).status == 200


# -- bulk, lists -----------------------------------------------------------------------------------------------------------


async def test_bulk_is_all_or_nothing(net: Client) -> None:
    good = await net("POST", f"{N}/networks", {"networks": [{"name": "a"}, {"network": {"name": "b"}}]}, token="alice")
    assert [item["name"] for item in good["networks"]] == ["a", "b"]
    bad = await net("POST", f"{N}/networks", {"networks": [{"name": "c"}, {"name": "d", "mtu": -1}]}, token="alice")
    assert bad.status == 400
    assert sorted(await names(net, "router:external=false")) == ["a", "b"]


async def test_filters(net: Client) -> None:
    for name, up in (("a", True), ("b", False), ("c", True)):
        await make(net, "networks", name=name, admin_state_up=up, description=name * 2)
    for query, expected in (
        ("name=a&name=b", ["a", "b"]),
        ("name=nope", []),
        ("admin_state_up=False", ["b"]),
        ("admin_state_up=0&name=a&name=b", ["b"]),
        ("description=cc", ["c"]),
        ("status=ACTIVE&router:external=no", ["a", "b", "c"]),
        ("status=DOWN", []),
        ("name=", []),
        ("is_default=true&router:external=true", ["public"]),
    ):
        assert sorted(await names(net, query)) == expected, query
    for query, kind in (("nope=1", "HTTPBadRequest"), ("admin_state_up=maybe", "InvalidInput"), ("changed_since=x", "InvalidInput")):
        assert error(await net("GET", f"{N}/networks?{query}", token="alice"))[:2] == (400, kind)
    assert await names(net, "changed_since=2100-01-01T00:00:00Z") == []


async def test_sorting_and_paging(net: Client) -> None:
    for name in "cabed":
        await make(net, "networks", name=name)
    mine = "router:external=false&sort_key=name&sort_dir={}"
    assert await names(net, mine.format("asc")) == list("abcde")
    assert await names(net, mine.format("desc")) == list("edcba")
    url, seen = f"{N}/networks?{mine.format('asc')}&limit=2", []
    while url:
        answer = await net("GET", url, token="alice")
        seen += [item["name"] for item in answer["networks"]]
        links = {link["rel"]: link["href"] for link in answer["networks_links"]}
        back, url = links.get("previous"), links.get("next", "").removeprefix("http://127.0.0.1:5000")
    assert seen == list("abcde")
    assert back
    answer = await net("GET", back.removeprefix("http://127.0.0.1:5000"), token="alice")
    assert [item["name"] for item in answer["networks"]] == ["c", "d"]  # the page before the last, in the same order
    assert "next" in {link["rel"] for link in answer["networks_links"]}


async def test_lists_without_a_limit_have_no_links(net: Client) -> None:
    await make(net, "networks", name="a")
    assert set((await net("GET", f"{N}/networks", token="alice")).body) == {"networks"}
    assert set((await net("GET", f"{N}/networks?limit=0", token="alice")).body) == {"networks"}
    for limit in ("-1", "x", ""):
        assert error(await net("GET", f"{N}/networks?limit={limit}", token="alice"))[:2] == (400, "BadRequest")


async def test_fields(net: Client) -> None:
    made = await make(net, "networks", name="a")
    answer = await net("GET", f"{N}/networks/{made['id']}?fields=name&fields=nope", token="alice")
    assert answer["network"] == {"name": "a"}
    answer = await net("GET", f"{N}/networks?name=a&fields=id", token="alice")
    assert answer["networks"] == [{"id": made["id"]}]


# -- tags and revisions ----------------------------------------------------------------------------------------------------


async def test_tags(net: Client) -> None:
    made = await make(net, "networks", name="a")
    at = f"{N}/networks/{made['id']}/tags"
    assert (await net("PUT", at, {"tags": ["x", "y"]}, token="alice"))["tags"] == ["x", "y"]
    assert (await net("PUT", at + "/z", token="alice")).status == 201
    assert (await net("PUT", at + "/z", token="alice")).status == 201
    assert (await net("GET", at, token="alice"))["tags"] == ["x", "y", "z"]
    assert (await net("GET", at + "/z", token="alice")).status == 204
    assert (await net("DELETE", at + "/x", token="alice")).status == 204
    assert error(await net("DELETE", at + "/x", token="alice"))[:2] == (404, "TagNotFound")
    shown = (await net("GET", f"{N}/networks/{made['id']}", token="alice"))["network"]
    assert shown["tags"] == ["y", "z"]
    assert shown["revision_number"] == 4  # set, added once, removed
    for query, expected in (
        ("tags=y,z", ["a"]),
        ("tags=y,q", []),
        ("tags-any=q,y", ["a"]),
        ("not-tags=y,z&router:external=0", []),
        ("not-tags-any=q&router:external=0", ["a"]),
    ):
        assert await names(net, query) == expected, query
    assert (await net("DELETE", at, token="alice")).status == 204
    assert (await net("GET", at, token="alice"))["tags"] == []
    for body in ({}, {"tags": "x"}, {"tags": [1]}, {"tags": ["x", "x"]}, {"tags": ["x" * 256]}):
        assert error(await net("PUT", at, body, token="alice"))[:2] == (400, "InvalidInput")
    assert error(await net("GET", at, token="bob"))[:2] == (404, "TagResourceNotFound")


async def test_a_write_may_be_bound_to_a_revision(net: Client) -> None:
    made = await make(net, "networks", name="a")
    at = f"{N}/networks/{made['id']}"
    for header, status in (
        ("revision_number=7", 412),
        ('"revision_number=1"', 200),
        ("revision_number=1", 412),
        ("revision_number=x", 400),
    ):
        answer = await net("PUT", at, {"network": {"name": "b"}}, token="alice", headers={"If-Match": header})
        assert answer.status == status, header
    assert (await net("DELETE", at, token="alice", headers={"If-Match": "revision_number=1"})).status == 412
    assert (await net("DELETE", at, token="alice", headers={"If-Match": "revision_number=2"})).status == 204


# -- what there is besides -------------------------------------------------------------------------------------------------


async def test_without_a_token(net: Client) -> None:
    versions = await net("GET", "/network/", token=None)
    assert versions["versions"][0]["links"][0]["href"] == "http://127.0.0.1:5000/network/v2.0/"
    assert (await net("GET", f"{N}/nothing", token=None)).status == 401
    assert (await net("GET", "/network/nothing", token=None)).body == {"code": 404, "title": "Not Found", "description": None}
    assert error(await net("GET", f"{N}/fwaas"))[:2] == (404, "HTTPNotFound")
    assert error(await net("PATCH", f"{N}/networks"))[:2] == (405, "HTTPMethodNotAllowed")


async def test_extensions(net: Client) -> None:
    listed = (await net("GET", f"{N}/extensions"))["extensions"]
    assert {"router", "security-group", "standard-attr-tag", "quotas"} <= {item["alias"] for item in listed}
    assert (await net("GET", f"{N}/extensions/router"))["extension"] in listed
    assert error(await net("GET", f"{N}/extensions/Availability%20Zone"))[0] == 404


async def test_the_public_network_is_there_once(net: Client) -> None:
    seed(net.app.cloud)
    (public,) = (await net("GET", f"{N}/networks?name=public"))["networks"]
    assert (public["router:external"], public["shared"], public["provider:physical_network"]) == (True, False, "public")
    (only,) = (await net("GET", f"{N}/subnets?network_id={public['id']}"))["subnets"]
    assert (only["cidr"], only["gateway_ip"], only["enable_dhcp"]) == ("192.168.37.0/24", "192.168.37.1", False)
    assert only["allocation_pools"] == [{"start": "192.168.37.2", "end": "192.168.37.253"}]


async def test_what_the_cloud_says_of_itself(net: Client) -> None:
    zones = (await net("GET", f"{N}/availability_zones", token="alice"))["availability_zones"]
    assert zones == [{"name": "nova", "resource": resource, "state": "available"} for resource in ("network", "router")]
    assert (await net("GET", f"{N}/availability_zones?resource=router", token="alice"))["availability_zones"] == zones[1:]
    assert (await net("GET", f"{N}/service-providers", token="alice"))["service_providers"][0]["service_type"] == "L3_ROUTER_NAT"
    (public,) = (await net("GET", f"{N}/network-ip-availabilities?ip_version=4"))["network_ip_availabilities"]
    assert (public["network_name"], public["total_ips"], public["used_ips"]) == ("public", 252, 0)
    assert (await net("GET", f"{N}/network-ip-availabilities/{public['network_id']}"))["network_ip_availability"] == public
    assert (await net("GET", f"{N}/network-ip-availabilities", token="alice"))["network_ip_availabilities"] == []
    assert error(await net("GET", f"{N}/network-ip-availabilities/{public['network_id']}", token="alice"))[:2] == (404, "NetworkNotFound")
    pools = (await net("GET", f"{N}/floatingip_pools", token="alice"))["floatingip_pools"]
    assert [(pool["network_id"], pool["subnet_name"]) for pool in pools] == [(public["network_id"], "public-subnet")]
