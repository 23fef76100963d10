"""Smaller parts of what the network service and a host say to each other: limits, branches, notes, knocks. Import them from the package."""

from __future__ import annotations

from typing import Literal

import msgspec


class Limit(msgspec.Struct, frozen=True, order=True):
    """So much a second, and so much at once: kilobits of a bandwidth, packets of a packet rate."""

    rate: int
    burst: int


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a port may be. Egress is what its guest sends, ingress what it receives; None: as fast as can be."""

    egress: Limit | None = None
    ingress: Limit | None = None
    packets_out: Limit | None = None
    packets_in: Limit | None = None
    dscp: int | None = None  # what the guest's packets are marked with

    @property
    def filtered(self) -> bool:
        """Whether the packet filter has a part in it."""
        return (self.packets_out, self.packets_in, self.dscp) != (None, None, None)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast what passes outside by a floating IP may be; by none: what leaves with the gateway's own address, and its answers."""

    fixed: str = ""  # the inner address; empty: the gateway's
    egress: Limit | None = None
    ingress: Limit | None = None


class Carrier(msgspec.Struct, frozen=True):
    """The port that carries another one's frames to its guest, under a VLAN tag."""

    port_id: str
    network_id: str
    vlan: int

    @property
    def branch(self) -> str:
        """What a branch says of itself."""
        return f"{self.port_id[:11]}.{self.vlan}"


class Knock(msgspec.Struct, frozen=True, kw_only=True):
    """What is put on a guest's tap, as if its network had carried it there: a first packet, or with `addresses` an ARP probe for each.

    The answer is heard on the tap; no flow having begun, it gets no further.
    """

    source: str = ""
    target: str = ""
    protocol: int = 1  # ICMP (an echo request), 6 or 17
    port: int = 0
    addresses: tuple[str, ...] = ()


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest said to a knock."""

    answers: frozenset[str] = frozenset()  # addresses that it says it has
    reply: Literal["", "answer", "refused", "prohibited", "unreachable"] = ""
    via: str = ""  # the MAC that the reply was sent to: the next hop that the guest has chosen
    asked: frozenset[str] = frozenset()  # addresses whose MAC it asked for


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A packet that a port's groups have judged."""

    port_id: str
    event: str  # ACCEPT, DROP
    direction: str  # egress, ingress
    packet: bytes  # its beginning, from the IP header on
