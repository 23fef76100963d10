"""Packets between guests of real networks: security groups, routers, floating IPs, and that nothing crosses between projects.

Each scene is played in a datacenter of its own; the last test plays them all again as an unprivileged user. Some are played once more
with a part of the product switched off, and must then fail (test_network_mutations.py).
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from pileus.errors import HostError
from tests.kernel.lan import Guest, Lan, play, until
from tests.network_rows import OTHER, PROJECT

pytestmark = pytest.mark.kernel


PING = {"protocol": "icmp"}


def tcp(low: int, high: int | None = None, **more: Any) -> dict[str, Any]:
    return {"protocol": "tcp", "port_range_min": low, "port_range_max": high or low, **more}


def says(sock: socket.socket, words: bytes = b"hello", wait: float = 0.5) -> bool:
    """Whether an echo comes back on an open connection."""
    sock.settimeout(wait)
    try:
        sock.sendall(words)
        return sock.recv(100) == words
    except OSError:
        return False


# -- security groups ----------------------------------------------------------------------------------------------------------


async def scene_default_deny_and_stateful_answers(lan: Lan) -> None:
    closed, open_ = lan.group(), lan.group(PING, tcp(80))
    one, two = await lan.pair([closed], [open_])
    assert one.pings("10.0.2.2")
    assert not two.pings("10.0.2.1", wait=0.5)
    two.listen(80)
    two.listen(81)
    one.listen(80)
    assert one.reaches("10.0.2.2", 80)
    assert not one.reaches("10.0.2.2", 81, 0.5)
    assert not two.reaches("10.0.2.1", 80, 0.5)


async def scene_a_rule_opens_at_once_and_its_removal_ends_open_flows(lan: Lan) -> None:
    server, other = lan.group(), lan.group()
    one, two = await lan.pair([other], [server])
    two.listen(22)
    two.listen(80)
    assert not one.reaches("10.0.2.2", 22, 0.3)
    ssh, web = lan.rule(server, **tcp(22)), lan.rule(server, **tcp(80))
    start = time.monotonic()
    await lan.settle(("security_group", server))
    with one.socket() as kept, one.socket() as cut:
        kept.connect(("10.0.2.2", 80))
        cut.connect(("10.0.2.2", 22))
        assert time.monotonic() - start < 1
        assert says(kept)
        assert says(cut)
        lan.store.delete("security_group_rule", {"id": ssh})
        start = time.monotonic()
        await lan.settle(("security_group", server))
        assert time.monotonic() - start < 1
        assert not says(cut)
        assert says(kept), "a flow that another rule allows goes on"
        assert not one.reaches("10.0.2.2", 22, 0.3)
        assert one.reaches("10.0.2.2", 80)
        assert web


async def scene_an_ended_flow_is_not_revived_by_the_server(lan: Lan) -> None:
    """What the server sends on after its rule is gone must not begin a flow of its own, to which the client's packets were answers."""
    server, other = lan.group(tcp(22)), lan.group({})  # the client lets everything in, as one from outside would
    one, two = await lan.pair([other], [server])
    listener = two.socket()
    listener.bind(("", 22))
    listener.listen()
    with one.socket() as client:
        client.settimeout(2)
        client.connect(("10.0.2.2", 22))
        connection, _ = listener.accept()
        lan.store.delete("security_group_rule", {"security_group_id": server, "direction": "ingress"})
        await lan.settle(("security_group", server))
        connection.sendall(b"still here?")
        client.settimeout(0.7)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.sendall(b"x")
        connection.settimeout(0.7)
        with pytest.raises(TimeoutError):
            connection.recv(100)


