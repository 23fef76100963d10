"""What looks at networks, ports, groups and routers do: rows in, rows and the fake machine's state out."""

from __future__ import annotations

import json

import pytest

from pileus.errors import HostError
from pileus.network.host import Flow, Step
from pileus.network.reconcile import rows
from tests.reconcile.networks import World


async def test_a_network_and_its_parts() -> None:
    world = World()
    network, subnet = world.network("10.0.2.0/24")
    await world.settle(("network", network))
    assert [verb for _, verb in world.steps()] == ["make_namespace", "load_rules", "set_bridge", "add_route"]
    await world.check()
    world.store.update("network", network, {"mtu": 1300})
    second = world.subnet(network, "10.0.4.0/24")
    world.store.delete("subnet", {"id": subnet})
    await world.settle(("network", network))
    assert [verb for _, verb in world.steps()] == ["set_bridge", "drop_route", "add_route"]
    foot = world.port(network, second, "10.0.4.2", device_owner="network:dhcp")
    await world.settle(("port", foot))
    assert [verb for _, verb in world.steps()] == ["add_address", "drop_route"]
    assert world.row("port", foot)["status"] == "ACTIVE"
    await world.settle(("network", network), ("port", foot))
    assert world.steps() == []
    await world.check()


async def test_a_port_waits_for_its_network() -> None:
    world = World()
    network, subnet = world.network("10.0.2.0/24")
    group = world.group({"protocol": "icmp"})
    port = world.port(network, subnet, "10.0.2.1", [group])
    await world.settle(("port", port))
    await world.check()
    assert world.loop.reasons == {}
    parts = world.host.part("filters")[network]
    assert parts.keys() == {f"rules:{group}"}
    fd = world.driver.open_tap(port)
    assert fd >= 0


async def test_an_unbound_port_has_no_tap() -> None:
    world = World()
    network, subnet = world.network("10.0.2.0/24")
    port = world.port(network, subnet, "10.0.2.1", device_id="", device_owner="")
    await world.settle(("port", port), ("network", network))
    assert world.row("port", port)["status"] == "DOWN"
    assert world.host.part("ports") == {}
    with pytest.raises(HostError, match="no tap yet"):
        world.driver.open_tap(port)
    world.store.update("port", port, {"device_id": "server", "device_owner": "compute:nova"})
    await world.settle(("port", port))
    await world.check()
    world.store.update("port", port, {"device_id": "", "device_owner": ""})
    await world.settle(("port", port))
    assert world.host.part("ports") == {}
    await world.check()


async def test_members_follow_ports() -> None:
    """A group that others' rules name is kept where those rules are, with the addresses of its ports, in whatever network these are."""
    world = World()
    (net1, sub1), (net2, sub2) = world.network("10.0.2.0/24"), world.network("10.0.3.0/24")
    friends = world.group()
    house = world.group({"remote_group_id": friends})
    world.port(net1, sub1, "10.0.2.1", [house])
    friend = world.port(net2, sub2, "10.0.3.1", [friends])
    await world.start()
    await world.check()
    before = world.host.part("filters")[net1][f"members:{friends}"]
    assert f"members:{friends}" not in world.host.part("filters")[net2]
    pairs = json.dumps([{"ip_address": "10.0.3.99"}])
    world.store.update("port", friend, {"allowed_address_pairs": pairs})
    await world.settle(("port", friend))
    assert world.host.part("filters")[net1][f"members:{friends}"] != before
    await world.check()
    world.remove_port(friend)
    await world.settle(("port", friend))
    await world.check()


async def test_a_group_goes_when_nothing_needs_it() -> None:
    world = World()
    network, subnet = world.network("10.0.2.0/24")
    group, other = world.group(), world.group()
    port = world.port(network, subnet, "10.0.2.1", [group])
    await world.start()
    world.leave(port, group)
    world.join(port, other)
    await world.settle(("port", port))
    assert world.host.part("filters")[network].keys() == {f"rules:{other}"}
    world.store.update("security_group", group, {"gone": 1})
    await world.settle(("security_group", group))
    await world.check()


