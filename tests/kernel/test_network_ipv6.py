"""IPv6 on the wire: addresses that guests make of what routers advertise or DHCPv6 gives, routing, and what guests may not do.

The SLAAC client is the Linux kernel itself, in a guest that is a network namespace; the DHCPv6 client is a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from pileus.drivers.linuxnet.rules import link_local
from pileus.network.host import METADATA6
from pileus.network.live import MetadataRequest, MetadataResponse, dhcp6
from tests.kernel.lan import ETH_P_ALL, Guest, Lan, frame, hears, play, until

pytestmark = pytest.mark.kernel
PING6 = {"protocol": "ipv6-icmp", "ethertype": "IPv6"}
SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
STATELESS = {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"}
STATEFUL = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}
EVERYBODY, EVERYBODY_MAC = "ff02::1", "33:33:00:00:00:01"


def tcp6(low: int) -> dict[str, Any]:
    return {"protocol": "tcp", "port_range_min": low, "port_range_max": low, "ethertype": "IPv6"}


def eui64(prefix: str, mac: str) -> str:
    """The address that a host with this MAC makes in a /64."""
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Network(prefix)[0]) | int(ipaddress.IPv6Address(link_local(mac))) & (1 << 64) - 1))


def port(lan: Lan, network: str, subnet: str, groups: list[str], address: str = "", **values: Any) -> str:
    """A guest's port at `address`, or at the one that its MAC gives."""
    cidr = lan.row("subnet", subnet)["cidr"]
    id = lan.port(network, subnet, address or "::", groups, **values)
    if not address:
        address = eui64(cidr, lan.row("port", id)["mac_address"])
        lan.store.execute("UPDATE fixed_ip SET ip_address = ? WHERE port_id = ?", address, id)
    return id


def add_address(lan: Lan, port_id: str, subnet: str, address: str) -> None:
    network = lan.row("port", port_id)["network_id"]
    lan.store.insert("fixed_ip", {"port_id": port_id, "subnet_id": subnet, "network_id": network, "ip_address": address, "position": 1})


def addresses(guest: Guest) -> set[str]:
    """The guest's IPv6 addresses that are fit for use."""
    links = json.loads(guest.run("ip", "-j", "-6", "address", "show", "dev", "eth0").stdout)
    return {a["local"] for link in links for a in link.get("addr_info", ()) if not a.get("tentative")}


def ways_out(guest: Guest) -> set[str]:
    return {route.get("gateway", "") for route in json.loads(guest.run("ip", "-j", "-6", "route", "show", "default").stdout)}


async def eventually(call: Callable[[], Any], seconds: float = 20) -> None:
    """While the control plane goes on answering."""
    await asyncio.to_thread(until, call, seconds)


async def pings(guest: Guest, address: str, wait: float = 3) -> bool:
    return await asyncio.to_thread(guest.pings, address, wait=wait)


def checksum(source: bytes, target: bytes, kind: int, body: bytes) -> int:
    data = source + target + struct.pack("!II", len(body), kind) + body + b"\0" * (len(body) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def icmp6(mac: str, target_mac: str, source: str, target: str, body: bytes) -> bytes:
    """An ICMPv6 message (whose checksum is still zero) in its frame."""
    ends = [socket.inet_pton(socket.AF_INET6, end) for end in (source, target)]
    body = body[:2] + struct.pack("!H", checksum(*ends, 58, body)) + body[4:]
    return frame(mac, target_mac, 0x86DD, struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + b"".join(ends) + body)


async def hear_advertisement(guest: Guest, act: Callable[[], Any], seconds: float = 8) -> bytes:
    """The router advertisement that comes of `act`; empty when none does."""
    with guest.packets(ETH_P_ALL) as ear:
        ear.setblocking(False)
        act()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(0.02)
            with contextlib.suppress(BlockingIOError):
                data = ear.recv(2000)
                if data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] == 134:
                    return data
    return b""


def solicit(guest: Guest) -> Callable[[], None]:
    """Ask for an advertisement, as a kernel does that comes up."""

    def ask() -> None:
        with guest.packets() as mouth:
            body = b"\x85\0\0\0\0\0\0\0\x01\x01" + bytes.fromhex(guest.mac.replace(":", ""))
            mouth.send(icmp6(guest.mac, "33:33:00:00:00:02", link_local(guest.mac), "ff02::2", body))

    return ask


