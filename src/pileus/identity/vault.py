"""Secrets at rest: encrypted with a key that lies beside the database in a file of its own, mode 0600, and in no backup of the database.

Fernet: AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec/blob/master/Spec.md. Not here: passwords, which are hashed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pileus.errors import SettingError
from pileus.kit.context import Cloud

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

BYTES = 32  # of a key: half for AES, half for the signature
FILE = "credential-key"


def load_key(folder: Path) -> bytes:
    """The cloud's key, made when there is none. Raises SettingError for a file that is no key."""
    file = folder / FILE
    if not file.exists():
        whole = folder / f".{FILE}.new"
        whole.unlink(missing_ok=True)
        handle = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(base64.urlsafe_b64encode(os.urandom(BYTES)) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        whole.rename(file)  # a crash leaves no half a key
    key = file.read_bytes().strip()
    with contextlib.suppress(binascii.Error):
        if len(base64.urlsafe_b64decode(key)) == BYTES:
            return key
    raise SettingError(f"{file} is not a key: credentials cannot be read. Put back the one that was there.")


@functools.lru_cache(4)
def _cipher(key: bytes) -> Fernet:
    from cryptography.fernet import Fernet  # late: a control plane that keeps no secrets starts without it

    return Fernet(key)


def seal(cloud: Cloud, text: str) -> str:
    """A text as it is kept."""
    return _cipher(cloud.key).encrypt(text.encode()).decode()


def unseal(cloud: Cloud, kept: str) -> str:
    """The text that `seal` was given."""
    return _cipher(cloud.key).decrypt(kept.encode()).decode()
