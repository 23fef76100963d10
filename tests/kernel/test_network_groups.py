"""Kinds of security groups on the wire: those whose rules name address groups, and those that keep no track of flows."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.kernel.lan import Guest, Lan, play
from tests.kernel.test_network_packets import PING, says, tcp

pytestmark = pytest.mark.kernel


def sets(lan: Lan, guest: Guest, group: str) -> int:
    """How many sets of a group's addresses the guest's network holds."""
    network = lan.row("port", guest.port_id)["network_id"]
    listed = lan.datacenter.netns.run(f"net-{network}", lambda: subprocess.check_output(["nft", "list", "sets"], text=True))
    return listed.count(group.replace("-", ""))


def give(lan: Lan, group: str, *addresses: str) -> None:
    lan.store.update("address_group", group, {"addresses": json.dumps(list(addresses))})


async def scene_an_address_group(lan: Lan) -> None:
    """Who is in it gets in; who is taken out is cut off, also in the middle; overlapping ranges and both protocols are fine."""
    friends = lan.insert("address_group", name="friends", addresses=["10.0.2.77/32", "fd00::/8"])
    house = lan.group({"remote_address_group_id": friends, "protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
    other = lan.group()
    one, two = await lan.pair([other], [house])
    two.listen(80)
    assert sets(lan, two, friends) == 2
    assert not one.reaches(two.ip, 80, 0.4)
    give(lan, friends, "10.0.2.0/30", "10.0.2.1/32", "10.0.2.77/32", "fd00::/8")
    await lan.settle(("security_group", house))
    with one.socket() as kept:
        kept.settimeout(2)
        kept.connect((two.ip, 80))
        assert says(kept)
        give(lan, friends, "10.0.2.77/32")
        await lan.settle(("security_group", house))
        assert not says(kept)
    assert not one.reaches(two.ip, 80, 0.4)


async def scene_an_address_group_goes_with_its_last_rule(lan: Lan) -> None:
    friends = lan.insert("address_group", name="friends", addresses=["10.0.2.0/24"])
    first, second = (lan.group({"remote_address_group_id": friends, **PING}) for _ in range(2))
    one, two = await lan.pair([first], [second])
    assert one.pings(two.ip)
    lan.store.delete("security_group_rule", {"security_group_id": first, "remote_address_group_id": friends})
    await lan.settle(("security_group", first))
    assert sets(lan, one, friends) == 2, "another group names it"
    assert one.pings(two.ip)
    lan.store.delete("security_group_rule", {"security_group_id": second, "remote_address_group_id": friends})
    await lan.settle(("security_group", second))
    assert sets(lan, one, friends) == 0
    assert not one.pings(two.ip, wait=0.4)


async def scene_an_address_group_that_nobody_knows_goes_at_the_next_start(lan: Lan) -> None:
    friends = lan.insert("address_group", name="friends", addresses=["10.0.2.0/24"])
    house = lan.group({"remote_address_group_id": friends, **PING})
    one, two = await lan.pair([lan.group()], [house])
    assert one.pings(two.ip)
    lan.store.delete("security_group_rule", {"remote_address_group_id": friends})
    lan.store.delete("address_group", {"id": friends})
    lan.live.stop()
    lan.build()
    await lan.start()
    await lan.settle()
    assert not one.pings(two.ip, wait=0.4)
    lan.live.stop()
    lan.build()
    await lan.start()
    assert sets(lan, two, friends) == 0


async def scene_a_stateless_group(lan: Lan) -> None:
    """An answer is a packet like any other: without a rule of its own it stops, with one it passes; flows need not begin with SYN."""
    server = lan.group(tcp(80), egress=False, stateful=0)
    client = lan.group({"direction": "egress"}, {})
    one, two = await lan.pair([client], [server])
    two.listen(80)
    assert not one.reaches(two.ip, 80, 0.5), "the answer has no rule"
    lan.rule(server, direction="egress", protocol="tcp")
    await lan.settle(("security_group", server))
    with one.socket() as kept:
        kept.settimeout(2)
        kept.connect((two.ip, 80))
        assert says(kept)
        lan.store.delete("security_group_rule", {"security_group_id": server, "direction": "egress"})
        await lan.settle(("security_group", server))
        assert not says(kept), "the very next answer has no rule any more"


async def scene_stateless_ingress_is_judged_packet_by_packet(lan: Lan) -> None:
    """What a stateless guest asks for outside is not let in because it asked."""
    guest = lan.group({"direction": "egress"}, egress=False, stateful=0)
    one, two = await lan.pair([guest], [lan.group({})])
    two.listen(80)
    assert not one.reaches(two.ip, 80, 0.5)
    lan.rule(guest, protocol="tcp", port_range_min=1024, port_range_max=65535)
    await lan.settle(("security_group", guest))
    assert one.reaches(two.ip, 80)


SCENES = {name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")}


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    play(inside, SCENES[name])


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Any, map: str) -> None:
    print(as_user(map, __file__, "not plain_user", timeout=200))