async def scene_remote_group(lan: Lan) -> None:
    friends = lan.group()
    house = lan.group({"remote_group_id": friends, "protocol": "icmp"})
    one, two = await lan.pair([], [house])
    lan.store.insert("port_security_group", {"port_id": one.port_id, "security_group_id": lan.group()})
    await lan.settle(("port", one.port_id))
    assert not one.pings("10.0.2.2", wait=0.5)
    lan.store.insert("port_security_group", {"port_id": one.port_id, "security_group_id": friends})
    await lan.settle(("port", one.port_id))
    assert one.pings("10.0.2.2")
    ping = one.start("ping", "-n", "-i", "0.1", "10.0.2.2")
    await asyncio.sleep(0.3)
    lan.store.delete("port_security_group", {"port_id": one.port_id, "security_group_id": friends})
    await lan.settle(("port", one.port_id))
    assert not one.pings("10.0.2.2", wait=0.5)
    heard = _received(two)
    await asyncio.sleep(0.5)
    assert _received(two) == heard, "the ping that was under way when its sender left the group"
    ping.kill()


def _received(guest: Guest) -> int:
    """Echo requests that a guest's own stack has seen."""
    lines = guest.run("cat", "/proc/net/snmp").stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(values[names.index("InEchos")])


async def scene_the_other_protocols_and_prefixes(lan: Lan) -> None:
    rules = [
        {"protocol": "udp", "port_range_min": 100, "port_range_max": 200, "remote_ip_prefix": "10.0.2.0/30"},
        {"protocol": "udp", "port_range_min": 300, "port_range_max": 300, "remote_ip_prefix": "10.0.3.0/24"},
        {"protocol": "47"},
        {"protocol": "icmp", "port_range_min": 8, "port_range_max": 0},
    ]
    one, two = await lan.pair([lan.group()], [lan.group(*rules)])

    def heard(number: int) -> bool:
        with two.socket(socket.SOCK_DGRAM) as server, one.socket(socket.SOCK_DGRAM) as client:
            server.bind(("", number))
            server.settimeout(0.5)
            client.sendto(b"x", ("10.0.2.2", number))
            try:
                return server.recv(10) == b"x"
            except TimeoutError:
                return False

    assert heard(100)
    assert heard(200)
    assert not heard(201)
    assert not heard(300)
    assert one.pings("10.0.2.2")
    with two.socket(socket.SOCK_RAW, proto=47) as server, one.socket(socket.SOCK_RAW, proto=47) as client:
        server.settimeout(1)
        client.sendto(b"\0\0\x08\0gre", ("10.0.2.2", 0))
        assert server.recv(100).endswith(b"gre")
    with two.socket(socket.SOCK_RAW, proto=50) as server, one.socket(socket.SOCK_RAW, proto=50) as client:
        server.settimeout(0.5)
        client.sendto(b"esp", ("10.0.2.2", 0))
        with pytest.raises(TimeoutError):
            server.recv(100)


async def scene_egress_rules(lan: Lan) -> None:
    open_ = lan.group({})
    one, two = await lan.pair([lan.group(tcp(80, direction="egress"), egress=False)], [open_])
    two.listen(80)
    two.listen(81)
    assert one.reaches("10.0.2.2", 80)
    assert not one.reaches("10.0.2.2", 81, 0.5)
    assert not one.pings("10.0.2.2", wait=0.5)


async def scene_a_stateless_group_judges_every_packet(lan: Lan) -> None:
    stateless = lan.group(tcp(80), stateful=0)
    one, two = await lan.pair([lan.group({})], [stateless])
    two.listen(80)
    one.listen(90)
    assert one.reaches("10.0.2.2", 80)
    assert not two.reaches("10.0.2.1", 90, 0.5), "the answer comes in as if it were the first packet"


async def scene_port_security_off_and_admin_state(lan: Lan) -> None:
    one, two = await lan.pair([lan.group()], [lan.group()])
    assert not one.pings("10.0.2.2", wait=0.5)
    lan.store.update("port", two.port_id, {"port_security_enabled": 0})
    await lan.settle(("port", two.port_id))
    assert one.pings("10.0.2.2")
    lan.store.update("port", two.port_id, {"admin_state_up": 0})
    await lan.settle(("port", two.port_id))
    assert lan.store.get("port", two.port_id)["status"] == "DOWN"  # type: ignore[index]
    assert not one.pings("10.0.2.2", wait=0.5)
    lan.store.update("port", two.port_id, {"admin_state_up": 1})
    await lan.settle(("port", two.port_id))
    until(lambda: one.pings("10.0.2.2"))
    network = lan.store.get("port", one.port_id)["network_id"]  # type: ignore[index]
    lan.store.update("network", network, {"admin_state_up": 0})
    await lan.settle(("network", network))
    assert not one.pings("10.0.2.2", wait=0.5)


