"""The control plane is killed, or the machine refuses, at every step of every verb; built anew, it comes to the same end. And wishes in
any order, with kills between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.errors import HostError
from pileus.kit.loop import Killed
from pileus.network.host import Flow, Step, Want
from tests.reconcile.networks import World

Key = tuple[str, str]


class House:
    """Two projects' worth of networks on one world, and what may happen to them; each verb returns what the action would wake."""

    def __init__(self) -> None:
        self.world = world = World()
        self.public = world.public()
        self.network, self.subnet = world.network("10.0.2.0/24")
        self.friends = world.group()
        self.rule = world.rule(self.friends, protocol="tcp", port_range_min=22, port_range_max=22)
        self.ranges = world.insert("address_group", name="ranges", addresses=["10.8.0.0/16", "fd00::/8"])
        self.group = world.group({"remote_group_id": self.friends}, {"remote_address_group_id": self.ranges})
        self.policy = world.insert("qos_policy")
        world.insert("qos_rule", qos_policy_id=self.policy, type="bandwidth_limit", direction="egress", max_kbps=1000, max_burst_kbps=0)
        self.port = world.port(self.network, self.subnet, "10.0.2.1", [self.group], qos_policy_id=self.policy)
        self.friend = world.port(self.network, self.subnet, "10.0.2.2", [self.friends])
        self.router = world.router((self.network, self.subnet, "10.0.2.254"), outside=(*self.public, "192.168.37.5"))
        self.floating = world.floating(self.public, "192.168.37.10", self.router, self.port)
        self.other, subnet = world.network("10.0.4.0/24")
        self.carried = world.port(self.other, subnet, "10.0.4.1", [self.group])
        self.trunk = world.trunk(self.port, **{self.carried: 5})
        self.count = 0

    def all_keys(self) -> list[Key]:
        tables = ("network", "port", "security_group", "router")
        return [(table, row["id"]) for table in tables for row in self.world.store.query(f"SELECT id FROM {table}")]

    def create(self) -> list[Key]:
        return self.all_keys()

    def unjoin(self) -> list[Key]:
        self.world.leave(self.friend, self.friends)
        return [("port", self.friend)]

    def remove_rule(self) -> list[Key]:
        self.world.store.delete("security_group_rule", {"id": self.rule})
        return [("security_group", self.friends)]

    def change_addresses(self) -> list[Key]:
        self.world.store.update("address_group", self.ranges, {"addresses": '["10.9.0.0/16"]'})
        return [("security_group", self.group)]

    def remove_addresses(self) -> list[Key]:
        self.world.store.delete("security_group_rule", {"remote_address_group_id": self.ranges})
        return [("security_group", self.group)]

    def change_limit(self) -> list[Key]:
        rule = {"type": "bandwidth_limit", "direction": "ingress", "max_kbps": 9, "max_burst_kbps": 0}
        self.world.insert("qos_rule", qos_policy_id=self.policy, **rule)
        self.world.insert("qos_rule", qos_policy_id=self.policy, type="dscp_marking", dscp_mark=8)
        return [("port", self.port)]

    def remove_limits(self) -> list[Key]:
        self.world.store.delete("qos_rule", {"qos_policy_id": self.policy})
        return [("port", self.port)]

    def carry_elsewhere(self) -> list[Key]:
        second = self.world.trunk(self.friend)
        self.world.carry(second, self.carried, 7)
        return [("port", self.carried), ("port", self.friend)]

    def disable_trunk(self) -> list[Key]:
        self.world.store.update("trunk", self.trunk, {"admin_state_up": 0})
        return [("port", self.carried)]

    def end_trunk(self) -> list[Key]:
        self.world.store.delete("sub_port", {"trunk_id": self.trunk})
        self.world.store.delete("trunk", {"id": self.trunk})
        self.world.store.update("port", self.carried, {"device_id": "", "device_owner": ""})
        return [("port", self.carried)]

    def remove_port(self) -> list[Key]:
        self.world.remove_port(self.friend)
        return [("port", self.friend)]

    def move_floating(self) -> list[Key]:
        self.world.associate(self.floating, self.friend, self.router)
        return [("router", self.router)]

    def forward(self) -> list[Key]:
        """A second floating IP, of which only some ports lead inwards."""
        floating = self.world.floating(self.public, "192.168.37.11", None, None)
        self.world.forwarding(floating, self.router, self.port, 80, 8080, more=3)
        return [("router", self.router)]

    def ipv6(self) -> list[Key]:
        """The network's first IPv6 subnet, with the router's leg in it and a port."""
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        subnet = self.world.subnet(self.network, "fd00:1::/64", gateway_ip="fd00:1::1", **modes)
        leg = self.world.store.first("port", {"device_id": self.router, "network_id": self.network})
        assert leg
        for port, address in ((leg["id"], "fd00:1::1"), (self.port, "fd00:1::abc")):
            place = {"subnet_id": subnet, "network_id": self.network, "ip_address": address, "position": 1}
            self.world.store.insert("fixed_ip", {"port_id": port, **place})
        outside = self.world.subnet(self.public[0], "2001:db8:37::/64", enable_dhcp=0)
        gateway = self.world.row("router", self.router)["gateway_port_id"]
        place = {"subnet_id": outside, "network_id": self.public[0], "ip_address": "2001:db8:37::5", "position": 1}
        self.world.store.insert("fixed_ip", {"port_id": gateway, **place})
        return [("network", self.network), ("router", self.router), ("port", self.port), ("network", self.public[0])]

    def remove_floating(self) -> list[Key]:
        place = self.world.remove_floating(self.floating)
        return [("router", self.router), ("port", place)]

    def set_mtu(self) -> list[Key]:
        self.world.store.update("network", self.network, {"mtu": 1300})
        return [("network", self.network)]

    def second_leg(self) -> list[Key]:
        network, subnet = self.world.network("10.0.3.0/24")
        self.world.leg(self.router, network, subnet, "10.0.3.254")
        port = self.world.port(network, subnet, "10.0.3.1", [self.group])
        return [("router", self.router), ("port", port), ("network", network)]

    def remove_router(self) -> list[Key]:
        store = self.world.store
        keys = self.remove_floating()
        for leg in store.find("port", {"device_id": self.router}):
            self.world.remove_port(leg["id"])
            keys.append(("port", leg["id"]))
        store.update("router", self.router, {"gone": 1, "gateway_network_id": None, "gateway_port_id": None})
        return [*keys, ("router", self.router)]

    def remove_network(self) -> list[Key]:
        keys = [*self.remove_router(), *self.end_trunk()]
        for port in self.world.store.find("port", {"network_id": self.network}):
            self.world.remove_port(port["id"])
            keys.append(("port", port["id"]))
        self.world.store.update("network", self.network, {"gone": 1})
        return [*keys, ("network", self.network)]

    def remove_groups(self) -> list[Key]:
        for port in (self.port, self.friend, self.carried):
            self.world.store.delete("port_security_group", {"port_id": port})
        for group in (self.group, self.friends):
            self.world.store.update("security_group", group, {"gone": 1})
        return [
            ("port", self.port),
            ("port", self.friend),
            ("port", self.carried),
            ("security_group", self.friends),
            ("security_group", self.group),
        ]


