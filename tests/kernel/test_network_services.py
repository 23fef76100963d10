"""What a guest is told: DHCP by a real client, DNS, and the metadata relay, on networks and behind routers that know no option 121."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.network.live import MetadataRequest, MetadataResponse, dhcp
from tests.kernel.lan import Guest, Lan, play, udp
from tests.network_rows import OTHER

pytestmark = pytest.mark.kernel

SCRIPT = """#!/bin/sh
# udhcpc calls this: put the lease into effect, and say what it was
env | grep -vE '^(PWD|OLDPWD|SHLVL|_|PATH)=' > $LEASE.new
test "$1" = bound -o "$1" = renew || exit 0
ip address replace $ip/$mask dev $interface
ip link set $interface mtu $mtu
set -- $staticroutes
while test $# -ge 2; do ip route replace $1 via $2 dev $interface onlink 2>/dev/null || ip route replace $1 dev $interface; shift 2; done
mv $LEASE.new $LEASE
"""


def lease(guest: Guest, *options: str) -> dict[str, str]:
    """Let udhcpc get a lease; returns what its script was told."""
    told, script = Path(guest.lan.folder, "lease"), Path(guest.lan.folder, "script")
    script.write_text(SCRIPT.replace("$LEASE", str(told)))
    script.chmod(0o755)
    wishes = [word for code in ("121", "26", "119", *options) for word in ("-O", code)]
    done = guest.run("busybox", "udhcpc", "-i", "eth0", "-s", str(script), "-n", "-q", "-f", "-t", "5", "-T", "1", *wishes)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split("=", 1) for line in told.read_text().splitlines() if "=" in line)


async def metadata(request: MetadataRequest) -> MetadataResponse:
    told = {"port": request.port["id"], "method": request.method, "path": request.path, "body": request.body.decode()}
    return MetadataResponse(200, json.dumps(told).encode(), {"Content-Type": "application/json"})


async def curl(guest: Guest, *argv: str) -> dict[str, Any]:
    done = await asyncio.to_thread(guest.run, "curl", "-s", "-m", "5", *argv)
    assert done.returncode == 0, done
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def scene_a_lease_and_what_comes_with_it(lan: Lan) -> None:
    routes = [{"destination": "10.7.0.0/16", "nexthop": "10.0.2.9"}]
    network, subnet = lan.network("10.0.2.0/24", host_routes=routes, mtu=1400)
    options = [{"opt_name": "ntp-server", "opt_value": "10.0.2.8", "ip_version": 4}]
    port = lan.port(network, subnet, "10.0.2.5", [lan.group()], dns_name="web", extra_dhcp_opts=options)
    await lan.settle(("network", network), ("port", port))
    guest = lan.guest("a", port, address=False)
    start = time.monotonic()
    told = await asyncio.to_thread(lease, guest, "42")
    print(f"leased after {time.monotonic() - start:.2f} s")
    assert told["ip"] == "10.0.2.5"
    assert told["mask"] == "24"
    assert told["router"] == "10.0.2.254"
    assert told["dns"] == told["serverid"] == "169.254.169.254"
    assert told["hostname"] == "web"
    assert told["domain"] == "openstacklocal"
    assert told["mtu"] == "1400"
    assert told["lease"] == "86400"
    assert told["ntpsrv"] == "10.0.2.8"
    assert told["staticroutes"] == "10.7.0.0/16 10.0.2.9 169.254.169.254/32 0.0.0.0 0.0.0.0/0 10.0.2.254"
    found = await curl(guest, "http://169.254.169.254/openstack/latest/meta_data.json?x=1")
    assert found == {"port": port, "method": "GET", "path": "/openstack/latest/meta_data.json?x=1", "body": ""}
    found = await curl(guest, "-X", "POST", "-d", "secret", "http://169.254.169.254/openstack/latest/password")
    assert found["body"] == "secret"


async def scene_an_address_of_the_host_in_the_subnet(lan: Lan) -> None:
    """With a port of the kind `network:dhcp` the host answers at its address."""
    network, subnet = lan.network("10.0.2.0/24", dns_nameservers=["10.0.2.33", "10.0.2.34"])
    foot = lan.port(network, subnet, "10.0.2.2", device_owner="network:dhcp", port_security_enabled=0)
    port = lan.port(network, subnet, "10.0.2.5", [lan.group()])
    await lan.settle(("network", network), ("port", foot), ("port", port))
    guest = lan.guest("a", port, address=False)
    told = await asyncio.to_thread(lease, guest)
    assert told["serverid"] == "10.0.2.2"
    assert told["dns"] == "10.0.2.33 10.0.2.34"
    assert told["hostname"] == "host-10-0-2-5"
    assert told["staticroutes"].startswith("169.254.169.254/32 10.0.2.2 ")
    assert await asyncio.to_thread(guest.pings, "10.0.2.2")
    assert (await curl(guest, "http://169.254.169.254/"))["port"] == port
    assert lan.store.get("port", foot)["status"] == "ACTIVE"  # type: ignore[index]


async def scene_what_a_machine_boots_by(lan: Lan) -> None:
    """A port's own options, by name and by number, in place of what the network would say; and a network without a gateway."""
    network, subnet = lan.network("10.0.2.0/24", gateway_ip=None)
    chosen = {"bootfile-name": "pxelinux.0", "tftp-server": "10.0.2.77", "server-ip-address": "10.0.2.78", "mtu": "1280", "42": "10.0.2.8"}
    options = [{"opt_name": name, "opt_value": value, "ip_version": 4} for name, value in chosen.items()]
    port = lan.port(network, subnet, "10.0.2.5", [lan.group()], extra_dhcp_opts=options)
    await lan.settle(("network", network), ("port", port))
    guest = lan.guest("a", port, address=False)
    told = await asyncio.to_thread(lease, guest, "42", "66", "67", "249")
    assert told["boot_file"] == "pxelinux.0"
    assert told["tftp"] == "10.0.2.77"
    assert told["siaddr"] == "10.0.2.78"
    assert told["mtu"] == "1280"
    assert told["ntpsrv"] == "10.0.2.8"
    assert told["msstaticroutes"] == told["staticroutes"] == "169.254.169.254/32 0.0.0.0"
    assert "router" not in told


