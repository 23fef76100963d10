"""One-time passcodes by the clock, RFC 6238: six digits, SHA-1, steps of 30 seconds, as every phone's app makes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct

STEP = 30_000_000  # microseconds
BEFORE = 1  # steps ago whose passcode is still taken: clocks differ, and people type


def passcode(seed: str, step: int) -> str:
    """The passcode of one step. `seed` is base32, as credentials keep it. Raises ValueError for one that is not."""
    try:
        key = base64.b32decode(seed.strip().upper() + "=" * (-len(seed.strip()) % 8))
    except binascii.Error as error:
        raise ValueError("a TOTP seed is base32") from error
    digest = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def fits(seed: str, given: str, now: int) -> bool:
    """Whether a passcode is that of this step, or of one just gone."""
    try:
        return any(hmac.compare_digest(passcode(seed, now // STEP - ago).encode(), given.encode()) for ago in range(BEFORE + 1))
    except ValueError:
        return False
