"""Security groups and their rules: the default group, what a rule may say, which two say the same, and limits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import ONE, N, error, make, new_client, show, subnet
from tests.conftest import Answer, Client


@pytest.fixture
def net() -> Client:
    return new_client()


async def rule(net: Client, group: str, token: str = "alice", **values: Any) -> Answer:
    body = {"security_group_id": group, "direction": "ingress", **values}
    return await net("POST", f"{N}/security-group-rules", {"security_group_rule": body}, token=token)


async def default(net: Client, token: str = "alice") -> dict[str, Any]:
    (found,) = (await net("GET", f"{N}/security-groups?name=default", token=token))["security_groups"]
    made: dict[str, Any] = found
    return made


# -- groups ----------------------------------------------------------------------------------------------------------------


async def test_every_project_has_a_default_group(net: Client) -> None:
    mine, others = await default(net), await default(net, "bob")
    assert mine["id"] != others["id"]
    says = {(r["direction"], r["ethertype"], r["remote_group_id"]) for r in mine["security_group_rules"]}
    ways = {("egress", "IPv4", None), ("egress", "IPv6", None), ("ingress", "IPv4", mine["id"]), ("ingress", "IPv6", mine["id"])}
    assert says == ways
    assert (await default(net))["id"] == mine["id"]
    for name in ("default", "Default"):
        answer = await net("POST", f"{N}/security-groups", {"security_group": {"name": name}}, token="alice")
        assert error(answer)[:2] == (409, "SecurityGroupDefaultAlreadyExists")
    at = f"{N}/security-groups/{mine['id']}"
    assert error(await net("PUT", at, {"security_group": {"name": "x"}}, token="alice"))[:2] == (409, "SecurityGroupCannotUpdateDefault")
    assert (await net("PUT", at, {"security_group": {"description": "x"}}, token="alice")).status == 200
    assert error(await net("DELETE", at, token="alice"))[:2] == (409, "SecurityGroupCannotRemoveDefault")
    assert (await net("DELETE", at)).status == 204
    assert (await default(net))["id"] != mine["id"]  # a new one at next sight


async def test_a_life(net: Client) -> None:
    made = await make(net, "security_groups", name="web", description="d")
    assert {(r["direction"], r["ethertype"]) for r in made["security_group_rules"]} == {("egress", "IPv4"), ("egress", "IPv6")}
    assert (made["stateful"], made["shared"]) == (True, False)
    at = f"{N}/security-groups/{made['id']}"
    changed = (await net("PUT", at, {"security_group": {"name": "www", "stateful": False}}, token="alice"))["security_group"]
    assert (changed["name"], changed["stateful"]) == ("www", False)
    assert error(await net("GET", at, token="bob"))[:2] == (404, "SecurityGroupNotFound")
    assert (await net("DELETE", at, token="alice")).status == 204
    assert error(await net("GET", at, token="alice"))[:2] == (404, "SecurityGroupNotFound")


async def test_in_use(net: Client) -> None:
    made, group = await subnet(net), await make(net, "security_groups", name="g")
    port = await make(net, "ports", network_id=made["network_id"], security_groups=[group["id"]])
    at = f"{N}/security-groups/{group['id']}"
    assert error(await net("DELETE", at, token="alice")) == (409, "SecurityGroupInUse", f"Security Group {group['id']} in use.")
    assert error(await net("PUT", at, {"security_group": {"stateful": False}}, token="alice"))[:2] == (409, "SecurityGroupInUse")
    await net("DELETE", f"{N}/ports/{port['id']}", token="alice")
    assert (await net("DELETE", at, token="alice")).status == 204


async def test_rules_that_name_a_group_go_with_it(net: Client) -> None:
    one, two = [await make(net, "security_groups", name=name) for name in ("one", "two")]
    assert (await rule(net, one["id"], remote_group_id=two["id"])).status == 201
    await net("DELETE", f"{N}/security-groups/{two['id']}", token="alice")
    assert len((await show(net, "security_groups", one["id"]))["security_group_rules"]) == 2


# -- rules -----------------------------------------------------------------------------------------------------------------


async def test_a_rules_life(net: Client) -> None:
    group = await make(net, "security_groups", name="g")
    made = (await rule(net, group["id"], protocol="TCP", port_range_min="22", port_range_max=22, description="ssh"))["security_group_rule"]
    assert (made["protocol"], made["port_range_min"], made["ethertype"], made["description"]) == ("tcp", 22, "IPv4", "ssh")
    shown = await show(net, "security_group_rules", made["id"])
    assert shown == made
    inner = [r for r in (await show(net, "security_groups", group["id"]))["security_group_rules"] if r["id"] == made["id"]]
    assert inner[0]["port_range_max"] == 22
    listed = await net("GET", f"{N}/security-group-rules?security_group_id={group['id']}&direction=ingress", token="alice")
    assert listed["security_group_rules"] == [made]
    assert error(await net("GET", f"{N}/security-group-rules/{made['id']}", token="bob"))[:2] == (404, "SecurityGroupRuleNotFound")
    assert error(await net("DELETE", f"{N}/security-group-rules/{made['id']}", token="bob"))[0] == 404
    assert (await net("DELETE", f"{N}/security-group-rules/{made['id']}", token="alice")).status == 204
    assert (await show(net, "security_groups", group["id"]))["revision_number"] == 3
    assert (await net("PUT", f"{N}/security-group-rules/{made['id']}", {}, token="alice")).status == 405


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 5}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "udp", "port_range_min": 5}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": -1, "port_range_max": 5}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "icmp", "port_range_max": 3}, "SecurityGroupMissingIcmpType"),
        ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 256}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "58", "port_range_min": 300, "ethertype": "IPv6"}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, "SecurityGroupInvalidProtocolForPort"),
        ({"protocol": "ipv6-icmp"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"protocol": "256"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": -1}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": True}, "SecurityGroupRuleInvalidProtocol"),
        ({"remote_ip_prefix": "x"}, "InvalidCIDR"),
        ({"remote_ip_prefix": "fd00::/8"}, "SecurityGroupRuleParameterConflict"),
        ({"ethertype": 4}, "SecurityGroupRuleInvalidEtherType"),
        ({"remote_group_id": "00000000-0000-0000-0000-000000000000"}, "SecurityGroupNotFound"),
        ({"remote_address_group_id": "00000000-0000-0000-0000-000000000000"}, "AddressGroupNotFound"),
        ({"direction": None}, "HTTPBadRequest"),
        ({"nope": 1}, "HTTPBadRequest"),
    ],
)
async def test_refused_at_creation(net: Client, values: dict[str, Any], kind: str) -> None:
    group = await make(net, "security_groups", name="g")
    assert error(await rule(net, group["id"], **values))[1] == kind
    assert len((await show(net, "security_groups", group["id"]))["security_group_rules"]) == 2


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ({"protocol": "tcp"}, {"protocol": "6"}, True),
        ({"protocol": 6}, {"protocol": "TCP"}, True),
        ({}, {"remote_ip_prefix": "0.0.0.0/0"}, True),
        ({"remote_ip_prefix": "10.0.0.1"}, {"remote_ip_prefix": "10.0.0.1/32"}, True),
        ({"protocol": "icmp", "ethertype": "IPv6"}, {"protocol": "ipv6-icmp", "ethertype": "IPv6"}, True),
        ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}, {"protocol": "tcp"}, True),
        ({"protocol": "tcp"}, {"protocol": "udp"}, False),
        ({"ethertype": "IPv4"}, {"ethertype": "ipv6"}, False),
        ({"remote_ip_prefix": "10.0.0.0/8"}, {"remote_ip_prefix": "10.0.0.0/9"}, False),
        ({"protocol": "icmp", "port_range_min": 8}, {"protocol": "icmp", "port_range_min": 0}, False),
    ],
)
async def test_which_two_say_the_same(net: Client, one: dict[str, Any], two: dict[str, Any], same: bool) -> None:
    group = await make(net, "security_groups", name="g")
    first = await rule(net, group["id"], **one)
    assert first.status == 201, first.text
    second = await rule(net, group["id"], **two)
    if same:
        words = f"Security group rule already exists. Rule id is {first['security_group_rule']['id']}."
        assert error(second) == (409, "SecurityGroupRuleExists", words)
    else:
        assert second.status == 201, second.text


async def test_rules_in_bulk(net: Client) -> None:
    group = await make(net, "security_groups", name="g")
    rules = [{"security_group_id": group["id"], "direction": "ingress", "protocol": name} for name in ("tcp", "udp")]
    answer = await net("POST", f"{N}/security-group-rules", {"security_group_rules": rules}, token="alice")
    assert [r["protocol"] for r in answer["security_group_rules"]] == ["tcp", "udp"]
    twice = [{**rules[0], "protocol": "icmp"}] * 2
    assert (await net("POST", f"{N}/security-group-rules", {"security_group_rules": twice}, token="alice")).status == 409
    assert len((await show(net, "security_groups", group["id"]))["security_group_rules"]) == 4


async def test_anothers_group(net: Client) -> None:
    group = await make(net, "security_groups", "bob", name="g")
    assert error(await rule(net, group["id"]))[:2] == (404, "SecurityGroupNotFound")
    mine = await make(net, "security_groups", name="g")
    assert error(await rule(net, mine["id"], remote_group_id=group["id"]))[:2] == (404, "SecurityGroupNotFound")


async def test_what_new_groups_start_with(net: Client) -> None:
    listed = (await net("GET", f"{N}/default-security-group-rules", token="alice"))["default_security_group_rules"]
    assert {r["direction"] for r in listed if r["used_in_non_default_sg"]} == {"egress"}
    assert len(listed) == 4


# -- quotas ----------------------------------------------------------------------------------------------------------------


async def test_quotas(net: Client) -> None:
    at = f"{N}/quotas/{ONE}"
    first = (await net("GET", at, token="alice"))["quota"]
    assert (first["network"], first["port"], first["router"], first["security_group_rule"]) == (100, 500, 10, 100)
    assert (await net("GET", f"{at}/default", token="alice"))["quota"] == first
    assert (await net("PUT", at, {"quota": {"network": 1, "port": "-1"}}))["quota"]["network"] == 1
    await make(net, "networks")
    answer = await net("POST", f"{N}/networks", {"networks": [{}]}, token="alice")
    assert error(answer) == (409, "OverQuota", "Quota exceeded for resources: ['network'].")
    details = (await net("GET", f"{at}/details", token="alice"))["quota"]
    assert details["network"] == {"limit": 1, "used": 1, "reserved": 0}
    assert details["security_group"]["used"] == 1
    assert details["floatingip"] == {"limit": 50, "used": 0, "reserved": 0}
    below = await net("PUT", at, {"quota": {"network": 0, "check_limit": True}})
    assert error(below) == (400, "QuotaLimitTooLow", "Quota limit is below what is used for resources: ['network'].")
    assert (await net("PUT", at, {"quota": {"network": 0}}))["quota"]["network"] == 0
    assert [q["project_id"] for q in (await net("GET", f"{N}/quotas"))["quotas"]] == [ONE]
    assert (await net("DELETE", at)).status == 204
    assert (await net("GET", at))["quota"] == first


async def test_quotas_refused(net: Client) -> None:
    at = f"{N}/quotas/{ONE}"
    for body, words in (
        ({"quota": {"nope": 1}}, "Unrecognized attribute(s) 'nope'"),
        ({"quota": {"network": -2}}, "Invalid input for network. Reason: '-2' is too small - must be at least '-1'."),
        ({"quota": {"network": "x"}}, "Invalid input for operation: 'x' is not an integer."),
        ({}, "Unable to find 'quota' in request body"),
    ):
        assert error(await net("PUT", at, body))[2] == words
    assert error(await net("GET", at, token="bob")) == (403, "PolicyNotAuthorized", "rule:get_quota is disallowed by policy")
    assert error(await net("GET", f"{N}/quotas", token="alice"))[:2] == (403, "PolicyNotAuthorized")


@pytest.mark.parametrize(
    ("resource", "what", "values"),
    [
        ("router", "routers", {}),
        ("security_group", "security_groups", {}),
        ("port", "ports", {"network_id": "NETWORK"}),
        ("subnet", "subnets", {"network_id": "NETWORK", "ip_version": 4, "cidr": "10.9.0.0/24"}),
        ("floatingip", "floatingips", {"floating_network_id": "PUBLIC"}),
    ],
)
async def test_every_limit_holds(net: Client, resource: str, what: str, values: dict[str, Any]) -> None:
    made = await subnet(net)
    external = (await net("GET", f"{N}/networks?name=public"))["networks"][0]["id"]
    await default(net)
    used = (await net("GET", f"{N}/quotas/{ONE}/details"))["quota"][resource]["used"]
    await net("PUT", f"{N}/quotas/{ONE}", {"quota": {resource: used}})
    body = {key: {"NETWORK": made["network_id"], "PUBLIC": external}.get(value, value) for key, value in values.items()}
    answer = await net("POST", f"{N}/{what.replace('_', '-')}", {what.removesuffix("s"): body}, token="alice")
    assert error(answer) == (409, "OverQuota", f"Quota exceeded for resources: ['{resource}'].")