# -- advertisements ---------------------------------------------------------------------------------------------------------------


async def scene_slaac_and_a_router(lan: Lan) -> None:
    """Two subnets, each with its router's leg; the guests' kernels make the addresses that the API knows, and find their way."""
    group = lan.group(PING6, tcp6(80))
    (net1, sub1), (net2, sub2) = (
        lan.network(cidr, **SLAAC, gateway_ip=cidr.replace("/64", "1")) for cidr in ("fd00:1::/64", "fd00:2::/64")
    )
    a, b = port(lan, net1, sub1, [group]), port(lan, net2, sub2, [group])
    router = lan.router((net1, sub1, "fd00:1::1"), (net2, sub2, "fd00:2::1"))
    await lan.settle(("network", net1), ("network", net2), ("router", router), ("port", a), ("port", b))
    one, two = (lan.guest(name, id, address=False) for name, id in (("a", a), ("b", b)))
    start = time.monotonic()
    for guest, cidr in ((one, "fd00:1::/64"), (two, "fd00:2::/64")):
        wanted = eui64(cidr, guest.mac)
        assert lan.store.first("fixed_ip", {"port_id": guest.port_id})["ip_address"] == wanted  # type: ignore[index]
        await eventually(lambda guest=guest, wanted=wanted: wanted in addresses(guest))
        guest.ip = wanted
    print(f"both have their addresses after {time.monotonic() - start:.1f} s")
    leg = lan.store.first("port", {"network_id": net1, "device_id": router})
    assert leg
    assert ways_out(one) == {link_local(leg["mac_address"])}
    assert await pings(one, "fd00:1::1")
    assert await pings(one, two.ip)
    assert "ttl=63" in one.run("ping", "-n", "-c", "1", two.ip).stdout
    assert "hop limit" in one.run("ping", "-n", "-c", "1", "-t", "1", two.ip).stdout.lower()
    lan.store.update("router", router, {"admin_state_up": 0})
    said = await hear_advertisement(one, lambda: lan.loop.wake("router", router))
    assert said[60:62] == b"\0\0", "a router that goes says so"
    await lan.settle(("router", router))
    await eventually(lambda: not ways_out(one))
    assert not await pings(one, two.ip, 0.5)
    lan.store.update("router", router, {"admin_state_up": 1})
    await lan.settle(("router", router))
    for guest in (one, two):
        await eventually(lambda guest=guest: bool(ways_out(guest)))
    assert await pings(one, two.ip)


async def scene_what_is_advertised(lan: Lan) -> None:
    """Flags, prefixes, MTU, resolvers; what changes is said at once, and what is asked is answered to who asks."""
    network, subnet = lan.network("fd00:1::/64", **SLAAC, mtu=1400, dns_nameservers=["2001:db8::53"])
    guest_port = port(lan, network, subnet, [lan.group()])
    router = lan.router((network, subnet, "fd00:1::1"))
    await lan.settle(("network", network), ("router", router), ("port", guest_port))
    guest = lan.guest("a", guest_port, address=False)
    said = await hear_advertisement(guest, solicit(guest))
    leg = lan.store.first("port", {"device_id": router})
    assert leg
    assert said[:6] == bytes.fromhex(guest.mac.replace(":", "")), "to who asks"
    assert socket.inet_ntop(socket.AF_INET6, said[22:38]) == link_local(leg["mac_address"])
    assert said[21] == 255
    assert said[59] & 0xC0 == 0
    assert struct.pack("!BBHI", 5, 1, 0, 1400) in said
    head = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0)
    assert head + socket.inet_pton(socket.AF_INET6, "fd00:1::") in said
    assert struct.pack("!BBHI", 25, 3, 0, 9000) + socket.inet_pton(socket.AF_INET6, "2001:db8::53") in said

    def change() -> None:
        lan.store.update("subnet", subnet, {"ipv6_ra_mode": "dhcpv6-stateless", "dns_nameservers": "[]"})
        lan.loop.wake("router", router)

    said = await hear_advertisement(guest, change)
    assert said[59] & 0xC0 == 0x40
    assert struct.pack("!BBHI", 25, 3, 0, 9000) + socket.inet_pton(socket.AF_INET6, METADATA6) in said

    def manage() -> None:
        lan.store.update("subnet", subnet, {"ipv6_ra_mode": "dhcpv6-stateful"})
        lan.loop.wake("router", router)

    said = await hear_advertisement(guest, manage)
    assert said[59] & 0xC0 == 0x80
    assert struct.pack("!BBBBIII", 3, 4, 64, 0x80, 86400, 14400, 0) in said, "nobody makes an address of it"
    lan.store.update("subnet", subnet, {"ipv6_ra_mode": None})
    await lan.settle(("router", router))
    assert not await hear_advertisement(guest, solicit(guest), 1), "somebody else's business"