# -- routers and floating IPs ---------------------------------------------------------------------------------------------------


async def a_house(lan: Lan) -> tuple[Guest, Guest, str, tuple[str, str]]:
    """Two subnets behind a router with a gateway: guests, router, public network."""
    public = lan.public()
    (net1, sub1), (net2, sub2) = lan.network("10.0.2.0/24"), lan.network("10.0.3.0/24")
    group = lan.group(PING, tcp(80))
    a, b = lan.port(net1, sub1, "10.0.2.1", [group]), lan.port(net2, sub2, "10.0.3.1", [group])
    legs = (net1, sub1, "10.0.2.254"), (net2, sub2, "10.0.3.254")
    router = lan.router(*legs, outside=(*public, "192.168.37.5"))
    await lan.settle(("network", public[0]), ("network", net1), ("network", net2), ("router", router), ("port", a), ("port", b))
    return lan.guest("a", a), lan.guest("b", b), router, public


async def scene_a_router_between_subnets(lan: Lan) -> None:
    one, two, router, _ = await a_house(lan)
    assert one.pings("10.0.3.1")
    assert one.pings("10.0.2.254")
    assert "ttl=63" in one.run("ping", "-n", "-c", "1", "10.0.3.1").stdout
    assert "Time to live exceeded" in one.run("ping", "-n", "-c", "1", "-t", "1", "10.0.3.1").stdout
    two.listen(80)
    assert one.reaches("10.0.3.1", 80)
    lan.store.update("router", router, {"admin_state_up": 0})
    await lan.settle(("router", router))
    assert not one.pings("10.0.3.1", wait=0.5)
    lan.store.update("router", router, {"admin_state_up": 1})
    await lan.settle(("router", router))
    until(lambda: one.pings("10.0.3.1"))
    assert one.pings("192.168.37.254"), "the default route came back with the leg"


