"""QoS: policies, the rules in them, what may have a policy, and who may say so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, public, show, subnet
from tests.conftest import Client


@pytest.fixture
def net() -> Client:
    return new_client()


async def policy(net: Client, token: str = "admin", **values: Any) -> dict[str, Any]:
    answer = await net("POST", f"{N}/qos/policies", {"policy": values}, token=token)
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer["policy"]
    return made


async def rule(net: Client, policy_id: str, kind: str, **values: Any) -> dict[str, Any]:
    answer = await net("POST", f"{N}/qos/policies/{policy_id}/{kind}_rules", {f"{kind}_rule": values})
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer[f"{kind}_rule"]
    return made


async def test_a_policy_and_its_rules(net: Client) -> None:
    made = await policy(net, name="gold", shared=True)
    assert (made["rules"], made["is_default"], made["shared"], made["tags"]) == ([], False, True, [])
    limit = await rule(net, made["id"], "bandwidth_limit", max_kbps=1000)
    assert limit == {"id": limit["id"], "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}
    mark = await rule(net, made["id"], "dscp_marking", dscp_mark=26)
    for kind, values in (
        ("minimum_bandwidth", {"min_kbps": 10, "direction": "ingress"}),
        ("packet_rate_limit", {"max_kpps": 10}),
        ("minimum_packet_rate", {"min_kpps": 1, "direction": "any"}),
    ):
        await rule(net, made["id"], kind, **values)
    seen = await net("GET", f"{N}/qos/policies/{made['id']}", token="alice")
    assert [each["type"] for each in seen["policy"]["rules"]] == [
        "bandwidth_limit", "dscp_marking", "minimum_bandwidth", "packet_rate_limit", "minimum_packet_rate",
    ]  # fmt: skip
    assert seen["policy"]["rules"][1] == {"id": mark["id"], "dscp_mark": 26, "type": "dscp_marking", "qos_policy_id": made["id"]}
    assert seen["policy"]["revision_number"] == 5
    found = await net("GET", f"{N}/qos/policies/{made['id']}/bandwidth_limit_rules")
    assert found["bandwidth_limit_rules"] == [limit]
    path = f"{N}/qos/alias_bandwidth_limit_rules/{limit['id']}"
    changed = await net("PUT", path, {"bandwidth_limit_rule": {"max_kbps": 2000, "direction": "ingress"}})
    assert changed["bandwidth_limit_rule"] == {**limit, "max_kbps": 2000, "direction": "ingress"}
    assert (await net("DELETE", path)).status == 204
    assert error(await net("GET", path))[:2] == (404, "QosRuleNotFound")
    assert (await net("DELETE", f"{N}/qos/policies/{made['id']}")).status == 204
    assert error(await net("GET", f"{N}/qos/policies/{made['id']}")) == (
        404, "QosPolicyNotFound", f"QoS policy {made['id']} could not be found.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("bandwidth_limit", {}, (400, "HTTPBadRequest")),
        ("bandwidth_limit", {"max_kbps": -1}, (400, "HTTPBadRequest")),
        ("bandwidth_limit", {"max_kbps": 5, "direction": "any"}, (400, "HTTPBadRequest")),
        ("bandwidth_limit", {"max_kbps": 5}, (409, "QoSRulesConflict")),
        ("minimum_bandwidth", {"min_kbps": 101}, (409, "QoSRuleParameterConflict")),
        ("dscp_marking", {"dscp_mark": 3}, (400, "HTTPBadRequest")),
        ("dscp_marking", {"dscp_mark": 8, "direction": "egress"}, (400, "HTTPBadRequest")),
    ],
)
async def test_rules_that_make_no_sense(net: Client, kind: str, values: dict[str, Any], expected: tuple[int, str]) -> None:
    made = await policy(net)
    await rule(net, made["id"], "bandwidth_limit", max_kbps=100)
    answer = await net("POST", f"{N}/qos/policies/{made['id']}/{kind}_rules", {f"{kind}_rule": values})
    assert error(answer)[:2] == expected
    assert len((await net("GET", f"{N}/qos/policies/{made['id']}"))["policy"]["rules"]) == 1


async def test_who_may(net: Client) -> None:
    answer = await net("POST", f"{N}/qos/policies", {"policy": {"name": "x"}}, token="alice")
    assert error(answer)[:2] == (403, "PolicyNotAuthorized")
    hidden, open_ = await policy(net, name="hidden"), await policy(net, name="open", shared=True)
    found = await net("GET", f"{N}/qos/policies", token="alice")
    assert [each["name"] for each in found["policies"]] == ["open"]
    assert (await net("GET", f"{N}/qos/policies/{hidden['id']}/dscp_marking_rules", token="alice")).status == 404
    path = f"{N}/qos/policies/{open_['id']}/dscp_marking_rules"
    assert (await net("POST", path, {"dscp_marking_rule": {"dscp_mark": 8}}, token="alice")).status == 403
    network = await make(net, "networks", qos_policy_id=open_["id"])
    answer = await net("PUT", f"{N}/networks/{network['id']}", {"network": {"qos_policy_id": hidden["id"]}}, token="alice")
    assert error(answer)[:2] == (404, "QosPolicyNotFound")


async def test_what_has_a_policy(net: Client) -> None:
    """Its field is shown of what was ever given one; a policy that something has stays."""
    made = await policy(net, shared=True)
    inside = await subnet(net)
    network = await show(net, "networks", inside["network_id"])
    port = await make(net, "ports", network_id=network["id"])
    assert "qos_policy_id" not in network
    assert not {"qos_policy_id", "qos_network_policy_id"} & port.keys()
    outer = await public(net)
    router = await make(net, "routers", external_gateway_info={"network_id": outer, "qos_policy_id": made["id"]})
    assert router["external_gateway_info"]["qos_policy_id"] == made["id"]
    floating = await make(net, "floatingips", floating_network_id=outer, qos_policy_id=made["id"])
    assert floating["qos_policy_id"] == made["id"]
    for key, path in (("network", f"networks/{network['id']}"), ("port", f"ports/{port['id']}")):
        changed = await net("PUT", f"{N}/{path}", {key: {"qos_policy_id": made["id"]}}, token="alice")
        assert changed[key]["qos_policy_id"] == made["id"]
    assert (await show(net, "ports", port["id"]))["qos_network_policy_id"] == made["id"]
    found = await net("GET", f"{N}/ports?qos_policy_id={made['id']}", token="alice")
    assert [each["id"] for each in found["ports"]] == [port["id"]]
    gateway = {"router": {"external_gateway_info": {"network_id": outer, "qos_policy_id": None}}}
    for key, path, body in (
        ("network", f"networks/{network['id']}", {"network": {"qos_policy_id": None}}),
        ("port", f"ports/{port['id']}", {"port": {"qos_policy_id": None}}),
        ("floatingip", f"floatingips/{floating['id']}", {"floatingip": {"qos_policy_id": None}}),
        ("router", f"routers/{router['id']}", gateway),
    ):
        answer = await net("DELETE", f"{N}/qos/policies/{made['id']}")
        assert error(answer)[1:] == ("QosPolicyInUse", f"QoS Policy {made['id']} is used by {key} {path.split('/')[1]}.")
        changed = await net("PUT", f"{N}/{path}", body, token="alice")
        shown = changed[key]["external_gateway_info"] if key == "router" else changed[key]
        assert shown["qos_policy_id"] is None
    assert (await net("DELETE", f"{N}/qos/policies/{made['id']}")).status == 204


async def test_the_default_policy_of_a_project(net: Client) -> None:
    made = await policy(net, is_default=True)
    answer = await net("POST", f"{N}/qos/policies", {"policy": {"is_default": True}})
    assert error(answer)[:2] == (409, "QoSPolicyDefaultAlreadyExists")
    assert (await make(net, "networks", "admin"))["qos_policy_id"] == made["id"]
    assert (await make(net, "networks", "admin", qos_policy_id=None))["qos_policy_id"] is None
    assert "qos_policy_id" not in await make(net, "networks", "alice")


async def test_kinds_of_rules(net: Client) -> None:
    found = await net("GET", f"{N}/qos/rule-types", token="alice")
    assert [each["type"] for each in found["rule_types"]] == [
        "bandwidth_limit", "dscp_marking", "minimum_bandwidth", "packet_rate_limit", "minimum_packet_rate",
    ]  # fmt: skip
    shown = (await net("GET", f"{N}/qos/rule-types/minimum_packet_rate"))["rule_type"]["drivers"][0]
    assert {"parameter_name": "direction", "parameter_type": "choices", "parameter_values": ["ingress", "egress", "any"]} in shown[
        "supported_parameters"
    ]
    assert (await net("GET", f"{N}/qos/rule-types/x")).status == 404


async def test_tags(net: Client) -> None:
    made = await policy(net)
    for prefix in ("policies", "qos/policies"):
        assert (await net("PUT", f"{N}/{prefix}/{made['id']}/tags/{prefix[:3]}")).status == 201
    assert (await net("GET", f"{N}/qos/policies?tags=qos,pol"))["policies"][0]["tags"] == ["pol", "qos"]
