"""What the journal says of a packet, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.network.live.journal import described

V4 = bytes.fromhex("450000280001000040{:02x}00000a0002010a000202".replace("{:02x}", "06"))
V6 = bytes.fromhex("60000000" + "0008" + "3a40" + "fd00" + "0" * 27 + "1" + "fd00" + "0" * 27 + "2")


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (V4 + bytes.fromhex("12670050"), "ipv4(src=10.0.2.1,dst=10.0.2.2,proto=6) tcp(src_port=4711,dst_port=80)"),
        (V4, "ipv4(src=10.0.2.1,dst=10.0.2.2,proto=6)"),
        (V6 + b"\x80\0ab", "ipv6(src=fd00::1,dst=fd00::2,proto=58) icmpv6(type=128,code=0)"),
        (V4[:9] + b"\x2f" + V4[10:] + b"abcd", "ipv4(src=10.0.2.1,dst=10.0.2.2,proto=47)"),
        (V4[:6] + b"\x00\x10" + V4[8:] + b"abcd", "ipv4(src=10.0.2.1,dst=10.0.2.2,proto=6)"),
        (b"", "unknown()"),
    ],
)
def test_a_packet_in_words(packet: bytes, words: str) -> None:
    assert described(packet) == words


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    assert "\n" not in described(data)
