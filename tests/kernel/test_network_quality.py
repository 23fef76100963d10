"""QoS on the wire: bandwidths that are kept in both directions, packet rates, marks; at once, for open flows too, and off again."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import subprocess
import threading
import time
from typing import Any

import pytest

from pileus.drivers.linuxnet import shaper
from tests.kernel.lan import ETH_P_ALL, Guest, Lan, play, udp

pytestmark = pytest.mark.kernel
RATE = 8000  # kbit/s, of the limits here: far below what the cable between namespaces carries
BURST = 200
WARM_UP = 0.5  # seconds until what a burst lets through is over
HEADERS = 42  # bytes: Ethernet, IPv4, UDP


def policy(lan: Lan, *rules: dict[str, Any]) -> str:
    made = lan.insert("qos_policy")
    for rule in rules:
        lan.insert("qos_rule", qos_policy_id=made, **{"max_burst_kbps": BURST, "max_burst_kpps": 0, **rule})
    return made


def bandwidth(direction: str, rate: int = RATE) -> dict[str, Any]:
    return {"type": "bandwidth_limit", "direction": direction, "max_kbps": rate}


async def give(lan: Lan, guest: Guest, policy_id: str) -> None:
    lan.store.update("port", guest.port_id, {"qos_policy_id": policy_id})
    await lan.settle(("port", guest.port_id))


def speed(source: Guest, target: Guest, offered: int = 4 * RATE, seconds: float = 1.5) -> float:
    """kbit/s of UDP that come in at one guest when another sends `offered` kbit/s; headers count, as they do for a queue."""
    arrived: list[tuple[float, int]] = []
    over = threading.Event()
    sink = target.socket(socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sink.bind(("", 0))
    sink.settimeout(0.2)

    def drain() -> None:
        while not over.is_set():
            try:
                arrived.append((time.monotonic(), len(sink.recv(2000)) + HEADERS))
            except TimeoutError:
                continue

    listening = threading.Thread(target=drain, daemon=True)
    listening.start()
    with source.socket(socket.SOCK_DGRAM) as sock:
        began, sent = time.monotonic(), 0
        while (passed := time.monotonic() - began) < WARM_UP + seconds:
            if sent * 8 / 1000 < offered * passed:
                sock.sendto(b"x" * 1200, (target.ip, sink.getsockname()[1]))
                sent += 1200 + HEADERS
            else:
                time.sleep(0.001)
    over.set()
    listening.join()
    counted = [size for at, size in arrived if began + WARM_UP <= at < began + WARM_UP + seconds]
    return sum(counted) * 8 / seconds / 1000


async def measured(source: Guest, target: Guest) -> float:
    return await asyncio.to_thread(speed, source, target)


async def scene_a_bandwidth_is_kept(lan: Lan) -> None:
    """Both ways, within a tenth; the other way stays fast; a new rate holds at once, and no limit is none."""
    group = lan.group({})
    one, two = await lan.pair([group], [group])
    assert await measured(one, two) > 2 * RATE, "the cable is too slow for this test to mean anything"
    for direction, source, target in (("egress", one, two), ("ingress", two, one)):
        limited = policy(lan, bandwidth(direction))
        await give(lan, one, limited)
        found = await measured(source, target)
        assert 0.9 * RATE < found < 1.1 * RATE, f"{direction}: {found:.0f} kbit/s of {RATE}"
        assert await measured(target, source) > 2 * RATE, f"the other way than {direction}"
        lan.store.execute("UPDATE qos_rule SET max_kbps = ? WHERE qos_policy_id = ?", RATE // 2, limited)
        await lan.settle(("port", one.port_id))
        found = await measured(source, target)
        assert 0.45 * RATE < found < 0.55 * RATE, f"{direction}: {found:.0f} kbit/s of {RATE // 2}"
    await give(lan, one, "")
    assert await measured(two, one) > 2 * RATE
    devices = lan.datacenter.netns.run(
        f"net-{lan.row('port', one.port_id)['network_id']}", lambda: [name for _, name in socket.if_nameindex()]
    )
    assert not [name for name in devices if name.startswith("ifb")]


async def scene_a_network_s_policy_holds_for_its_ports(lan: Lan) -> None:
    group = lan.group({})
    one, two = await lan.pair([group], [group])
    lan.store.update("network", lan.row("port", one.port_id)["network_id"], {"qos_policy_id": policy(lan, bandwidth("egress"))})
    await lan.settle(("port", one.port_id), ("port", two.port_id))
    assert await measured(one, two) < 1.1 * RATE
    await give(lan, one, policy(lan, bandwidth("egress", 10 * RATE)))
    assert await measured(one, two) > 2 * RATE, "its own goes before"


async def scene_a_floating_ip_and_a_gateway(lan: Lan) -> None:
    """Each has a limit of its own, outward and inward, at once and off again."""
    public, (network, subnet) = lan.public(), lan.network("10.0.2.0/24")
    group = lan.group({})
    router = lan.router((network, subnet, "10.0.2.254"), outside=(*public, "192.168.37.5"))
    ports = [lan.port(network, subnet, f"10.0.2.{n}", [group]) for n in (1, 2)]
    floating = lan.floating(public, "192.168.37.10", router, ports[0])
    await lan.settle(*(("network", id) for id in (public[0], network)), *(("port", port) for port in ports), ("router", router))
    (one, two), outside = (lan.guest(str(n), port) for n, port in enumerate(ports)), lan.outside()
    inward = dataclasses.replace(one, ip="192.168.37.10")
    lan.store.update("floating_ip", floating, {"qos_policy_id": policy(lan, bandwidth("egress"), bandwidth("ingress"))})
    lan.store.update("router", router, {"qos_policy_id": policy(lan, bandwidth("egress", RATE // 2))})
    await lan.settle(("router", router))
    for source, target, rate in ((one, outside, RATE), (outside, inward, RATE), (two, outside, RATE // 2)):
        found = await measured(source, target)
        assert 0.85 * rate < found < 1.2 * rate, f"{source.name} to {target.ip}: {found:.0f} kbit/s of {rate}"
    lan.store.update("floating_ip", floating, {"qos_policy_id": ""})
    lan.store.update("router", router, {"qos_policy_id": None})
    await lan.settle(("router", router))
    assert await measured(one, outside) > 2 * RATE


def storm(source: Guest, target: Guest, count: int) -> int:
    """How many of so many datagrams, sent at once, come in."""
    heard, own = 0, bytes.fromhex(source.mac.replace(":", ""))
    with target.packets(ETH_P_ALL) as ear, source.packets() as mouth:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for _ in range(count):
            mouth.send(udp(source.mac, target.mac, (source.ip, 5), (target.ip, 7), b"storm"))
            time.sleep(0.0002)
        ear.settimeout(0.3)
        try:
            while True:
                data = ear.recv(2000)
                heard += b"storm" in data and data[6:12] == own
        except TimeoutError:
            return heard


async def scene_a_packet_rate_is_kept(lan: Lan) -> None:
    group = lan.group({})
    one, two = await lan.pair([group], [group])
    assert await asyncio.to_thread(storm, one, two, 300) == 300
    for direction, source, target in (("egress", one, two), ("ingress", two, one)):
        await give(lan, one, policy(lan, {"type": "packet_rate_limit", "direction": direction, "max_kpps": 1}))
        start = time.monotonic()
        heard = await asyncio.to_thread(storm, source, target, 2000)
        sending = time.monotonic() - start - 0.3
        assert heard < 2000, "nothing was dropped"
        assert 0.5 * 1000 * sending < heard < 1.1 * 1000 * sending + 110, f"{direction}: {heard} in {sending:.2f} s"
        assert await asyncio.to_thread(storm, target, source, 300) == 300, "the other way"
    await give(lan, one, "")
    assert await asyncio.to_thread(storm, two, one, 600) == 600


async def scene_packets_are_marked(lan: Lan) -> None:
    group = lan.group({}, {"ethertype": "IPv6"})
    one, two = await lan.pair([group], [group])
    for secure in (1, 0):
        lan.store.update("port", one.port_id, {"port_security_enabled": secure})
        if not secure:
            lan.store.delete("port_security_group", {"port_id": one.port_id})
        await give(lan, one, policy(lan, {"type": "dscp_marking", "direction": None, "dscp_mark": 26}))
        assert mark_of(one, two) == 26 << 2
        assert one.pings(two.ip), "checksums are right"
        assert two.pings(one.ip) or secure == 0
        await give(lan, one, "")
        assert mark_of(one, two) == 0


def mark_of(source: Guest, target: Guest) -> int:
    with target.packets(ETH_P_ALL) as ear, source.socket(socket.SOCK_DGRAM) as sock:
        ear.settimeout(2)
        sock.sendto(b"what am I marked with", (target.ip, 9))
        while True:
            data = ear.recv(2000)
            if b"marked with" in data and data[12:14] == b"\x08\x00":
                return data[15]


async def scene_a_limit_is_found_again(lan: Lan) -> None:
    """By a new control plane, which leaves it as it is; and one half made is made whole."""
    group = lan.group({})
    one, _ = await lan.pair([group], [group])
    await give(lan, one, policy(lan, bandwidth("egress"), bandwidth("ingress")))
    lan.live.stop()
    lan.build()
    await lan.start()
    network = lan.row("port", one.port_id)["network_id"]
    one.lan.datacenter.netns.run(f"net-{network}", lambda: _tc("qdisc", "del", "dev", f"tap{one.port_id[:11]}", "ingress"))
    lan.live.stop()
    lan.build()
    await lan.start()
    listed = lan.datacenter.netns.run(f"net-{network}", lambda: _tc("filter", "show", "dev", f"tap{one.port_id[:11]}", "ingress"))
    assert f"ifb{one.port_id[:11]}" in listed


def _tc(*words: str) -> str:
    return subprocess.run(["tc", *words], capture_output=True, text=True, check=True).stdout


SCENES = {name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")}


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    play(inside, SCENES[name])


def test_a_limit_that_is_off_is_noticed(inside: Any) -> None:
    """Without the detour what a guest sends is not limited, and the test of it fails."""

    async def mutated(lan: Lan) -> None:
        shaper.add_detour = lambda index, pipe: shaper.get_detours(index)  # type: ignore[assignment]
        await scene_a_bandwidth_is_kept(lan)

    with pytest.raises(AssertionError):
        play(inside, mutated)


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Any, map: str) -> None:
    print(as_user(map, __file__, "not plain_user", timeout=200))
