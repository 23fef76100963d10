"""Ports: addresses, MACs, groups, who may say what, and what others see."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pileus.kit.context import internal
from pileus.network import actions
from tests.api.network import N, error, make, new_client, public, show, subnet
from tests.conftest import Client


@pytest.fixture
def net() -> Client:
    return new_client()


PAIRS = [{"ip_address": "1.1.1.1"}]


async def change(net: Client, port: str, token: str = "alice", **values: Any) -> dict[str, Any]:
    answer = await net("PUT", f"{N}/ports/{port}", {"port": values}, token=token)
    assert answer.status == 200, answer.text
    changed: dict[str, Any] = answer["port"]
    return changed


def addresses(port: dict[str, Any]) -> list[str]:
    return [ip["ip_address"] for ip in port["fixed_ips"]]


async def group(net: Client, name: str) -> str:
    found = await net("GET", f"{N}/security-groups?name={name}", token="alice")
    return str(found["security_groups"][0]["id"])


async def test_what_a_port_is_given(net: Client) -> None:
    made = await subnet(net)
    first, second = [await make(net, "ports", network_id=made["network_id"]) for _ in range(2)]
    assert [addresses(first), addresses(second)] == [["10.0.0.2"], ["10.0.0.3"]]
    assert re.fullmatch("fa:16:3e(:[0-9a-f]{2}){3}", first["mac_address"])
    assert first["mac_address"] != second["mac_address"]
    assert first["security_groups"] == [await group(net, "default")]
    assert (first["port_security_enabled"], first["device_id"], first["binding:vnic_type"]) == (True, "", "normal")
    assert "binding:host_id" not in first
    assert (await show(net, "ports", first["id"], "admin"))["binding:vif_type"] == "unbound"


async def test_one_address_of_each_protocol(net: Client) -> None:
    made = await subnet(net, "10.0.0.0/24")
    await subnet(net, "10.1.0.0/24", network=made["network_id"])
    await subnet(net, "fd00:1::/64", network=made["network_id"])
    await subnet(net, "fd00:2::/64", network=made["network_id"], ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    port = await make(net, "ports", network_id=made["network_id"], mac_address="fa:16:3e:00:00:01")
    assert addresses(port) == ["10.0.0.2", "fd00:1::2", "fd00:2::f816:3eff:fe00:1"]


async def test_a_network_without_subnets(net: Client) -> None:
    network = await make(net, "networks")
    port = await make(net, "ports", network_id=network["id"])
    (group,) = (await net("GET", f"{N}/security-groups?name=default", token="alice"))["security_groups"]
    assert (port["fixed_ips"], port["security_groups"]) == ([], [group["id"]])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"fixed_ips": [{"ip_address": "10.0.0.9"}]}, (409, "IpAddressAlreadyAllocated")),
        ({"fixed_ips": [{"ip_address": "10.0.0.255"}]}, (400, "InvalidIpForNetwork")),
        ({"fixed_ips": [{}]}, (400, "InvalidInput")),
        ({"fixed_ips": [{"subnet_id": "00000000-0000-0000-0000-000000000000"}]}, (400, "InvalidInput")),
        ({"fixed_ips": "x"}, (400, "HTTPBadRequest")),
        ({"fixed_ips": [{"ip_address": "x"}]}, (400, "HTTPBadRequest")),
        ({"fixed_ips": [{"ip_address": "10.0.0.7"}, {"ip_address": "10.0.0.7"}]}, (400, "HTTPBadRequest")),
        ({"mac_address": "fa:16:3e:00:00:09"}, (409, "MacAddressInUse")),
        ({"mac_address": "ff:ff:ff:ff:ff:ff"}, (400, "HTTPBadRequest")),
        ({"security_groups": ["00000000-0000-0000-0000-000000000000"]}, (404, "SecurityGroupNotFound")),
        ({"port_security_enabled": False, "security_groups": ["GROUP"]}, (400, "PortSecurityAndIPRequiredForSecurityGroups")),
        (
            {"port_security_enabled": False, "allowed_address_pairs": [{"ip_address": "1.1.1.1"}]},
            (409, "AddressPairAndPortSecurityRequired"),
        ),
        ({"allowed_address_pairs": [{"mac_address": "fa:16:3e:00:00:09"}]}, (400, "AllowedAddressPairsMissingIP")),
        ({"allowed_address_pairs": [{"ip_address": "1.1.1.1"}] * 2}, (400, "DuplicateAddressPairInRequest")),
        ({"allowed_address_pairs": [{"ip_address": f"1.1.1.{i}"} for i in range(11)]}, (400, "AllowedAddressPairExhausted")),
        ({"allowed_address_pairs": [{"ip_address": "x"}]}, (400, "HTTPBadRequest")),
        ({"extra_dhcp_opts": [{"opt_name": "", "opt_value": "x"}]}, (400, "InvalidInput")),
        ({"binding:vnic_type": "nope"}, (400, "HTTPBadRequest")),
        ({"binding:host_id": "h"}, (403, "PolicyNotAuthorized")),
        ({"status": "ACTIVE"}, (400, "HTTPBadRequest")),
    ],
)
async def test_refused_at_creation(net: Client, values: dict[str, Any], expected: tuple[int, str]) -> None:
    made = await subnet(net)
    first = {"fixed_ips": [{"ip_address": "10.0.0.9"}], "mac_address": "fa:16:3e:00:00:09"}
    await make(net, "ports", network_id=made["network_id"], **first)
    if values.get("security_groups") == ["GROUP"]:
        values = {**values, "security_groups": [await group(net, "default")]}
    answer = await net("POST", f"{N}/ports", {"port": {"network_id": made["network_id"], **values}}, token="alice")
    assert error(answer)[:2] == expected
    assert len((await net("GET", f"{N}/ports", token="alice"))["ports"]) == 1  # nothing is left of what was refused


async def test_addresses_run_out_and_come_back(net: Client) -> None:
    made = await subnet(net, "10.0.0.0/29", allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.3"}])
    ports = [await make(net, "ports", network_id=made["network_id"]) for _ in range(2)]
    answer = await net("POST", f"{N}/ports", {"port": {"network_id": made["network_id"]}}, token="alice")
    words = f"No more IP addresses available on network {made['network_id']}."
    assert error(answer) == (409, "IpAddressGenerationFailure", words)
    outside = await make(net, "ports", network_id=made["network_id"], fixed_ips=[{"ip_address": "10.0.0.5"}])
    assert addresses(outside) == ["10.0.0.5"]
    await net("DELETE", f"{N}/ports/{ports[0]['id']}", token="alice")
    assert (await net("POST", f"{N}/ports", {"port": {"network_id": made["network_id"]}}, token="alice")).status == 409
    net.app.store.delete("port", {"id": ports[0]["id"]})  # what a reconciler does when the host is seen without it
    again = await make(net, "ports", network_id=made["network_id"])
    assert addresses(again) == ["10.0.0.2"]


async def test_changing_addresses(net: Client) -> None:
    made = await subnet(net)
    port = await make(net, "ports", network_id=made["network_id"])
    more = [{"ip_address": "10.0.0.2"}, {"ip_address": "10.0.0.50"}, {"subnet_id": made["id"]}]
    changed = await change(net, port["id"], fixed_ips=more)
    assert addresses(changed) == ["10.0.0.2", "10.0.0.50", "10.0.0.3"]
    assert addresses(await change(net, port["id"], fixed_ips=[{"subnet_id": made["id"]}])) == ["10.0.0.2"]  # what it has is kept
    assert addresses(await change(net, port["id"], fixed_ips=[{"ip_address": "10.0.0.60"}])) == ["10.0.0.60"]
    assert (await change(net, port["id"], security_groups=[], fixed_ips=[]))["fixed_ips"] == []


async def test_changing_the_rest(net: Client) -> None:
    made = await subnet(net)
    port = await make(net, "ports", network_id=made["network_id"], extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1"}])
    other = await make(net, "security_groups", name="other")
    changed = await change(net, port["id"], name="p", security_groups=[other["id"]], device_id="d", admin_state_up=False)
    assert (changed["name"], changed["security_groups"], changed["device_id"]) == ("p", [other["id"]], "d")
    changed = await change(net, port["id"], extra_dhcp_opts=[{"opt_name": "a", "opt_value": "b"}, {"opt_name": "mtu", "opt_value": None}])
    assert changed["extra_dhcp_opts"] == [{"opt_name": "a", "opt_value": "b", "ip_version": 4}]
    pairs = [{"ip_address": "10.7.0.0/24"}]
    changed = await change(net, port["id"], allowed_address_pairs=pairs)
    assert changed["allowed_address_pairs"] == [{"ip_address": "10.7.0.0/24", "mac_address": port["mac_address"]}]
    answer = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"port_security_enabled": False}}, token="alice")
    assert error(answer)[:2] == (409, "PortSecurityPortHasSecurityGroup")
    changed = await change(net, port["id"], port_security_enabled=False, security_groups=[], allowed_address_pairs=[])
    assert (changed["port_security_enabled"], changed["security_groups"]) == (False, [])


async def test_a_mac_may_change_while_nothing_is_bound(net: Client) -> None:
    made = await subnet(net)
    port = await make(net, "ports", network_id=made["network_id"])
    answer = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"mac_address": "fa:16:3e:11:11:11"}}, token="alice")
    assert error(answer)[:2] == (403, "PolicyNotAuthorized")
    assert (await change(net, port["id"], "admin", mac_address="FA-16-3E-11-11-11"))["mac_address"] == "fa:16:3e:11:11:11"
    await change(net, port["id"], "admin", **{"binding:host_id": "here"})
    answer = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"mac_address": "fa:16:3e:11:11:12"}})
    assert error(answer)[:2] == (409, "PortBound")


async def test_on_a_network_of_others(net: Client) -> None:
    network = await make(net, "networks", "admin", shared=True)
    made = await subnet(net, token="admin", network=network["id"])
    for values in (
        {"mac_address": "fa:16:3e:00:00:09"},
        {"fixed_ips": [{"ip_address": "10.0.0.9"}]},
        {"port_security_enabled": False},
        {"allowed_address_pairs": []},
        {"device_owner": "network:dhcp"},
    ):
        answer = await net("POST", f"{N}/ports", {"port": {"network_id": network["id"], **values}}, token="bob")
        assert error(answer)[:2] == (403, "PolicyNotAuthorized"), values
        assert f"create_port:{next(iter(values))}" in error(answer)[2]
    port = await make(net, "ports", "bob", network_id=network["id"], fixed_ips=[{"subnet_id": made["id"]}])
    assert (await show(net, "ports", port["id"], "admin"))["id"] == port["id"]
    assert error(await net("GET", f"{N}/ports/{port['id']}", token="alice"))[:2] == (404, "PortNotFound")


async def test_groups_that_do_not_go_together(net: Client) -> None:
    made = await subnet(net)
    stateful, stateless = [await make(net, "security_groups", name="g", stateful=kind) for kind in (True, False)]
    both = {"network_id": made["network_id"], "security_groups": [stateful["id"], stateless["id"]]}
    words = "Error cannot apply both stateful and stateless security groups on the same port while attempting the operation."
    assert error(await net("POST", f"{N}/ports", {"port": both}, token="alice")) == (409, "SecurityGroupConflict", words)
    port = await make(net, "ports", network_id=made["network_id"], security_groups=[stateless["id"]])
    changed = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"security_groups": both["security_groups"]}}, token="alice")
    assert error(changed)[:2] == (409, "SecurityGroupConflict")
    assert (await show(net, "ports", port["id"]))["security_groups"] == [stateless["id"]]
    twice = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"security_groups": [stateless["id"]] * 2}}, token="alice")
    assert (twice.status, twice["port"]["security_groups"]) == (200, [stateless["id"]]), "the client names what is there and what is new"


async def test_a_port_without_addresses_may_be_in_groups(net: Client) -> None:
    network, group = await make(net, "networks"), await make(net, "security_groups", name="g")
    port = await make(net, "ports", network_id=network["id"], security_groups=[group["id"]])
    assert (port["fixed_ips"], port["security_groups"]) == ([], [group["id"]])
    for groups in ([], [group["id"]]):
        changed = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"security_groups": groups}}, token="alice")
        assert changed["port"]["security_groups"] == groups


async def test_a_networks_owner_sees_who_is_on_it(net: Client) -> None:
    made = await subnet(net)
    port = await make(net, "ports", "admin", network_id=made["network_id"])
    assert (await show(net, "ports", port["id"], "alice"))["id"] == port["id"]
    answer = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"name": "x"}}, token="alice")
    assert error(answer) == (404, "HTTPNotFound", "The resource could not be found.")
    assert (await net("DELETE", f"{N}/ports/{port['id']}", token="alice")).status == 204


async def test_filters(net: Client) -> None:
    made = await subnet(net)
    port = await make(net, "ports", network_id=made["network_id"], name="a", device_id="d", device_owner="compute:nova")
    await make(net, "ports", network_id=made["network_id"], name="b", security_groups=[])
    for query, expected in (
        ("device_id=d", ["a"]),
        ("device_owner=compute:nova&device_owner=other", ["a"]),
        (f"mac_address={port['mac_address'].upper()}", ["a"]),
        ("fixed_ips=ip_address=10.0.0.3", ["b"]),
        (f"fixed_ips=subnet_id={made['id']}&fixed_ips=ip_address=10.0.0.2", ["a"]),
        ("fixed_ips=ip_address_substr=0.0", ["a", "b"]),
        (f"security_groups={port['security_groups'][0]}", ["a"]),
        ("network_id=none", []),
    ):
        answer = await net("GET", f"{N}/ports?{query}&sort_key=name&sort_dir=asc", token="alice")
        assert [item["name"] for item in answer["ports"]] == expected, query
    assert error(await net("GET", f"{N}/ports?fixed_ips=x", token="alice"))[:2] == (400, "InvalidInput")


# -- what other services use -----------------------------------------------------------------------------------------------


async def test_addresses_of_devices(net: Client) -> None:
    made = await subnet(net)
    router = await make(net, "routers", external_gateway_info={"network_id": await public(net)})
    await net("PUT", f"{N}/routers/{router['id']}/add_router_interface", {"subnet_id": made["id"]}, token="alice")
    ctx = internal(net.app.cloud)
    ports = [
        actions.create_port(
            ctx,
            {
                "network_id": made["network_id"],
                "project_id": "1" * 32,
                "device_id": device,
                "device_owner": "compute:nova",
                "binding_host": "h",
            },
        )
        for device in ("s1", "s1", "s2")
    ]
    floating = await make(net, "floatingips", floating_network_id=await public(net), port_id=ports[1]["id"])
    found = actions.addresses_of_devices(net.app.store, ["s1", "s2", "s3"])
    assert [(a.address, a.floating) for a in found["s1"]] == [("10.0.0.2", None), ("10.0.0.3", floating["floating_ip_address"])]
    assert [a.mac_address for a in found["s2"]] == [ports[2]["mac_address"]]
    assert found["s3"] == []
    assert actions.addresses_of(net.app.store, [ports[2]["id"]])[ports[2]["id"]] == found["s2"]
    assert [port["id"] for port in actions.ports_of_device(net.app.store, "s1")] == [port["id"] for port in ports[:2]]
    assert (await show(net, "ports", ports[0]["id"], "admin"))["binding:vif_type"] == "bridge"


async def test_a_port_may_be_lent_to_a_device(net: Client) -> None:
    made = await subnet(net)
    port = await make(net, "ports", network_id=made["network_id"])
    ctx = internal(net.app.cloud)
    actions.bind_port(ctx, port["id"], "server", "compute:nova", "here")
    with pytest.raises(Exception, match="Port already has an attached device server"):
        actions.bind_port(ctx, port["id"], "another", "compute:nova", "here")
    actions.unbind_port(ctx, port["id"])
    left = await show(net, "ports", port["id"], "admin")
    assert (left["device_id"], left["device_owner"], left["binding:host_id"], addresses(left)) == ("", "", "", ["10.0.0.2"])