async def scene_two_prefixes_and_one_withdrawn(lan: Lan) -> None:
    network, subnet = lan.network("fd00:1::/64", **SLAAC)
    other = lan.subnet(network, "fd00:2::/64", **SLAAC)
    router = lan.router((network, subnet, "fd00:1::1"))
    leg = lan.store.first("port", {"device_id": router})
    assert leg
    add_address(lan, leg["id"], other, "fd00:2::1")
    guest_port = port(lan, network, subnet, [lan.group()])
    mac = lan.row("port", guest_port)["mac_address"]
    add_address(lan, guest_port, other, eui64("fd00:2::/64", mac))
    await lan.settle(("network", network), ("router", router), ("port", guest_port))
    guest = lan.guest("a", guest_port, address=False)
    wanted = {eui64(cidr, mac) for cidr in ("fd00:1::/64", "fd00:2::/64")}
    await eventually(lambda: wanted <= addresses(guest))
    assert await pings(guest, "fd00:1::1")
    assert await pings(guest, "fd00:2::1")
    lan.store.delete("fixed_ip", {"subnet_id": other, "port_id": leg["id"]})

    def change() -> None:
        lan.loop.wake("router", router)

    said = await hear_advertisement(guest, change)
    gone = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, "fd00:2::")
    assert gone in said
    await lan.settle(("router", router))
    assert not await pings(guest, "fd00:2::1", 0.5)


async def scene_a_new_control_plane_speaks_on(lan: Lan) -> None:
    """Guests keep their way out while nobody speaks; the next control plane finds everything in order and answers again."""
    network, subnet = lan.network("fd00:1::/64", **SLAAC)
    guest_port = port(lan, network, subnet, [lan.group()])
    router = lan.router((network, subnet, "fd00:1::1"))
    await lan.settle(("network", network), ("router", router), ("port", guest_port))
    guest = lan.guest("a", guest_port, address=False)
    await eventually(lambda: bool(ways_out(guest)))
    for served in list(lan.live._advertiser._speakers.values()):  # as SIGKILL does: sockets close, nothing is said
        for speaker in served.values():
            asyncio.get_running_loop().remove_reader(speaker.sock)
            speaker.sock.close()
    lan.live._advertiser._speakers.clear()
    lan.live.stop()
    assert not await hear_advertisement(guest, solicit(guest), 1)
    assert ways_out(guest)
    assert await pings(guest, "fd00:1::1")
    lan.build()
    await lan.start()
    assert await hear_advertisement(guest, solicit(guest))


# -- the public network ----------------------------------------------------------------------------------------------------------


async def scene_dual_stack_and_the_public_network(lan: Lan) -> None:
    """IPv4 is translated, IPv6 is routed, both ways; the group decides what comes in."""
    public = lan.public()
    public6 = lan.subnet(public[0], "2001:db8:37::/64", gateway_ip="2001:db8:37::fe", enable_dhcp=0)
    network, subnet = lan.network("10.0.2.0/24")
    subnet6 = lan.subnet(network, "2001:db8:1::/64", gateway_ip="2001:db8:1::1", **SLAAC)
    guest_port = lan.port(network, subnet, "10.0.2.1", [lan.group(PING6, tcp6(80))])
    mac = lan.row("port", guest_port)["mac_address"]
    address = eui64("2001:db8:1::/64", mac)
    add_address(lan, guest_port, subnet6, address)
    router = lan.router((network, subnet, "10.0.2.254"), (network, subnet6, "2001:db8:1::1"), outside=(*public, "192.168.37.5"))
    add_address(lan, lan.row("router", router)["gateway_port_id"], public6, "2001:db8:37::5")
    await lan.settle(("network", public[0]), ("network", network), ("router", router), ("port", guest_port))
    guest, outside = lan.guest("a", guest_port), lan.outside()
    await eventually(lambda: address in addresses(guest))
    assert await pings(guest, "192.168.37.254")
    host = "2001:db8:37:0:ffff:ffff:ffff:ffff"  # the outside host, which is told the way in
    await eventually(lambda: guest.pings(host))
    assert await pings(outside, address)
    with guest.socket(family=socket.AF_INET6) as server, outside.socket(family=socket.AF_INET6) as client:
        server.bind(("::", 80))
        server.listen()
        client.settimeout(2)
        client.connect((address, 80))
        assert server.accept()[1][0] == host
    with guest.socket(family=socket.AF_INET6) as server, outside.socket(family=socket.AF_INET6) as client:
        server.bind(("::", 81))
        server.listen()
        client.settimeout(0.5)
        with pytest.raises(OSError, match="timed out"):
            client.connect((address, 81))
    lan.remove_port(lan.store.first("fixed_ip", {"ip_address": "2001:db8:1::1"})["port_id"])  # type: ignore[index]
    await lan.settle(("router", router))
    assert "2001:db8:1::" not in outside.run("ip", "-6", "route").stdout


