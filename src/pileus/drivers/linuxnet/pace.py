"""Packet rates and marks of a port, as nft rules in its network's bridge table. Pure. Bandwidths are in shaper.py.

What goes beyond a rate is dropped. A large segment that a guest hands over whole (TSO) is one packet here, as it is for the guest.
"""

from __future__ import annotations

from pileus.network.host import Limit, Quality


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