async def scene_renewal_refusal_and_strangers(lan: Lan) -> None:
    network, subnet = lan.network("10.0.2.0/24")
    port = lan.port(network, subnet, "10.0.2.5", [lan.group()])
    await lan.settle(("network", network), ("port", port))
    guest = lan.guest("a", port)
    mac = guest.mac

    async def ask(kind: int, *, ciaddr: str = "0.0.0.0", asked: str = "", server: str = "", mac: str = mac) -> dhcp.Packet | None:
        options = {53: bytes([kind])}
        if asked:
            options[50] = socket.inet_aton(asked)
        if server:
            options[54] = socket.inet_aton(server)
        request = dhcp.encode(dhcp.Packet(1, 0x1234, mac, ciaddr=ciaddr, options=options))
        source = (ciaddr, 68)
        with guest.packets(3) as sock:
            sock.send(udp(guest.mac, "ff:ff:ff:ff:ff:ff", source, ("255.255.255.255", 67), request))
            end = time.monotonic() + 0.5
            sock.setblocking(False)
            while time.monotonic() < end:
                await asyncio.sleep(0.01)
                try:
                    data = sock.recv(2000)
                except BlockingIOError:
                    continue
                if data[12:14] == b"\x08\0" and data[23] == 17 and data[34:38] == struct.pack("!HH", 67, 68):
                    return dhcp.decode(data[42:])
        return None

    offer = await ask(dhcp.DISCOVER)
    assert offer is not None
    assert (offer.kind, offer.yiaddr) == (dhcp.OFFER, "10.0.2.5")
    ack = await ask(dhcp.REQUEST, asked="10.0.2.5", server="169.254.169.254")
    assert ack is not None
    assert (ack.kind, ack.yiaddr) == (dhcp.ACK, "10.0.2.5")
    nak = await ask(dhcp.REQUEST, asked="10.0.2.6")
    assert nak is not None
    assert nak.kind == dhcp.NAK
    assert await ask(dhcp.REQUEST, asked="10.0.2.5", server="10.0.2.99") is None, "it has chosen another server"
    assert await ask(dhcp.DISCOVER, mac="fa:16:3e:99:99:99") is None, "nobody's MAC"
    lan.store.update("network", network, {"mtu": 1300})
    lan.store.update("subnet", subnet, {"dns_nameservers": '["10.0.2.33"]'})
    rebound = await ask(dhcp.REQUEST, ciaddr="10.0.2.5")
    guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")
    with guest.socket(socket.SOCK_DGRAM) as sock:  # half of the lease is over: to the server alone
        sock.bind(("10.0.2.5", 68))
        sock.setblocking(False)
        sock.sendto(dhcp.encode(dhcp.Packet(1, 5, mac, ciaddr="10.0.2.5", options={53: bytes([dhcp.REQUEST])})), ("169.254.169.254", 67))
        renewed = dhcp.decode(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 2000), 2))
    for answer in (rebound, renewed):
        assert answer is not None
        assert (answer.kind, answer.yiaddr) == (dhcp.ACK, "10.0.2.5")
        assert answer.options[26] == struct.pack("!H", 1300)
        assert answer.options[6] == socket.inet_aton("10.0.2.33")
        assert [struct.unpack("!I", answer.options[code])[0] for code in (51, 58, 59)] == [86400, 43200, 75600]
    lan.store.update("subnet", subnet, {"enable_dhcp": 0})
    assert await ask(dhcp.DISCOVER) is None


