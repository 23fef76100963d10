"""The field tables against the database, the extensions and the policies; and what a request costs in queries."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import pileus.network.actions
from pileus.app import migrations
from pileus.kit.clock import ManualClock
from pileus.kit.context import Cloud, Context, Credentials, internal
from pileus.kit.policy import ACTIONS
from pileus.kit.resource import Resource
from pileus.kit.store import Store
from pileus.network.actions.floating_ips import create_floating_ip, list_floating_ips
from pileus.network.actions.networks import create_network, list_networks
from pileus.network.actions.ports import create_port, list_ports
from pileus.network.actions.routers import add_router_interface, create_router, list_routers
from pileus.network.actions.scope import ABSENT, MINE
from pileus.network.actions.security_groups import create_security_group, list_security_groups
from pileus.network.actions.subnets import create_subnet, list_subnets
from pileus.network.api import NOUNS, ROUTES
from pileus.network.resources import ALL, FLOATING_IP, NETWORK, PORT, ROUTER, SECURITY_GROUP, SUBNET
from pileus.network.resources.extensions import KNOWN, offered
from pileus.openstack.listing import Listing

# what is handed to an action without being a column of the same name
ELSEWHERE = {
    "network": {"tenant_id"},
    "subnet": {"tenant_id", "prefixlen", "use_default_subnetpool"},
    "port": {"tenant_id", "fixed_ips", "security_groups"},
    "router": {"tenant_id", "external_gateway_info"},
    "floating_ip": {"tenant_id", "subnet_id"},
    "port_forwarding": {"tenant_id", *(f"{side}_port{end}" for side in ("internal", "external") for end in ("", "_range"))},
    "security_group": {"tenant_id"},
    "security_group_rule": {"tenant_id"},
    "address_group": {"tenant_id"},
    "rbac_policy": {"tenant_id"},
    "qos_policy": {"tenant_id", "shared"},
    "qos_rule": set(),
    "address_scope": {"tenant_id", "shared"},
    "default_security_group_rule": set(),
    "metering_label": {"tenant_id"},
    "metering_label_rule": {"tenant_id"},
    "network_flavor": {"service_profiles"},
    "segment": set(),
    "service_profile": set(),
    "subnetpool": {"tenant_id", "shared"},
    "trunk": {"tenant_id", "sub_ports"},
    "network_log": {"tenant_id"},
}


@pytest.fixture
def ctx() -> Context:
    return internal(Cloud(Store(":memory:", migrations(), synchronous="off"), ManualClock(), lambda kind, id: None))


@pytest.mark.parametrize("resource", ALL, ids=lambda r: r.key)
def test_fields_are_columns(ctx: Context, resource: Resource) -> None:
    columns = {row["name"] for row in ctx.store.query(f"PRAGMA table_info({resource.table})")}
    written = {f.key for f in resource.fields if f.create or f.update}
    assert written - columns == ELSEWHERE[resource.table]
    assert {*resource.filters.values(), *resource.sorts.values()} <= columns
    assert {"project_id", "created_at", "updated_at", "revision", "description"} <= columns
    for verb in ("create", "update"):
        takes = any(getattr(f, verb) for f in resource.fields)
        assert bool(resource.schema(verb, (2, 0))["properties"]) == takes  # type: ignore[arg-type]


def test_extensions_are_those_of_the_fields() -> None:
    assert set(offered()) == set(KNOWN)


def test_every_table_has_its_words_and_its_scope() -> None:
    assert {noun.resource.table for noun in NOUNS} <= ABSENT.keys() & MINE.keys()


def test_every_verb_has_a_rule() -> None:
    verbs = ("find_", "list_", "create_", "update_", "delete_", "show_", "add_", "remove_router", "replace_", "check_tag")
    for module in pkgutil.iter_modules(pileus.network.actions.__path__):
        loaded = importlib.import_module(f"pileus.network.actions.{module.name}")
        for name, value in vars(loaded).items():
            if getattr(value, "__module__", "") == loaded.__name__ and callable(value) and name.startswith(verbs):
                assert f"{loaded.__name__}.{name}" in ACTIONS, f"{loaded.__name__}.{name} has no rule"


def test_every_route_says_what_it_does() -> None:
    paths = [(route.method, route.path) for route in ROUTES]
    assert len(paths) == len(set(paths))
    assert [route.path for route in ROUTES if not (route.doc or route.handler.__doc__)] == []


def test_a_list_costs_the_same_queries_however_long_it_is(ctx: Context) -> None:
    """One query for the page, and one for each relation: never one per row."""
    rows = {"project_id": "p"}
    outside = create_network(ctx, {**rows, "name": "out", "external": True})
    create_subnet(ctx, {**rows, "network_id": outside["id"], "ip_version": 4, "cidr": "172.16.0.0/24", "enable_dhcp": False})
    for i in range(6):
        network = create_network(ctx, {**rows, "name": f"n{i}"})
        subnet = create_subnet(ctx, {**rows, "network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24", "enable_dhcp": True})
        port = create_port(ctx, {**rows, "network_id": network["id"]})
        router = create_router(ctx, {**rows, "external_gateway_info": {"network_id": outside["id"]}})
        add_router_interface(ctx, router["id"], {"subnet_id": subnet["id"]})
        create_floating_ip(ctx, {**rows, "floating_network_id": outside["id"], "port_id": port["id"]})
        create_security_group(ctx, {**rows, "name": f"g{i}"})
    member = Context(ctx.cloud, Credentials(user_id="u", project_id="p", roles=frozenset({"member"})))
    for who in (ctx, member):
        for resource, list_, most in (
            (NETWORK, list_networks, 4),
            (SUBNET, list_subnets, 2),
            (PORT, list_ports, 6),
            (ROUTER, list_routers, 3),
            (FLOATING_IP, list_floating_ips, 4),
            (SECURITY_GROUP, list_security_groups, 5),
        ):
            asked: list[str] = []
            ctx.store._db.set_trace_callback(asked.append)
            found, _ = list_(who, Listing())
            shown = resource.views(found, who)
            ctx.store._db.set_trace_callback(None)
            assert len(shown) >= 6
            assert len(asked) <= most, (resource.key, asked)