VERBS = [name for name in vars(House) if not name.startswith("_") and name != "all_keys"]


async def asked(verb: str) -> tuple[House, list[Key]]:
    """A house in which something has just been asked for."""
    house = House()
    if verb != "create":
        await house.world.start()
        await house.world.check()
        _open_flows(house)
    return house, getattr(house, verb)()


def _open_flows(house: House) -> None:
    """One that the group of friends lets in on port 22, from outside through the floating IP's router, and one out."""
    ends: dict[str, Any] = {"protocol": 6, "source": "192.0.2.1", "target_port": 22, "answer_target": "192.0.2.1"}
    house.world.driver.put_flow(house.network, Flow(target="10.0.2.2", answer_source="10.0.2.2", **ends))
    house.world.driver.put_flow(house.router, Flow(target="192.168.37.10", answer_source="10.0.2.1", **ends))


async def check_flows(house: House, verb: str) -> None:
    """Only what the verb forbids has ended."""
    driver = house.world.driver
    let_in, led = await driver.flows("network", house.network), await driver.flows("router", house.router)
    forbids_in = verb in ("unjoin", "remove_rule", "remove_port", "remove_network", "remove_groups")
    forbids_led = verb in ("move_floating", "remove_floating", "remove_router", "remove_network")
    assert (len(let_in), len(led)) == ((0, 0) if verb == "create" else (int(not forbids_in), int(not forbids_led)))


async def steps_of(verb: str) -> int:
    house, keys = await asked(verb)
    before = house.world.host.steps
    await house.world.settle(*keys)
    await house.world.check()
    await check_flows(house, verb)
    return house.world.host.steps - before


@pytest.mark.parametrize("failure", [Killed(), HostError("not now")], ids=["killed", "refused"])
@pytest.mark.parametrize("verb", VERBS)
async def test_every_step_may_be_the_last(verb: str, failure: BaseException) -> None:
    steps = await steps_of(verb)
    assert steps
    for step in range(1, steps + 1):
        house, keys = await asked(verb)
        world = house.world
        world.host.fail_at, world.host.failure = step, failure
        try:
            await world.settle(*keys)
        except Killed:
            world.build()
            await world.start()
        assert world.host.fail_at is None, f"step {step} was never reached"
        await world.check()
        await check_flows(house, verb)


