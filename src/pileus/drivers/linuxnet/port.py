"""A port on the host: a persistent tap on its network's bridge, its guard in the packet filter, and who knows its MAC beforehand."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence

from pileus.drivers.linuxnet import network, nfnetlink, rtnetlink, rules, shaper
from pileus.drivers.linuxnet.machine import BRIDGE_INDEX, Machine, find, links
from pileus.drivers.linuxnet.netlink import Netlink, NetlinkError
from pileus.errors import HostError
from pileus.network.host import Carrier, Limit, PortFacts, PortWant, Step

TUN = "/dev/net/tun"
TUNSETIFF, TUNSETPERSIST, TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC  # <linux/if_tun.h>
FLAGS = 0x0002 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
TAP = "tap"
HALF = Limit(0, 0)  # a limit that is half made
NO_QUEUE = (errno.ENOENT, errno.EINVAL, errno.ENODEV, errno.EOPNOTSUPP)  # nothing is there to be taken off


def observe(machine: Machine, want: PortWant) -> PortFacts | None:
    name, tap = network.namespace(want.network_id), rules.tap_name(want.id)
    with machine.sight(name) as sight:
        if sight is None:
            return None if want.gone or not want.tap else PortFacts()
        route, netfilter = sight
        link, pipe = find(route, tap), find(route, shaper.pipe_name(want.id))
        words = nfnetlink.seal(netfilter, rules.TABLE, rules.port_seal(tap))
        return _facts(route, link, pipe, words)


def observe_all(machine: Machine, network_id: str) -> dict[str, PortFacts]:
    """All ports of a network, by the first 11 characters of their id."""
    name = network.namespace(network_id)
    with machine.route(name) as route:
        found = {link.name: link for link in links(route)}
        return _all_facts(machine, route, name, found)


def _all_facts(machine: Machine, route: Netlink, name: str, found: dict[str, rtnetlink.Link]) -> dict[str, PortFacts]:
    with machine.filter(name) as netfilter:
        head = rules.port_seal(TAP)
        seals = {chain[len(head) :]: words for chain, words in nfnetlink.seals(netfilter, rules.TABLE).items() if chain.startswith(head)}
    ports = seals.keys() | {device[3:] for device in found if device.startswith((TAP, shaper.PIPE))}
    return {port: _facts(route, found.get(TAP + port), found.get(shaper.PIPE + port), seals.get(port, "")) for port in ports}


def _facts(route: Netlink, link: rtnetlink.Link | None, pipe: rtnetlink.Link | None, words: str) -> PortFacts:
    guard = words.split()[0] if words else ""
    egress = _detour(route, link, pipe) if pipe else None
    if link is None:
        return PortFacts(network=True, guard=guard, egress=egress)
    number = int(words.split()[1]) if words else 0
    if number != rules.OPEN and number % rules.STATELESS != link.index:
        guard = guard and f"{guard} of an earlier tap"  # same name, another link: the filter does not know it
    return PortFacts(
        network=True,
        tap=True,
        branch=link.alias,
        attached=link.master == BRIDGE_INDEX,
        up=link.up,
        mtu=link.mtu,
        roams=link.learning,
        guard=guard,
        egress=egress,
        ingress=_queue(route, link),
    )


def _queue(route: Netlink, link: rtnetlink.Link) -> Limit | None:
    answer = route.get(shaper.get_queue(link.index)) if link.queue == "tbf" else None
    return shaper.read_queue(answer) if answer else None


def _detour(route: Netlink, link: rtnetlink.Link | None, pipe: rtnetlink.Link) -> Limit:
    """The limit of what a guest sends; none that could be wanted when not everything is led there."""
    limit = _queue(route, pipe)
    led = link is not None and any(shaper.leads_to(each) == pipe.index for each in route.dump(shaper.get_detours(link.index)))
    return limit if limit and led and pipe.up else HALF


def apply(machine: Machine, want: PortWant, steps: Sequence[Step]) -> None:
    name, tap = network.namespace(want.network_id), rules.tap_name(want.id)
    for step in steps:
        match step.verb:
            case "make_tap":
                if want.carrier:
                    _make_branch(machine, want.carrier, name, tap)
                else:
                    machine.namespaces.run(name, lambda: make_tap(tap))
            case "guard":
                _guard(machine, want, name, tap)
            case "limit":
                _limit(machine, want, name, step.value)
            case "attach":
                _attach(machine, want, name, tap)
            case "remove_tap":
                _remove(machine, want, name, tap)
            case "unguard":
                _unguard(machine, want, name, tap)


def make_tap(tap: str) -> None:
    """A tap in the namespace of the calling thread that stays when nobody holds it; only the datacenter's root may attach to it."""
    fd = _attach_tun(tap)
    try:
        fcntl.ioctl(fd, TUNSETOWNER, 0)
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
    finally:
        os.close(fd)


