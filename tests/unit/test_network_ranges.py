"""Sets of addresses, against sets of numbers."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from pileus.network.actions import ranges

PREFIXES = st.builds(
    lambda number, length: str(ipaddress.ip_network((0x0A000000 + number, length), strict=False)), st.integers(0, 63), st.integers(26, 32)
)
LISTS = st.lists(PREFIXES, max_size=6)


def numbers(prefixes: list[str]) -> set[int]:
    return {int(address) for prefix in prefixes for address in ipaddress.ip_network(prefix)}


@given(LISTS, LISTS)
def test_like_sets(ones: list[str], others: list[str]) -> None:
    left, right = numbers(ones), numbers(others)
    assert ranges.overlap(ones, others) == bool(left & right)
    assert ranges.covers(ones, others) == (right <= left)
    rest = ranges.prefixes_of(ranges.without(ranges.spans(ones), ranges.spans(others)), 4)
    assert numbers([str(each) for each in rest]) == left - right
    assert numbers(ranges.compact(ones)) == left
    assert not ranges.overlap(*[[each] for each in ranges.compact(ones)[:2]]) if len(ranges.compact(ones)) > 1 else True


@given(st.lists(PREFIXES, min_size=1, max_size=4), LISTS, st.integers(26, 32))
def test_what_is_taken_is_free(pool: list[str], taken: list[str], length: int) -> None:
    found = ranges.take(pool, taken, length)
    free = numbers(pool) - numbers(taken)
    if found is not None:
        assert ipaddress.ip_network(found).prefixlen == length
        assert numbers([found]) <= free
    else:
        aligned = [n for n in free if n % 2 ** (32 - length) == 0]
        assert not [n for n in aligned if set(range(n, n + 2 ** (32 - length))) <= free]


def test_large_ranges_stay_whole() -> None:
    assert ranges.take(["10.0.0.0/16"], ["10.0.0.0/24"], 24) == "10.0.1.0/24"
    assert ranges.take(["10.0.0.0/16"], ["10.0.1.0/24"], 26) == "10.0.0.0/26"
    assert ranges.take(["10.0.0.0/24", "2001:db8::/32"][:1], ["10.0.0.0/25"], 24) is None
    assert ranges.take(["2001:db8::/32"], [], 64) == "2001:db8::/64"
