"""Nonsense in every field, filter and path is refused in words: nothing a client sends makes the service fail."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from pileus.kit.resource import Resource
from pileus.network.api import NOUNS, ROUTES
from tests.api.network import N, make, new_client, public, subnet
from tests.conftest import Client

JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    1e400,
    "",
    " ",
    "x" * 5000,
    "\u0000",
    "999999999999999999999999",
    [],
    [None],
    [[]],
    [{}],
    [1, 1],
    ["10.0.0.1"] * 3,
    {},
    {"id": 1},
    {"network_id": None},
    {"network_id": [], "external_fixed_ips": 3},
    [{"start": 1, "end": []}],
    [{"destination": 1, "nexthop": {}}],
    [{"destination": "fd00::/8", "nexthop": "::1"}],
    [{"ip_address": {}, "mac_address": []}],
    [{"opt_name": None, "opt_value": []}],
    "10.0.0.0/8",
    "::/0",
    "00000000-0000-0000-0000-000000000000",
)


QUERIES = ("", "x", "-1", "9" * 30, "\u0000", "ip_address=", "0001-01-01T00:00:00+23:59", "é")


@pytest.fixture
def net() -> Client:
    return new_client()


async def examples(net: Client) -> dict[str, dict[str, Any]]:
    """One of each noun, and what is needed to make another: by the noun's key."""
    made = await subnet(net, token="admin")
    outside = await public(net)
    group = await make(net, "security_groups", "admin", name="g")
    label = await make(net, "metering_labels", "admin")
    needs: dict[str, dict[str, Any]] = {
        "network": {},
        "subnet": {"network_id": made["network_id"], "ip_version": 4, "cidr": "10.77.0.0/24"},
        "port": {"network_id": made["network_id"]},
        "router": {},
        "floatingip": {"floating_network_id": outside},
        "security_group": {},
        "security_group_rule": {"security_group_id": group["id"], "direction": "ingress"},
        "rbac_policy": {"object_type": "network", "object_id": made["network_id"], "target_tenant": "t", "action": "access_as_shared"},
        "address_group": {},
        "policy": {},
        "address_scope": {"ip_version": 4},
        "default_security_group_rule": {"direction": "ingress"},
        "flavor": {"service_type": "L3_ROUTER_NAT"},
        "metering_label": {},
        "metering_label_rule": {"metering_label_id": label["id"], "direction": "ingress", "remote_ip_prefix": "10.0.0.0/8"},
        "segment": {"network_id": made["network_id"], "network_type": "geneve"},
        "service_profile": {"metainfo": "{}"},
        "subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"]},
        "trunk": {},
        "log": {"resource_type": "security_group"},
    }
    unlimited = dict.fromkeys(("network", "router", "floatingip", "port", "security_group", "rbac_policy"), -1)
    await net("PUT", f"{N}/quotas/{made['project_id']}", {"quota": unlimited})
    return needs


async def one(net: Client, noun: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a new one needs, and one that was made so."""
    needs = (await examples(net))[noun.resource.key]
    if noun.path == "trunks":
        network = (await subnet(net, "10.66.0.0/24", "admin"))["network_id"]
        needs = {"port_id": (await make(net, "ports", "admin", network_id=network))["id"]}
    answer = await net("POST", f"{N}/{noun.path}", {noun.resource.key: needs})
    assert answer.status == 201, answer.text
    return needs, answer[noun.resource.key]


async def told(net: Client, method: str, path: str, body: Any = None) -> None:
    answer = await net(method, path, json.dumps(body).replace("Infinity", "1e400") if body is not None else None)
    assert answer.status < 500, (method, path, body, answer.text)
    if answer.status >= 400:
        assert answer["NeutronError"]["message"], (path, body)


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.path)
async def test_fields(net: Client, noun: Any) -> None:
    resource: Resource = noun.resource
    needs, row = await one(net, noun)
    for field in resource.fields:
        for junk in JUNK:
            if field.create:
                await told(net, "POST", f"{N}/{noun.path}", {resource.key: {**needs, field.name: junk}})
            if field.update:
                await told(net, "PUT", f"{N}/{noun.path}/{row['id']}", {resource.key: {field.name: junk}})
    for junk in JUNK:
        await told(net, "POST", f"{N}/{noun.path}", junk)
        await told(net, "POST", f"{N}/{noun.path}", {resource.key: junk})
        await told(net, "POST", f"{N}/{noun.path}", {resource.plural: junk})
        await told(net, "PUT", f"{N}/{noun.path}/{row['id']}", {resource.key: junk})


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.path)
async def test_queries(net: Client, noun: Any) -> None:
    await one(net, noun)
    names = {f.name for f in noun.resource.fields} | {
        "limit",
        "marker",
        "sort_key",
        "sort_dir",
        "fields",
        "page_reverse",
        "tags",
        "changed_since",
    }
    for name in sorted({*names, *noun.special}):
        for junk in QUERIES:
            await told(net, "GET", f"{N}/{noun.path}?{quote(name)}={quote(junk)}")
    for junk in QUERIES:
        await told(net, "GET", f"{N}/{noun.path}?limit=1&marker={quote(junk)}&page_reverse=True")


@pytest.mark.parametrize("id", ["x", "%00", "a%2Fb%C3%A9"])
async def test_paths(net: Client, id: str) -> None:
    for route in ROUTES:
        path = "/network" + route.path.replace("{id}", id).replace("{key}", id).replace("{policy}", id)
        for body in (
            None,
            {},
            {"tags": None},
            {"port_id": None},
            {"subnet_id": [1]},
            {"quota": {"network": [1]}},
            {"sub_ports": [{"port_id": 1}]},
        ):
            await told(net, route.method, path, body if route.method in ("POST", "PUT") else None)
