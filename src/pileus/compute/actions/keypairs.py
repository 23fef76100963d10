"""Key pairs: import a public key, or have one made; list, show, delete. A made private key is answered once and never kept."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pileus.compute.actions.quotas import check_keypairs
from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, ANYONE, allow, forbid
from pileus.kit.store import Row
from pileus.openstack.listing import Listing, fetch

BITS = 2048  # what Nova makes
_POOL = ThreadPoolExecutor(1, thread_name_prefix="keypair")  # one: a key takes 0.2 s of a core
_SECURITY_KEYS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")  # not every version of the library reads these


@dataclass(frozen=True, slots=True)
class Made:
    """A fresh pair: what is shown once, and what is kept."""

    private_key: str
    public_key: str


async def prepare_keypair() -> Made:
    """Make an RSA key off the loop; hand the result to `create_keypair`."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, _make)


def _make() -> Made:
    key = rsa.generate_private_key(65537, BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    return Made(private, f"{public} Generated-by-Nova")


def fingerprint(public_key: str, type: str) -> str:
    """md5 of an SSH key, sha1 of a certificate, in pairs of hex digits. Raises BadRequest for what is neither."""
    try:
        if type == "x509":
            digest = x509.load_pem_x509_certificate(public_key.encode()).fingerprint(hashes.SHA1()).hex()  # noqa: S303 - Nova's form
        else:
            digest = hashlib.md5(_blob(public_key), usedforsecurity=False).hexdigest()
    except (ValueError, IndexError, binascii.Error, UnsupportedAlgorithm):
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint") from None
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _blob(public_key: str) -> bytes:
    """The bytes inside a public key line, once it is seen to be a key. Raises ValueError and its kin."""
    kind, text = public_key.split()[:2]
    blob = base64.b64decode(text, validate=True)
    if kind in _SECURITY_KEYS:
        if blob[4 : 4 + len(kind)] != kind.encode():
            raise ValueError(kind)
    else:
        serialization.load_ssh_public_key(public_key.strip().encode())
    return blob


def _owner(ctx: Context, user_id: str | None, policy: str) -> str:
    """Whose key pairs are meant: the caller's own unless an admin names another user."""
    if user_id and user_id != ctx.user_id:
        if not ADMIN(ctx):
            forbid(policy)
        return user_id
    return ctx.user_id


@allow(ANYONE, "os_compute_api:os-keypairs:create")
def create_keypair(ctx: Context, values: Mapping[str, Any], made: Made | None = None) -> Row:
    """Keep a public key, given or made. Raises BadRequest (no key), Conflict (the name is taken), OverQuota."""
    user_id = _owner(ctx, values.get("owner"), "os_compute_api:os-keypairs:create")
    public_key = made.public_key if made else values["public_key"]
    kind = values.get("type", "ssh")
    row = {"user_id": user_id, "name": values["name"], "type": kind, "public_key": public_key}
    row["fingerprint"] = fingerprint(public_key, kind)
    with ctx.store.transaction():
        check_keypairs(ctx, user_id)
        if ctx.store.first("keypair", {"user_id": user_id, "name": row["name"]}):
            raise Conflict(f"Key pair '{row['name']}' already exists.")
        ctx.store.insert("keypair", {**row, "created_at": ctx.now()})
    return find_keypair(ctx, row["name"], user_id)


@allow(ANYONE, "os_compute_api:os-keypairs:show")
def find_keypair(ctx: Context, name: str, user_id: str | None = None) -> Row:
    """Raises NotFound."""
    owner = _owner(ctx, user_id, "os_compute_api:os-keypairs:show")
    row = ctx.store.first("keypair", {"user_id": owner, "name": name})
    if row is None:
        raise NotFound(f"Keypair {name} not found for user {owner}")
    return row


@allow(ANYONE, "os_compute_api:os-keypairs:index")
def list_keypairs(ctx: Context, listing: Listing, user_id: str | None = None) -> tuple[list[Row], bool]:
    """By name; the marker is a name."""
    listing.where["user_id"] = _owner(ctx, user_id, "os_compute_api:os-keypairs:index")
    listing.sorts = [("name", False)]
    marker = None
    if listing.marker:
        marker = ctx.store.first("keypair", {"user_id": listing.where["user_id"], "name": listing.marker})
        if marker is None:
            raise BadRequest(f"Marker {listing.marker} could not be found.")
    return fetch(ctx.store, "keypair", listing, marker)


@allow(ANYONE, "os_compute_api:os-keypairs:delete")
def delete_keypair(ctx: Context, name: str, user_id: str | None = None) -> None:
    """Servers keep their copies of the key."""
    owner = _owner(ctx, user_id, "os_compute_api:os-keypairs:delete")
    with ctx.store.transaction():
        if not ctx.store.delete("keypair", {"user_id": owner, "name": name}):
            raise NotFound(f"Keypair {name} not found for user {owner}")
