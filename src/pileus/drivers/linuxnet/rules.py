"""nft texts: a network's filter, a port's guard, a group's chains and sets. Pure: wants in, text out. A router's are in translation.py.

How a network's filter works. A number goes with each packet through the bridge as its mark: the index of the tap it came from, and after
the bridge has chosen that of the tap it goes to. The bridge table gives the number (`from_...`, which checks the sender too, and `to_...`);
the inet table, which sees bridged packets by br_netfilter, keeps track of flows and lets a number's chains judge each one's first packet:
`egress` where it comes in, `ingress` where it goes out. What has no number gets nowhere. Every packet of every flow goes through the maps
and the first rules: each look-up there counts. What belongs together is sealed: an empty chain `seal_...` whose comment says what is in
place; one transaction writes both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from pileus.drivers.linuxnet import notes, pace
from pileus.network.host import METADATA, METADATA6, Chains, Members, Part, PortWant, Rule, digest

TABLE = "pileus"
VERSION = 3  # of the texts below: a change of what they mean rewrites what an older Pileus left
OPEN = 1  # the number of links whose packets are not judged here (index 1 is always lo's)
LEG, UPLINK = "leg", "uplink"  # such links besides some taps: routers' legs, which begin so, and the wire to the outside
STATELESS = 1 << 30  # added to the number of a port whose groups do not keep track of flows
WAYS = (("out", "egress"), ("in", "ingress"))  # what begins a chain's name, and the map that leads to it
SKELETON = "seal"  # the chain that seals a table's skeleton
LINE = 200  # addresses in one command
ANY4, ANY6 = "0.0.0.0/0", "::/0"

_ND_OUT = "{ 130, 131, 132, 133, 135, 136, 143 }"  # ICMPv6 types that hosts must always be able to send (RFC 4890)
_ND_IN = "{ 130, 131, 132, 134, 135, 136 }"
KNOWN = f"meta mark & {STATELESS} == 0 ct state established,related accept"  # early, since nearly every packet is such
NOT_SYN = "meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn ct state new drop"  # a flow that was cut cannot go on as a new one


_SKELETON = f"""table bridge {TABLE} {{
 map guard {{
  type ifname : verdict;
 }}
 map place {{
  type ifname : verdict;
 }}
 chain prerouting {{
  type filter hook prerouting priority -200; policy drop;
  iifname vmap @guard
  iifname "{LEG}*" meta mark set {OPEN} accept
  iifname "{UPLINK}" meta mark set {OPEN} accept
 }}
 chain forward {{
  type filter hook forward priority -200; policy drop;
  oifname vmap @place
  oifname "{LEG}*" meta mark set {OPEN} accept
  oifname "{UPLINK}" meta mark set {OPEN} accept
 }}
}}
table inet {TABLE} {{
 map egress {{
  type mark : verdict;
 }}
 map ingress {{
  type mark : verdict;
 }}
 chain prerouting {{
  type filter hook prerouting priority 0; policy drop;
  {KNOWN}
  meta mark <= {OPEN} accept
  meta nfproto ipv4 udp sport 68 udp dport 67 accept
  meta nfproto ipv6 udp sport 546 udp dport 547 accept
  meta nfproto ipv6 icmpv6 type {_ND_OUT} accept
  meta mark >= {STATELESS} meta mark vmap @egress
  ct state invalid drop
  {NOT_SYN}
  meta mark vmap @egress
 }}
 chain forward {{
  type filter hook forward priority 0; policy drop;
  {KNOWN}
  meta mark {OPEN} accept
  meta nfproto ipv6 icmpv6 type {_ND_IN} accept
  meta mark >= {STATELESS} meta mark vmap @ingress
  ct state invalid drop
  {NOT_SYN}
  meta mark vmap @ingress
 }}
 chain input {{
  type filter hook input priority 0; policy drop;
  iifname "lo" accept
  ct state established,related accept
  meta nfproto ipv4 udp dport {{ 53, 67 }} accept
  meta nfproto ipv4 tcp dport 53 accept
  ip daddr {METADATA} tcp dport 80 accept
  icmp type echo-request accept
  meta nfproto ipv6 udp dport {{ 53, 547 }} accept
  meta nfproto ipv6 tcp dport 53 accept
  ip6 daddr {METADATA6} tcp dport 80 accept
  icmpv6 type {{ echo-request, nd-neighbor-solicit, nd-neighbor-advert }} accept
 }}
}}
"""


def skeleton_digest() -> str:
    return digest(VERSION, skeleton())


def skeleton() -> str:
    """A network's filter before any port is in it."""
    return _SKELETON


