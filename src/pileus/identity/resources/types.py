"""How Keystone describes what fields hold, and its words for what does not fit; they quote the schema."""

from __future__ import annotations

import json
import pprint
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest, Fault
from pileus.kit.clock import micros
from pileus.kit.context import Context
from pileus.kit.resource import Field, Mismatch, Resource, Type, Words
from pileus.kit.store import Row
from pileus.openstack.types import Bool, Enum, List, Map, Obj, Str

MALFORMED = (
    " The server could not comply with the request since it is either malformed or otherwise incorrect."
    " The client is assumed to be in error."
)


@dataclass(frozen=True, slots=True)
class Shaped:
    """A type that is described in Keystone's own way, since its errors quote the schema."""

    of: Type
    described: Mapping[str, Any]

    def parse(self, value: Any, /) -> Any:
        return self.of.parse(value)

    def schema(self) -> dict[str, Any]:
        return dict(self.described)


@dataclass(frozen=True, slots=True)
class Nullable:
    """Null, or what the type takes."""

    of: Type

    def parse(self, value: Any, /) -> Any:
        return None if value is None else self.of.parse(value)

    def schema(self) -> dict[str, Any]:
        return self.of.schema()


class When:
    """A time in ISO 8601, or null, as microseconds UTC."""

    def parse(self, value: Any, /) -> int | None:
        if value is None:
            return None
        try:
            return micros(value)
        except (TypeError, ValueError):
            raise Mismatch(f"{value!r} is not a 'date-time'", value, rule="format") from None

    def schema(self) -> dict[str, Any]:
        return {"type": ["null", "string"], "format": "date-time"}


class Json:
    """Any JSON object or array, or text that holds one (as the command line sends it)."""

    def parse(self, value: Any, /) -> Any:
        if isinstance(value, str):
            return value
        return json.dumps(value)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "object", "array"]}


BOOL = Shaped(Bool(), {"enum": [True, False, None], "type": "boolean"})
ID = Shaped(
    Str(min=1, max=64, pattern="^[a-zA-Z0-9-]+$", null=True),
    {"maxLength": 64, "minLength": 1, "pattern": "^[a-zA-Z0-9-]+$", "type": ["string", "null"]},
)
TEXT = Shaped(Str(null=True), {"type": ["string", "null"]})
NAME64 = Str(min=1, max=64, pattern=r"[\S]+")
NAME255 = Str(min=1, max=255, pattern=r"[\S]+")
TAG = Str(min=1, max=255, pattern="^[^,/]*$")
TAGS = Shaped(
    List(TAG, max=80, unique=True),
    {
        "items": {"maxLength": 255, "minLength": 1, "pattern": "^[^,/]*$", "type": "string"},
        "maxItems": 80,
        "required": [],
        "type": "array",
        "uniqueItems": True,
    },
)
OPTIONS = Shaped(
    Obj({"immutable": Nullable(Bool())}),
    {
        "additionalProperties": False,
        "properties": {"immutable": {"enum": [True, False, None], "type": ["boolean", "null"]}},
        "type": "object",
    },
)
_SWITCH = Nullable(Bool())
USER_OPTIONS = Obj(
    {
        "ignore_change_password_upon_first_use": _SWITCH,
        "ignore_password_expiry": _SWITCH,
        "ignore_lockout_failure_attempts": _SWITCH,
        "ignore_user_inactivity": _SWITCH,
        "lock_password": _SWITCH,
        "multi_factor_auth_enabled": _SWITCH,
        "multi_factor_auth_rules": Nullable(List(List(Str(min=1), min=1, unique=True))),
        "immutable": _SWITCH,
    }
)
URL = Str(max=225, pattern=r"^[a-zA-Z0-9+.-]+:.+|^/")
INTERFACE = Enum(["admin", "internal", "public"])
ROLE_REFS = List(Obj({"id": Str(min=1), "name": Str(min=1)}, open=True))
FILTERS = Map(Str(null=True), pattern="^(interface|service_id|region_id|enabled)$")


def _indented(value: Any) -> str:
    return textwrap.indent(pprint.pformat(value, width=72), "    ")


def mismatched(name: str, mismatch: Mismatch, schema: Mapping[str, Any]) -> Fault:
    """What Keystone's validator says of a property that its schema refuses."""
    where = "".join(f"[{step!r}]" for step in (name, *mismatch.path))
    described = schema if not mismatch.path else {}
    return BadRequest(
        f"Invalid input for field '{'/'.join(str(step) for step in (name, *mismatch.path))}': {mismatch.reason}\n\n"
        f"Failed validating {mismatch.rule!r} in schema['properties'][{name!r}]:\n{_indented(described)}\n\n"
        f"On instance{where}:\n    {mismatch.value!r}"
    )


def required(name: str, schema: Mapping[str, Any], given: Any) -> Fault:
    """What Keystone's validator says of a property that is not there."""
    return BadRequest(
        f"{name!r} is a required property\n\nFailed validating 'required' in schema:\n{_indented(dict(schema))}\n\n"
        f"On instance:\n{_indented(given)}"
    )


def expecting(what: str) -> Fault:
    return BadRequest(f"Expecting to find {what} in request body.{MALFORMED}")


def declare(key: str, plural: str, fields: Sequence[Field], *, table: str = "", open: bool = True) -> Resource:
    """A resource that refuses in Keystone's words. `open`: unknown keys are kept, and shown beside the fields."""
    made: list[Resource] = []

    def schema() -> dict[str, Any]:
        return made[0].schema("create", (3, 0))

    words = Words(
        mismatch=lambda name, m: mismatched(name, m, schema()["properties"].get(name, {})),
        unknown=lambda names: BadRequest(
            f"Additional properties are not allowed ({', '.join(map(repr, names))} {'was' if len(names) == 1 else 'were'} unexpected)"
        ),
        missing=lambda name, given: required(name, schema(), dict(given)),
        no_object=lambda name, body: expecting(name),
    )
    made.append(Resource(key, plural, fields, words=words, table=table, open=open))
    return made[0]


def links(collection: str) -> Callable[[Row, Context], Any]:
    def show(row: Row, ctx: Context) -> Any:
        return {"self": f"{ctx.base_url}/v3/{collection}/{row['id']}"}

    return show


def extra(row: Row) -> dict[str, Any]:
    """What clients gave and Keystone keeps: shown beside the fields."""
    kept: dict[str, Any] = json.loads(row.get("extra") or "{}")
    return kept