async def house(world: World) -> tuple[tuple[str, str], str, str, str, str]:
    """(public, network, router, port, floating IP)"""
    public, (network, subnet) = world.public(), world.network("10.0.2.0/24")
    port = world.port(network, subnet, "10.0.2.1", [world.group()])
    router = world.router((network, subnet, "10.0.2.254"), outside=(*public, "192.168.37.5"))
    floating = world.floating(public, "192.168.37.10", router, port)
    await world.start()
    await world.check()
    return public, network, router, port, floating


async def test_a_router_its_legs_and_floating_ips() -> None:
    world = World()
    _, network, router, port, floating = await house(world)
    assert world.row("floating_ip", floating)["status"] == "ACTIVE"
    legs = world.store.find("port", {"device_id": router})
    assert {leg["status"] for leg in legs} == {"ACTIVE"}
    facts = world.host.part("routers")[router]
    addresses = sorted(address for leg in facts["legs"].values() for address in leg["addresses"])
    assert addresses == ["10.0.2.254/24", "192.168.37.10/32", "192.168.37.5/24"]
    assert facts["routes"] == [{"destination": "0.0.0.0/0", "nexthop": "192.168.37.1"}]
    assert [n["address"] for n in facts["neighbours"]] == ["10.0.2.1"]
    place = world.remove_floating(floating)
    await world.settle(("port", place))
    assert world.store.get("port", place, hidden=True) is None, "free again, since the router has been seen without it"
    await world.check()
    leg = next(leg for leg in legs if leg["network_id"] == network)
    world.remove_port(leg["id"])
    await world.settle(("port", leg["id"]), ("router", router))
    await world.check()
    assert len(world.host.part("routers")[router]["legs"]) == 1
    assert world.row("port", port)["status"] == "ACTIVE"


async def test_everything_goes() -> None:
    """In any order: a network waits for its ports, a leg for its router."""
    world = World()
    public, network, router, port, floating = await house(world)
    place = world.remove_floating(floating)
    gone = [place, port, *(leg["id"] for leg in world.store.find("port", {"device_id": router}))]
    for id in gone:
        world.remove_port(id)
    world.store.update("router", router, {"gone": 1})
    world.store.update("network", network, {"gone": 1})
    world.store.update("network", public[0], {"gone": 1})
    keys = [("network", network), ("network", public[0]), ("router", router), *(("port", id) for id in gone)]
    await world.settle(*keys)
    assert world.loop.reasons == {}
    await world.check()
    assert world.store.query("SELECT id FROM port UNION SELECT id FROM network UNION SELECT id FROM subnet") == []
    assert world.host.part("networks") == {}


async def test_states_are_those_of_the_host() -> None:
    world = World()
    _, network, router, port, floating = await house(world)
    world.store.update("network", network, {"admin_state_up": 0})
    await world.settle(("network", network))
    assert world.row("port", port)["status"] == "DOWN"
    world.store.update("network", network, {"admin_state_up": 1})
    world.store.update("router", router, {"admin_state_up": 0})
    await world.settle(("network", network), ("router", router))
    assert world.row("port", port)["status"] == "ACTIVE"
    assert world.row("floating_ip", floating)["status"] == "DOWN"
    assert world.host.part("routers")[router]["routes"] == []
    world.store.update("router", router, {"admin_state_up": 1})
    await world.settle(("router", router))
    await world.check()


