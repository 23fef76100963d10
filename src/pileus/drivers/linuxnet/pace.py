"""Packet rates and marks of a port, as nft rules in its network's bridge table; bandwidths of a router's way outside, in the router's.

Pure. Bandwidths of ports are in shaper.py.

What goes beyond a rate is dropped. A large segment that a guest hands over whole (TSO) is one packet here, as it is for the guest.
"""

from __future__ import annotations

from pileus.network.host import Limit, Quality, RouterWant


def outward(quality: Quality) -> list[str]:
    """Before anything else that is done with a guest's packets."""
    rules = [_over(quality.packets_out)] if quality.packets_out else []
    if quality.dscp is not None:
        rules += [f"meta protocol {kind} {kind} dscp set {quality.dscp}" for kind in ("ip", "ip6")]
    return rules


def inward(quality: Quality) -> list[str]:
    """With what goes to a guest, when the bridge has chosen its tap."""
    return [_over(quality.packets_in)] if quality.packets_in else []


def _over(limit: Limit) -> str:
    return f"limit rate over {limit.rate}/second burst {limit.burst} packets drop"


# -- routers ----------------------------------------------------------------------------------------------------------------------

CHAIN = "pace"
LEAST_BURST = 131_072  # bytes: two of the largest segments that are handed over whole, which pass or not as one


def outside(want: RouterWant, *, is_new: bool) -> str:
    """Commands for a router's limits. `is_new`: the table was just made and has none."""
    if not want.paces:
        return "" if is_new else f"add chain inet pileus {CHAIN}\ndelete chain inet pileus {CHAIN}\n"
    head = f"add chain inet pileus {CHAIN} {{ type filter hook forward priority -1; }}\nflush chain inet pileus {CHAIN}\n"
    own = [item.fixed for item in want.floating]
    rules: list[str] = []
    for item in sorted(want.paces, key=lambda each: each.fixed == ""):  # the gateway's last: what is left
        for way, end, limit in (("oifname", "saddr", item.egress), ("iifname", "daddr", item.ingress)):
            side = f"ip {end} {item.fixed}" if item.fixed else f"ip {end} != {{ {', '.join(own)} }}" if own else ""
            if limit:
                rules.append(f'{way} "qg-*" {side} {_beyond(limit)}')
    return head + "".join(f"add rule inet pileus {CHAIN} {rule}\n" for rule in rules)


def _beyond(limit: Limit) -> str:
    rate, burst = limit.rate * 1000 // 8, max(limit.burst * 1000 // 8, LEAST_BURST)
    return f"limit rate over {rate} bytes/second burst {burst} bytes drop"
