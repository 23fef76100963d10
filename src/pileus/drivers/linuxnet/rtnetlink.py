"""Links, addresses, routes and neighbours as rtnetlink messages, and their answers read. Pure; `netlink.py` sends them.

Source: rtnetlink(7), <linux/if_link.h>, <linux/if_bridge.h>, <linux/neighbour.h>.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from pileus.drivers.linuxnet.netlink import CREATE, EXCL, REPLACE, Message, attribute, attributes, nested, text

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
UP = 1
AF_BRIDGE = 7
PERMANENT, NOARP = 0x80, 0x40  # states of a neighbour
NTF_SELF, NTF_MASTER = 0x02, 0x04
MAIN, UNIVERSE, LINK, NOWHERE = 254, 0, 253, 255  # table, scopes
STATIC, UNICAST = 4, 1  # a route's protocol ("made by the administrator") and type
KERNEL, BOOT = 2, 3  # protocols of routes that come with an address, and of those that `ip route` makes
LEARNING, FLOOD = 8, 9  # IFLA_BRPORT_*

_LINK = struct.Struct("=BBHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BBHiHBB")


@dataclass(frozen=True, slots=True)
class Link:
    """One network device. `learning`: whether its bridge learns MACs behind it (True when it is on none); `queue`: its root qdisc."""

    index: int
    name: str
    up: bool
    mtu: int
    mac: str
    master: int
    learning: bool
    queue: str = ""
    alias: str = ""


def _family(address: ipaddress.IPv4Address | ipaddress.IPv6Address | ipaddress.IPv4Network | ipaddress.IPv6Network) -> int:
    return 2 if address.version == 4 else 10


def _mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _byte(value: int) -> bytes:
    return struct.pack("=B", value)


def link_header(index: int = 0, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    return _LINK.pack(family, 0, 0, index, flags, change)


def _traits(*, mac: str = "", mtu: int = 0, master: int | None = None, netns: int | None = None) -> bytes:
    data = attribute(1, _mac(mac)) if mac else b""
    if mtu:
        data += attribute(4, mtu)
    if master is not None:
        data += attribute(10, master)
    if netns is not None:
        data += attribute(28, netns)
    return data


def add_bridge(name: str, index: int, *, mac: str, mtu: int, up: bool) -> Message:
    """A bridge without spanning tree and multicast snooping, that forwards at once."""
    options = attribute(1, 0) + attribute(5, 0) + attribute(23, _byte(0))  # IFLA_BR_FORWARD_DELAY, _STP_STATE, _MCAST_SNOOPING
    flags = UP if up else 0
    kind = nested(18, attribute(1, "bridge"), nested(2, options))
    payload = link_header(index, flags, flags) + attribute(3, name) + _traits(mac=mac, mtu=mtu) + kind
    return Message(NEWLINK, CREATE | EXCL, payload, f"add bridge {name}")


def add_veth(name: str, peer: str, *, peer_netns: int, peer_mac: str = "", peer_group: int = 0, mtu: int, master: int = 0) -> Message:
    """A pair of links: `name` here, up, on the bridge `master`; `peer` in the namespace behind the descriptor `peer_netns`, down."""
    there = link_header() + attribute(3, peer) + _traits(mac=peer_mac, mtu=mtu, netns=peer_netns)
    if peer_group:
        there += attribute(27, peer_group)
    kind = nested(18, attribute(1, "veth"), nested(2, nested(1, there)))
    payload = link_header(0, UP, UP) + attribute(3, name) + _traits(mtu=mtu, master=master or None) + kind
    return Message(NEWLINK, CREATE | EXCL, payload, f"add veth {name} to {peer}")


def add_vlan(name: str, index: int, vlan: int, *, netns: int) -> Message:
    """A link `name` in the namespace behind a descriptor, for the frames of the link `index` here that have a VLAN's tag."""
    kind = nested(18, attribute(1, "vlan"), nested(2, attribute(1, struct.pack("=H", vlan))))  # IFLA_VLAN_ID
    payload = link_header() + attribute(3, name) + attribute(5, index) + attribute(28, netns) + kind  # IFLA_LINK, IFLA_NET_NS_FD
    return Message(NEWLINK, CREATE | EXCL, payload, f"add {name}, VLAN {vlan} of link {index}")


