"""What an operator looks at and sets for all: agents, meters, kinds of routers, first rules, segments, networks made for those who ask."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import ONE, TWO, N, error, make, new_client, public, show, subnet
from tests.conftest import Client


@pytest.fixture
def net() -> Client:
    return new_client()


# -- agents ----------------------------------------------------------------------------------------------------------------


async def agent(net: Client, kind: str) -> dict[str, Any]:
    (found,) = (await net("GET", f"{N}/agents?agent_type={kind.replace(' ', '%20')}"))["agents"]
    assert isinstance(found, dict)
    return found


async def test_the_machine_as_agents(net: Client) -> None:
    found = (await net("GET", f"{N}/agents"))["agents"]
    assert [each["agent_type"] for each in found] == ["Linux bridge agent", "DHCP agent", "L3 agent"]
    assert all(each["alive"] and each["admin_state_up"] for each in found)
    assert [each["availability_zone"] for each in found] == [None, "nova", "nova"]
    assert (await net("GET", f"{N}/agents", token="alice"))["agents"] == []
    at = f"{N}/agents/{found[1]['id']}"
    assert error(await net("GET", at, token="alice"))[:2] == (404, "AgentNotFound")
    changed = await net("PUT", at, {"agent": {"admin_state_up": False, "description": "gives addresses"}})
    assert (changed["agent"]["admin_state_up"], changed["agent"]["description"]) == (False, "gives addresses")
    assert [each["id"] for each in (await net("GET", f"{N}/agents?admin_state_up=false"))["agents"]] == [found[1]["id"]]
    network = await make(net, "networks", "admin")
    refused = await net("POST", f"{at}/dhcp-networks", {"network_id": network["id"]})
    assert error(refused)[:2] == (404, "InvalidDHCPAgent")
    assert error(await net("PUT", at, {"agent": {"host": "x"}}))[:2] == (400, "HTTPBadRequest")
    assert error(await net("PUT", at, {"agent": {"admin_state_up": True}}, token="alice"))[:2] == (403, "PolicyNotAuthorized")
    assert (await net("DELETE", at)).status == 204
    assert (await net("GET", at))["agent"]["admin_state_up"] is True
    assert error(await net("GET", f"{N}/agents?nope=1"))[:2] == (400, "HTTPBadRequest")


async def test_a_network_is_taken_off_and_given_back(net: Client) -> None:
    made = await subnet(net)
    id = (await agent(net, "DHCP agent"))["id"]
    networks, hosts = f"{N}/agents/{id}/dhcp-networks", f"{N}/networks/{made['network_id']}/dhcp-agents"
    assert made["network_id"] in [each["id"] for each in (await net("GET", networks))["networks"]]
    assert [each["id"] for each in (await net("GET", hosts))["agents"]] == [id]
    twice = await net("POST", networks, {"network_id": made["network_id"]})
    words = f"The network {made['network_id']} has been already hosted by the DHCP Agent {id}."
    assert error(twice) == (409, "NetworkHostedByDHCPAgent", words)
    assert (await net("DELETE", f"{networks}/{made['network_id']}")).status == 204
    assert (await net("GET", hosts))["agents"] == []
    assert (await show(net, "networks", made["network_id"]))["availability_zones"] == []
    again = await net("DELETE", f"{networks}/{made['network_id']}")
    assert error(again)[:2] == (409, "NetworkNotHostedByDhcpAgent")
    assert (await net("POST", networks, {"network_id": made["network_id"]})).status == 201
    assert [each["id"] for each in (await net("GET", hosts))["agents"]] == [id]
    assert error(await net("GET", hosts, token="alice"))[:2] == (403, "PolicyNotAuthorized")
    empty = await make(net, "networks")
    assert (await net("GET", f"{N}/networks/{empty['id']}/dhcp-agents"))["agents"] == []


async def test_a_router_is_taken_off_and_given_back(net: Client) -> None:
    router = await make(net, "routers", external_gateway_info={"network_id": await public(net)})
    id = (await agent(net, "l3 agent"))["id"]
    routers, hosts = f"{N}/agents/{id}/l3-routers", f"{N}/routers/{router['id']}/l3-agents"
    assert [each["id"] for each in (await net("GET", routers))["routers"]] == [router["id"]]
    assert [each["ha_state"] for each in (await net("GET", hosts))["agents"]] == [None]
    woken: list[tuple[str, str]] = []
    net.app.cloud.wake_now = lambda kind, id: woken.append((kind, id))
    assert (await net("DELETE", f"{routers}/{router['id']}")).status == 204
    assert woken == [("router", router["id"])]
    assert (await net("GET", hosts))["agents"] == []
    assert error(await net("DELETE", f"{routers}/{router['id']}"))[:2] == (409, "RouterNotHostedByL3Agent")
    for _ in range(2):
        assert (await net("POST", routers, {"router_id": router["id"]})).status == 201
    assert [each["id"] for each in (await net("GET", hosts))["agents"]] == [id]
    bridges = (await agent(net, "Linux bridge agent"))["id"]
    assert error(await net("POST", f"{N}/agents/{bridges}/l3-routers", {"router_id": router["id"]}))[:2] == (404, "InvalidL3Agent")


# -- meters ----------------------------------------------------------------------------------------------------------------


async def test_meters(net: Client) -> None:
    label = await make(net, "metering_labels", "admin", name="m", description="d", tenant_id=ONE)
    assert (label["shared"], label["project_id"]) == (False, ONE)
    rule = await make(
        net, "metering_label_rules", "admin", metering_label_id=label["id"], direction="ingress", remote_ip_prefix="10.0.0.0/24"
    )
    assert (rule["excluded"], rule["remote_ip_prefix"], rule["source_ip_prefix"], rule["project_id"]) == (False, "10.0.0.0/24", None, ONE)
    at, rules = f"{N}/metering/metering-labels/{label['id']}", f"{N}/metering/metering-label-rules"
    assert (await net("GET", at, token="ray")).status == 200
    assert error(await net("GET", at, token="bob")) == (404, "MeteringLabelNotFound", f"Metering label {label['id']} does not exist.")
    assert len((await net("GET", rules, token="alice"))["metering_label_rules"]) == 1
    assert (await net("GET", f"{rules}?id=33"))["metering_label_rules"] == []
    for values, expected in (
        ({"remote_ip_prefix": "10.0.0.128/25"}, (409, "MeteringLabelRuleOverlaps")),
        ({"remote_ip_prefix": "10.0.1.1"}, (400, "HTTPBadRequest")),
        ({}, (400, "InvalidInput")),
        ({"remote_ip_prefix": "10.0.1.0/24", "source_ip_prefix": "10.0.2.0/24"}, (400, "MeteringLabelRuleNotValid")),
    ):
        body = {"metering_label_rule": {"metering_label_id": label["id"], "direction": "ingress", **values}}
        assert error(await net("POST", rules, body))[:2] == expected, values
    denied = await net("POST", f"{N}/metering/metering-labels", {"metering_label": {}}, token="alice")
    assert error(denied)[:2] == (403, "PolicyNotAuthorized")
    assert (await make(net, "metering_labels", "admin", shared=True))["shared"] is True
    assert len((await net("GET", f"{N}/metering/metering-labels", token="bob"))["metering_labels"]) == 1
    assert (await net("DELETE", at)).status == 204
    assert error(await net("GET", f"{rules}/{rule['id']}"))[:2] == (404, "MeteringLabelRuleNotFound")


# -- kinds of routers ------------------------------------------------------------------------------------------------------


async def test_flavors_of_routers(net: Client) -> None:
    flavor = await make(net, "flavors", "admin", name="f", service_type="L3_ROUTER_NAT")
    assert (flavor["enabled"], flavor["service_profiles"], flavor["description"]) == (True, [], "")
    empty = await net("POST", f"{N}/service_profiles", {"service_profile": {}})
    assert error(empty) == (400, "ServiceProfileEmpty", "Service Profile needs either a driver or metainfo.")
    strange = await net("POST", f"{N}/service_profiles", {"service_profile": {"driver": "x"}})
    assert error(strange)[:2] == (404, "ServiceProfileDriverNotFound")
    profile = await make(net, "service_profiles", "admin", driver="single_node", metainfo={"a": 1})
    assert profile["metainfo"] == '{"a": 1}'
    at = f"{N}/flavors/{flavor['id']}/service_profiles"
    body = {"router": {"flavor_id": flavor["id"]}}
    assert error(await net("POST", f"{N}/routers", body, token="alice"))[:2] == (404, "FlavorServiceProfileBindingNotFound")
    assert (await net("POST", at, {"service_profile": {"id": profile["id"]}})).status == 201
    assert error(await net("POST", at, {"service_profile": {"id": profile["id"]}}))[:2] == (409, "FlavorServiceProfileBindingExists")
    assert (await show(net, "flavors", flavor["id"]))["service_profiles"] == [profile["id"]]
    providers = (await net("GET", f"{N}/flavors/{flavor['id']}/next_providers"))["next_providers"]
    assert providers == [{"driver": "single_node", "provider": "single_node"}]
    router = await make(net, "routers", flavor_id=flavor["id"])
    assert router["flavor_id"] == flavor["id"]
    assert error(await net("DELETE", f"{N}/flavors/{flavor['id']}"))[:2] == (409, "FlavorInUse")
    assert error(await net("DELETE", f"{N}/service_profiles/{profile['id']}"))[:2] == (409, "ServiceProfileInUse")
    await net("DELETE", f"{N}/routers/{router['id']}", token="alice")
    off = await net("PUT", f"{N}/flavors/{flavor['id']}", {"flavor": {"enabled": False}})
    assert off["flavor"]["enabled"] is False
    assert error(await net("POST", f"{N}/routers", body, token="alice"))[:2] == (409, "FlavorDisabled")
    assert (await net("DELETE", f"{at}/{profile['id']}")).status == 204
    assert error(await net("DELETE", f"{at}/{profile['id']}"))[:2] == (404, "FlavorServiceProfileBindingNotFound")
    assert (await net("DELETE", f"{N}/service_profiles/{profile['id']}")).status == 204
    assert (await net("DELETE", f"{N}/flavors/{flavor['id']}")).status == 204
    for method, url in (("GET", f"{N}/service_profiles"), ("POST", f"{N}/flavors"), ("POST", f"{N}/service_profiles")):
        assert error(await net(method, url, {"flavor": {}} if method == "POST" else None, token="alice"))[0] in (400, 403)


# -- first rules -----------------------------------------------------------------------------------------------------------


async def test_what_new_groups_start_with(net: Client) -> None:
    at = f"{N}/default-security-group-rules"
    first = (await net("GET", at, token="alice"))["default_security_group_rules"]
    assert [(r["direction"], r["ethertype"], r["remote_group_id"], r["used_in_non_default_sg"]) for r in first] == [
        ("egress", "IPv4", None, True),
        ("ingress", "IPv4", "PARENT", False),
        ("egress", "IPv6", None, True),
        ("ingress", "IPv6", "PARENT", False),
    ]
    ssh = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    made = await make(net, "default_security_group_rules", "admin", **ssh, used_in_default_sg=True)
    assert (made["used_in_default_sg"], made["used_in_non_default_sg"], made["remote_group_id"]) == (True, True, None)
    assert error(await net("POST", at, {"default_security_group_rule": ssh}))[:2] == (409, "DefaultSecurityGroupRuleExists")
    assert error(await net("POST", at, {"default_security_group_rule": ssh}, token="alice"))[:2] == (403, "PolicyNotAuthorized")
    bad = {**ssh, "port_range_max": 1}
    assert error(await net("POST", at, {"default_security_group_rule": bad}))[:2] == (400, "SecurityGroupInvalidPortRange")
    group = await make(net, "security_groups", name="g")
    assert [(r["protocol"], r["direction"]) for r in group["security_group_rules"]] == [
        (None, "egress"),
        (None, "egress"),
        ("tcp", "ingress"),
    ]
    default = (await net("GET", f"{N}/security-groups?name=default", token="bob"))["security_groups"][0]
    assert len(default["security_group_rules"]) == 5
    assert sum(r["remote_group_id"] == default["id"] for r in default["security_group_rules"]) == 2
    assert (await net("DELETE", f"{at}/{made['id']}")).status == 204
    assert error(await net("GET", f"{at}/{made['id']}"))[:2] == (404, "DefaultSecurityGroupRuleNotFound")
    assert len((await make(net, "security_groups", name="h"))["security_group_rules"]) == 2


# -- segments --------------------------------------------------------------------------------------------------------------


async def test_segments(net: Client) -> None:
    network = await make(net, "networks", "admin")
    (first,) = (await net("GET", f"{N}/segments?network_id={network['id']}"))["segments"]
    assert (first["network_type"], first["segmentation_id"]) == ("vxlan", network["provider:segmentation_id"])
    assert (await net("GET", f"{N}/segments", token="alice"))["segments"] == []
    second = await make(net, "segments", "admin", network_id=network["id"], network_type="geneve", segmentation_id=2055, name="s")
    assert (second["name"], second["segmentation_id"]) == ("s", 2055)
    changed = await net("PUT", f"{N}/segments/{second['id']}", {"segment": {"description": "d"}})
    assert changed["segment"]["description"] == "d"
    body = {"segment": {"network_id": network["id"], "network_type": "geneve", "segmentation_id": 2055}}
    assert error(await net("POST", f"{N}/segments", body))[:2] == (409, "TunnelIdInUse")
    assert error(await net("DELETE", f"{N}/segments/{first['id']}"))[:2] == (409, "SegmentInUse")
    assert (await net("DELETE", f"{N}/segments/{second['id']}")).status == 204
    assert (await net("DELETE", f"{N}/networks/{network['id']}")).status == 204
    assert error(await net("GET", f"{N}/segments/{first['id']}"))[:2] == (404, "SegmentNotFound")


# -- a network for whoever asks for none -----------------------------------------------------------------------------------


async def test_a_network_for_whoever_asks_for_none(net: Client) -> None:
    at = f"{N}/auto-allocated-topology/{ONE}"
    words = "Deployment error: No default subnetpools defined."
    assert error(await net("GET", f"{at}?fields=dry-run", token="alice")) == (409, "AutoAllocationFailure", words)
    await make(net, "subnetpools", "admin", name="p", prefixes="10.0.0.0/8", default_prefixlen=24, is_default=True, shared=True)
    dry = await net("GET", f"{at}?fields=dry-run", token="alice")
    assert dry["auto_allocated_topology"]["id"] == "dry-run=pass"
    made = (await net("GET", at, token="alice"))["auto_allocated_topology"]
    assert (await net("GET", at, token="alice"))["auto_allocated_topology"] == made
    network = await show(net, "networks", made["id"])
    assert (network["name"], network["admin_state_up"], network["project_id"]) == ("auto_allocated_network", True, ONE)
    (router,) = (await net("GET", f"{N}/routers", token="alice"))["routers"]
    assert router["external_gateway_info"]["network_id"] == await public(net)
    assert error(await net("GET", f"{N}/auto-allocated-topology/{TWO}", token="alice"))[:2] == (403, "PolicyNotAuthorized")
    port = await make(net, "ports", network_id=made["id"])
    assert error(await net("DELETE", at, token="alice"))[:2] == (409, "NetworkInUse")
    assert len((await net("GET", f"{N}/routers", token="alice"))["routers"]) == 1
    await net("DELETE", f"{N}/ports/{port['id']}", token="alice")
    assert error(await net("DELETE", at, token="ray"))[:2] == (403, "PolicyNotAuthorized")
    assert (await net("DELETE", at, token="alice")).status == 204
    assert (await net("GET", f"{N}/routers", token="alice"))["routers"] == []
    assert error(await net("DELETE", at, token="alice"))[:2] == (404, "AutoAllocatedTopologyNotFound")


# -- routes ----------------------------------------------------------------------------------------------------------------


async def test_routes_a_few_at_a_time(net: Client) -> None:
    router = await make(net, "routers")
    made = await subnet(net)
    await net("PUT", f"{N}/routers/{router['id']}/add_router_interface", {"subnet_id": made["id"]}, token="alice")
    at = f"{N}/routers/{router['id']}"
    first, second = ({"destination": f"10.{i}.0.0/16", "nexthop": "10.0.0.9"} for i in (8, 9))
    for routes, expected in (([first], [first]), ([first, second], [first, second])):
        answer = await net("PUT", f"{at}/add_extraroutes", {"router": {"routes": routes}}, token="alice")
        assert answer["router"]["routes"] == expected
    gone = await net("PUT", f"{at}/remove_extraroutes", {"router": {"routes": [first, {**first, "nexthop": "10.0.0.7"}]}}, token="alice")
    assert gone["router"]["routes"] == [second]
    bad = {"router": {"routes": [{"destination": "10.1.0.0/16", "nexthop": "192.168.9.9"}]}}
    assert error(await net("PUT", f"{at}/add_extraroutes", bad, token="alice"))[:2] == (400, "InvalidRoutes")
    assert error(await net("PUT", f"{at}/add_extraroutes", {"router": {}}, token="alice"))[:2] == (400, "HTTPBadRequest")
    assert error(await net("PUT", f"{at}/add_extraroutes", {"router": {"routes": []}}, token="ray"))[:2] == (403, "PolicyNotAuthorized")


async def test_an_outside_goes_with_what_leads_nowhere(net: Client) -> None:
    outside = await make(net, "networks", "admin", **{"router:external": True})
    await subnet(net, "172.16.0.0/24", "admin", outside["id"], enable_dhcp=False)
    floating = await make(net, "floatingips", "alice", floating_network_id=outside["id"])
    assert (await net("GET", f"{N}/subnets?network_id={outside['id']}", token="alice"))["subnets"] == []
    assert (await net("DELETE", f"{N}/networks/{outside['id']}")).status == 204
    assert error(await net("GET", f"{N}/floatingips/{floating['id']}", token="alice"))[:2] == (404, "FloatingIPNotFound")
