"""Faults for the tests of `pileus why`: how each is planted, how packets show it, and what the cause is called.

Not here: how a fault is tried (test_why.py) and the cloud it is planted in (town.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.town import Town

Plant = Callable[[Town], Awaitable[None]]
Works = Callable[[Town], bool]


def lines(*commands: str) -> Plant:
    """A fault that a student makes with commands."""

    async def plant(town: Town) -> None:
        await town.do(*commands)

    return plant


@dataclass(frozen=True)
class Fault:
    """`works` tells by packets; `ask` are the words after `pileus why`."""

    name: str
    ask: str
    works: Works
    plant: Plant
    cause: str
    repair: Plant | None = None  # in place of the printed commands, when those need a student's hands inside the guest
    after: Plant | None = None  # for the faults that follow
    passes: bool | None = True  # what is said of it when it is whole


def tcp(source: str, address: str, port: int = 80) -> Works:
    def works(town: Town) -> bool:
        machine = town.outside() if source == "outside" else town.guest(source)
        return machine.reaches(address, port, 0.7)

    return works


def ping(source: str, address: str, *options: str) -> Works:
    def works(town: Town) -> bool:
        machine = town.outside() if source == "outside" else town.guest(source)
        return machine.run("ping", "-n", "-c", "1", "-W", "1", *options, address).returncode == 0

    return works


# -- security groups ----------------------------------------------------------------------------------------------------------------


async def no_rule(town: Town) -> None:
    for rule in (await town.call("GET", "/network/v2.0/security-group-rules"))["security_group_rules"]:
        if rule["protocol"] == "tcp" and rule["port_range_min"] == 80:
            await town.call("DELETE", f"/network/v2.0/security-group-rules/{rule['id']}")


async def wrong_prefix(town: Town) -> None:
    await no_rule(town)
    await town.do("openstack security group rule create --protocol tcp --dst-port 80 --remote-ip 10.9.0.0/16 open")


async def no_member(town: Town) -> None:
    await no_rule(town)
    await town.group("friends")
    await town.do("openstack security group rule create --protocol tcp --dst-port 80 --remote-group friends open")


async def no_egress(town: Town) -> None:
    for rule in (await town.call("GET", "/network/v2.0/security-group-rules?direction=egress"))["security_group_rules"]:
        await town.call("DELETE", f"/network/v2.0/security-group-rules/{rule['id']}")


SECURITY = [
    Fault("no rule in the security group", "a b --tcp 80", tcp("a", "10.0.2.6"), no_rule, "no-ingress-rule"),
    Fault("a wrong remote prefix", "a b --tcp 80", tcp("a", "10.0.2.6"), wrong_prefix, "remote-prefix"),
    Fault("a remote group without the sender", "a b --tcp 80", tcp("a", "10.0.2.6"), no_member, "remote-group"),
    Fault(
        "in no security group",
        "b a --icmp",
        ping("b", "10.0.2.5"),
        lines("openstack port set --no-security-group b-port"),
        "no-security-group",
        after=lines("openstack port set --security-group open b-port"),
    ),
    Fault("egress rules deleted", "a b --icmp", ping("a", "10.0.2.6"), no_egress, "no-egress-rule"),
]


# -- routers ------------------------------------------------------------------------------------------------------------------------


async def second_router(town: Town) -> None:
    """r - mid - r2 - deep, with d on deep; each router has a route to what is behind the other."""
    mid, deep = await town.network("mid", "10.0.4.0/24"), await town.network("deep", "10.0.5.0/24")
    await town.do(
        "openstack router create r2",
        "openstack router add subnet r mid-sub",
        "openstack router add subnet r2 deep-sub",
        "openstack port create --network mid --fixed-ip ip-address=10.0.4.254 r2-mid",
        "openstack router add port r2 r2-mid",
        "openstack router set --route destination=10.0.5.0/24,gateway=10.0.4.254 r",
        "openstack router set --route destination=10.0.2.0/24,gateway=10.0.4.1 r2",
    )
    assert mid
    await town.server("d", deep, "10.0.5.9", "open")


NO_LEG = "openstack router remove subnet r far-sub"
ROUTERS = [
    Fault("port down", "a b --tcp 80", tcp("a", "10.0.2.6"), lines("openstack port set --disable b-port"), "port-down"),
    Fault("network down", "a c --tcp 80", tcp("a", "10.0.3.7"), lines("openstack network set --disable far"), "network-down"),
    Fault("router down", "a c --icmp", ping("a", "10.0.3.7"), lines("openstack router set --disable r"), "router-down"),
    Fault(
        "no interface on the target's subnet", "a c", ping("a", "10.0.3.7"), lines("openstack router remove subnet r far-sub"), "no-route"
    ),
    Fault("no interface on the own subnet", "c a", ping("c", "10.0.2.5"), lines("openstack router remove subnet r far-sub"), "no-router"),
    Fault(
        "no external gateway",
        "a outside --icmp",
        ping("a", "192.168.37.254"),
        lines("openstack router unset --external-gateway r"),
        "no-external-gateway",
    ),
    Fault(
        "address translation off",
        "a outside --icmp",
        ping("a", "192.168.37.254"),
        lines("openstack router set --external-gateway public --disable-snat r"),
        "no-return-outside",
    ),
    Fault(
        "the subnet has no gateway",
        "a c --icmp",
        ping("a", "10.0.3.7"),
        lines(
            "openstack router remove subnet r lan-sub",
            "openstack subnet set --gateway none lan-sub",
            "openstack port create --network lan --fixed-ip ip-address=10.0.2.1 lan-leg",
            "openstack router add port r lan-leg",
            "openstack server reboot --hard --wait a",
        ),
        "no-gateway",
    ),
    Fault(
        "a static route over an own subnet",
        "a c --tcp 80",
        tcp("a", "10.0.3.7"),
        lines("openstack router set --route destination=10.0.3.0/25,gateway=10.0.2.99 r"),
        "route-overlap",
    ),
]


def by_hand(where: str, line: str) -> Plant:
    """Somebody's hand on the host. `{tap}` is that of b's port."""

    async def plant(town: Town) -> None:
        port = (await town.call("GET", "/network/v2.0/ports?name=b-port"))["ports"][0]["id"]
        group = (await town.call("GET", "/network/v2.0/security-groups?name=open"))["security_groups"][0]["id"].replace("-", "")
        leg = (await town.call("GET", f"/network/v2.0/ports?device_id={town.router}&network_id={town.far}"))["ports"][0]["id"][:11]
        names = {"lan": f"net-{town.lan}", "far": f"net-{town.far}", "router": f"rtr-{town.router}", "root": None}
        await asyncio.to_thread(town.inside, names[where], line.format(tap=f"tap{port[:11]}", group=group, leg=f"leg{leg}"))

    return plant


SECOND = [
    Fault(
        "no route back on the second router",
        "a d --tcp 80",
        tcp("a", "10.0.5.9"),
        lines("openstack router unset --route destination=10.0.2.0/24,gateway=10.0.4.1 r2"),
        "no-route",
    ),
    Fault(
        "a route to nobody",
        "a d --icmp",
        ping("a", "10.0.5.9"),
        lines(
            "openstack router unset --route destination=10.0.5.0/24,gateway=10.0.4.254 r",
            "openstack router set --route destination=10.0.5.0/24,gateway=10.0.4.99 r",
        ),
        "route-nexthop",
    ),
    Fault("a router's route deleted", "a d --icmp", ping("a", "10.0.5.9"), by_hand("router", "ip route del 10.0.5.0/24"), "drift"),
]


# -- addresses ------------------------------------------------------------------------------------------------------------------------

FLOATING = "192.168.37.77"


async def a_floating_ip(town: Town) -> None:
    """One for a; x listens on nothing; b has a second address, which its port allows; c leads to what is behind b."""
    await town.do(f"openstack floating ip create --floating-ip-address {FLOATING} --port a-port public")
    await town.server("x", town.lan, "10.0.2.9", "open", listens=())
    await town.do("openstack port set --allowed-address ip-address=10.0.2.100 b-port")
    await second_address(town)


async def second_address(town: Town) -> None:
    town.guest("b").run("ip", "address", "add", "10.0.2.100/24", "dev", "eth0", check=True)


async def takes_another_address(town: Town) -> None:
    guest = town.guest("x")
    guest.run("ip", "address", "flush", "dev", "eth0", check=True)
    guest.run("ip", "address", "add", "10.0.2.177/24", "dev", "eth0", check=True)


ADDRESSES = [
    Fault(
        "a floating IP that leads nowhere",
        f"outside {FLOATING} --tcp 80",
        tcp("outside", FLOATING),
        lines(f"openstack floating ip unset --port {FLOATING}"),
        "floating-ip-unassociated",
    ),
    Fault(
        "a server without a floating IP",
        "outside a --tcp 80",
        tcp("outside", FLOATING),
        lines(f"openstack floating ip unset --port {FLOATING}"),
        "no-floating-ip",
    ),
    Fault(
        "a floating IP on the wrong port",
        f"outside {FLOATING} --tcp 80",
        tcp("outside", FLOATING),
        lines(f"openstack floating ip set --port x-port {FLOATING}"),
        "service",
    ),
    Fault(
        "an address pair that is missing",
        "a 10.0.2.100 --tcp 80",
        tcp("a", "10.0.2.100"),
        lines("openstack port set --no-allowed-address b-port"),
        "address-pair",
    ),
    Fault("a guest with an address of its own making", "a x --icmp", ping("a", "10.0.2.9"), takes_another_address, "guest-address"),
]


async def behind_b(town: Town) -> None:
    town.guest("b").run("ip", "address", "add", "10.9.0.1/32", "dev", "lo", check=True)
    await town.do(
        "openstack router set --route destination=10.9.0.0/24,gateway=10.0.2.6 r",
        "openstack port set --no-security-group --disable-port-security b-port",
    )


BEHIND = [
    Fault(
        "port security on a guest that is a router",
        "c 10.9.0.1 --icmp",
        ping("c", "10.9.0.1"),
        lines("openstack port set --enable-port-security --security-group open b-port"),
        "port-security",
        passes=None,
    )
]


# -- names, leases, sizes ---------------------------------------------------------------------------------------------------------------


def resolves(name: str) -> Works:
    def works(town: Town) -> bool:
        servers = Path(town.folder, "dns-a").read_text().split()
        return any(town.guest("a").run("busybox", "nslookup", name, server).returncode == 0 for server in servers[:1])

    return works


NAMES = [
    Fault(
        "a DNS server that cannot be reached",
        "a host-10-0-2-6.openstacklocal",
        resolves("host-10-0-2-6.openstacklocal"),
        lines("openstack subnet set --dns-nameserver 192.0.2.53 lan-sub", "openstack server reboot --hard --wait a"),
        "dns-server",
    ),
    Fault(
        "a DNS server that is a guest without one",
        "a host-10-0-2-6.openstacklocal",
        resolves("host-10-0-2-6.openstacklocal"),
        lines("openstack subnet set --dns-nameserver 10.0.2.6 lan-sub", "openstack server reboot --hard --wait a"),
        "dns-server",
    ),
    Fault(
        "no DHCP",
        "a b --icmp",
        ping("a", "10.0.2.6"),
        lines("openstack subnet set --no-dhcp lan-sub", "openstack server reboot --hard --wait b"),
        "dhcp-off",
    ),
    Fault(
        "packets larger than the network's MTU",
        "a b --icmp --size 1400",
        ping("a", "10.0.2.6", "-M", "do", "-s", "1372"),
        lines("openstack network set --mtu 1300 lan"),
        "mtu",
    ),
]


# -- servers ------------------------------------------------------------------------------------------------------------------------


async def ends_in_error(town: Town) -> None:
    town.guests.broken = True
    await town.do("openstack server reboot --hard b")
    await asyncio.sleep(0.5)
    await town.quiet()
    town.guests.broken = False


async def listens_no_more(town: Town) -> None:
    for sock in town.machine("b").sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    town.machine("b").sockets.clear()


async def listens_again(town: Town) -> None:
    town.guest("b").listen(80)


async def firewall(town: Town) -> None:
    town.guest("b").run(
        "nft",
        "add table inet f; add chain inet f i { type filter hook input priority 0; }; add rule inet f i tcp dport 80 drop",
        check=True,
    )


async def no_firewall(town: Town) -> None:
    town.guest("b").run("nft", "delete table inet f", check=True)


async def no_default_route(town: Town) -> None:
    town.guest("c").run("ip", "route", "del", "default", check=True)


SERVERS = [
    Fault("a stopped server", "a b --tcp 80", tcp("a", "10.0.2.6"), lines("openstack server stop b"), "server-stopped"),
    Fault("a server in error", "a b --tcp 80", tcp("a", "10.0.2.6"), ends_in_error, "server-error"),
    Fault("a guest without its route back", "a c --icmp", ping("a", "10.0.3.7"), no_default_route, "guest-route"),
    Fault("a firewall in the guest", "a b --tcp 80", tcp("a", "10.0.2.6"), firewall, "guest-firewall", repair=no_firewall),
    Fault("nothing listens", "a b --tcp 80", tcp("a", "10.0.2.6"), listens_no_more, "service", repair=listens_again),
]


# -- the host -----------------------------------------------------------------------------------------------------------------------


HOST = [
    Fault("a tap deleted", "a b", ping("a", "10.0.2.6"), by_hand("lan", "ip link del {tap}"), "drift"),
    Fault("a port's chain flushed", "a b", ping("a", "10.0.2.6"), by_hand("lan", "nft flush chain inet pileus in_{tap}"), "drift"),
    Fault("a group's chain flushed", "a b", ping("a", "10.0.2.6"), by_hand("lan", "nft flush chain inet pileus in_{group}"), "drift"),
    Fault("a network's table deleted", "a b", ping("a", "10.0.2.6"), by_hand("lan", "nft flush chain bridge pileus forward"), "drift"),
    Fault("a switch down", "a b", ping("a", "10.0.2.6"), by_hand("lan", "ip link set br0 down"), "drift"),
    Fault("forwarding off in a router", "a c", ping("a", "10.0.3.7"), by_hand("router", "sysctl -w net.ipv4.ip_forward=0"), "drift"),
    Fault("a router's leg unplugged", "a c", ping("a", "10.0.3.7"), by_hand("far", "ip link set {leg} down"), "drift"),
    Fault("the wire down", "a outside", ping("a", "192.168.37.254"), by_hand("root", "ip link set outside down"), "drift"),
]

# what is built before the faults of a family, and they themselves
FAMILIES: dict[str, tuple[Plant | None, list[Fault]]] = {
    "security": (None, SECURITY),
    "routers": (None, ROUTERS),
    "second_router": (second_router, SECOND),
    "addresses": (a_floating_ip, ADDRESSES),
    "behind_a_guest": (behind_b, BEHIND),
    "names": (None, NAMES),
    "servers": (None, SERVERS),
    "host": (None, HOST),
}
