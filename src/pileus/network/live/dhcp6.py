"""DHCPv6: messages read and written, and the answer that a port's rows give. Pure; sockets are elsewhere (live/__init__.py).

As with IPv4 there is nothing to remember: the lease is the port's own addresses. Source: RFC 8415, 3646, 4242, 5908, 5970.
"""

from __future__ import annotations

import ipaddress
import json
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pileus.network.live.dhcp import LEASE, names
from pileus.network.live.directory import Lodger
from pileus.network.types import mac_of
from pileus.network.types.names import DOMAIN

SERVER_PORT, CLIENT_PORT = 547, 546
SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE = range(1, 10)
INFORMATION = 11
CLIENT_ID, SERVER_ID, IA_NA, IA_TA, IA_ADDRESS, WANTED, STATUS, RAPID, NAMESERVERS, SEARCH, IA_PD = 1, 2, 3, 4, 5, 6, 13, 14, 23, 24, 25
SUCCESS, NO_ADDRESSES, NO_BINDING, NOT_ON_LINK, NO_PREFIX = 0, 2, 3, 4, 6
TO_US = (REQUEST, RENEW, RELEASE, DECLINE)  # messages that name their server
TO_ALL = (SOLICIT, CONFIRM, REBIND)  # and that must not
NOBODY = "::"  # as a nameserver: Neutron's way to say none at all

Options = list[tuple[int, bytes]]


@dataclass(frozen=True)
class Message:
    """A message. Options keep their order; some come several times."""

    kind: int
    transaction: bytes
    options: Options

    def get(self, code: int) -> bytes | None:
        return next((value for its, value in self.options if its == code), None)

    def all(self, code: int) -> list[bytes]:
        return [value for its, value in self.options if its == code]


def decode(data: bytes) -> Message | None:
    """A client's message, or None for what is none. Relays are not spoken with."""
    options = read_options(data[4:])
    if len(data) < 4 or options is None or data[0] not in (*TO_US, *TO_ALL, INFORMATION):
        return None
    return Message(data[0], data[1:4], options)


def read_options(data: bytes) -> Options | None:
    found: Options = []
    offset = 0
    while offset < len(data):
        if offset + 4 > len(data):
            return None
        code, size = struct.unpack_from("!HH", data, offset)
        if offset + 4 + size > len(data):
            return None
        found.append((code, data[offset + 4 : offset + 4 + size]))
        offset += 4 + size
    return found


def encode(message: Message) -> bytes:
    return bytes([message.kind]) + message.transaction + written(message.options)


def written(options: Options) -> bytes:
    return b"".join(struct.pack("!HH", code, len(value)) + value for code, value in options)


def server_id(network_id: str) -> bytes:
    """The name under which a network's server is known: the same after every start (RFC 6355)."""
    return struct.pack("!H", 4) + uuid.UUID(network_id).bytes


def client_mac(message: Message, peer: str) -> str:
    """Whose message it is: the sender's link-local address says it, which cannot be forged, else the client's own identifier."""
    if mac := mac_of(peer):
        return mac
    name = message.get(CLIENT_ID) or b""
    kind, hardware = struct.unpack_from("!HH", name) if len(name) >= 4 else (0, 0)
    start = {1: 8, 3: 4}.get(kind)  # DUID-LLT, DUID-LL
    return name[start:].hex(":") if start and hardware == 1 and len(name) == start + 6 else ""


# -- the answer -----------------------------------------------------------------------------------------------------------------


def leased(lodgers: Sequence[Lodger]) -> list[Lodger]:
    """Of a port's addresses those that DHCPv6 gives out, as in Neutron: those of stateful subnets, and of subnets that say nothing."""
    return [
        lodger for lodger in lodgers if _mode(lodger) == "dhcpv6-stateful" or (_mode(lodger), lodger.subnet["ipv6_ra_mode"]) == (None, None)
    ]


def _mode(lodger: Lodger) -> str | None:
    mode: str | None = lodger.subnet["ipv6_address_mode"]
    return mode


def answer(request: Message, lodgers: Sequence[Lodger], server: bytes) -> Message | None:
    """What to say to a client that is the port with these addresses; None: nothing. A client we do not know gets no word."""
    served = [lodger for lodger in lodgers if lodger in leased(lodgers) or _mode(lodger) == "dhcpv6-stateless"]
    named, client = request.get(SERVER_ID), request.get(CLIENT_ID)
    if not served or (client is None and request.kind != INFORMATION):
        return None
    if (request.kind in TO_US and named != server) or (request.kind in TO_ALL and named is not None) or named not in (None, server):
        return None
    head: Options = [(SERVER_ID, server), *([(CLIENT_ID, client)] if client is not None else [])]
    body = _body(request, leased(served))
    if body is None:
        return None
    rapid = request.kind == SOLICIT and request.get(RAPID) is not None
    kind = ADVERTISE if request.kind == SOLICIT and not rapid else REPLY
    told = [] if request.kind in (CONFIRM, RELEASE, DECLINE) else options(request, served)
    return Message(kind, request.transaction, [*head, *body, *([(RAPID, b"")] if rapid else []), *told])


