"""Sets of addresses: whether they meet, what is left of them, and the fewest ranges that say the same. Pure.

Not here: single addresses (addresses.py).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from pileus.network.types import IPNetwork

Span = tuple[int, int]  # first and last address, as numbers


def spans(prefixes: Iterable[str]) -> list[Span]:
    """Ranges of one protocol as disjoint spans, in order."""
    merged: list[Span] = []
    for first, last in sorted((int(net[0]), int(net[-1])) for net in map(ipaddress.ip_network, prefixes)):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def without(whole: Iterable[Span], parts: Iterable[Span]) -> list[Span]:
    """What is left of disjoint spans when others are taken out."""
    left = list(whole)
    for first, last in parts:
        left = [
            piece
            for start, end in left
            for piece in ((start, min(end, first - 1)), (max(start, last + 1), end))
            if piece[0] <= piece[1] and (piece[1] < first or piece[0] > last)
        ]
    return sorted(set(left))


def overlap(ones: Iterable[str], others: Iterable[str]) -> bool:
    """Whether any address is in both."""
    theirs = spans(others)
    return any(start <= its_end and its_start <= end for start, end in spans(ones) for its_start, its_end in theirs)


def covers(whole: Iterable[str], parts: Iterable[str]) -> bool:
    """Whether every address of `parts` is in `whole`."""
    wide = spans(whole)
    return all(any(start <= first and last <= end for start, end in wide) for first, last in spans(parts))


def compact(prefixes: Iterable[str]) -> list[str]:
    """The fewest ranges that say the same, in order."""
    networks: list[Any] = [ipaddress.ip_network(prefix) for prefix in prefixes]
    return [str(each) for each in ipaddress.collapse_addresses(networks)]


def prefixes_of(found: Iterable[Span], version: int) -> list[IPNetwork]:
    """Spans as ranges."""
    kind: Any = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return [each for first, last in found for each in ipaddress.summarize_address_range(kind(first), kind(last))]


def take(pool: Iterable[str], taken: Iterable[str], length: int) -> str | None:
    """A range of a prefix length that is free: the first of the smallest free range that has room, so that large ones stay whole."""
    pool = list(pool)
    version = ipaddress.ip_network(pool[0]).version
    free = prefixes_of(without(spans(pool), spans(taken)), version)
    fitting = [each for each in free if each.prefixlen <= length]
    best = max(fitting, key=lambda each: (each.prefixlen, -int(each[0])), default=None)
    return f"{best[0]}/{length}" if best is not None else None