# -- DHCPv6 -----------------------------------------------------------------------------------------------------------------------


class Client:
    """A DHCPv6 client in a guest."""

    def __init__(self, guest: Guest) -> None:
        self.name = struct.pack("!HH", 3, 1) + bytes.fromhex(guest.mac.replace(":", ""))
        self.sock = guest.socket(socket.SOCK_DGRAM, socket.AF_INET6)
        self.sock.setblocking(False)
        self.sock.bind(("::", 546))
        self.scope = guest.lan.datacenter.netns.run(guest.name, lambda: socket.if_nametoindex("eth0"))

    async def ask(self, kind: int, *options: tuple[int, bytes], name: bool = True, seconds: float = 2) -> dhcp6.Message | None:
        transaction = os.urandom(3)
        given = [*([(dhcp6.CLIENT_ID, self.name)] if name else []), *options]
        self.sock.sendto(dhcp6.encode(dhcp6.Message(kind, transaction, given)), ("ff02::1:2", 547, 0, self.scope))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    data = await asyncio.get_running_loop().sock_recv(self.sock, 2000)
                    if data[1:4] == transaction:
                        return dhcp6.Message(data[0], data[1:4], dhcp6.read_options(data[4:]) or [])
        return None


def association(*wanted: str) -> tuple[int, bytes]:
    parts = [(dhcp6.IA_ADDRESS, socket.inet_pton(socket.AF_INET6, address) + b"\0" * 8) for address in wanted]
    return dhcp6.IA_NA, b"\0\0\0\1" + b"\0" * 8 + dhcp6.written(parts)


def given(message: dhcp6.Message) -> dict[str, int]:
    """Addresses of the answer, and how long they are valid."""
    found = {}
    for ask in message.all(dhcp6.IA_NA):
        for code, value in dhcp6.read_options(ask[12:]) or []:
            if code == dhcp6.IA_ADDRESS:
                found[socket.inet_ntop(socket.AF_INET6, value[:16])] = int.from_bytes(value[20:24])
    return found


async def ready(guest: Guest) -> None:
    """Its own link-local address is there."""
    await eventually(lambda: link_local(guest.mac) in addresses(guest))