async def scene_dns(lan: Lan) -> None:
    network, subnet = lan.network("10.0.2.0/24")
    one, two = (lan.port(network, subnet, f"10.0.2.{n}", [lan.group()], dns_name=name) for n, name in ((1, "adder"), (2, "")))
    await lan.settle(("network", network), ("port", one), ("port", two))
    guest = lan.guest("a", one)
    guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")

    async def look_up(name: str, server: str = "169.254.169.254") -> str:
        start = time.monotonic()
        found = await asyncio.to_thread(guest.run, "busybox", "nslookup", name, server)
        assert time.monotonic() - start < 3
        return found.stdout + found.stderr

    assert "Address: 10.0.2.1" in await look_up("adder.openstacklocal")
    assert "Address: 10.0.2.2" in await look_up("host-10-0-2-2.openstacklocal")
    assert "NXDOMAIN" in await look_up("host-10-0-2-3.openstacklocal")
    assert "name = host-10-0-2-2.openstacklocal" in await look_up("10.0.2.2")
    assert "name = adder.openstacklocal" in await look_up("10.0.2.1")
    assert "SERVFAIL" in await look_up("example.org"), "no way out: said at once"
    lan.store.update("network", network, {"dns_domain": "my.lab."})
    assert "Address: 10.0.2.1" in await look_up("adder.my.lab")
    assert "Address: 10.0.2.2" in await look_up("host-10-0-2-2.my.lab")
    assert "NXDOMAIN" in await look_up("nobody.my.lab")
    lan.store.update("port", two, {"dns_name": "mail.openstacklocal."})
    assert "Address: 10.0.2.2" in await look_up("mail.openstacklocal")
    assert "name = mail.openstacklocal" in await look_up("10.0.2.2")
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x05adder\x0eopenstacklocal\0" + struct.pack("!HH", 1, 1)
    with guest.socket() as sock:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.sock_connect(sock, ("169.254.169.254", 53)), 2)
        await loop.sock_sendall(sock, struct.pack("!H", len(query)) + query)
        answer = await asyncio.wait_for(loop.sock_recv(sock, 500), 2)
    assert answer.endswith(socket.inet_aton("10.0.2.1"))


