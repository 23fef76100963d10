"""What fields may hold, with the words of the JSON Schema validator that Nova, Keystone and Glance speak through.

Each API is as strict as the real one: `Bool(loose=True)` takes Nova's "True", "yes" and "1"; Keystone's does not.
Not here: Neutron's converters, which have words of their own (network/types.py).
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pileus.kit.resource import Mismatch, Type

TRUE = (True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes")
FALSE = (False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")


def _type(value: Any, *names: str) -> Mismatch:
    return Mismatch(f"{value!r} is not of type {', '.join(repr(n) for n in names)}", value, rule="type")


def below(mismatch: Mismatch, step: str | int) -> Mismatch:
    """The same mismatch, seen from one level up."""
    return Mismatch(mismatch.reason, mismatch.value, (step, *mismatch.path), mismatch.rule)


@dataclass(frozen=True, slots=True)
class Str:
    """Text of so many characters, matching a pattern; `null`: null is taken too; `strip`: spaces at both ends are dropped."""

    min: int = 0
    max: int | None = None
    pattern: str | None = None
    null: bool = False
    strip: bool = False
    format: str | None = None

    def parse(self, value: Any, /) -> str | None:
        if value is None and self.null:
            return None
        if not isinstance(value, str):
            raise _type(value, *(["null"] if self.null else []), "string")
        text = value.strip() if self.strip else value
        if len(text) < self.min:
            raise Mismatch(f"{value!r} is too short", value, rule="minLength")
        if self.max is not None and len(text) > self.max:
            raise Mismatch(f"{value!r} is too long", value, rule="maxLength")
        if self.pattern and not re.search(self.pattern, text):
            raise Mismatch(f"{value!r} does not match {self.pattern!r}", value, rule="pattern")
        return text

    def schema(self) -> dict[str, Any]:
        out: dict[str, Any] = {"type": ["null", "string"] if self.null else "string"}
        if self.min:
            out["minLength"] = self.min
        if self.max is not None:
            out["maxLength"] = self.max
        if self.pattern:
            out["pattern"] = self.pattern
        return out


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in a range; `loose`: text of digits is taken too (Nova)."""

    min: int | None = None
    max: int | None = None
    loose: bool = False
    null: bool = False

    def parse(self, value: Any, /) -> int | None:
        if value is None and self.null:
            return None
        number = value
        if self.loose and isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value):
            number = int(value)
        if isinstance(number, bool) or not isinstance(number, int):
            if self.loose and isinstance(value, str):
                raise Mismatch(f"{value!r} does not match '^-?[0-9]+$'", value, rule="pattern")
            raise _type(value, "integer", *(["string"] if self.loose else []), *(["null"] if self.null else []))
        if self.min is not None and number < self.min:
            raise Mismatch(f"{number!r} is less than the minimum of {self.min}", value, rule="minimum")
        if self.max is not None and number > self.max:
            raise Mismatch(f"{number!r} is greater than the maximum of {self.max}", value, rule="maximum")
        return number

    def schema(self) -> dict[str, Any]:
        out: dict[str, Any] = {"type": ["integer", "string"] if self.loose else "integer"}
        if self.min is not None:
            out["minimum"] = self.min
        if self.max is not None:
            out["maximum"] = self.max
        return out


@dataclass(frozen=True, slots=True)
class Bool:
    """True or false; `loose`: also the words and digits that Nova takes."""

    loose: bool = False

    def parse(self, value: Any, /) -> bool:
        if isinstance(value, bool):
            return value
        if not self.loose:
            raise _type(value, "boolean")
        if isinstance(value, str) and value in TRUE:
            return True
        if isinstance(value, str) and value in FALSE:
            return False
        raise Mismatch(f"{value!r} is not one of {[*TRUE, *FALSE]}", value, rule="enum")

    def schema(self) -> dict[str, Any]:
        return {"type": ["boolean", "string"], "enum": [*TRUE, *FALSE]} if self.loose else {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Enum:
    """One of some values."""

    values: Sequence[Any]

    def parse(self, value: Any, /) -> Any:
        if value not in self.values:
            raise Mismatch(f"{value!r} is not one of {list(self.values)}", value, rule="enum")
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Uuid:
    """A UUID, with or without dashes, as it came."""

    null: bool = False

    def parse(self, value: Any, /) -> str | None:
        if value is None and self.null:
            return None
        if not isinstance(value, str):
            raise _type(value, "string")
        if not is_uuid(value):
            raise Mismatch(f"{value!r} is not a 'uuid'", value, rule="format")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True, slots=True)
