"""DHCP for IPv4: packets read and written, and the answer that a port's row gives. Pure; sockets are elsewhere (live/__init__.py).

The lease is the port's own address, for a day; there is nothing to remember, and no other answer to give.
Source: RFC 2131, 2132, 3396, 3397, 3442.
"""

from __future__ import annotations

import ipaddress
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from pileus.network.host import METADATA
from pileus.network.live.directory import Lodger
from pileus.network.types.names import DOMAIN

SERVER_PORT, CLIENT_PORT = 67, 68
COOKIE = b"\x63\x82\x53\x63"
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
LEASE = 86400  # seconds, as Neutron's
BROADCAST_FLAG = 0x8000
NOWHERE, EVERYBODY = "0.0.0.0", "255.255.255.255"  # noqa: S104 - an address in a packet

_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
SMALLEST = 300  # bytes of a packet, as BOOTP's relays expect


@dataclass(frozen=True)
class Packet:
    """A DHCP packet. Addresses are text; options are bytes by code."""

    op: int
    xid: int
    mac: str
    flags: int = 0
    ciaddr: str = NOWHERE
    yiaddr: str = NOWHERE
    siaddr: str = NOWHERE
    giaddr: str = NOWHERE
    secs: int = 0
    file: bytes = b""
    options: dict[int, bytes] = field(default_factory=dict)

    @property
    def kind(self) -> int:
        return self.options.get(53, b"\0")[0]

    def address(self, code: int) -> str:
        """An option that is one address; NOWHERE when it is missing or malformed."""
        value = self.options.get(code, b"")
        return str(ipaddress.IPv4Address(value)) if len(value) == 4 else NOWHERE


def decode(data: bytes) -> Packet | None:
    """A client's packet, or None for what is none."""
    if len(data) < _HEADER.size:
        return None
    op, kind, length, _, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, _, file, cookie = _HEADER.unpack_from(data)
    if cookie != COOKIE or (kind, length) != (1, 6):
        return None
    options: dict[int, bytes] = {}
    offset = _HEADER.size
    while offset < len(data) and data[offset] != 255:
        if data[offset] == 0:
            offset += 1
            continue
        if offset + 2 > len(data) or offset + 2 + data[offset + 1] > len(data):
            return None
        code, size = data[offset], data[offset + 1]
        options[code] = options.get(code, b"") + data[offset + 2 : offset + 2 + size]  # RFC 3396: one in several parts
        offset += 2 + size
    if not options.get(53):
        return None
    client, your, next_server, relay = (str(ipaddress.IPv4Address(value)) for value in (ciaddr, yiaddr, siaddr, giaddr))
    mac, name = chaddr[:6].hex(":"), file.rstrip(b"\0")
    return Packet(op, xid, mac, flags, client, your, next_server, relay, secs=secs, file=name, options=options)


def encode(packet: Packet) -> bytes:
    addresses = [ipaddress.IPv4Address(text).packed for text in (packet.ciaddr, packet.yiaddr, packet.siaddr, packet.giaddr)]
    mac = bytes.fromhex(packet.mac.replace(":", ""))
    data = _HEADER.pack(packet.op, 1, 6, 0, packet.xid, packet.secs, packet.flags, *addresses, mac, b"", packet.file[:127], COOKIE)
    for code, value in packet.options.items():
        for start in range(0, max(len(value), 1), 255):
            part = value[start : start + 255]
            data += bytes((code, len(part))) + part
    return (data + b"\xff").ljust(SMALLEST, b"\0")


# -- the answer -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    packet: Packet
    source: str  # what it is sent from: the server's address
    target: str  # and to


def asked_address(request: Packet) -> str:
    """The address a client speaks of: the one it has, or the one it would like."""
    return request.ciaddr if request.ciaddr != NOWHERE else request.address(50)


