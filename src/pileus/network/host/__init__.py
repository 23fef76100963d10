"""What the network service needs of a host: wants, facts, steps, and the Protocol that a network driver keeps.

Not here: how a want follows from rows (reconcile/rows.py), which steps a difference needs (reconcile/plan.py), how a step is carried out
(drivers/linuxnet, drivers/fake). Addresses and prefixes are text; MTUs are bytes; every `gone` want asks that nothing of the object stays.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from pileus.network.host.parts import Carrier as Carrier
from pileus.network.host.parts import Heard as Heard
from pileus.network.host.parts import Knock as Knock
from pileus.network.host.parts import Limit as Limit
from pileus.network.host.parts import Note as Note
from pileus.network.host.parts import Pace as Pace
from pileus.network.host.parts import Quality as Quality

Kind = Literal["network", "port", "router", "security_group"]
Service = Literal["network", "network6", "router"]  # whose guests are answered; network6: the IPv6 half of a network
METADATA = "169.254.169.254"
METADATA6 = "fe80::a9fe:a9fe"  # Neutron's; here also where DHCPv6 and DNS answer on a network with an IPv6 subnet
RELAY_PORT = 9697  # where a router's namespace listens for metadata requests of guests that ignore DHCP option 121


def digest(*parts: object) -> str:
    """16 hexadecimal digits that name this content; a driver writes them beside what it made of it, and compares them later."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What a row wishes of the host."""

    id: str
    gone: bool = False


class NetworkWant(Want, frozen=True, kw_only=True):
    """A switch of its own for one network, and the host's own foot on it, where DHCP, DNS and metadata answer."""

    up: bool = True
    mtu: int = 1450
    addresses: tuple[str, ...] = ()  # "10.0.2.2/24": the host's own in the subnets, besides METADATA; METADATA6 where there is IPv6
    on_link: tuple[str, ...] = ()  # prefixes of subnets in which the host has no address of its own
    uplink: bool = False  # joined to the wire on which the outside host is
    outside: tuple[str, ...] = ()  # of the outside host on that wire, in IPv6: "2001:db8::9/64" its own, "PREFIX via ADDRESS" its ways in


class NetworkFacts(msgspec.Struct, frozen=True, kw_only=True):
    up: bool = False
    mtu: int = 0
    addresses: frozenset[str] = frozenset()
    on_link: frozenset[str] = frozenset()
    uplink: bool = False
    outside: frozenset[str] = frozenset()
    rules: str = ""  # digest of the packet filter that ports and groups hang into; empty: none


class Pair(msgspec.Struct, frozen=True, order=True):
    """An address that a port may send from besides its own."""

    prefix: str
    mac: str


class PortWant(Want, frozen=True, kw_only=True):
    """A tap on a network's switch for one guest, guarded: it sends only from its own addresses, and only what its groups allow."""

    network_id: str
    tap: bool = True  # False: no guest is bound to the port, there is nothing to be made
    up: bool = True
    mac: str = ""
    mtu: int = 1450
    addresses: tuple[str, ...] = ()
    pairs: tuple[Pair, ...] = ()
    secure: bool = True  # False: anything goes
    groups: tuple[str, ...] = ()
    stateful: bool = True
    quality: Quality = Quality()
    noted: tuple[str, ...] = ()  # what is noted down of its packets: ACCEPT, DROP
    carrier: Carrier | None = None  # there is no tap of its own then, but a branch of the carrier's

    @property
    def guard(self) -> str:
        """Digest of all that is filtered for this port."""
        quality = (self.quality.packets_out, self.quality.packets_in, self.quality.dscp)
        return digest(self.mac, self.addresses, self.pairs, self.secure, self.groups, self.stateful, quality, self.noted)

    @property
    def branch(self) -> str:
        return self.carrier.branch if self.carrier else ""

    @property
    def roams(self) -> bool:
        """Whether frames for MACs that are not the port's own may belong to it."""
        return not self.secure or any(pair.mac != self.mac for pair in self.pairs)