def load_skeleton(*, is_new: bool = False) -> str:
    """Put the skeleton in place, whatever was there. `is_new`: nothing was."""
    clear = "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in ("bridge", "inet"))
    return ("" if is_new else clear) + skeleton() + seal(SKELETON, skeleton_digest(), is_new=is_new)


def seal(chain: str, words: str, *, is_new: bool = False) -> str:
    """Commands that leave an empty chain with this comment. `is_new`: there is none; to remove nothing spares the kernel some 10 ms."""
    clear = f"add chain inet {TABLE} {chain}\ndelete chain inet {TABLE} {chain}\n"
    return f'{"" if is_new else clear}add chain inet {TABLE} {chain} {{ comment "{words}"; }}\n'


# -- ports ----------------------------------------------------------------------------------------------------------------------


def tap_name(port_id: str) -> str:
    return f"tap{port_id[:11]}"


def port_seal(tap: str) -> str:
    return f"seal_{tap}"


def port_words(want: PortWant, index: int) -> str:
    """What a port's seal says: the digest, the number by which it is known, and what else is to be taken away with it."""
    return f"{want.guard} {port_number(want, index)}{notes.words(want)}"


def port_number(want: PortWant, index: int) -> int:
    return OPEN if not want.secure else index if want.stateful else index + STATELESS


def guard(want: PortWant, index: int, before: str = "") -> str:
    """Guard a port's tap. `before`: what its seal says now, empty when there is none."""
    tap, number = tap_name(want.id), port_number(want, index)
    text = _clear(tap, before)
    own = antispoof(want) if want.secure else ["accept"]
    mark = f"meta mark set {number}"
    text += _chain("bridge", f"from_{tap}", [*pace.outward(want.quality), mark, *own])
    text += _chain("bridge", f"to_{tap}", [*pace.inward(want.quality), f"{mark} accept"])
    text += f'add element bridge {TABLE} guard {{ "{tap}" : goto from_{tap} }}\n'
    text += f'add element bridge {TABLE} place {{ "{tap}" : goto to_{tap} }}\n'
    if number != OPEN:
        for way, hook in WAYS:
            text += _chain("inet", f"{way}_{tap}", _judgement(want, way))
            text += notes.of_accepted(want, way, number)
            text += f"add element inet {TABLE} {hook} {{ {number} : goto {way}_{tap} }}\n"
    elif before and _number(before) != OPEN:
        text += "".join(f"delete chain inet {TABLE} {way}_{tap}\n" for way, _ in WAYS)
    return text + seal(port_seal(tap), port_words(want, index), is_new=not before)


def unguard(tap: str, before: str) -> str:
    """Take a port's guard away; then nothing passes."""
    if not before:
        return ""
    text = _clear(tap, before) + "".join(f"delete chain bridge {TABLE} {way}_{tap}\n" for way in ("from", "to"))
    if _number(before) != OPEN:
        text += "".join(f"delete chain inet {TABLE} {way}_{tap}\n" for way, _ in WAYS)
    return text + f"delete chain inet {TABLE} {port_seal(tap)}\n"


def _clear(tap: str, before: str) -> str:
    """Commands that take a port out of the maps."""
    if not before:
        return ""
    number = _number(before)
    text = f'delete element bridge {TABLE} guard {{ "{tap}" }}\ndelete element bridge {TABLE} place {{ "{tap}" }}\n'
    if notes.is_noted(before):
        text += "".join(f"delete chain inet {TABLE} {notes.chain_name(tap[3:], way)}\n" for way, _ in WAYS)
    if number != OPEN:
        text += "".join(f"delete element inet {TABLE} {hook} {{ {number} }}\n" for _, hook in WAYS)
    return text


def _number(words: str) -> int:
    return int(words.split()[1])


def _chain(family: str, name: str, rules: Iterable[str]) -> str:
    head = f"add chain {family} {TABLE} {name}\nflush chain {family} {TABLE} {name}\n"
    return head + "".join(f"add rule {family} {TABLE} {name} {rule}\n" for rule in rules)