def answer(request: Packet, lodger: Lodger | None) -> Answer | None:
    """What to say to a client that is the port `lodger`; None: nothing. A client we do not know gets no word."""
    if lodger is None or request.op != 1 or request.giaddr != NOWHERE:
        return None
    asked, server = asked_address(request), request.address(54)
    if request.kind == DISCOVER:
        return _grant(request, lodger, OFFER)
    if request.kind == INFORM:
        return _inform(request, lodger)
    if request.kind != REQUEST or server not in (NOWHERE, lodger.foot, METADATA):
        return None  # it has chosen another server
    if asked != lodger.address:
        return _refuse(request, lodger)
    return _grant(request, lodger, ACK)


def _grant(request: Packet, lodger: Lodger, kind: int) -> Answer:
    times = {51: struct.pack("!I", LEASE), 58: struct.pack("!I", LEASE // 2), 59: struct.pack("!I", LEASE * 7 // 8)}
    fixed = {53: bytes([kind]), 54: _ip(lodger.foot), **times}
    reply, boot = _reply(request, {**fixed, **options(lodger, request.options.get(55, b"")), **fixed}, lodger)
    packet = Packet(**{**reply, "yiaddr": lodger.address, "ciaddr": request.ciaddr if kind == ACK else NOWHERE, **boot})
    if request.ciaddr != NOWHERE:
        return Answer(packet, lodger.foot, request.ciaddr)
    return Answer(packet, lodger.foot, EVERYBODY if request.flags & BROADCAST_FLAG else lodger.address)


def _inform(request: Packet, lodger: Lodger) -> Answer | None:
    if request.ciaddr != lodger.address:
        return None
    fixed = {53: bytes([ACK]), 54: _ip(lodger.foot)}
    reply, boot = _reply(request, {**fixed, **options(lodger, request.options.get(55, b"")), **fixed}, lodger)
    return Answer(Packet(**{**reply, "ciaddr": request.ciaddr, **boot}), lodger.foot, request.ciaddr)


def _refuse(request: Packet, lodger: Lodger) -> Answer:
    words = {53: bytes([NAK]), 54: _ip(lodger.foot), 56: b"that address is not this port's"}
    reply, _ = _reply(request, words, lodger)
    return Answer(Packet(**{**reply, "flags": request.flags | BROADCAST_FLAG}), lodger.foot, EVERYBODY)


def _reply(request: Packet, given: dict[int, bytes], lodger: Lodger) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of any answer, and those of one that a machine boots by."""
    fields = {"op": 2, "xid": request.xid, "mac": request.mac, "flags": request.flags, "giaddr": request.giaddr, "options": given}
    boot: dict[str, Any] = {}
    if 67 in given:
        boot["file"] = given[67]
    for code in (66, 150):  # who serves the file, when an address says so
        try:
            boot["siaddr"] = str(ipaddress.IPv4Address(given[code] if code == 150 else given[code].decode()))
        except (KeyError, ValueError):
            continue
    return fields, boot


def options(lodger: Lodger, wanted: bytes = b"") -> dict[int, bytes]:
    """What a port is told besides its address and lease; `wanted`: the codes that it asks for."""
    network = ipaddress.ip_network(lodger.subnet["cidr"])
    found = {
        1: network.netmask.packed,
        12: lodger.host_name.encode(),
        15: DOMAIN.encode(),
        26: struct.pack("!H", lodger.mtu),
        28: network.broadcast_address.packed,
        119: names([DOMAIN]),
        121: _routes(lodger),
    }
    if 249 in wanted:  # what Microsoft's clients call the same
        found[249] = found[121]
    if gateway := lodger.subnet["gateway_ip"]:
        found[3] = _ip(gateway)
    servers = lodger.many("dns_nameservers") or [lodger.foot]
    if NOWHERE not in servers:  # Neutron's way to say: none at all
        found[6] = b"".join(map(_ip, servers))
    chosen = extra(json.loads(lodger.port["extra_dhcp_opts"]))
    if 249 in found and 121 in chosen:
        found[249] = chosen[121]
    return found | chosen


def _routes(lodger: Lodger) -> bytes:
    """Option 121: the subnet's host routes, the way to the metadata, and the default route, which is not looked for elsewhere then."""
    on_link = lodger.foot == METADATA
    routes = [(route["destination"], route["nexthop"]) for route in lodger.many("host_routes")]
    if not any(destination == f"{METADATA}/32" for destination, _ in routes):
        routes.append((f"{METADATA}/32", NOWHERE if on_link else lodger.foot))
    if lodger.subnet["gateway_ip"] and not any(destination == "0.0.0.0/0" for destination, _ in routes):
        routes.append(("0.0.0.0/0", lodger.subnet["gateway_ip"]))
    return b"".join(_route(destination, nexthop) for destination, nexthop in routes)


def _route(destination: str, nexthop: str) -> bytes:
    network = ipaddress.IPv4Network(destination, strict=False)
    return bytes([network.prefixlen]) + network.network_address.packed[: (network.prefixlen + 7) // 8] + _ip(nexthop)


def _ip(text: str) -> bytes:
    return ipaddress.IPv4Address(text).packed


def names(names: list[str]) -> bytes:
    """Domain names as DNS writes them, without compression."""
    return b"".join(b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0" for name in names)


# -- options that a port's owner chose ------------------------------------------------------------------------------------------

# dnsmasq's names, which are what Neutron's users write: code, and how the value is written
NAMES = {
    "netmask": (1, "ip"), "time-offset": (2, "u32"), "router": (3, "ip"), "dns-server": (6, "ip"), "log-server": (7, "ip"),
    "lpr-server": (9, "ip"), "hostname": (12, "text"), "boot-file-size": (13, "u16"), "domain-name": (15, "text"),
    "root-path": (17, "text"), "ip-forward-enable": (19, "u8"), "default-ttl": (23, "u8"), "mtu": (26, "u16"), "broadcast": (28, "ip"),
    "static-route": (33, "ip"), "nis-domain": (40, "text"), "nis-server": (41, "ip"), "ntp-server": (42, "ip"),
    "netbios-ns": (44, "ip"), "tftp-server": (66, "text"), "tftp-server-name": (66, "text"), "server-name": (66, "text"),
    "bootfile-name": (67, "text"), "smtp-server": (69, "ip"), "posix-timezone": (100, "text"), "tzdb-timezone": (101, "text"),
    "domain-search": (119, "names"), "sip-server": (120, "text"), "classless-static-route": (121, "routes"),
    "tftp-server-address": (150, "ip"), "server-ip-address": (150, "ip"),
}  # fmt: skip
KINDS = dict(NAMES.values())
SIZES = {"u8": "!B", "u16": "!H", "u32": "!i"}


def extra(chosen: list[dict[str, Any]]) -> dict[int, bytes]:
    """A port's extra_dhcp_opts for IPv4, by code. One that cannot be written as its kind asks is left out: the others still count."""
    found: dict[int, bytes] = {}
    for option in chosen:
        name, value = str(option["opt_name"]), str(option["opt_value"])
        if int(option.get("ip_version") or 4) != 4:
            continue
        code, how = (int(name), KINDS.get(int(name), "")) if name.isdigit() else NAMES.get(name, (0, ""))
        if 0 < code < 255 and (data := _written(value, how)) is not None:
            found[code] = data
    return found


def _written(value: str, how: str) -> bytes | None:
    parts = [part.strip() for part in value.split(",")]
    try:
        match how:
            case "ip":
                return b"".join(map(_ip, parts))
            case "u8" | "u16" | "u32":
                return struct.pack(SIZES[how], int(value))
            case "names":
                return names(parts)
            case "routes":
                return b"".join(_route(parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2))
            case "text":
                return value.encode()
    except (ValueError, struct.error):
        return None
    try:  # a bare number: addresses when it reads like them, as dnsmasq does
        return b"".join(map(_ip, parts))
    except ValueError:
        return value.encode()
