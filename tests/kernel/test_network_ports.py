"""Ports on the wire: the largest frame, states that cut traffic at once, security switched off and on again."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from tests.kernel.lan import ETH_P_ALL, Guest, Lan, hears, play, udp
from tests.kernel.test_network_packets import says, tcp

pytestmark = pytest.mark.kernel


def fits(guest: Guest, address: str, size: int) -> bool:
    """Whether a packet of so many bytes, not to be fragmented, is answered by one as large."""
    return guest.run("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(size - 28), address).returncode == 0


async def scene_the_largest_frame(lan: Lan) -> None:
    """Exactly the MTU passes; more is dropped by the switch, whatever guests think; a new MTU holds at once."""
    group = lan.group({})
    one, two = await lan.pair([group], [group])
    network = lan.row("port", one.port_id)["network_id"]
    assert fits(one, two.ip, 1450)
    for guest in (one, two):
        guest.run("ip", "link", "set", "eth0", "mtu", "3000", check=True)
    assert fits(one, two.ip, 1450)
    assert not fits(one, two.ip, 1451)
    assert not fits(one, two.ip, 2900)
    lan.store.update("network", network, {"mtu": 1300})
    await lan.settle(("network", network))
    assert fits(one, two.ip, 1300)
    assert not fits(one, two.ip, 1301)
    lan.store.update("network", network, {"mtu": 1500})
    await lan.settle(("network", network))
    assert fits(one, two.ip, 1500)
    assert not fits(one, two.ip, 1501)


async def scene_a_router_says_what_is_too_large(lan: Lan) -> None:
    group = lan.group({})
    wide, wide_subnet = lan.network("10.0.2.0/24")
    narrow, narrow_subnet = lan.network("10.0.3.0/24", mtu=1300)
    router = lan.router((wide, wide_subnet, "10.0.2.254"), (narrow, narrow_subnet, "10.0.3.254"))
    ports = lan.port(wide, wide_subnet, "10.0.2.1", [group]), lan.port(narrow, narrow_subnet, "10.0.3.1", [group])
    await lan.settle(("network", wide), ("network", narrow), *(("port", port) for port in ports), ("router", router))
    one, two = (lan.guest(str(n), port) for n, port in enumerate(ports))
    two.run("ip", "link", "set", "eth0", "mtu", "1300", check=True)  # as DHCP would have it
    assert fits(one, two.ip, 1300)
    told = one.run("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(1400 - 28), two.ip)
    assert "mtu = 1300" in told.stdout, told.stdout + told.stderr
    assert one.run("ping", "-n", "-c", "1", "-W", "1", "-M", "dont", "-s", "1400", two.ip).returncode == 0, "in pieces"


async def state_cuts(lan: Lan, one: Guest, two: Guest, table: str, id: str, *keys: tuple[str, str]) -> None:
    """An open flow stops with admin_state_up, at once, and goes on with it."""
    server = two.listen(0)
    with one.socket() as kept:
        kept.settimeout(2)
        kept.connect((two.ip, server.getsockname()[1]))
        assert says(kept)
        lan.store.update(table, id, {"admin_state_up": 0})
        await lan.settle(*keys)
        assert not says(kept)
        assert not one.pings(two.ip, wait=0.4)
        lan.store.update(table, id, {"admin_state_up": 1})
        await lan.settle(*keys)
        kept.settimeout(5)
        assert kept.recv(100) == b"hello", "what was sent meanwhile is sent again"
        assert one.pings(two.ip)


async def scene_a_port_that_is_down(lan: Lan) -> None:
    group = lan.group({})
    one, two = await lan.pair([group], [group])
    for guest in (one, two):
        await state_cuts(lan, one, two, "port", guest.port_id, ("port", guest.port_id))
    lan.store.update("port", one.port_id, {"admin_state_up": 0})
    await lan.settle(("port", one.port_id))
    assert lan.row("port", one.port_id)["status"] == "DOWN"


async def scene_a_network_that_is_down(lan: Lan) -> None:
    group = lan.group({})
    one, two = await lan.pair([group], [group])
    network = lan.row("port", one.port_id)["network_id"]
    await state_cuts(lan, one, two, "network", network, ("network", network))


async def scene_a_router_s_leg_that_is_down(lan: Lan) -> None:
    group = lan.group({})
    first, second = lan.network("10.0.2.0/24"), lan.network("10.0.3.0/24")
    router = lan.router((*first, "10.0.2.254"))
    leg = lan.leg(router, *second, "10.0.3.254")
    ports = lan.port(*first, "10.0.2.1", [group]), lan.port(*second, "10.0.3.1", [group])
    await lan.settle(("network", first[0]), ("network", second[0]), *(("port", port) for port in ports), ("router", router))
    one, two = (lan.guest(str(n), port) for n, port in enumerate(ports))
    await state_cuts(lan, one, two, "port", leg, ("port", leg))
    await state_cuts(lan, one, two, "router", router, ("router", router))


def sent_as(one: Guest, two: Guest, mac: str, ip: str) -> bool:
    with two.packets(ETH_P_ALL) as ear, one.packets() as mouth:
        mouth.send(udp(mac, two.mac, (ip, 5), (two.ip, 7), b"who am I"))
        return hears(ear, b"who am I")


async def scene_security_off_and_on_again(lan: Lan) -> None:
    """Off: anything goes, in and out, as any sender; on: nothing but what is the port's own, and what its groups allow."""
    group = lan.group(tcp(80))
    one, two = await lan.pair([group], [lan.group({}, {"ethertype": "IPv6"})])
    foreign = ("fa:16:3e:ff:ff:01", "10.0.2.99")
    assert not sent_as(one, two, *foreign)
    assert not two.pings(one.ip, wait=0.4)
    lan.leave(one.port_id, group)
    lan.store.update("port", one.port_id, {"port_security_enabled": 0})
    await lan.settle(("port", one.port_id))
    assert sent_as(one, two, *foreign)
    assert two.pings(one.ip)
    ping = two.start("ping", "-n", "-i", "0.1", one.ip)
    await asyncio.sleep(0.4)
    lan.store.update("port", one.port_id, {"port_security_enabled": 1})
    lan.join(one.port_id, group)
    await lan.settle(("port", one.port_id))
    assert not sent_as(one, two, *foreign)
    assert not two.pings(one.ip, wait=0.4)
    with one.packets(ETH_P_ALL) as ear:
        assert not hears(ear, socket.inet_aton(two.ip) + socket.inet_aton(one.ip) + b"\x08\x00", 0.5), "the ping that was under way"
    ping.kill()