def set_link(index: int, *, up: bool | None = None, mtu: int = 0, master: int | None = None, mac: str = "") -> Message:
    flags, change = (UP if up else 0, UP) if up is not None else (0, 0)
    return Message(NEWLINK, 0, link_header(index, flags, change) + _traits(mac=mac, mtu=mtu, master=master), f"set link {index}")


def set_alias(index: int, alias: str) -> Message:
    return Message(SETLINK, 0, link_header(index) + attribute(20, alias), f"set the alias of link {index}")


def set_bridge_port(index: int, *, learning: bool) -> Message:
    """Whether the bridge learns who is behind this port, and sends it frames whose owner it does not know."""
    data = attribute(LEARNING, _byte(learning)) + attribute(FLOOD, _byte(learning))
    return Message(SETLINK, 0, link_header(index, family=AF_BRIDGE) + nested(12, data), f"set bridge port {index}")


def delete_link(index: int) -> Message:
    return Message(DELLINK, 0, link_header(index), f"delete link {index}")


def delete_group(group: int) -> Message:
    """Delete all links of a group in one go."""
    return Message(DELLINK, 0, link_header() + attribute(27, group), f"delete links of group {group}")


def get_link(name: str = "") -> Message:
    """All links (a dump), or one by its name."""
    return Message(GETLINK, 0, link_header() + (attribute(3, name) if name else b""), f"get link {name or 'list'}")


def read_link(payload: bytes) -> Link:
    _, _, _, index, flags, _ = _LINK.unpack_from(payload)
    found = attributes(payload, _LINK.size)
    port = attributes(attributes(found[18]).get(5, b"")) if 18 in found else {}  # IFLA_LINKINFO, IFLA_INFO_SLAVE_DATA
    return Link(
        index=index,
        name=text(found.get(3, b"")),
        up=bool(flags & UP),
        mtu=struct.unpack("=I", found[4])[0] if 4 in found else 0,
        mac=found.get(1, b"").hex(":"),
        master=struct.unpack("=I", found[10])[0] if 10 in found else 0,
        learning=port.get(LEARNING, b"\1") != b"\0",
        queue=text(found.get(6, b"")),
        alias=text(found.get(20, b"")),
    )


def _address(kind: int, flags: int, index: int, cidr: str, what: str) -> Message:
    interface = ipaddress.ip_interface(cidr)
    packed = interface.ip.packed
    nodad = 0x02 if interface.version == 6 else 0
    payload = _ADDRESS.pack(_family(interface.network), interface.network.prefixlen, nodad, 0, index)
    payload += attribute(2, packed) + attribute(1, packed)
    if interface.version == 4 and interface.network.prefixlen < 31 and kind == NEWADDR:
        payload += attribute(4, interface.network.broadcast_address.packed)
    return Message(kind, flags, payload, f"{what} address {cidr}")


def add_address(index: int, cidr: str) -> Message:
    return _address(NEWADDR, CREATE | REPLACE, index, cidr, "add")


def delete_address(index: int, cidr: str) -> Message:
    return _address(DELADDR, 0, index, cidr, "delete")


def get_addresses() -> Message:
    return Message(GETADDR, 0, _ADDRESS.pack(0, 0, 0, 0, 0), "list addresses")


def read_address(payload: bytes) -> tuple[int, str]:
    """(index of the link, "10.0.2.1/24")"""
    _, length, _, _, index = _ADDRESS.unpack_from(payload)
    found = attributes(payload, _ADDRESS.size)
    return index, f"{ipaddress.ip_address(found.get(2, found.get(1, b'')))}/{length}"


def _route(kind: int, flags: int, destination: str, nexthop: str, index: int, what: str) -> Message:
    network = ipaddress.ip_network(destination)
    scope = UNIVERSE if nexthop or network.version == 6 else LINK
    payload = _ROUTE.pack(_family(network), network.prefixlen, 0, 0, MAIN, STATIC, scope, UNICAST, 0)
    if network.prefixlen:
        payload += attribute(1, network.network_address.packed)
    if nexthop:
        payload += attribute(5, ipaddress.ip_address(nexthop).packed)
    if index:
        payload += attribute(4, index)
    return Message(kind, flags, payload, f"{what} route {destination} via {nexthop or index}")


def add_route(destination: str, *, nexthop: str = "", index: int = 0) -> Message:
    """A route through `nexthop`, or to what is on the link `index`."""
    return _route(NEWROUTE, CREATE | REPLACE, destination, nexthop, index, "add")


def delete_route(destination: str, *, nexthop: str = "", index: int = 0) -> Message:
    return _route(DELROUTE, 0, destination, nexthop, index, "delete")