async def scene_dns_of_the_internet(lan: Lan) -> None:
    """A stub internet: a namespace beyond the datacenter's own, with a resolver that knows one name."""
    netns = lan.datacenter.netns
    netns.create("internet")

    def in_root(*argv: str) -> None:
        netns.run(None, lambda: subprocess.run(argv, check=True))

    in_root("ip", "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", "/netns/internet")
    in_root("ip", "address", "add", "172.31.255.100/24", "dev", "out0")
    in_root("ip", "link", "set", "out0", "up")
    in_root("ip", "route", "add", "default", "via", "172.31.255.3")
    internet = Guest(lan, "internet", "", "", "172.31.255.3")
    for argv in (("address", "add", "172.31.255.3/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
        internet.run("ip", *argv, check=True)
    resolver = internet.socket(socket.SOCK_DGRAM)
    resolver.bind(("172.31.255.3", 53))

    def serve() -> None:
        while True:
            try:
                query, peer = resolver.recvfrom(2000)
            except OSError:
                return
            head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
            record = struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton("203.0.113.9")
            resolver.sendto(head + query[12:] + record, peer)

    threading.Thread(target=serve, daemon=True).start()
    public, (network, subnet) = lan.public(), lan.network("10.0.2.0/24")
    port = lan.port(network, subnet, "10.0.2.1", [lan.group()])
    router = lan.router((network, subnet, "10.0.2.254"), outside=(*public, "192.168.37.5"))
    await lan.settle(("network", public[0]), ("network", network), ("router", router), ("port", port))
    guest = lan.guest("a", port)
    guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")
    found = await asyncio.to_thread(guest.run, "busybox", "nslookup", "-type=a", "example.org", "169.254.169.254")
    assert "203.0.113.9" in found.stdout
    assert await asyncio.to_thread(guest.pings, "172.31.255.3"), "masqueraded twice"


async def scene_metadata_through_the_router(lan: Lan) -> None:
    """For guests without a route to 169.254.169.254 of its own; the same address in two projects is two ports."""
    public = lan.public()
    guests: list[Guest] = []
    for project, gateway in (("1" * 32, "192.168.37.5"), (OTHER, "192.168.37.6")):
        network, subnet = lan.network("10.0.2.0/24", project_id=project)
        port = lan.port(network, subnet, "10.0.2.1", [lan.group()], project_id=project)
        router = lan.router((network, subnet, "10.0.2.254"), outside=(*public, gateway), project_id=project)
        await lan.settle(("network", public[0]), ("network", network), ("router", router), ("port", port))
        guests.append(lan.guest(f"g{len(guests)}", port))
    for guest in guests:
        assert (await curl(guest, "http://169.254.169.254/latest/"))["port"] == guest.port_id
    outside = lan.outside()
    outside.run("ip", "route", "add", "169.254.169.254", "via", "192.168.37.5")
    for target in ("169.254.169.254:80", "192.168.37.5:9697", "192.168.37.5:80"):
        done = await asyncio.to_thread(outside.run, "curl", "-s", "-m", "1", f"http://{target}/")
        assert done.returncode != 0, "from outside nobody asks"
    done = await asyncio.to_thread(guests[0].run, "curl", "-s", "-m", "1", "http://10.0.2.254:9697/")
    assert done.returncode != 0


async def scene_requests_that_are_none(lan: Lan) -> None:
    network, subnet = lan.network("10.0.2.0/24")
    port = lan.port(network, subnet, "10.0.2.1", [lan.group()])
    await lan.settle(("network", network), ("port", port))
    guest = lan.guest("a", port)
    guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")
    requests = {
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n": b"HTTP/1.1 200 ",
        b"GET http://x/ HTTP/1.1\r\n\r\n": b"HTTP/1.1 400 ",
        b"DELETE / HTTP/1.1\r\n\r\n": b"HTTP/1.1 405 ",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n": b"HTTP/1.1 400 ",
        b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n": b"HTTP/1.1 413 ",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n": b"HTTP/1.1 501 ",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 9000 + b"\r\n\r\n": b"HTTP/1.1 431 ",
        b"\x16\x03\x01\r\n\r\n": b"HTTP/1.1 400 ",
    }
    loop = asyncio.get_running_loop()
    for request, answer in requests.items():
        with guest.socket() as sock:
            sock.setblocking(False)
            await asyncio.wait_for(loop.sock_connect(sock, ("169.254.169.254", 80)), 2)
            await loop.sock_sendall(sock, request)
            assert (await asyncio.wait_for(loop.sock_recv(sock, 500), 2)).startswith(answer), request


SCENES = {name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")}


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    resolvers = ("172.31.255.3",) if "internet" in name else ()
    play(inside, SCENES[name], metadata=metadata, resolvers=resolvers)


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Callable[..., str], map: str) -> None:
    print(as_user(map, __file__, "not plain_user", timeout=300))
