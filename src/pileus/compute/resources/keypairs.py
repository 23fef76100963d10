"""Key pairs: public keys that a user brings, or has made once."""

from __future__ import annotations

from pileus.compute.resources.words import KEYPAIR_CHARACTERS, Name, words
from pileus.kit.resource import Field, Resource, constant, when
from pileus.openstack.types import Enum, Str

_NAME = Name(KEYPAIR_CHARACTERS)

KEYPAIR = Resource(
    "keypair",
    "keypairs",
    [
        Field("name", _NAME, show="name", create="required"),
        Field("type", Enum(("ssh", "x509")), show="type", since="2.2", create=True, default="ssh"),
        Field("public_key", Str(), show="public_key", create=True, default=None),
        Field("fingerprint", show="fingerprint"),
        Field("user_id", Str(), show="user_id"),
        Field("user_id", Str(), since="2.10", create=True, column="owner", default=None),
        Field("created_at", show=when("created_at", fraction=True, zone="")),
        Field("deleted", show=constant(False)),
        Field("deleted_at", show=constant(None)),
        Field("id", show="id"),
        Field("updated_at", show=constant(None)),
    ],
    words=words("keypair"),
)
LISTED = ("name", "public_key", "fingerprint", "type")  # what a list shows of each
MADE = ("name", "type", "public_key", "fingerprint", "user_id")  # what creation answers with, besides the private key
