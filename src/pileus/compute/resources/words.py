"""How Nova refuses what a client sent, and the types that only Nova has.

Source: nova/api/validation/validators.py; the literal words are what clients match.
"""

from __future__ import annotations

import ipaddress
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest, Fault
from pileus.kit.resource import Mismatch, Type, Words
from pileus.openstack.types import Bool, Int, Str, Uuid, unexpected

KEYPAIR_CHARACTERS = "_- " + string.digits + string.ascii_letters


def invalid(name: str | int, value: Any, reason: str) -> BadRequest:
    return BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. {reason}")


def invalid_query(name: str, value: Any, reason: str) -> BadRequest:
    return BadRequest(f"Invalid input for query parameters {name}. Value: {value}. {reason}")


def _mismatch(name: str, mismatch: Mismatch) -> Fault:
    if mismatch.rule == "name":  # Nova lets the words of this check stand alone
        return BadRequest(mismatch.reason)
    return invalid(mismatch.path[-1] if mismatch.path else name, mismatch.value, mismatch.reason)


def words(key: str) -> Words:
    """The refusals of the resource whose objects come as `{key: {...}}`."""

    def no_object(_: str, came: Any) -> Fault:
        if not isinstance(came, dict):
            return BadRequest("Malformed request body")
        if key not in came:
            return BadRequest(f"{key!r} is a required property")
        return invalid(key, came[key], f"{came[key]!r} is not of type 'object'")

    def unknown(names: list[str]) -> Fault:
        return BadRequest(unexpected(names))

    def missing(name: str, given: Mapping[str, Any]) -> Fault:
        return invalid(key, dict(given), f"{name!r} is a required property")

    return Words(mismatch=_mismatch, unknown=unknown, missing=missing, no_object=no_object)


def parse(key: str, body: Any, kind: Type) -> Any:
    """The value of `{key: value}`, checked. Raises BadRequest in Nova's words."""
    if not isinstance(body, dict):
        raise BadRequest("Malformed request body")
    if key not in body:
        raise BadRequest(f"{key!r} is a required property")
    if extra := [name for name in body if name != key]:
        raise BadRequest(unexpected(extra))
    try:
        return kind.parse(body[key])
    except Mismatch as mismatch:
        raise _mismatch(key, mismatch) from None


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a server, flavor or image: printable, no spaces at its ends. `characters`: only these (key pairs)."""

    characters: str = ""
    max: int = 255

    def parse(self, value: Any, /) -> str:
        text = Str(min=1, max=self.max).parse(value)
        assert text is not None
        if self.characters and (not text.strip() or any(c not in self.characters for c in text)):
            must = f"Only expected characters: [{self.characters}]"
        elif not text.isprintable() or text != text.strip():
            must = "printable characters. Can not start or end with whitespace."
        else:
            return text
        raise Mismatch(f"An invalid 'name' value was provided. The name must be: {must}", value, rule="name")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": self.max, "format": "name"}


@dataclass(frozen=True, slots=True)
class OneOf:
    """What any of the types takes; what none takes is told apart no further, as JSON Schema's oneOf does."""

    types: Sequence[Type]

    def parse(self, value: Any, /) -> Any:
        for kind in self.types:
            try:
                return kind.parse(value)
            except Mismatch:
                continue
        raise Mismatch(f"{value!r} is not valid under any of the given schemas", value, rule="oneOf")

    def schema(self) -> dict[str, Any]:
        return {"oneOf": [kind.schema() for kind in self.types]}


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address of these versions; `empty`: the empty text is taken too, as "none"."""

    versions: tuple[int, ...] = (4, 6)
    empty: bool = False

    def parse(self, value: Any, /) -> str:
        if not isinstance(value, str):
            raise Mismatch(f"{value!r} is not of type 'string'", value, rule="type")
        if self.empty and value == "":
            return value
        try:
            if ipaddress.ip_address(value).version in self.versions:
                return value
        except ValueError:
            pass
        if len(self.versions) > 1:
            raise Mismatch(f"{value!r} is not valid under any of the given schemas", value, rule="oneOf")
        raise Mismatch(f"{value!r} is not a 'ipv{self.versions[0]}'", value, rule="format")

    def schema(self) -> dict[str, Any]:
        return {"oneOf": [{"type": "string", "format": f"ipv{version}"} for version in self.versions]}


BOOL = Bool(loose=True)
IMAGE_REF = OneOf((Uuid(), Str(max=0)))
COUNT = Int(min=1, loose=True)
SERVERS = Int(min=1, max=100, loose=True)  # of one request: they are written in one go, while nobody else is served
TAG = Str(min=1, max=60, pattern="^[^,/]*$")
ADMIN_PASS = Str()
