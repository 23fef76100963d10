"""What Neutron's attributes may hold, and Neutron's words for what does not fit.

A value is converted first and validated then: a Mismatch with rule CONVERT is worded "Invalid input for operation: ...", any other
"Invalid input for NAME. Reason: ...". Some types refuse with a named error of their own and raise it themselves.
Not here: checks that need another attribute or a row (actions).
"""

from pileus.network.types.many import (
    AddressPairs,
    Anyhow,
    DhcpOptions,
    FixedIps,
    Gateway,
    ListOf,
    Metainfo,
    Nameservers,
    PoolPrefixes,
    Pools,
    Prefixes,
    Routes,
)
from pileus.network.types.names import DnsName
from pileus.network.types.rules import Ethertype, PortNumber, Prefix, Protocol
from pileus.network.types.scalar import (
    Address,
    Cidr,
    Flag,
    Id,
    IPAddress,
    IPNetwork,
    Mac,
    ObjectType,
    OneOf,
    PlainPrefix,
    PortRange,
    Text,
    Whole,
    address_of,
    link_local_of,
    mac_of,
    network_of,
)
from pileus.network.types.words import CONVERT, WORDS, bad_request, invalid_input, malformed

__all__ = [
    "CONVERT",
    "WORDS",
    "Address",
    "AddressPairs",
    "Anyhow",
    "Cidr",
    "DhcpOptions",
    "DnsName",
    "Ethertype",
    "FixedIps",
    "Flag",
    "Gateway",
    "IPAddress",
    "IPNetwork",
    "Id",
    "ListOf",
    "Mac",
    "Metainfo",
    "Nameservers",
    "ObjectType",
    "OneOf",
    "PlainPrefix",
    "PoolPrefixes",
    "Pools",
    "PortNumber",
    "PortRange",
    "Prefix",
    "Prefixes",
    "Protocol",
    "Routes",
    "Text",
    "Whole",
    "address_of",
    "bad_request",
    "invalid_input",
    "link_local_of",
    "mac_of",
    "malformed",
    "network_of",
]