class Town:
    """The seed's two networks and two routers: public - first - front's network - second - services' network."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan

    async def build(self) -> Town:
        lan = self.lan
        public = lan.public()
        (services, inner), (fronts, outer) = lan.network("10.0.2.0/24"), lan.network("10.0.4.0/24", gateway_ip="10.0.4.1")
        group = lan.group({})
        front, service = lan.port(fronts, outer, "10.0.4.3", [group]), lan.port(services, inner, "10.0.2.13", [group])
        self.first = lan.router((fronts, outer, "10.0.4.1"), outside=(*public, "192.168.37.5"))
        self.second = lan.router((fronts, outer, "10.0.4.23"), (services, inner, "10.0.2.254"))
        lan.floating(public, "192.168.37.26", self.first, front)
        keys = [("network", public[0]), ("network", services), ("network", fronts), ("router", self.first), ("router", self.second)]
        await lan.settle(*keys, ("port", front), ("port", service))
        self.front, self.service = lan.guest("front", front), lan.guest("service", service)
        return self

    async def route(self, *routes: dict[str, str]) -> None:
        self.lan.store.update("router", self.first, {"routes": json.dumps(list(routes))})
        await self.lan.settle(("router", self.first))


async def scene_a_second_router_and_the_guests_own_route(lan: Lan) -> None:
    town = await Town(lan).build()
    front, service = town.front, town.service
    assert not front.pings("10.0.2.13", wait=0.5)
    front.run("ip", "route", "add", "10.0.2.0/24", "via", "10.0.4.23", check=True)
    assert "ttl=63" in front.run("ping", "-n", "-c", "1", "10.0.2.13").stdout, "one hop"
    service.listen(50001)
    assert front.reaches("10.0.2.13", 50001)
    assert lan.outside().pings("192.168.37.26")
    lan.store.update("router", town.second, {"admin_state_up": 0})
    await lan.settle(("router", town.second))
    assert not front.pings("10.0.2.13", wait=0.5)


async def scene_a_routers_extra_route(lan: Lan) -> None:
    """Answers come straight from the second router, which the first does not see: flows go on all the same. Without the route they end."""
    town = await Town(lan).build()
    front, service = town.front, town.service
    service.listen(50001)
    assert not front.reaches("10.0.2.13", 50001, 0.5)
    await town.route({"destination": "10.0.2.0/24", "nexthop": "10.0.4.23"})
    assert front.pings("10.0.2.13", count=3)
    assert "ttl=63" in front.run("ping", "-n", "-c", "1", "10.0.2.13").stdout, "the answer's way has one hop"
    with front.socket() as client:
        client.settimeout(2)
        client.connect(("10.0.2.13", 50001))
        assert says(client)
        await asyncio.sleep(0.2)
        assert says(client, b"x" * 90)
        await town.route()
        assert not says(client)
    assert not front.pings("10.0.2.13", wait=0.5)


async def scene_the_way_out_is_translated_and_the_way_in_is_silent(lan: Lan) -> None:
    one, _, router, _ = await a_house(lan)
    outside = lan.outside()
    with outside.socket() as server:
        server.bind(("", 8080))
        server.listen()
        server.settimeout(2)
        with one.socket() as client:
            client.settimeout(2)
            client.connect(("192.168.37.254", 8080))
            _, (address, _) = server.accept()
            assert address == "192.168.37.5"
    assert outside.pings("192.168.37.5"), "the gateway's own address answers"
    one.listen(80)
    assert not outside.reaches("10.0.2.1", 80, 0.5)
    outside.run("ip", "route", "add", "10.0.2.0/24", "via", "192.168.37.5", check=True)
    assert not outside.pings("10.0.2.1", wait=0.5)
    assert not outside.reaches("10.0.2.1", 80, 0.5)
    lan.store.update("router", router, {"enable_snat": 0})
    await lan.settle(("router", router))
    until(lambda: outside.pings("10.0.2.1"))


async def scene_a_gateway_with_several_addresses(lan: Lan) -> None:
    """All answer; what leaves, leaves with the first."""
    public = lan.public()
    network, subnet = lan.network("10.0.2.0/24")
    port = lan.port(network, subnet, "10.0.2.1", [lan.group()])
    router = lan.router((network, subnet, "10.0.2.254"), outside=(*public, "192.168.37.5"))
    gateway = lan.row("router", router)["gateway_port_id"]
    place = {"subnet_id": public[1], "network_id": public[0], "ip_address": "192.168.37.6", "position": 1}
    lan.store.insert("fixed_ip", {"port_id": gateway, **place})
    await lan.settle(("network", public[0]), ("network", network), ("router", router), ("port", port))
    guest, outside = lan.guest("a", port), lan.outside()
    assert outside.pings("192.168.37.5")
    assert outside.pings("192.168.37.6")
    with outside.socket() as server, guest.socket() as client:
        server.bind(("", 8080))
        server.listen()
        server.settimeout(2)
        client.settimeout(2)
        client.connect(("192.168.37.254", 8080))
        assert server.accept()[1][0] == "192.168.37.5"


async def scene_floating_ip_both_ways_and_its_end(lan: Lan) -> None:
    one, two, router, public = await a_house(lan)
    outside = lan.outside()
    one.listen(80)
    assert not outside.pings("192.168.37.10", wait=0.5)
    floating = lan.floating(public, "192.168.37.10", router, one.port_id)
    start = time.monotonic()
    await lan.settle(("router", router))
    print(f"floating IP there after {(time.monotonic() - start) * 1000:.1f} ms")
    assert lan.store.get("floating_ip", floating)["status"] == "ACTIVE"  # type: ignore[index]
    assert outside.pings("192.168.37.10")
    with outside.socket() as client, two.socket() as neighbour, one.socket() as self_:
        client.settimeout(2)
        client.connect(("192.168.37.10", 80))
        assert says(client)
        neighbour.settimeout(2)
        neighbour.connect(("192.168.37.10", 80))  # from inside, around the router's corner
        assert says(neighbour)
        self_.settimeout(2)
        self_.connect(("192.168.37.10", 80))
        assert says(self_)
        with outside.socket() as server:
            server.bind(("", 8080))
            server.listen()
            server.settimeout(2)
            with one.socket() as out:
                out.settimeout(2)
                out.connect(("192.168.37.254", 8080))
                assert server.accept()[1][0] == "192.168.37.10"
        lan.store.update("floating_ip", floating, {"port_id": None, "fixed_ip_address": None, "router_id": None})
        start = time.monotonic()
        await lan.settle(("router", router))
        assert time.monotonic() - start < 1
        assert not says(client)
        assert not outside.reaches("192.168.37.10", 80, 0.5)
        assert not outside.pings("192.168.37.10", wait=0.5)


async def scene_ports_of_a_floating_ip(lan: Lan) -> None:
    """One port, several to as many, several to one; from outside and from inside; nothing else gets in, and what ends is cut."""
    public = lan.public()
    network, subnet = lan.network("10.0.2.0/24")
    group = lan.group({})
    a, b = (lan.port(network, subnet, f"10.0.2.{n}", [group]) for n in (1, 2))
    router = lan.router((network, subnet, "10.0.2.254"), outside=(*public, "192.168.37.5"))
    await lan.settle(("network", public[0]), ("network", network), ("router", router), ("port", a), ("port", b))
    one, two, outside = lan.guest("a", a), lan.guest("b", b), lan.outside()
    one.listen(80)
    for number in (81, 8001, 8002):
        two.listen(number)
    floating = lan.floating(public, "192.168.37.10", None, None)
    forwarding = lan.forwarding(floating, router, a, 2080, 80)
    lan.forwarding(floating, router, b, 9001, 8001, more=1)
    lan.forwarding(floating, router, b, 81, 81, more=1)
    lan.forwarding(floating, router, b, 7000, 8002, more=9, internal_high=8002)
    lan.forwarding(floating, router, a, 53, 5353, protocol="udp")
    await lan.settle(("router", router))
    assert lan.row("floating_ip", floating)["status"] == "ACTIVE"

    def reached(who: Guest, number: int) -> bool:
        with who.socket() as client:
            client.settimeout(0.7)
            try:
                client.connect(("192.168.37.10", number))
            except OSError:
                return False
            return says(client)

    for number in (2080, 9001, 9002, 81, 7000, 7009):
        assert reached(outside, number), number
    for number in (80, 2081, 9000, 9003, 82, 8001, 7010):
        assert not reached(outside, number), number
    assert reached(two, 2080), "from inside, around the router's corner"
    assert reached(one, 2080), "by itself"
    with one.socket(socket.SOCK_DGRAM) as server, outside.socket(socket.SOCK_DGRAM) as client:
        server.bind(("", 5353))
        server.settimeout(1)
        client.settimeout(1)
        client.sendto(b"question", ("192.168.37.10", 53))
        question, peer = server.recvfrom(100)
        server.sendto(question, peer)
        assert client.recvfrom(100) == (b"question", ("192.168.37.10", 53))
    with outside.socket() as kept, outside.socket() as cut:
        for client, number in ((kept, 9001), (cut, 2080)):
            client.settimeout(2)
            client.connect(("192.168.37.10", number))
            assert says(client)
        lan.store.update("port_forwarding", forwarding, {"internal_low": 79, "internal_high": 79})
        await lan.settle(("router", router))
        assert not says(cut), "it leads elsewhere now"
        assert says(kept)
    lan.store.delete("port_forwarding", {"floating_ip_id": floating})
    await lan.settle(("router", router))
    assert lan.row("floating_ip", floating)["status"] == "DOWN"
    assert not reached(outside, 9001)


async def scene_a_control_plane_that_starts_again_finds_all_as_it_was(lan: Lan) -> None:
    one, two, router, public = await a_house(lan)
    outside = lan.outside()
    lan.floating(public, "192.168.37.10", router, one.port_id)
    await lan.settle(("router", router))
    network = lan.row("port", one.port_id)["network_id"]
    names = sorted(lan.datacenter.netns.names())

    def state() -> list[str]:
        """All links, addresses, routes and rules; numbers of packets and what comes and goes by itself left out."""
        commands = ("ip -d link", "ip address", "ip route", "nft list ruleset")
        inside = (f"nsenter --net=/netns/{name} {command}" for name in (f"net-{network}", f"rtr-{router}") for command in commands)
        lines = [line for command in inside for line in run(command).splitlines()]
        return [re.sub(r" state [A-Z]+", "", line) for line in lines if "timer" not in line and "_lft" not in line]

    def run(command: str) -> str:
        return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout

    one.listen(80)
    with outside.socket() as client:
        client.settimeout(2)
        client.connect(("192.168.37.10", 80))
        assert says(client)
        before = state()
        lan.live.stop()
        lan.build()
        await lan.start()
        assert state() == before
        assert says(client), "a flow goes on"
        with pytest.raises(HostError):
            lan.driver.open_tap("no such port")
        stray = lan.network("10.0.9.0/24")[0]
        await lan.settle(("network", stray))
        lan.store.delete("subnet", {"network_id": stray})
        lan.store.delete("network", {"id": stray})
        lan.live.stop()
        lan.build()
        await lan.start()
        assert sorted(lan.datacenter.netns.names()) == sorted({*names, f"guest-{two.name.removeprefix('guest-')}"})
        assert says(client)


async def scene_two_projects_with_the_same_range(lan: Lan) -> None:
    public = lan.public()
    guests = {}
    for name, project, gateway in (("a", PROJECT, "192.168.37.5"), ("b", OTHER, "192.168.37.6")):
        network, subnet = lan.network("10.0.2.0/24", project_id=project)
        group = lan.group({}, project_id=project)
        ports = [lan.port(network, subnet, f"10.0.2.{n}", [group], project_id=project) for n in (1, 2 if name == "a" else 3)]
        router = lan.router((network, subnet, "10.0.2.254"), outside=(*public, gateway), project_id=project)
        await lan.settle(("network", public[0]), ("network", network), ("router", router), *(("port", port) for port in ports))
        guests[name] = [lan.guest(f"{name}{n}", port) for n, port in enumerate(ports)]
    (a1, a2), (b1, b3) = guests["a"], guests["b"]
    dump = [guest.start("tcpdump", "-lni", "eth0", "-Q", "in", "src", "net", "10.0.2.0/24", "and", "not", "arp") for guest in (b1, b3)]
    await asyncio.sleep(1)
    assert a1.pings("10.0.2.2")
    assert not a1.pings("10.0.2.3", wait=0.5)
    for target in ("10.0.2.1", "10.0.2.2", "10.0.2.3", "192.168.37.6"):
        a2.run("ping", "-n", "-c", "2", "-i", "0.2", "-W", "0.5", target)
    a1.run("ping", "-n", "-b", "-c", "2", "-i", "0.2", "-W", "0.5", "10.0.2.255")
    a1.run("ip", "route", "add", "10.0.2.3/32", "via", "10.0.2.254")
    a1.run("ping", "-n", "-c", "2", "-i", "0.2", "-W", "0.5", "10.0.2.3")
    for process in dump:
        process.terminate()
        heard = [line for line in (process.communicate(timeout=5)[0]).splitlines() if " > " in line]
        assert heard == []
    assert not b3.pings("10.0.2.2", wait=0.5)


SCENES = {name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")}


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    play(inside, SCENES[name])


@pytest.mark.parametrize(("map", "which"), [("subuid", "test_scene"), ("single", "test_scene and (floating or opens)")])
def test_as_a_plain_user(as_user: Callable[..., str], map: str, which: str) -> None:
    print(as_user(map, __file__, which, timeout=400))
