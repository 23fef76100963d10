"""Address groups: their addresses, who sees them, and rules that name them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, show
from tests.conftest import Client


@pytest.fixture
def net() -> Client:
    return new_client()


async def test_a_life(net: Client) -> None:
    made = await make(net, "address_groups", name="web", addresses=["10.1.0.0/16", "10.0.0.1/32", "2001:db8::/64"])
    assert made["addresses"] == ["10.0.0.1/32", "10.1.0.0/16", "2001:db8::/64"]
    assert (made["shared"], made["revision_number"], made["tags"]) == (False, 1, [])
    at = f"{N}/address-groups/{made['id']}"
    added = await net("PUT", f"{at}/add_addresses", {"addresses": ["10.0.0.2/32"]}, token="alice")
    assert added["address_group"]["addresses"] == ["10.0.0.1/32", "10.0.0.2/32", "10.1.0.0/16", "2001:db8::/64"]
    again = await net("PUT", f"{at}/add_addresses", {"addresses": ["10.0.0.2/32"]}, token="alice")
    assert error(again)[:2] == (400, "AddressesAlreadyExist")
    taken = await net("PUT", f"{at}/remove_addresses", {"addresses": ["10.1.0.0/16", "2001:db8::/64"]}, token="alice")
    assert taken["address_group"]["addresses"] == ["10.0.0.1/32", "10.0.0.2/32"]
    gone = await net("PUT", f"{at}/remove_addresses", {"addresses": ["10.1.0.0/16"]}, token="alice")
    assert error(gone)[:2] == (404, "AddressesNotFound")
    changed = await net("PUT", at, {"address_group": {"name": "new", "description": "d"}}, token="alice")
    assert (changed["address_group"]["name"], changed["address_group"]["revision_number"]) == ("new", 4)
    assert (await net("DELETE", at, token="alice")).status == 204
    assert error(await net("GET", at, token="alice"))[:2] == (404, "AddressGroupNotFound")


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        ("10.0.0.0/8", "'10.0.0.0/8' is not a list"),
        (["10.0.0.1"], "'10.0.0.1' is not a valid IP subnet"),
        (["nonsense"], "'nonsense' is not a valid IP subnet"),
        ([None], "'' is not a valid IP subnet"),
        (["10.0.0.0/8", "10.0.0.0/8"], "Duplicate items in the list: '10.0.0.0/8'"),
    ],
)
async def test_refused(net: Client, addresses: Any, words: str) -> None:
    answer = await net("POST", f"{N}/address-groups", {"address_group": {"addresses": addresses}}, token="alice")
    assert error(answer) == (400, "HTTPBadRequest", f"Invalid input for addresses. Reason: {words}.")


async def test_what_is_written_otherwise(net: Client) -> None:
    made = await make(net, "address_groups", addresses=["192.168.0.10/24", "2001:db8::f00/64"])
    assert made["addresses"] == ["192.168.0.0/24", "2001:db8::/64"]
    at = f"{N}/address-groups/{made['id']}"
    added = await net("PUT", f"{at}/add_addresses", {"addresses": ["10.20.30.40"]}, token="alice")
    assert added["address_group"]["addresses"] == ["10.20.30.40/32", "192.168.0.0/24", "2001:db8::/64"]
    assert error(await net("PUT", f"{at}/remove_addresses", {"addresses": ["10.200.200.200"]}, token="alice"))[:2] == (
        404,
        "AddressesNotFound",
    )
    for verb in ("add", "remove"):
        answer = await net("PUT", f"{at}/{verb}_addresses", {"addresses": ["this is bad IP address"]}, token="alice")
        assert error(answer)[:2] == (400, "HTTPBadRequest")
    assert error(await net("PUT", at, {"address_group": {"addresses": []}}, token="alice"))[:2] == (400, "HTTPBadRequest")


async def test_who_may(net: Client) -> None:
    made = await make(net, "address_groups", name="a")
    at = f"{N}/address-groups/{made['id']}"
    assert (await net("GET", at, token="ray")).status == 200
    assert error(await net("GET", at, token="bob"))[:2] == (404, "AddressGroupNotFound")
    for method, url, body in (
        ("POST", f"{N}/address-groups", {"address_group": {}}),
        ("PUT", at, {"address_group": {"name": "b"}}),
        ("PUT", f"{at}/add_addresses", {"addresses": ["10.0.0.0/8"]}),
        ("PUT", f"{at}/remove_addresses", {"addresses": []}),
        ("DELETE", at, None),
    ):
        assert error(await net(method, url, body, token="ray"))[:2] == (403, "PolicyNotAuthorized")


async def test_a_rule_names_a_group(net: Client) -> None:
    addresses = await make(net, "address_groups", addresses=["10.0.0.0/8"])
    group = await make(net, "security_groups", name="g")
    asked = {"security_group_id": group["id"], "direction": "ingress", "remote_address_group_id": addresses["id"]}
    rule = await make(net, "security_group_rules", **asked)
    assert rule["remote_address_group_id"] == addresses["id"]
    twice = await net("POST", f"{N}/security-group-rules", {"security_group_rule": asked}, token="alice")
    assert error(twice)[:2] == (409, "SecurityGroupRuleExists")
    both = await net("POST", f"{N}/security-group-rules", {"security_group_rule": {**asked, "remote_ip_prefix": "10.0.0.0/8"}})
    assert error(both)[:2] == (400, "SecurityGroupMultipleRemoteEntites")
    used = await net("DELETE", f"{N}/address-groups/{addresses['id']}", token="alice")
    words = f"Address group {addresses['id']} is in use on one or more security group rules."
    assert error(used) == (409, "AddressGroupInUse", words)
    woken: list[tuple[str, str]] = []
    net.app.cloud.wake_now = lambda kind, id: woken.append((kind, id))
    await net("PUT", f"{N}/address-groups/{addresses['id']}/add_addresses", {"addresses": ["192.168.0.0/16"]}, token="alice")
    assert woken == [("security_group", group["id"])]
    strange = await make(net, "address_groups", "bob")
    answer = await net(
        "POST", f"{N}/security-group-rules", {"security_group_rule": {**asked, "remote_address_group_id": strange["id"]}}, token="alice"
    )
    assert error(answer)[:2] == (404, "AddressGroupNotFound")
    assert (await show(net, "address_groups", addresses["id"]))["addresses"] == ["10.0.0.0/8", "192.168.0.0/16"]


async def test_lists_tags_and_filters(net: Client) -> None:
    for name in "ba":
        await make(net, "address_groups", name=name)
    await make(net, "address_groups", "bob", name="c")
    answer = await net("GET", f"{N}/address-groups?sort_key=name&sort_dir=asc&fields=name", token="alice")
    assert answer["address_groups"] == [{"name": "a"}, {"name": "b"}]
    assert len((await net("GET", f"{N}/address-groups", token="admin"))["address_groups"]) == 3
    assert (await net("GET", f"{N}/address-groups?shared=true", token="alice"))["address_groups"] == []
    assert error(await net("GET", f"{N}/address-groups?nope=1", token="alice"))[:2] == (400, "HTTPBadRequest")
    id = (await net("GET", f"{N}/address-groups?name=a", token="alice"))["address_groups"][0]["id"]
    assert (await net("PUT", f"{N}/address-groups/{id}/tags/x", token="alice")).status == 201
    assert [g["name"] for g in (await net("GET", f"{N}/address-groups?tags=x", token="alice"))["address_groups"]] == ["a"]
    bulk = {"address_groups": [{"name": "d"}, {"name": "e"}]}
    assert [g["name"] for g in (await net("POST", f"{N}/address-groups", bulk, token="alice"))["address_groups"]] == ["d", "e"]