class Base64:
    """Base64 text of at most `max` characters, as it came."""

    max: int | None = None

    def parse(self, value: Any, /) -> str:
        text = Str(max=self.max).parse(value)
        assert text is not None
        try:
            base64.b64decode(text.encode(), validate=True)
        except (binascii.Error, ValueError):
            raise Mismatch(f"{value!r} is not a 'base64'", value, rule="format") from None
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "base64"}


@dataclass(frozen=True, slots=True)
class List:
    """An array of one type."""

    of: Type
    min: int = 0
    max: int | None = None
    unique: bool = False

    def parse(self, value: Any, /) -> list[Any]:
        if not isinstance(value, list):
            raise _type(value, "array")
        if len(value) < self.min:
            raise Mismatch(f"{value!r} is too short", value, rule="minItems")
        if self.max is not None and len(value) > self.max:
            raise Mismatch(f"{value!r} is too long", value, rule="maxItems")
        if self.unique and any(item in value[:i] for i, item in enumerate(value)):
            raise Mismatch(f"{value!r} has non-unique elements", value, rule="uniqueItems")
        parsed = []
        for i, item in enumerate(value):
            try:
                parsed.append(self.of.parse(item))
            except Mismatch as mismatch:
                raise below(mismatch, i) from None
        return parsed

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.of.schema()}


@dataclass(frozen=True, slots=True)
class Map:
    """An object whose keys match a pattern and whose values are of one type (metadata)."""

    of: Type
    pattern: str = r"^[a-zA-Z0-9-_:. ]{1,255}$"

    def parse(self, value: Any, /) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _type(value, "object")
        parsed = {}
        for key, item in value.items():
            if not re.search(self.pattern, key):
                reason = f"{key!r} does not match any of the regexes: {self.pattern!r}"
                raise Mismatch(reason, value, rule="additionalProperties")
            try:
                parsed[key] = self.of.parse(item)
            except Mismatch as mismatch:
                raise below(mismatch, key) from None
        return parsed

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "patternProperties": {self.pattern: self.of.schema()}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class Obj:
    """An object with named parts; others are refused unless `open`."""

    parts: Mapping[str, Type]
    required: tuple[str, ...] = ()
    open: bool = False

    def parse(self, value: Any, /) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _type(value, "object")
        if not self.open and (unknown := [key for key in value if key not in self.parts]):
            raise Mismatch(unexpected(unknown), value, rule="additionalProperties")
        for name in self.required:
            if name not in value:
                raise Mismatch(f"{name!r} is a required property", value, rule="required")
        parsed = dict(value)
        for name, part in self.parts.items():
            if name in value:
                try:
                    parsed[name] = part.parse(value[name])
                except Mismatch as mismatch:
                    raise below(mismatch, name) from None
        return parsed

    def schema(self) -> dict[str, Any]:
        parts = {name: part.schema() for name, part in self.parts.items()}
        return {"type": "object", "properties": parts, "required": list(self.required), "additionalProperties": self.open}


@dataclass(frozen=True, slots=True)
class Either:
    """What the first fitting type takes; when none fits, the last one's words."""

    types: tuple[Type, ...]

    def parse(self, value: Any, /) -> Any:
        for kind in self.types[:-1]:
            try:
                return kind.parse(value)
            except Mismatch:
                continue
        return self.types[-1].parse(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [kind.schema() for kind in self.types]}


def is_uuid(text: Any) -> bool:
    """Whether a text is a UUID, dashed or not (as oslo's uuidutils reads it)."""
    try:
        return isinstance(text, str) and str(uuid.UUID(text)).replace("-", "") == text.replace("-", "").lower()
    except ValueError:
        return False


def unexpected(names: Sequence[str]) -> str:
    """What the validator says of keys that are not in the schema."""
    listed = ", ".join(repr(n) for n in names)
    return f"Additional properties are not allowed ({listed} {'was' if len(names) == 1 else 'were'} unexpected)"