@pytest.mark.parametrize("verb", ["create", "remove_rule", "move_floating", "remove_network"])
async def test_every_step_may_be_the_last_thing_that_was_done(verb: str) -> None:
    """The kill comes after the step was carried out, before anybody could write it down."""
    steps = await steps_of(verb)
    for step in range(1, steps + 1):
        house, keys = await asked(verb)
        world = house.world
        apply, left = world.driver.apply, step

        async def killing(want: Want, batch: Sequence[Step], apply: Any = apply) -> None:
            nonlocal left
            for one in batch:
                await apply(want, [one])
                left -= 1
                if left == 0:
                    raise Killed

        world.driver.apply = killing  # type: ignore[method-assign]
        try:
            await world.settle(*keys)
        except Killed:
            world.build()
            await world.start()
        await world.check()
        await check_flows(house, verb)


# -- in any order -----------------------------------------------------------------------------------------------------------------


class Play(House):
    """Things that may happen again and again."""

    def toggle(self, table: str, id: str, column: str) -> list[Key]:
        row = self.world.store.get(table, id)
        if row:
            self.world.store.update(table, id, {column: 1 - row[column]})
        return [(table, id)]

    def another_port(self) -> list[Key]:
        self.count += 1
        port = self.world.port(self.network, self.subnet, f"10.0.2.{10 + self.count}", [self.friends])
        return [("port", port)]

    def another_rule(self) -> list[Key]:
        self.count += 1
        self.world.rule(self.group, protocol="tcp", port_range_min=self.count, port_range_max=self.count)
        return [("security_group", self.group)]

    def drop_a_port(self) -> list[Key]:
        ports = [port for port in self.world.store.find("port", {"network_id": self.network}) if port["device_owner"] == "compute:nova"]
        if len(ports) < 2:
            return []
        self.world.remove_port(ports[-1]["id"])
        return [("port", ports[-1]["id"]), ("router", self.router)]

    def unbind(self) -> list[Key]:
        self.world.store.update("port", self.friend, {"device_id": "", "device_owner": ""})
        return [("port", self.friend)]

    def bind(self) -> list[Key]:
        self.world.store.update("port", self.friend, {"device_id": "again", "device_owner": "compute:nova"})
        return [("port", self.friend)]

    def nowhere(self) -> list[Key]:
        self.world.associate(self.floating, None, None)
        return [("router", self.router)]

    def somewhere(self) -> list[Key]:
        if self.world.store.get("port", self.port):
            self.world.associate(self.floating, self.port, self.router)
        return [("router", self.router)]


EVENTS: dict[str, Callable[[Play], Any]] = {
    "network up": lambda play: play.toggle("network", play.network, "admin_state_up"),
    "port up": lambda play: play.toggle("port", play.port, "admin_state_up"),
    "secure": lambda play: play.toggle("port", play.friend, "port_security_enabled"),
    "router up": lambda play: play.toggle("router", play.router, "admin_state_up"),
    "snat": lambda play: play.toggle("router", play.router, "enable_snat"),
    "port": Play.another_port,
    "rule": Play.another_rule,
    "drop": Play.drop_a_port,
    "unbind": Play.unbind,
    "bind": Play.bind,
    "nowhere": Play.nowhere,
    "somewhere": Play.somewhere,
    "lost network": lambda play: play.world.driver._remove_network(play.network),
    "lost router": lambda play: [play.world.host.part(part).pop(play.router, None) for part in ("routers", "legs")] and None,
    "kill": lambda play: setattr(play.world.host, "fail_at", 3) or setattr(play.world.host, "failure", Killed()),
    "break": lambda play: setattr(play.world.host, "fail_at", 2) or setattr(play.world.host, "failure", HostError("not now")),
    "start": lambda play: None,
}


@settings(max_examples=60)
@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=14), st.randoms(use_true_random=False))
async def test_wishes_in_any_order(events: list[str], random: Any) -> None:
    play = Play()
    world = play.world
    keys = play.all_keys()
    random.shuffle(keys)
    await world.settle(*keys)
    for event in events:
        happened = EVENTS[event](play)
        keys = happened if isinstance(happened, list) else []
        try:
            if event == "start":
                world.build()
                await world.start()
            else:
                random.shuffle(keys)
                await world.settle(*keys)
        except Killed:
            world.build()
    world.host.fail_at = None
    world.build()
    await world.start()
    await world.check()
