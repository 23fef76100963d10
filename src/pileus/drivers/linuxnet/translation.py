"""nft texts of a router: translation of addresses, and what may be forwarded. Pure: wants in, text out.

Packets that a tenant sends leave with the gateway's address or their floating IP. Those that come in from outside pass only as answers
or to a floating IP, unless the router was told not to translate: then it routes. What a tenant sends to a floating IP of the same
router is translated on both ends, so that the answers come back this way.
Between a tenant's networks, where nothing is translated, answers may come another way: a router need not see all of a flow.
IPv6 is routed, never translated, as in Neutron: what comes in is the security groups' business.
"""

from __future__ import annotations

from pileus.drivers.linuxnet import pace
from pileus.drivers.linuxnet.rules import LINE, NOT_SYN, SKELETON, TABLE, VERSION, seal
from pileus.network.host import METADATA, RELAY_PORT, Forwarding, RouterWant, digest

FORWARDING = "forwarding"  # the chain of single ports that lead inwards
FLOATING = "seal_floating"  # seals what a router's maps hold
SNAT, INWARD = "$snat", "$inward"  # in the text below: what becomes of a tenant's source address, and of what comes in from outside

_TABLE = f"""table inet {TABLE} {{
 map floating {{
  type ipv4_addr : ipv4_addr;
 }}
 map fixed {{
  type ipv4_addr : ipv4_addr;
 }}
 chain {FORWARDING} {{
 }}
 chain from_inside {{
  type filter hook prerouting priority -150; policy accept;
  iifname "qr-*" meta mark set 1
 }}
 chain prerouting {{
  type nat hook prerouting priority -100; policy accept;
  iifname "qr-*" ip daddr {METADATA} tcp dport 80 redirect to :{RELAY_PORT}
  dnat ip to ip daddr map @floating
  jump {FORWARDING}
 }}
 chain postrouting {{
  type nat hook postrouting priority 100; policy accept;
  oifname "qr-*" meta mark 1 ct status dnat snat ip to ip saddr map @fixed
  oifname "qr-*" meta mark 1 ct status dnat {SNAT}
  oifname "qr-*" accept
  snat ip to ip saddr map @fixed
  meta nfproto ipv4 {SNAT}
 }}
 chain forward {{
  type filter hook forward priority 0; policy drop;
  ct state established,related accept
  iifname "qr-*" oifname "qr-*" ct state invalid accept
  ct state invalid drop
  iifname "qr-*" oifname "qr-*" ct status ! dnat accept
  {NOT_SYN}
  iifname "qr-*" accept
  ct status dnat accept
  meta nfproto ipv6 accept
  {INWARD}
 }}
 chain input {{
  type filter hook input priority 0; policy drop;
  iifname "lo" accept
  ct state established,related accept
  meta l4proto {{ 1, 58 }} accept
  iifname "qr-*" ct status dnat tcp dport {RELAY_PORT} accept
 }}
}}
"""


def router_words(want: RouterWant) -> tuple[str, str]:
    """What the seals of a router's table say: of its chains, of its maps."""
    return digest(VERSION, table(want)), digest(VERSION, want.floating, want.forwardings, want.paces)


def load_router(want: RouterWant, before: str, *, is_new: bool = False) -> str:
    """A router's table, in place of whatever was there; only its maps, when its chains are right (`before`: what seals them).

    `is_new`: there are no rules at all.
    """
    words, floating = router_words(want)
    clear = "" if is_new else f"table inet {TABLE}\ndelete table inet {TABLE}\n"
    whole = "" if before == words else clear + table(want) + seal(SKELETON, words, is_new=is_new)
    maps = f"flush map inet {TABLE} floating\nflush map inet {TABLE} fixed\n"
    for item in want.floating:
        maps += f"add element inet {TABLE} floating {{ {item.address} : {item.fixed} }}\n"
        maps += f"add element inet {TABLE} fixed {{ {item.fixed} : {item.address} }}\n"
    maps += f"flush chain inet {TABLE} {FORWARDING}\n"
    maps += "".join(f"add rule inet {TABLE} {FORWARDING} {rule}\n" for item in want.forwardings for rule in forward(item))
    maps += pace.outside(want, is_new=bool(whole))
    return whole + maps + seal(FLOATING, floating, is_new=is_new)


def forward(item: Forwarding) -> list[str]:
    """One forwarding as nft rules: nft knows no translation that adds to a port's number, so such ports are listed."""
    if item.fixed_low == item.fixed_high:
        return [_forward(item, item.low, item.high, f":{item.fixed_low}")]
    if item.fixed_low == item.low:
        return [_forward(item, item.low, item.high, "")]
    found = []
    for low in range(item.low, item.high + 1, LINE):
        high = min(low + LINE - 1, item.high)
        pairs = ", ".join(f"{port} : {item.target(port)}" for port in range(low, high + 1))
        found.append(_forward(item, low, high, f":th dport map {{ {pairs} }}"))
    return found


def _forward(item: Forwarding, low: int, high: int, port: str) -> str:
    ports = f"{low}-{high}" if high > low else str(low)
    return f"ip daddr {item.address} meta l4proto {item.protocol} th dport {ports} dnat ip to {item.fixed}{port}"


def table(want: RouterWant) -> str:
    """A router's table, without floating IPs."""
    snat = f"snat ip to {want.snat}" if want.snat else "accept"
    return _TABLE.replace(SNAT, snat).replace(INWARD, "drop" if want.snat else "accept")