async def test_a_start_finds_what_lives_and_removes_what_nobody_wants() -> None:
    world = World()
    _, network, router, port, _ = await house(world)
    world.build()
    world.steps()
    await world.start()
    assert world.steps() == []
    stray, strays = world.network("10.0.9.0/24")
    wild = world.port(stray, strays, "10.0.9.1", [world.group()])
    lost = world.router((stray, strays, "10.0.9.254"))
    await world.start()
    await world.check()
    kept = world.port(network, world.store.find("subnet", {"network_id": network})[0]["id"], "10.0.2.9")
    await world.settle(("port", kept))
    for table, id in (("port", wild), ("port", kept), ("router", lost)):
        world.store.delete("fixed_ip", {"port_id": id})
        world.store.delete(table, {"id": id})
    world.store.delete("port", {"network_id": stray})
    world.store.delete("subnet", {"id": strays})
    world.store.delete("network", {"id": stray})
    world.build()
    await world.start()
    await world.check()
    assert world.row("port", port)["status"] == "ACTIVE"
    assert router in world.host.part("routers")


async def test_what_was_lost_is_made_again() -> None:
    world = World()
    _, network, _, _, _ = await house(world)
    for part in ("networks", "filters", "ports", "routers", "legs"):
        world.host.part(part).clear()
    world.build()
    await world.start()
    await world.check()
    await world.driver.apply(rows.network_want(world.store, world.row("network", network)), [Step("remove")])
    await world.settle(("network", network))
    await world.check()


async def test_what_cannot_be_made_is_said() -> None:
    world = World()
    network, subnet = world.network("10.0.2.0/24")
    port = world.port(network, subnet, "10.0.2.1")
    await world.settle(("network", network))

    async def refuse(want: object, steps: object) -> None:
        raise HostError("/dev/net/tun: Permission denied")

    world.driver.apply = refuse  # type: ignore[method-assign]
    await world.settle(("port", port))
    assert world.row("port", port)["status"] == "DOWN"
    assert "Permission denied" in world.row("port", port)["host_error"]
    world.build()
    await world.settle(("port", port))
    await world.check()
    assert world.row("port", port)["host_error"] is None


# -- open flows -----------------------------------------------------------------------------------------------------------------


def flow(source: str, target: str, port: int, protocol: int = 6) -> Flow:
    ends = {"source": source, "target": target, "answer_source": target, "answer_target": source}
    return Flow(protocol=protocol, source_port=40000, target_port=port, **ends)


async def test_a_removed_rule_ends_what_it_let_through() -> None:
    world = World()
    network, subnet = world.network("10.0.2.0/24")
    group = world.group()
    web, ssh = (world.rule(group, protocol="tcp", port_range_min=n, port_range_max=n) for n in (80, 22))
    port = world.port(network, subnet, "10.0.2.1", [group])
    await world.start()
    stays = [flow("198.51.100.1", "10.0.2.1", 80), flow("10.0.2.1", "198.51.100.1", 443), flow("10.0.2.77", "10.0.2.78", 1)]
    ends = flow("198.51.100.1", "10.0.2.1", 22)
    for found in (*stays, ends):
        world.driver.put_flow(network, found)
    world.rule(group, protocol="icmp")
    await world.settle(("security_group", group))
    assert len(await world.driver.flows("network", network)) == 4
    world.store.delete("security_group_rule", {"id": ssh})
    await world.settle(("security_group", group))
    assert sorted(await world.driver.flows("network", network)) == sorted(stays)
    assert web
    world.remove_port(port)
    await world.settle(("port", port))
    assert await world.driver.flows("network", network) == [stays[2]]


async def test_a_lost_floating_ip_ends_what_it_led_to() -> None:
    world = World()
    _, _, router, _, floating = await house(world)
    led = Flow(protocol=6, source="192.0.2.1", target="192.168.37.10", target_port=80, answer_source="10.0.2.1", answer_target="192.0.2.1")
    out = Flow(protocol=6, source="10.0.2.2", target="192.0.2.1", target_port=80, answer_source="192.0.2.1", answer_target="192.168.37.5")
    for found in (led, out):
        world.driver.put_flow(router, found)
    await world.settle(("router", router))
    assert sorted(await world.driver.flows("router", router)) == sorted([led, out])
    world.associate(floating, None, None)
    await world.settle(("router", router))
    assert await world.driver.flows("router", router) == [out]