async def scene_a_port_without_groups(lan: Lan) -> None:
    """Nothing comes in and nothing goes out but what a guest needs for its address."""
    one, two = await lan.pair([], [lan.group({})])
    assert not one.pings(two.ip, wait=0.4)
    assert not two.pings(one.ip, wait=0.4)
    group = lan.group({})
    lan.join(one.port_id, group)
    await lan.settle(("port", one.port_id))
    assert one.pings(two.ip)
    lan.leave(one.port_id, group)
    await lan.settle(("port", one.port_id))
    assert not one.pings(two.ip, wait=0.4)


async def scene_pairs_that_come_and_go(lan: Lan) -> None:
    group = lan.group({})
    one, two = await lan.pair([group], [group])
    for pairs, mac, ip in (
        ([{"ip_address": "10.0.2.99"}], one.mac, "10.0.2.99"),
        ([{"ip_address": "10.7.0.0/16"}], one.mac, "10.7.8.9"),
        ([{"ip_address": "10.0.2.99", "mac_address": "fa:16:3e:ff:ff:02"}], "fa:16:3e:ff:ff:02", "10.0.2.99"),
    ):
        assert not sent_as(one, two, mac, ip)
        lan.store.update("port", one.port_id, {"allowed_address_pairs": json.dumps(pairs)})
        await lan.settle(("port", one.port_id))
        assert sent_as(one, two, mac, ip), pairs
        lan.store.update("port", one.port_id, {"allowed_address_pairs": "[]"})
        await lan.settle(("port", one.port_id))
        assert not sent_as(one, two, mac, ip), pairs


SCENES = {name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")}


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    play(inside, SCENES[name])


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Any, map: str) -> None:
    print(as_user(map, __file__, "not plain_user", timeout=300))