def _judgement(want: PortWant, way: str) -> list[str]:
    """One of its groups lets a packet pass, or it is dropped."""
    return [*(f"jump {group_chain(group, way)}" for group in want.groups), *notes.of_dropped(want, way), "drop"]


def antispoof(want: PortWant) -> list[str]:
    """What a port may send, by sender: its own MAC with its own addresses, and its pairs; never as a DHCP server or a router."""
    places: dict[str, list[str]] = {want.mac: list(want.addresses)}
    for pair in want.pairs:
        places.setdefault(pair.mac, []).append(pair.prefix)
    rules = ["ether type { vlan, 0x88a8 } drop"]  # only this sees a tag that the kernel took off; br_netfilter does not look below it
    own = [(mac, v4) for mac, prefixes in places.items() if (v4 := collapse(prefixes, 4))]
    rules += [f"ether saddr {mac} meta protocol ip{among('ip saddr', v4)} meta l4proto tcp accept" for mac, v4 in own]  # nearly every frame
    rules.append("meta protocol ip udp sport 67 udp dport 68 drop")
    rules += [f"ether saddr {mac} meta protocol ip{among('ip saddr', v4)} accept" for mac, v4 in own]
    rules += [
        "meta protocol ip6 icmpv6 type { 134, 137 } drop",
        "meta protocol ip6 udp sport 547 udp dport 546 drop",
    ]
    for mac, prefixes in places.items():
        rules += _from_mac(mac, prefixes)
    return [*rules, "drop"]


def _from_mac(mac: str, prefixes: list[str]) -> list[str]:
    v4, v6 = collapse(prefixes, 4), [*collapse(prefixes, 6), link_local(mac)]
    rules = [
        f"ether saddr {mac} meta protocol ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
        f"ether saddr {mac} meta protocol arp arp saddr ether {mac} arp saddr ip 0.0.0.0 arp operation request accept",
    ]
    if v4:
        rules.append(f"ether saddr {mac} meta protocol arp arp saddr ether {mac}{among('arp saddr ip', v4)} accept")
    rules += [f"ether saddr {mac} meta protocol ip6 ip6 saddr :: icmpv6 type {{ 131, 132, 143 }} accept"]
    if ANY6 in v6:
        rules += [f"ether saddr {mac} meta protocol ip6 ip6 saddr :: icmpv6 type 135 accept"]
    else:  # who looks for a double of an address, or tells where it is, speaks of an address of its own
        for address in v6:
            target = _target(address)
            rules.append(f"ether saddr {mac} meta protocol ip6 ip6 saddr :: icmpv6 type 135 {target} accept")
            rules.append(f"ether saddr {mac} meta protocol ip6 icmpv6 type 136 {target}{among('ip6 saddr', v6)} accept")
        rules.append("meta protocol ip6 icmpv6 type 136 drop")
    rules.append(f"ether saddr {mac} meta protocol ip6{among('ip6 saddr', v6)} accept")
    return rules


def _target(prefix: str) -> str:
    """A match of the address that a neighbour discovery message is about."""
    network = ipaddress.IPv6Network(prefix)
    return f"@th,64,{network.prefixlen} {int(network.network_address) >> 128 - network.prefixlen:#x}"


def among(what: str, prefixes: Sequence[str]) -> str:
    """` ip saddr { ... }`, or nothing when any will do."""
    if ANY4 in prefixes or ANY6 in prefixes:
        return ""
    return f" {what} {{ {', '.join(prefixes)} }}"


def collapse(prefixes: Iterable[str], version: int) -> list[str]:
    """Of these prefixes and addresses those of one IP version, none within another, hosts without a length."""
    networks = [network for network in (ipaddress.ip_network(prefix, strict=False) for prefix in prefixes) if network.version == version]
    found = ipaddress.collapse_addresses(networks)  # type: ignore[type-var]
    return [str(n.network_address) if n.num_addresses == 1 else str(n) for n in found]


def link_local(mac: str) -> str:
    """The IPv6 link-local address that a MAC gives (RFC 4291, appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return str(ipaddress.IPv6Address(b"\xfe\x80" + b"\0" * 6 + bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])))


# -- security groups --------------------------------------------------------------------------------------------------------------


def group_chain(group: str, way: str) -> str:
    """The chain of a group's rules for one way, `in` or `out`."""
    return f"{way}_{group.replace('-', '')}"