class PortFacts(msgspec.Struct, frozen=True, kw_only=True):
    network: bool = False  # the network is there
    tap: bool = False
    branch: str = ""  # of which carrier's tap it is a branch; empty: of none
    attached: bool = False  # to the network's switch
    up: bool = False
    mtu: int = 0
    roams: bool = False
    guard: str = ""  # digest of the filters in place; empty: none, and then nothing passes
    egress: Limit | None = None  # of the bandwidth; one that is half made is another than any wanted one
    ingress: Limit | None = None

    @property
    def nothing(self) -> bool:
        return not self.tap and not self.guard and not self.egress


class Rule(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """One security group rule; it allows."""

    direction: Literal["egress", "ingress"]
    version: Literal[4, 6]
    protocol: int = -1  # IANA's number; -1: all
    low: int = -1  # first port, or ICMP type; -1: all
    high: int = -1  # last port, or ICMP code; -1: all
    prefix: str = ""  # of the other side; empty: any
    group: str = ""  # whose members the other side must be among; empty: any


class Chains(msgspec.Struct, frozen=True, kw_only=True):
    """A group's rules in one network."""

    group: str
    rules: tuple[Rule, ...] = ()

    @property
    def name(self) -> str:
        return f"rules:{self.group}"

    @property
    def digest(self) -> str:
        return digest(self.rules)


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """A group's members' addresses in one network, for rules whose other side is that group."""

    group: str
    prefixes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"members:{self.group}"

    @property
    def digest(self) -> str:
        return digest(self.prefixes)


Part = Chains | Members


class GroupWant(Want, frozen=True, kw_only=True):
    """A security group, in every network where a port or another group's rule needs it."""

    parts: dict[str, tuple[Part, ...]] = {}  # by network


class GroupFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Names and digests of the parts in the networks that were looked at, which are all that the group's own parts may be in."""

    parts: dict[str, dict[str, str]] = {}  # by network that is there


class Leg(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A router's place on a network."""

    port_id: str
    network_id: str
    mac: str
    mtu: int
    external: bool = False
    up: bool = True
    addresses: tuple[str, ...] = ()  # "10.0.2.254/24"; on the external leg the floating ones too, as "192.168.37.10/32"


class Floating(msgspec.Struct, frozen=True, order=True):
    """A floating IP that this router translates."""

    address: str
    fixed: str


class Forwarding(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """Ports of a floating IP that this router leads to ports of an inner address: to as many, one to one, or all to one."""

    address: str
    protocol: int
    low: int
    high: int
    fixed: str
    fixed_low: int
    fixed_high: int

    def target(self, port: int) -> int:
        """Where one of its ports leads."""
        return self.fixed_low if self.fixed_low == self.fixed_high else self.fixed_low + port - self.low


class Route(msgspec.Struct, frozen=True, order=True):
    destination: str
    nexthop: str


class Neighbour(msgspec.Struct, frozen=True, order=True):
    """Who is where, told beforehand: the first packet to a guest waits for no ARP, and none can be fooled by it."""

    leg: str  # port
    address: str
    mac: str


class RouterWant(Want, frozen=True, kw_only=True):
    """A namespace with a leg on each of its networks."""

    up: bool = True
    legs: tuple[Leg, ...] = ()
    routes: tuple[Route, ...] = ()  # the default one among them
    snat: str = ""  # what tenants' packets leave through the gateway as; empty: as they are
    floating: tuple[Floating, ...] = ()
    forwardings: tuple[Forwarding, ...] = ()
    paces: tuple[Pace, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def rules(self) -> str:
        """Digest of translation and filter."""
        inside = sorted(address for leg in self.legs if not leg.external for address in leg.addresses)
        return digest(self.snat, self.floating, self.forwardings, inside, self.paces)


class LegFacts(msgspec.Struct, frozen=True, kw_only=True):
    up: bool = False
    mac: str = ""
    mtu: int = 0
    addresses: frozenset[str] = frozenset()


class RouterFacts(msgspec.Struct, frozen=True, kw_only=True):
    exists: bool = False
    networks: frozenset[str] = frozenset()  # those of the wanted ones that are there
    legs: dict[str, LegFacts] = {}  # by the first 11 characters of the port
    routes: frozenset[Route] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()  # `leg` is cut to 11 characters
    rules: str = ""


Facts = NetworkFacts | PortFacts | GroupFacts | RouterFacts


class Step(msgspec.Struct, frozen=True):
    """One change. Which verbs there are, and what `value` is, says reconcile/plan.py; each may be repeated without harm."""

    verb: str
    value: Any = None


class Flow(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """An open flow that a host's filter lets pass because it was allowed when it began. Ends are those of its first packet."""

    protocol: int
    source: str
    target: str
    source_port: int = 0
    target_port: int = 0  # for ICMP: type and code in one, type * 256 + code
    answer_source: str = ""  # the ends of the answers, when an address translation makes them others than the above
    answer_target: str = ""
    answer_port: int = 0  # the source port of the answers
    handle: bytes = b""  # the driver's own


# -- looking closer, for `pileus why` -----------------------------------------------------------------------------------------------


class WireFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The wire of the public network, and the outside host on it."""

    up: bool = True
    outside: str = ""  # the outside host's address
    gateway: str = ""
    way_out: bool = False  # to the Internet
    routes: frozenset[Route] = frozenset()  # of the outside host
    listening: frozenset[int] = frozenset()  # TCP ports on which something there accepts connections


class Sights(Protocol):
    """What a host tells beyond its facts. Nothing of it is needed to carry packets. Every method raises HostError."""

    async def flaws(self, want: Want) -> list[str]:
        """In words, what `observe` does not see because a digest stands for it: rules that are missing behind a seal, sysctls."""

    async def restore(self, want: Want) -> None:
        """Make flaws such that the next look mends them: break the seals, set the sysctls."""

    async def knock(self, want: PortWant, knock: Knock) -> Heard | None:
        """Knock at a guest; None when it cannot be heard, for want of a tap or of packets."""

    async def wire(self) -> WireFacts:
        """The wire outside."""

    async def outside(self) -> socket.socket | None:
        """A TCP socket of the outside host; None on a host that carries no packets."""


class Networks(Sights, Protocol):
    """A host that can carry networks. Every method raises HostError; `apply` may stop between two steps."""

    async def prepare(self) -> None:
        """Make sure that the wire outside is there: the public network's gateway, and the outside host on it."""

    async def observe(self, want: Want) -> Facts | None:
        """What there is of an object, also when it is not as wanted; None when there is nothing at all."""

    async def observe_all(self, kind: Kind) -> dict[str, Facts]:
        """What there is of all objects of a kind, by id; of ports by `NETWORK/PORT`, the latter cut to 11 characters."""

    async def apply(self, want: Want, steps: Sequence[Step]) -> None:
        """Carry out steps in their order."""

    async def flows(self, kind: Literal["network", "router"], id: str) -> list[Flow]:
        """Open flows in a network's or a router's namespace."""

    async def cut(self, kind: Literal["network", "router"], id: str, flows: Sequence[Flow]) -> None:
        """Forget open flows: the next packet is judged anew. One that has ended meanwhile is passed over."""

    def open_tap(self, port_id: str) -> int:
        """A descriptor for a guest on a port's tap, to be closed by the caller; HostError when there is no tap (yet)."""

    async def listen(self, kind: Service, id: str) -> dict[str, socket.socket]:
        """New sockets in a namespace for what answers guests. Of a network: dhcp, dns, dns_tcp, metadata; of its IPv6 half (network6) the
        same; of a router: metadata. Those for datagrams say which address of ours was meant.

        Empty on a host that carries no packets.
        """

    async def leg_socket(self, router_id: str, port_id: str) -> socket.socket | None:
        """A raw ICMPv6 socket on a router's leg, which hears router solicitations with their hop limit, and sends with one of 255.

        None on a host that carries no packets; HostError when there is no such leg (yet).
        """

    async def notes(self, network_id: str) -> socket.socket | None:
        """A socket that is readable when something was noted in a network; None on a host that carries no packets."""

    def read_notes(self, sock: socket.socket) -> Iterable[Note]:
        """What was noted since the last time; does not wait."""

    async def outward(self) -> socket.socket | None:
        """A UDP socket that reaches the Internet, when the datacenter has a way out."""