def _make_branch(machine: Machine, carrier: Carrier, name: str, tap: str) -> None:
    """In a tap's place, a VLAN of the carrier's tap; it ends with that."""
    with machine.handle(name) as fd, machine.route(network.namespace(carrier.network_id)) as route:
        parent = find(route, rules.tap_name(carrier.port_id))
        if parent is None:
            raise HostError(f"port {carrier.port_id} has no tap yet")
        try:
            route.request(rtnetlink.add_vlan(tap, parent.index, carrier.vlan, netns=fd), ignore=(errno.EEXIST,))
        except NetlinkError as error:
            raise HostError(f"{error}. Trunks need the kernel module 8021q: run `sudo modprobe 8021q`") from None
    with machine.route(name) as route:
        if made := find(route, tap):
            route.request(rtnetlink.set_alias(made.index, carrier.branch))


def open_tap(machine: Machine, network_id: str, port_id: str) -> int:
    """A descriptor on a port's tap. Raises HostError when there is none."""
    tap = rules.tap_name(port_id)

    def attach() -> int:
        try:
            socket.if_nametoindex(tap)
        except OSError:
            raise HostError(f"port {port_id} has no tap yet") from None
        return _attach_tun(tap)

    return machine.namespaces.run(network.namespace(network_id), attach)


def _attach_tun(tap: str) -> int:
    try:
        fd = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{TUN}: {error.strerror}. Guests' networks need it: `sudo modprobe tun`, and mode 0666") from None
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", tap.encode(), FLAGS))
    except OSError as error:
        os.close(fd)
        raise HostError(f"tap {tap}: {error.strerror}") from None
    return fd


def _guard(machine: Machine, want: PortWant, name: str, tap: str) -> None:
    with machine.route(name) as route:
        link = find(route, tap)
        if link is None:
            raise HostError(f"tap {tap} is not there")
        route.request(*(rtnetlink.add_neighbour(BRIDGE_INDEX, ip, want.mac) for ip in want.addresses if ":" not in ip))
    with machine.filter(name) as netfilter:
        before = nfnetlink.seal(netfilter, rules.TABLE, rules.port_seal(tap))
    machine.nft(name, rules.placeholders(want.groups) + rules.guard(want, link.index, before))


def _attach(machine: Machine, want: PortWant, name: str, tap: str) -> None:
    with machine.route(name) as route:
        link = find(route, tap)
        if link is None:
            raise HostError(f"tap {tap} is not there")
        route.request(
            rtnetlink.set_link(link.index, mtu=want.mtu, master=BRIDGE_INDEX),
            rtnetlink.set_bridge_port(link.index, learning=want.roams),
            rtnetlink.add_forwarding(link.index, want.mac),
            rtnetlink.set_link(link.index, up=want.up),
        )


def _limit(machine: Machine, want: PortWant, name: str, way: str) -> None:
    """Limit what goes to a guest (ingress) or comes from it (egress), or do so no longer."""
    limit: Limit | None = getattr(want.quality, way)
    with machine.route(name) as route:
        link = find(route, rules.tap_name(want.id))
        if link is None:
            raise HostError(f"port {want.id} has no tap yet")
        if way == "ingress":
            change = shaper.add_queue(link.index, limit) if limit else shaper.delete_queue(link.index)
            route.request(change, ignore=() if limit else NO_QUEUE)
            return
        pipe = shaper.pipe_name(want.id)
        if limit is None:
            route.request(shaper.delete_entrance(link.index), shaper.delete_pipe(pipe), ignore=NO_QUEUE)
            return
        try:
            route.request(shaper.add_pipe(pipe), ignore=(errno.EEXIST,))
        except NetlinkError as error:
            raise HostError(f"{error}. Bandwidth limits need the kernel module ifb: run `sudo modprobe ifb`") from None
        made = find(route, pipe)
        if made is None:
            raise HostError(f"{pipe} is not there although it was just made")
        route.request(shaper.add_queue(made.index, limit), rtnetlink.set_link(made.index, up=True))
        route.request(shaper.delete_entrance(link.index), ignore=NO_QUEUE)
        route.request(shaper.add_entrance(link.index), shaper.add_detour(link.index, made.index))


def _remove(machine: Machine, want: PortWant, name: str, tap: str) -> None:
    with machine.route(name) as route:
        if link := find(route, tap):
            route.request(rtnetlink.delete_link(link.index), ignore=(errno.ENODEV,))
        if pipe := find(route, shaper.pipe_name(want.id)):
            route.request(rtnetlink.delete_link(pipe.index), ignore=(errno.ENODEV,))


def _unguard(machine: Machine, want: PortWant, name: str, tap: str) -> None:
    with machine.filter(name) as netfilter:
        before = nfnetlink.seal(netfilter, rules.TABLE, rules.port_seal(tap))
    machine.nft(name, rules.unguard(tap, before))
    with machine.route(name) as route:
        gone = (rtnetlink.delete_neighbour(BRIDGE_INDEX, ip) for ip in want.addresses if ":" not in ip)
        route.request(*gone, ignore=(errno.ENOENT, errno.ESRCH))