async def scene_dhcpv6_stateful(lan: Lan) -> None:
    network, subnet = lan.network("fd00:1::/64", **STATEFUL, dns_nameservers=["2001:db8::53", "2001:db8::54"])
    options = [
        {"opt_name": "ntp-server", "opt_value": "2001:db8::123", "ip_version": 6},
        {"opt_name": "59", "opt_value": "tftp://x/y", "ip_version": 6},
    ]
    guest_port = port(lan, network, subnet, [lan.group()], "fd00:1::abc", dns_name="web", extra_dhcp_opts=options)
    router = lan.router((network, subnet, "fd00:1::1"))
    await lan.settle(("network", network), ("router", router), ("port", guest_port))
    guest = lan.guest("a", guest_port, address=False)
    await ready(guest)
    client = Client(guest)
    offer = await client.ask(dhcp6.SOLICIT, association())
    assert offer
    assert offer.kind == dhcp6.ADVERTISE
    assert given(offer) == {"fd00:1::abc": 86400}
    server = offer.get(dhcp6.SERVER_ID)
    assert server
    reply = await client.ask(dhcp6.REQUEST, (dhcp6.SERVER_ID, server), association("fd00:1::abc", "fd00:1::bad"), (dhcp6.WANTED, b"\0\x27"))
    assert reply
    assert reply.kind == dhcp6.REPLY
    assert given(reply) == {"fd00:1::abc": 86400, "fd00:1::bad": 0}
    assert reply.get(dhcp6.NAMESERVERS) == b"".join(socket.inet_pton(socket.AF_INET6, f"2001:db8::{n}") for n in ("53", "54"))
    assert reply.get(dhcp6.SEARCH) == b"\x0eopenstacklocal\0"
    assert reply.get(39) == b"\0\x03web\x0eopenstacklocal\0"
    assert reply.get(56) == struct.pack("!HH", 1, 16) + socket.inet_pton(socket.AF_INET6, "2001:db8::123")
    assert reply.get(59) == b"tftp://x/y"
    times = struct.unpack("!II", (reply.get(dhcp6.IA_NA) or b"")[4:12])
    assert times == (43200, 69120)
    lan.store.update("subnet", subnet, {"dns_nameservers": '["2001:db8::55"]'})
    for kind, more in ((dhcp6.RENEW, [(dhcp6.SERVER_ID, server)]), (dhcp6.REBIND, [])):
        renewed = await client.ask(kind, *more, association("fd00:1::abc"))
        assert renewed
        assert given(renewed) == {"fd00:1::abc": 86400}
        assert renewed.get(dhcp6.NAMESERVERS) == socket.inet_pton(socket.AF_INET6, "2001:db8::55")
    quick = await client.ask(dhcp6.SOLICIT, association(), (dhcp6.RAPID, b""))
    assert quick
    assert quick.kind == dhcp6.REPLY
    for address, status in (("fd00:1::abc", dhcp6.SUCCESS), ("fd00:9::abc", dhcp6.NOT_ON_LINK)):
        confirmed = await client.ask(dhcp6.CONFIRM, association(address))
        assert confirmed
        assert (confirmed.get(dhcp6.STATUS) or b"")[:2] == struct.pack("!H", status)
    released = await client.ask(dhcp6.RELEASE, (dhcp6.SERVER_ID, server), association("fd00:1::abc"))
    assert released
    assert released.kind == dhcp6.REPLY
    assert await client.ask(dhcp6.REQUEST, (dhcp6.SERVER_ID, b"\0\3\0\1somebody"), association()) is None, "it has chosen another server"
    guest.run("ip", "address", "add", "fd00:1::abc/64", "dev", "eth0", "nodad", check=True)
    assert await pings(guest, "fd00:1::1")
    lan.store.update("subnet", subnet, {"enable_dhcp": 0})
    assert await client.ask(dhcp6.SOLICIT, association()) is None


async def scene_dhcpv6_stateless_and_slaac(lan: Lan) -> None:
    network, subnet = lan.network("fd00:1::/64", **STATELESS)
    guest_port = port(lan, network, subnet, [lan.group(egress=False)])
    router = lan.router((network, subnet, "fd00:1::1"))
    await lan.settle(("network", network), ("router", router), ("port", guest_port))
    guest = lan.guest("a", guest_port, address=False)
    await eventually(lambda: eui64("fd00:1::/64", guest.mac) in addresses(guest))
    client = Client(guest)
    told = await client.ask(dhcp6.INFORMATION, (dhcp6.WANTED, b"\0\x17"))
    assert told
    assert told.kind == dhcp6.REPLY
    assert told.get(dhcp6.NAMESERVERS) == socket.inet_pton(socket.AF_INET6, METADATA6)
    assert await client.ask(dhcp6.INFORMATION, name=False), "without a name of its own"
    refused = await client.ask(dhcp6.SOLICIT, association())
    assert refused
    assert given(refused) == {}
    assert (refused.get(dhcp6.STATUS) or b"")[:2] == struct.pack("!H", dhcp6.NO_ADDRESSES)
    lan.store.update("subnet", subnet, SLAAC)
    assert await client.ask(dhcp6.INFORMATION) is None


# -- what answers at fe80::a9fe:a9fe ------------------------------------------------------------------------------------------------


async def metadata(request: MetadataRequest) -> MetadataResponse:
    return MetadataResponse(200, request.port["id"].encode())


