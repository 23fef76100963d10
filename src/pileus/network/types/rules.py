"""Types of a security group rule's attributes, whose refusals have names of their own, and what a protocol is called.

Source: https://www.iana.org/assignments/protocol-numbers/
"""

from __future__ import annotations

import ipaddress
from typing import Any

from pileus.errors import BadRequest

PROTOCOLS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "icmpv6": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
ETHERTYPES = ("IPv4", "IPv6")
WITH_PORTS = frozenset({"dccp", "sctp", "tcp", "udp", "udplite"})
ICMP = frozenset({1, 58})
IPV6_ONLY = frozenset({41, 44, 58, 59, 60, 43})


def number_of(protocol: str | None) -> int | None:
    """The IP protocol number of a name or of a number as text; None is every protocol."""
    return None if protocol is None else PROTOCOLS.get(protocol, int(protocol) if protocol.isdigit() else None)


class Protocol:
    """A protocol's name or number; null is every protocol. Kept as text, names in lower case."""

    def parse(self, value: Any, /) -> str | None:
        if value is None:
            return None
        text = str(value).lower() if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if text in PROTOCOLS or (text.isascii() and text.isdigit() and int(text) <= 255):
            return text
        known = [None, *PROTOCOLS]
        raise BadRequest(
            f"Security group rule protocol {value} not supported. Only protocol values {known} and integer representations [0 to 255] are"
            " supported.",
            type="SecurityGroupRuleInvalidProtocol",
        )

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "integer", "null"], "examples": list(PROTOCOLS)}


class Ethertype:
    """IPv4 or IPv6, in any case."""

    def parse(self, value: Any, /) -> str:
        for known in ETHERTYPES:
            if isinstance(value, str) and value.lower() == known.lower():
                return known
        raise BadRequest(
            f"Security group rule for ethertype '{value}' not supported. Allowed values are {list(ETHERTYPES)}.",
            type="SecurityGroupRuleInvalidEtherType",
        )

    def schema(self) -> dict[str, Any]:
        return {"enum": list(ETHERTYPES)}


class PortNumber:
    """A port, or an ICMP type or code; null is any."""

    def parse(self, value: Any, /) -> int | None:
        if value is None:
            return None
        try:
            number = -1 if isinstance(value, bool) else int(value)
        except (TypeError, ValueError):
            number = -1
        if not 0 <= number <= 65535:
            raise BadRequest(f"Invalid value for port {value}", type="SecurityGroupInvalidPortValue")
        return number

    def schema(self) -> dict[str, Any]:
        return {"type": ["integer", "string", "null"], "minimum": 0, "maximum": 65535}


class Prefix:
    """A range of remote addresses, with its prefix length, bits to its right kept; null or empty is any."""

    def parse(self, value: Any, /) -> str | None:
        if not value:
            return None
        try:
            return str(ipaddress.ip_interface(value)) if isinstance(value, str) else self._refuse(value)
        except ValueError:
            return self._refuse(value)

    @staticmethod
    def _refuse(value: Any) -> str:
        raise BadRequest(f"Invalid CIDR {value} given as IP prefix.", type="InvalidCIDR")

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "null"], "format": "cidr"}