def group_set(group: str, version: int) -> str:
    return f"m{version}_{group.replace('-', '')}"


def part_seal(part: Part | str) -> str:
    """The chain that seals a part: `rules:<group>` or `members:<group>`."""
    kind, _, group = (part if isinstance(part, str) else part.name).partition(":")
    return f"seal_{kind}_{group.replace('-', '')}"


def part_name(chain: str) -> str | None:
    """The name of the part that a chain seals, or None."""
    head, _, rest = chain.partition("_")
    kind, _, group = rest.partition("_")
    if head != "seal" or kind not in ("rules", "members") or len(group) != 32:
        return None
    return f"{kind}:{group[:8]}-{group[8:12]}-{group[12:16]}-{group[16:20]}-{group[20:]}"


def placeholders(groups: Iterable[str]) -> str:
    """Chains of groups that a port is about to refer to: empty, which allows nothing, until the group itself is looked at."""
    return "".join(f"add chain inet {TABLE} {group_chain(group, way)}\n" for group in groups for way in ("in", "out"))


def load_part(part: Part, *, is_new: bool = False) -> str:
    """Put a part in place of what was there. `is_new`: nothing sealed it."""
    text = _load_chains(part) if isinstance(part, Chains) else _load_members(part)
    return text + seal(part_seal(part), part.digest, is_new=is_new)


def _load_chains(chains: Chains) -> str:
    remote = {rule.group for rule in chains.rules if rule.group}
    text = "".join(_add_sets(group) for group in sorted(remote))
    for way, direction in (("in", "ingress"), ("out", "egress")):
        rules = [allow(rule) for rule in chains.rules if rule.direction == direction]
        text += _chain("inet", group_chain(chains.group, way), rules)
    return text


def _add_sets(group: str) -> str:
    kinds = ((4, "ipv4_addr"), (6, "ipv6_addr"))
    return "".join(f"add set inet {TABLE} {group_set(group, version)} {{ type {kind}; flags interval; }}\n" for version, kind in kinds)


def _load_members(members: Members) -> str:
    text = _add_sets(members.group)
    for version in (4, 6):
        name = group_set(members.group, version)
        text += f"flush set inet {TABLE} {name}\n"
        found = collapse(members.prefixes, version)
        for start in range(0, len(found), LINE):
            text += f"add element inet {TABLE} {name} {{ {', '.join(found[start : start + LINE])} }}\n"
    return text


def drop_part(name: str) -> str:
    """Take a part away, or see that it is gone. The kernel refuses while a port or a rule refers to it."""
    kind, _, group = name.partition(":")
    if kind == "rules":
        text = "".join(_drop("chain", group_chain(group, way)) for way in ("in", "out"))
    else:
        text = _add_sets(group) + "".join(f"delete set inet {TABLE} {group_set(group, version)}\n" for version in (4, 6))
    return text + _drop("chain", part_seal(name))


def _drop(what: str, name: str) -> str:
    """nft deletes only what is there."""
    return f"add {what} inet {TABLE} {name}\ndelete {what} inet {TABLE} {name}\n"


def allow(rule: Rule) -> str:
    """One security group rule as an nft rule."""
    family, side = ("ip", "saddr") if rule.direction == "ingress" else ("ip", "daddr")
    if rule.version == 6:
        family = "ip6"
    text = f"meta nfproto ipv{rule.version}"
    if rule.group:
        text += f" {family} {side} @{group_set(rule.group, rule.version)}"
    elif rule.prefix and rule.prefix not in (ANY4, ANY6):
        text += f" {family} {side} {rule.prefix}"
    return f"{text}{_protocol(rule)} accept"


def _protocol(rule: Rule) -> str:
    if rule.protocol < 0:
        return ""
    text = f" meta l4proto {rule.protocol}"
    if rule.protocol in (1, 58):
        kind = "icmp" if rule.protocol == 1 else "icmpv6"
        text += f" {kind} type {rule.low}" if rule.low >= 0 else ""
        return text + (f" {kind} code {rule.high}" if rule.high >= 0 else "")
    if rule.low >= 0:
        text += f" th dport {rule.low}-{max(rule.low, rule.high)}" if rule.high > rule.low else f" th dport {rule.low}"
    return text
