"""A guest sends only as itself: by MAC, by address, in ARP, as a DHCP server, as a router. Each check has a name, and a mutation
(test_network_mutations.py) that it must notice."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from pileus.drivers.linuxnet.rules import link_local
from tests.kernel.lan import ETH_P_ALL, Guest, Lan, arp, frame, hears, play, udp

pytestmark = pytest.mark.kernel
Check = Callable[[Guest, Guest], None]
FOREIGN = "fa:16:3e:ff:ff:ff"
EVERYBODY = "ff:ff:ff:ff:ff:ff"


def sent(one: Guest, two: Guest, data: bytes, what: bytes) -> bool:
    """Whether a frame that the first guest puts on its wire comes to the second."""
    with two.packets(ETH_P_ALL) as ear, one.packets() as mouth:
        mouth.send(data)
        return hears(ear, what)


def check_plain(one: Guest, two: Guest) -> None:
    """What is in order arrives: else the other checks would say nothing."""
    assert sent(one, two, udp(one.mac, two.mac, (one.ip, 5), (two.ip, 7), b"plain words"), b"plain words")
    assert sent(one, two, arp(one.mac, one.ip, two.ip), socket.inet_aton(one.ip))


def check_mac(one: Guest, two: Guest) -> None:
    assert not sent(one, two, udp(FOREIGN, two.mac, (one.ip, 5), (two.ip, 7), b"foreign mac"), b"foreign mac")


def check_address(one: Guest, two: Guest) -> None:
    assert not sent(one, two, udp(one.mac, two.mac, ("10.0.2.77", 5), (two.ip, 7), b"foreign address"), b"foreign address")


def check_arp(one: Guest, two: Guest) -> None:
    told = socket.inet_aton("10.0.2.254")
    assert not sent(one, two, arp(one.mac, "10.0.2.254", two.ip, operation=2), told)
    assert not sent(one, two, arp(FOREIGN, one.ip, two.ip, frame_mac=one.mac), bytes.fromhex(FOREIGN.replace(":", "")))


def check_dhcp_server(one: Guest, two: Guest) -> None:
    assert not sent(one, two, udp(one.mac, EVERYBODY, (one.ip, 67), ("255.255.255.255", 68), b"be my client"), b"be my client")


def check_router_advertisement(one: Guest, two: Guest) -> None:
    source = socket.inet_pton(socket.AF_INET6, link_local(one.mac))
    everybody = socket.inet_pton(socket.AF_INET6, "ff02::1")
    body = b"\x86\0" + b"\0\0" + b"\x40\0\x07\x08" + b"\0" * 8
    total = sum(struct.unpack(f"!{(40 + len(body)) // 2}H", source + everybody + struct.pack("!II", len(body), 58) + body))
    total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + body[4:]
    packet = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + everybody + body
    assert not sent(one, two, frame(one.mac, "33:33:00:00:00:01", 0x86DD, packet), body[4:])


def check_other_protocols(one: Guest, two: Guest) -> None:
    """Neither a VLAN's tag, below which nobody looks, nor anything that is not IP."""
    inner = udp(one.mac, two.mac, (one.ip, 5), (two.ip, 7), b"below a tag")
    assert not sent(one, two, inner[:12] + b"\x81\0\0\x05" + inner[12:], b"below a tag")
    assert not sent(one, two, frame(one.mac, two.mac, 0x88B5, b"something else entirely"), b"something else entirely")


CHECKS: dict[str, Check] = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}


async def pair(lan: Lan) -> tuple[Guest, Guest]:
    """Two guests whose groups let everything in and out."""
    group = lan.group({}, {"ethertype": "IPv6"})
    one, two = await lan.pair([group], [group])
    for guest in (one, two):
        guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")  # their own chatter only disturbs
    return one, two


def test_nobody_speaks_as_another(inside: Any) -> None:
    async def scene(lan: Lan) -> None:
        one, two = await pair(lan)
        for check in CHECKS.values():
            check(one, two)

    play(inside, scene)


def test_allowed_address_pairs(inside: Any) -> None:
    async def scene(lan: Lan) -> None:
        group = lan.group({})
        pairs = [{"ip_address": "10.0.2.77"}, {"ip_address": "10.0.2.88", "mac_address": FOREIGN}, {"ip_address": "10.9.0.0/16"}]
        one, two = await lan.pair([group], [group], allowed_address_pairs=pairs)

        def arrives(mac: str, ip: str) -> bool:
            return sent(one, two, udp(mac, two.mac, (ip, 5), (two.ip, 7), b"paired"), b"paired")

        assert arrives(one.mac, one.ip)
        assert arrives(one.mac, "10.0.2.77")
        assert arrives(FOREIGN, "10.0.2.88")
        assert arrives(one.mac, "10.9.8.7")
        assert not arrives(one.mac, "10.0.2.88")
        assert not arrives(FOREIGN, "10.0.2.77")
        assert not arrives(one.mac, "10.0.2.78")
        assert sent(one, two, arp(FOREIGN, "10.0.2.88", two.ip), socket.inet_aton("10.0.2.88"))

    play(inside, scene)


async def frames_for_one_guest(lan: Lan) -> None:
    """Frames for one guest are not shown to another, not even before the switch has learnt who is where."""
    group = lan.group({})
    one, two = await lan.pair([group], [group])
    row = lan.store.get("port", one.port_id)
    assert row
    subnet = lan.store.first("subnet", {"network_id": row["network_id"]})
    assert subnet
    third = lan.port(row["network_id"], subnet["id"], "10.0.2.3", [group])
    await lan.settle(("port", third))
    three = lan.guest("c", third)
    with three.packets(ETH_P_ALL) as ear, one.packets() as mouth:
        mouth.send(udp(one.mac, two.mac, (one.ip, 5), (two.ip, 7), b"for two only"))
        mouth.send(udp(one.mac, FOREIGN, (one.ip, 5), ("10.0.2.9", 7), b"for nobody"))
        assert not hears(ear, b"for")


def test_frames_for_one_guest_are_not_shown_to_another(inside: Any) -> None:
    play(inside, frames_for_one_guest)


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Callable[..., str], map: str) -> None:
    print(as_user(map, __file__, "not plain_user", timeout=200))
