"""Router advertisements: what a router's leg says of itself and of its subnets. Pure; when it is said, and to whom, is advertiser.py's.

Source: RFC 4861 (4.2, 4.6), 8106; the flags and lifetimes are those that Neutron's radvd has, but for the router's own lifetime: the
guests keep their way out for hours while nobody says anything.
"""

from __future__ import annotations

import ipaddress
import json
import struct
from collections.abc import Iterable

from pileus.network.live.dhcp import names
from pileus.network.live.directory import AdvertisedLeg
from pileus.network.types.names import DOMAIN

SOLICITATION, ADVERTISEMENT = 133, 134
LIFETIME = 9000  # seconds that the router is a way out after the last word from it: the longest that RFC 4861 takes
VALID, PREFERRED = 86400, 14400  # seconds, of a prefix
HOP_LIMIT = 64
MANAGED, OTHER = 0x80, 0x40
ON_LINK, AUTONOMOUS = 0x80, 0x40
NOBODY = "::"  # as a nameserver: Neutron's way to say none at all


def written(leg: AdvertisedLeg, withdrawn: Iterable[str] = ()) -> bytes:
    """The ICMPv6 message, without checksum. `withdrawn`: prefixes that were advertised before and are no more."""
    modes = {subnet["ipv6_ra_mode"] for subnet in leg.subnets}
    flags = (MANAGED if "dhcpv6-stateful" in modes else 0) | (OTHER if "dhcpv6-stateless" in modes else 0)
    data = _head(flags, LIFETIME) + b"\x01\x01" + bytes.fromhex(leg.mac.replace(":", "")) + struct.pack("!BBHI", 5, 1, 0, leg.mtu)
    for subnet in leg.subnets:
        data += _prefix(subnet["cidr"], VALID, PREFERRED, AUTONOMOUS if subnet["ipv6_ra_mode"] != "dhcpv6-stateful" else 0)
    data += b"".join(_prefix(cidr, 0, 0, AUTONOMOUS) for cidr in sorted(withdrawn))
    if servers := nameservers(leg):
        data += struct.pack("!BBHI", 25, 1 + 2 * len(servers), 0, LIFETIME) + b"".join(ipaddress.IPv6Address(ip).packed for ip in servers)
        search = names([DOMAIN])
        search += b"\0" * (-len(search) % 8)
        data += struct.pack("!BBHI", 31, 1 + len(search) // 8, 0, LIFETIME) + search
    return data


def farewell(mac: str) -> bytes:
    """The last message of a router that is no way out any more. Its prefixes stay with whoever still has a use for them."""
    return _head(0, 0) + b"\x01\x01" + bytes.fromhex(mac.replace(":", ""))


def prefixes(leg: AdvertisedLeg) -> set[str]:
    return {subnet["cidr"] for subnet in leg.subnets}


def nameservers(leg: AdvertisedLeg) -> list[str]:
    """The subnets' own, or the host itself where a subnet names none."""
    found: list[str] = []
    for subnet, foot in zip(leg.subnets, leg.feet, strict=True):
        found += json.loads(subnet["dns_nameservers"]) or [foot]
    return [] if NOBODY in found else list(dict.fromkeys(found))


def _head(flags: int, lifetime: int) -> bytes:
    return struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, HOP_LIMIT, flags, lifetime, 0, 0)


def _prefix(cidr: str, valid: int, preferred: int, flags: int) -> bytes:
    network = ipaddress.IPv6Network(cidr)
    head = struct.pack("!BBBBIII", 3, 4, network.prefixlen, ON_LINK | flags, valid, preferred, 0)
    return head + network.network_address.packed