async def scene_metadata_and_names(lan: Lan) -> None:
    network, subnet = lan.network("fd00:1::/64", **SLAAC)
    guest_port = port(lan, network, subnet, [lan.group()], dns_name="adder")
    await lan.settle(("network", network), ("port", guest_port))
    guest = lan.guest("a", guest_port, address=False)
    await ready(guest)
    done = await asyncio.to_thread(guest.run, "curl", "-s", "-g", "-m", "5", f"http://[{METADATA6}%eth0]/latest/meta-data/")
    assert done.stdout == guest_port
    client = guest.socket(socket.SOCK_DGRAM, socket.AF_INET6)
    client.setblocking(False)
    scope = lan.datacenter.netns.run(guest.name, lambda: socket.if_nametoindex("eth0"))
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x05adder\x0eopenstacklocal\0" + struct.pack("!HH", 28, 1)
    client.sendto(query, (METADATA6, 53, 0, scope))
    answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 500), 2)
    assert answer.endswith(socket.inet_pton(socket.AF_INET6, eui64("fd00:1::/64", guest.mac)))


async def scene_an_address_of_the_host_in_the_subnet(lan: Lan) -> None:
    """With a port of the kind `network:dhcp` the host answers at its address, and routers name it as resolver."""
    network, subnet = lan.network("fd00:1::/64", **SLAAC)
    foot = lan.port(network, subnet, "fd00:1::2", device_owner="network:dhcp", port_security_enabled=0)
    guest_port = port(lan, network, subnet, [lan.group()])
    router = lan.router((network, subnet, "fd00:1::1"))
    await lan.settle(("network", network), ("port", foot), ("router", router), ("port", guest_port))
    guest = lan.guest("a", guest_port, address=False)
    await eventually(lambda: eui64("fd00:1::/64", guest.mac) in addresses(guest))
    assert await pings(guest, "fd00:1::2")
    said = await hear_advertisement(guest, solicit(guest))
    assert struct.pack("!BBHI", 25, 3, 0, 9000) + socket.inet_pton(socket.AF_INET6, "fd00:1::2") in said
    found = await asyncio.to_thread(guest.run, "busybox", "nslookup", "fd00:1::2", "fd00:1::2")
    assert "name = host-fd00-1--2.openstacklocal" in found.stdout
    lan.store.update("port", foot, {"gone": 1})
    await lan.settle(("port", foot))
    assert not await pings(guest, "fd00:1::2", 0.5)


async def scene_a_network_gets_and_loses_ipv6(lan: Lan) -> None:
    """The host's IPv6 address on a network comes with the first subnet that needs it, and survives the network's being shut."""
    network, subnet = lan.network("10.0.2.0/24")
    guest_port = lan.port(network, subnet, "10.0.2.1", [lan.group()])
    await lan.settle(("network", network), ("port", guest_port))
    guest = lan.guest("a", guest_port)
    await ready(guest)
    target = f"{METADATA6}%eth0"
    assert not await pings(guest, target, 0.5)
    subnet6 = lan.subnet(network, "fd00:1::/64", **SLAAC)
    await lan.settle(("network", network))
    await eventually(lambda: guest.pings(target))
    for up in (0, 1):
        lan.store.update("network", network, {"admin_state_up": up})
        await lan.settle(("network", network))
    await eventually(lambda: guest.pings(target))
    lan.store.delete("subnet", {"id": subnet6})
    await lan.settle(("network", network))
    assert not await pings(guest, target, 0.5)


# -- what guests may not do ---------------------------------------------------------------------------------------------------------


def neighbour(kind: int, about: str) -> bytes:
    return bytes([kind]) + b"\0\0\0" + b"\0\0\0\0" + socket.inet_pton(socket.AF_INET6, about)