def get_routes() -> Message:
    return Message(GETROUTE, 0, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), "list routes")


def read_route(payload: bytes) -> tuple[str, str, int] | None:
    """(destination, nexthop or "", index of the link) of a route that we or an administrator made; None for others."""
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(payload)
    if table != MAIN or protocol != STATIC or kind != UNICAST or family not in (2, 10):
        return None
    found = attributes(payload, _ROUTE.size)
    start = found.get(1, b"\0" * (4 if family == 2 else 16))
    nexthop = str(ipaddress.ip_address(found[5])) if 5 in found else ""
    index = struct.unpack("=I", found[4])[0] if 4 in found else 0
    return f"{ipaddress.ip_address(start)}/{length}", nexthop, index


def read_any_route(payload: bytes) -> tuple[str, str, int]:
    """(destination, nexthop or "", protocol) of a route of the main table, whoever made it; nexthop is "" for others."""
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(payload)
    found = attributes(payload, _ROUTE.size)
    start = found.get(1, b"\0" * (4 if family == 2 else 16))
    is_ours = table == MAIN and kind == UNICAST and family in (2, 10)
    nexthop = str(ipaddress.ip_address(found[5])) if is_ours and 5 in found else ""
    return (f"{ipaddress.ip_address(start)}/{length}" if is_ours else ""), nexthop, protocol


def delete_any_route(destination: str, nexthop: str) -> Message:
    """Whoever made it."""
    network = ipaddress.ip_network(destination)
    payload = _ROUTE.pack(_family(network), network.prefixlen, 0, 0, MAIN, 0, NOWHERE, 0, 0)
    payload += attribute(1, network.network_address.packed) if network.prefixlen else b""
    return Message(DELROUTE, 0, payload + attribute(5, ipaddress.ip_address(nexthop).packed), f"delete route {destination} via {nexthop}")


def is_default(payload: bytes) -> bool:
    """Whether a route is IPv4's default one, whoever made it."""
    family, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(payload)
    return bool(family == 2 and length == 0 and table == MAIN and kind == UNICAST)


def _neighbour(kind: int, flags: int, index: int, address: str, mac: str, what: str) -> Message:
    ip = ipaddress.ip_address(address)
    payload = _NEIGHBOUR.pack(_family(ip), 0, 0, index, PERMANENT, 0, 1) + attribute(1, ip.packed)
    if mac:
        payload += attribute(2, _mac(mac))
    return Message(kind, flags, payload, f"{what} neighbour {address}")


def add_neighbour(index: int, address: str, mac: str) -> Message:
    """`address` is at `mac`, for good: never asked for, never learnt."""
    return _neighbour(NEWNEIGH, CREATE | REPLACE, index, address, mac, "add")


def delete_neighbour(index: int, address: str) -> Message:
    return _neighbour(DELNEIGH, 0, index, address, "", "delete")


def add_forwarding(index: int, mac: str) -> Message:
    """The bridge that the link is on finds `mac` behind it, for good."""
    payload = _NEIGHBOUR.pack(AF_BRIDGE, 0, 0, index, NOARP, NTF_MASTER, 0) + attribute(2, _mac(mac))
    return Message(NEWNEIGH, CREATE | REPLACE, payload, f"add forwarding of {mac}")


def neighbour_header(family: int) -> bytes:
    return _NEIGHBOUR.pack(family, 0, 0, 0, 0, 0, 0)


def read_forwarding(payload: bytes) -> tuple[int, str] | None:
    """(index of the link, MAC) of an entry of a bridge's forwarding table."""
    _, _, _, index, _, _, _ = _NEIGHBOUR.unpack_from(payload)
    found = attributes(payload, _NEIGHBOUR.size)
    return (index, found[2].hex(":")) if 2 in found else None


def get_neighbours() -> Message:
    return Message(GETNEIGH, 0, _NEIGHBOUR.pack(0, 0, 0, 0, 0, 0, 0), "list neighbours")


def read_neighbour(payload: bytes) -> tuple[int, str, str] | None:
    """(index of the link, address, MAC) of a permanent one; None for others."""
    family, _, _, index, state, _, _ = _NEIGHBOUR.unpack_from(payload)
    found = attributes(payload, _NEIGHBOUR.size)
    if family not in (2, 10) or state != PERMANENT or 2 not in found:
        return None
    return index, str(ipaddress.ip_address(found[1])), found[2].hex(":")