def _body(request: Message, lodgers: list[Lodger]) -> Options | None:
    """What an answer says of addresses; None: it is not for us to answer."""
    match request.kind:
        case 11:
            return []
        case 8 | 9:
            return [_status(SUCCESS, "noted; the address stays the port's")]
        case 4:
            return _confirm(request, lodgers)
    found: Options = [(IA_NA, _grant(ask, lodgers)) for ask in request.all(IA_NA) if len(ask) >= 12]
    found += [(IA_TA, ask[:4] + written([_status(NO_ADDRESSES, "no temporary addresses here")])) for ask in request.all(IA_TA)]
    found += [(IA_PD, ask[:12] + written([_status(NO_PREFIX, "no prefixes are delegated here")])) for ask in request.all(IA_PD)]
    if request.kind == SOLICIT and not lodgers:
        found.append(_status(NO_ADDRESSES, "this port has no address from DHCPv6"))
    return found


def _grant(ask: bytes, lodgers: list[Lodger]) -> bytes:
    """An identity association: all the port's addresses, and those of the client's that are none of them, with no time left."""
    own = [lodger.address for lodger in lodgers]
    if not own:
        return ask[:4] + struct.pack("!II", 0, 0) + written([_status(NO_ADDRESSES, "this port has no address from DHCPv6")])
    addresses = [(address, LEASE) for address in own] + [(address, 0) for address in _addresses(ask) if address not in own]
    parts: Options = [(IA_ADDRESS, ipaddress.IPv6Address(address).packed + struct.pack("!II", left, left)) for address, left in addresses]
    return ask[:4] + struct.pack("!II", LEASE // 2, LEASE * 4 // 5) + written(parts)


def _addresses(ask: bytes) -> list[str]:
    """The addresses that a client speaks of in an identity association."""
    return [
        str(ipaddress.IPv6Address(value[:16])) for code, value in read_options(ask[12:]) or [] if code == IA_ADDRESS and len(value) >= 16
    ]


def _confirm(request: Message, lodgers: list[Lodger]) -> Options | None:
    asked = [address for ask in request.all(IA_NA) for address in _addresses(ask)]
    if not asked:
        return None
    own = {lodger.address for lodger in lodgers}
    if own.issuperset(asked):
        return [_status(SUCCESS, "")]
    return [_status(NOT_ON_LINK, "that address is not this port's")]


def _status(code: int, words: str) -> tuple[int, bytes]:
    return STATUS, struct.pack("!H", code) + words.encode()


def options(request: Message, served: Sequence[Lodger]) -> Options:
    """What a port is told besides its addresses."""
    servers = list(dict.fromkeys(server for lodger in served for server in lodger.many("dns_nameservers") or [lodger.foot]))
    found = {SEARCH: names([DOMAIN])}
    if NOBODY not in servers:
        found[NAMESERVERS] = b"".join(map(_ip, servers))
    wanted = request.get(WANTED) or b""
    if struct.pack("!H", 39) in (wanted[i : i + 2] for i in range(0, len(wanted), 2)) or request.get(39) is not None:
        found[39] = b"\0" + names([f"{served[0].host_name}.{DOMAIN}"])
    return sorted((found | extra(json.loads(served[0].port["extra_dhcp_opts"]))).items())


def _ip(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


# -- options that a port's owner chose ------------------------------------------------------------------------------------------

# dnsmasq's names, which are what Neutron's users write: code, and how the value is written
NAMES = {
    "preference": (7, "u8"), "sip-server-domain": (21, "names"), "sip-server": (22, "ip"), "dns-server": (23, "ip"),
    "domain-search": (24, "names"), "nis-server": (27, "ip"), "nis+-server": (28, "ip"), "nis-domain": (29, "names"),
    "nis+-domain": (30, "names"), "sntp-server": (31, "ip"), "information-refresh-time": (32, "u32"), "ntp-server": (56, "ntp"),
    "bootfile-url": (59, "text"), "bootfile-param": (60, "params"),
}  # fmt: skip
KINDS = dict(NAMES.values())
SIZES = {"u8": "!B", "u32": "!I"}


def extra(chosen: list[dict[str, Any]]) -> dict[int, bytes]:
    """A port's extra_dhcp_opts for IPv6, by code. One that cannot be written as its kind asks is left out: the others still count."""
    found: dict[int, bytes] = {}
    for option in chosen:
        name, value = str(option["opt_name"]).removeprefix("option6:"), str(option["opt_value"])
        if int(option.get("ip_version") or 4) != 6:
            continue
        code, how = (int(name), KINDS.get(int(name), "")) if name.isdigit() else NAMES.get(name, (0, ""))
        if WANTED < code < 1 << 16 and code not in (STATUS, RAPID) and (data := _value(value, how)) is not None:
            found[code] = data
    return found


def _value(value: str, how: str) -> bytes | None:
    parts = [part.strip().strip("[]") for part in value.split(",")]
    try:
        match how:
            case "ip":
                return b"".join(map(_ip, parts))
            case "ntp":
                return written([(1, _ip(part)) for part in parts])
            case "u8" | "u32":
                return struct.pack(SIZES[how], int(value))
            case "names":
                return names(parts)
            case "params":
                return b"".join(struct.pack("!H", len(part.encode())) + part.encode() for part in parts)
            case "text":
                return value.encode()
    except (ValueError, struct.error):
        return None
    try:  # a bare number: addresses when it reads like them, as dnsmasq does
        return b"".join(map(_ip, parts))
    except ValueError:
        return value.encode()