async def scene_a_guest_speaks_only_for_itself(lan: Lan) -> None:
    group = lan.group({"ethertype": "IPv6"})
    network, subnet = lan.network("fd00:1::/64", **SLAAC)
    a, b = (
        port(lan, network, subnet, [group], allowed_address_pairs=[{"ip_address": "fd00:1:0:0:7::/80"}]),
        port(lan, network, subnet, [group]),
    )
    await lan.settle(("network", network), ("port", a), ("port", b))
    one, two = lan.guest("a", a, address=False), lan.guest("b", b, address=False)
    for guest in (one, two):
        guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")  # their own chatter only disturbs
    own, others, local = eui64("fd00:1::/64", one.mac), eui64("fd00:1::/64", two.mac), link_local(one.mac)

    def arrives(source: str, body: bytes, target: str = EVERYBODY, mac: str = EVERYBODY_MAC) -> bool:
        with two.packets(ETH_P_ALL) as ear, one.packets() as mouth:
            mouth.send(icmp6(one.mac, mac, source, target, body))
            return hears(ear, body[4:])

    echo = b"\x80\0\0\0plain words "
    assert arrives(own, echo)
    assert arrives(local, echo)
    assert arrives("fd00:1:0:0:7::1", echo), "its pair"
    assert not arrives("fd00:1::5", echo)
    assert not arrives(link_local(two.mac), echo)
    assert not arrives("::", echo)
    for about, right in ((own, True), (local, True), ("fd00:1:0:0:7::9", True), (others, False), (link_local(two.mac), False)):
        assert arrives("::", neighbour(135, about)) is right, f"looking for a double of {about}"
        assert arrives(own, neighbour(136, about)) is right, f"being {about}"
    assert arrives(own, neighbour(135, others)), "anybody may be looked for"
    assert not arrives(local, b"\x86\0\0\0\x40\0\x07\x08" + b"\0" * 8), "no guest is a router"
    assert not arrives(local, b"\x89\0\0\0" + b"\0" * 4 + socket.inet_pton(socket.AF_INET6, others) * 2), "nor redirects"
    fragment = b"\x3a\0\0\x01\0\0\0\x07"  # a header that hides the ICMPv6 type from who looks only at the first
    body = b"\x86\0\0\0\x40\0\x07\x08" + b"\0" * 8 + b"hidden words"
    ends = b"".join(socket.inet_pton(socket.AF_INET6, end) for end in (local, EVERYBODY))
    hidden = frame(one.mac, EVERYBODY_MAC, 0x86DD, struct.pack("!IHBB", 6 << 28, len(fragment + body), 44, 255) + ends + fragment + body)
    with two.packets(ETH_P_ALL) as ear, one.packets() as mouth:
        mouth.send(hidden)
        assert not hears(ear, b"hidden words")
    client = dhcp6.encode(dhcp6.Message(dhcp6.REPLY, b"abc", []))  # as a server's
    segment = struct.pack("!HHHH", 547, 546, 8 + len(client), 0) + client
    ends_ = [socket.inet_pton(socket.AF_INET6, end) for end in (local, link_local(two.mac))]
    segment = segment[:6] + struct.pack("!H", checksum(*ends_, 17, segment)) + segment[8:]
    with two.packets(ETH_P_ALL) as ear, one.packets() as mouth:
        mouth.send(frame(one.mac, two.mac, 0x86DD, struct.pack("!IHBB", 6 << 28, len(segment), 17, 64) + b"".join(ends_) + segment))
        assert not hears(ear, client)


async def scene_groups_of_ipv6(lan: Lan) -> None:
    """Neighbours find each other whatever the groups say; the rest is the rules'."""
    closed, open_ = lan.group(), lan.group(PING6, {**tcp6(80), "remote_ip_prefix": "fd00:1::/64"})
    network, subnet = lan.network("fd00:1::/64", **SLAAC)
    a, b = port(lan, network, subnet, [closed]), port(lan, network, subnet, [open_])
    router = lan.router((network, subnet, "fd00:1::1"))
    await lan.settle(("network", network), ("router", router), ("port", a), ("port", b))
    one, two = lan.guest("a", a, address=False), lan.guest("b", b, address=False)
    for guest in (one, two):
        guest.ip = eui64("fd00:1::/64", guest.mac)
        await eventually(lambda guest=guest: guest.ip in addresses(guest))
    assert await pings(one, two.ip)
    assert not await pings(two, one.ip, 0.5)

    def reaches(number: int) -> bool:
        with two.socket(family=socket.AF_INET6) as server, one.socket(family=socket.AF_INET6) as client:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("::", number))
            server.listen()
            client.settimeout(0.7)
            try:
                client.connect((two.ip, number))
            except OSError:
                return False
            return True

    assert reaches(80)
    assert not reaches(81)


SCENES = {name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")}


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    play(inside, SCENES[name], metadata=metadata)


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Callable[..., str], map: str) -> None:
    print(as_user(map, __file__, "not plain_user", timeout=300))
