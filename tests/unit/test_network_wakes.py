"""Who is woken by what: every write that the host must hear of, once it has committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pileus.app import migrations
from pileus.errors import Fault
from pileus.kit.clock import ManualClock
from pileus.kit.context import Cloud, Context, internal
from pileus.kit.store import Row, Store
from pileus.network.actions.floating_ips import create_floating_ip, delete_floating_ip, update_floating_ip
from pileus.network.actions.networks import create_network, delete_network, update_network
from pileus.network.actions.ports import bind_port, create_port, delete_port, unbind_port, update_port
from pileus.network.actions.routers import add_router_interface, create_router, delete_router, remove_router_interface, update_router
from pileus.network.actions.rules import create_security_group_rule, delete_security_group_rule
from pileus.network.actions.security_groups import create_security_group, delete_security_group
from pileus.network.actions.subnets import create_subnet, delete_subnet, update_subnet

RULE = {
    "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 1, "port_range_max": 2, "remote_ip_prefix": None,
    "remote_group_id": None, "remote_address_group_id": None,
}  # fmt: skip


class World:
    """A small topology, and what was woken since it was last asked."""

    def __init__(self) -> None:
        self.woken: set[tuple[str, str]] = set()
        store = Store(":memory:", migrations(), synchronous="off")
        self.ctx: Context = internal(Cloud(store, ManualClock(), lambda kind, id: self.woken.add((kind, id))))
        of = {"project_id": "p"}
        self.outside = create_network(self.ctx, {**of, "name": "out", "external": True})
        self.inside = create_network(self.ctx, {**of, "name": "in"})
        wide = {**of, "ip_version": 4, "enable_dhcp": False}
        self.street = create_subnet(self.ctx, {**wide, "network_id": self.outside["id"], "cidr": "172.16.0.0/24"})
        self.subnet = create_subnet(self.ctx, {**wide, "network_id": self.inside["id"], "cidr": "10.0.0.0/24"})
        self.router = create_router(self.ctx, {**of, "external_gateway_info": {"network_id": self.outside["id"]}})
        self.leg = add_router_interface(self.ctx, self.router["id"], {"subnet_id": self.subnet["id"]})["port_id"]
        self.port = create_port(self.ctx, {**of, "network_id": self.inside["id"]})
        self.floating = create_floating_ip(self.ctx, {**of, "floating_network_id": self.outside["id"], "port_id": self.port["id"]})
        self.group = create_security_group(self.ctx, {**of, "name": "g"})
        self.default = store.find("port_security_group", {"port_id": self.port["id"]})[0]["security_group_id"]
        self.woken.clear()

    def id(self, name: str) -> str:
        value: Any = getattr(self, name)
        return str(value if isinstance(value, str) else value["id"])


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.ctx.store.close()


def rule(world: World) -> Row:
    return create_security_group_rule(world.ctx, {**RULE, "project_id": "p", "security_group_id": world.id("group")})


def regroup(world: World) -> None:
    update_port(world.ctx, world.id("port"), {"security_groups": [world.id("group")]})


def drop_rule(world: World) -> None:
    made = rule(world)
    world.woken.clear()
    delete_security_group_rule(world.ctx, made["id"])


@pytest.mark.parametrize(
    ("do", "woken"),
    [
        (lambda w: update_network(w.ctx, w.id("inside"), {"name": "x"}), ["network inside"]),
        (lambda w: update_network(w.ctx, w.id("inside"), {"mtu": 1300}), ["network inside", "port leg", "port port"]),
        (lambda w: update_network(w.ctx, w.id("inside"), {"admin_state_up": False}), ["network inside", "port leg", "port port"]),
        (lambda w: create_subnet(w.ctx, {"project_id": "p", "network_id": w.id("inside"), "ip_version": 4, "cidr": "10.2.0.0/24"}),
         ["network inside"]),
        (lambda w: update_subnet(w.ctx, w.id("subnet"), {"dns_nameservers": ["1.1.1.1"]}), ["network inside"]),
        (lambda w: update_subnet(w.ctx, w.id("street"), {"gateway_ip": None}), ["network outside", "router router"]),
        (lambda w: update_port(w.ctx, w.id("port"), {"name": "x"}), ["port port", "router router"]),
        (lambda w: bind_port(w.ctx, w.id("port"), "server", "compute:nova", "h"), ["port port", "router router"]),
        (lambda w: unbind_port(w.ctx, w.id("port")), ["port port", "router router"]),
        (regroup, ["port port", "router router", "security_group default"]),
        (lambda w: delete_port(w.ctx, w.id("port")), ["port port", "router router", "security_group default"]),
        (lambda w: update_router(w.ctx, w.id("router"), {"admin_state_up": False}), ["router router"]),
        (lambda w: update_floating_ip(w.ctx, w.id("floating"), {"port_id": None}), ["router router"]),
        (rule, ["security_group group"]),
        (drop_rule, ["security_group group"]),
        (lambda w: delete_security_group(w.ctx, w.id("group")), ["security_group group"]),
    ],
)  # fmt: skip
def test_woken(world: World, do: Callable[[World], object], woken: list[str]) -> None:
    do(world)
    names = {world.id(name): name for name in ("outside", "inside", "port", "leg", "router", "group", "default")}
    assert sorted(f"{kind} {names.get(id, id)}" for kind, id in world.woken) == woken


def test_from_the_top_to_nothing(world: World) -> None:
    """Everything is wished away, each in its turn, and every object of the host hears of it."""
    gateway = world.ctx.store.find("port", {"device_owner": "network:router_gateway"})[0]["id"]
    delete_floating_ip(world.ctx, world.id("floating"))
    delete_port(world.ctx, world.id("port"))
    remove_router_interface(world.ctx, world.id("router"), {"subnet_id": world.id("subnet")})
    delete_subnet(world.ctx, world.id("subnet"))
    delete_router(world.ctx, world.id("router"))
    delete_network(world.ctx, world.id("inside"))
    delete_network(world.ctx, world.id("outside"))
    place = world.floating["floating_port_id"]
    expected = {("port", id) for id in (world.id("port"), world.leg, gateway, place)}
    expected |= {
        ("security_group", world.default),
        ("network", world.id("inside")),
        ("network", world.id("outside")),
        ("router", world.id("router")),
    }
    assert world.woken == expected
    for table in ("network", "port", "router", "floating_ip", "subnet"):
        assert world.ctx.store.find(table) == [], table
    assert {row["id"] for row in world.ctx.store.find("port", hidden=True)} == {id for kind, id in expected if kind == "port"}


def test_nobody_is_woken_by_what_was_refused(world: World) -> None:
    for do in (
        lambda: delete_network(world.ctx, world.id("inside")),
        lambda: delete_subnet(world.ctx, world.id("subnet")),
        lambda: delete_router(world.ctx, world.id("router")),
        lambda: delete_port(world.ctx, world.leg),
        lambda: create_port(world.ctx, {"project_id": "p", "network_id": world.id("inside"), "fixed_ips": [{"ip_address": "9.9.9.9"}]}),
    ):
        with pytest.raises(Fault):
            do()
    assert world.woken == set()
