"""Field tables of projects, domains, users and roles, and Keystone's words for what does not fit."""

from __future__ import annotations

import json
import pprint
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest, Fault
from pileus.kit.context import Context
from pileus.kit.resource import Field, Mismatch, Resource, Type, Words, flag, tags_of, unpacked, when
from pileus.kit.store import Row
from pileus.openstack.types import Bool, List, Obj, Str

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


BOOL = Shaped(Bool(), {"enum": [True, False, None], "type": "boolean"})
ID = Shaped(
    Str(min=1, max=64, pattern="^[a-zA-Z0-9-]+$", null=True),
    {"maxLength": 64, "minLength": 1, "pattern": "^[a-zA-Z0-9-]+$", "type": ["string", "null"]},
)
TEXT = Shaped(Str(null=True), {"type": ["string", "null"]})
NAME64 = Str(min=1, max=64, pattern=r"[\S]+")
NAME255 = Str(min=1, max=255, pattern=r"[\S]+")
TAGS = Shaped(
    List(Str(min=1, max=255, pattern="^[^,/]*$"), max=80, unique=True),
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
USER_OPTIONS = Obj({}, open=True)


def _indented(value: Any) -> str:
    return textwrap.indent(pprint.pformat(value, width=72), "    ")


def _mismatch(name: str, mismatch: Mismatch, schema: Mapping[str, Any]) -> Fault:
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


def words(key: str) -> Words:
    """Keystone's words, which quote the schema of the resource named `key`."""

    def resource() -> Resource:
        return {"project": PROJECT, "domain": DOMAIN, "user": USER, "role": ROLE}[key]

    return Words(
        mismatch=lambda name, m: _mismatch(name, m, resource().schema("create", (3, 0))["properties"].get(name, {})),
        unknown=lambda names: BadRequest(f"Additional properties are not allowed ({', '.join(map(repr, names))} unexpected)"),
        missing=lambda name, given: required(name, resource().schema("create", (3, 0)), dict(given)),
        no_object=lambda name, body: expecting(name),
    )


def links(collection: str) -> Any:
    def show(row: Row, ctx: Context) -> Any:
        return {"self": f"{ctx.base_url}/v3/{collection}/{row['id']}"}

    return show


def extra(row: Row) -> dict[str, Any]:
    """What clients gave and Keystone keeps: shown beside the fields."""
    kept: dict[str, Any] = json.loads(row["extra"])
    return kept


PROJECT = Resource(
    "project",
    "projects",
    [
        Field("id", show="id"),
        Field("name", NAME64, show="name", create="required", update=True, filter=True),
        Field("domain_id", ID, show="domain_id", create=True, update=True, filter=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("parent_id", ID, show="parent_id", create=True, update=True, filter=True),
        Field("is_domain", BOOL, show=flag("is_domain"), create=True, update=True, column="is_domain", filter=True),
        Field("tags", TAGS, show=lambda row, ctx: row["tags"], create=True, update=True, relation=tags_of),
        Field("options", OPTIONS, show=unpacked("options"), create=True, update=True),
        Field("links", show=links("projects")),
    ],
    words=words("project"),
    open=True,
)

DOMAIN = Resource(
    "domain",
    "domains",
    [
        Field("id", show="id"),
        Field("name", NAME64, show="name", create="required", update=True, filter=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("tags", TAGS, show=lambda row, ctx: row["tags"], create=True, update=True, relation=tags_of),
        Field("options", OPTIONS, show=unpacked("options"), create=True, update=True),
        Field("links", show=links("domains")),
    ],
    words=words("domain"),
    table="project",
    open=True,
)

USER = Resource(
    "user",
    "users",
    [
        Field("id", show="id"),
        Field("name", NAME255, show="name", create="required", update=True, filter=True),
        Field("domain_id", ID, show="domain_id", create=True, update=True, filter=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("password", Str(null=True), create=True, update=True),
        Field("default_project_id", ID, create=True, update=True),
        Field("description", TEXT, create=True, update=True),
        Field("email", Str(null=True), create=True, update=True),
        Field("password_expires_at", show=when("password_expires_at", fraction=True, zone="")),
        Field("options", USER_OPTIONS, show=unpacked("options"), create=True, update=True),
        Field("links", show=links("users")),
    ],
    words=words("user"),
    open=True,
)

ROLE = Resource(
    "role",
    "roles",
    [
        Field("id", show="id"),
        Field("name", NAME255, show="name", create="required", update=True, filter=True),
        Field("domain_id", ID, show="domain_id", create=True, filter=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("options", OPTIONS, show=unpacked("options"), create=True, update=True),
        Field("links", show=links("roles")),
    ],
    words=words("role"),
    open=True,
)

OPTIONAL = ("description", "email", "default_project_id")  # of a user: shown when set


def view(resource: Resource, row: Row, ctx: Context) -> Row:
    """A row as Keystone shows it: what clients added stands beside the fields."""
    shown = resource.view(row, ctx)
    if resource is USER:
        shown.update({name: row[name] for name in OPTIONAL if row[name] is not None})
    return {**extra(row), **shown}


AUTH_SCHEMA: dict[str, Any] = {
    "properties": {
        "identity": {
            "properties": {
                "methods": {"items": {"type": "string"}, "type": "array"},
                "password": {
                    "properties": {
                        "user": {
                            "properties": {
                                "domain": {"properties": {"id": {"type": "string"}, "name": {"type": "string"}}, "type": "object"},
                                "id": {"type": "string"},
                                "name": {"type": "string"},
                                "password": {"type": "string"},
                            },
                            "type": "object",
                        }
                    },
                    "type": "object",
                },
                "token": {"properties": {"id": {"type": "string"}}, "required": ["id"], "type": "object"},
            },
            "required": ["methods"],
            "type": "object",
        },
        "scope": {
            "properties": {
                "OS-TRUST:trust": {"properties": {"id": {"type": "string"}}, "type": "object"},
                "domain": {"properties": {"id": {"type": "string"}, "name": {"type": "string"}}, "type": "object"},
                "project": {
                    "properties": {
                        "domain": {"properties": {"id": {"type": "string"}, "name": {"type": "string"}}, "type": "object"},
                        "id": {"type": "string"},
                        "name": {"type": "string"},
                    },
                    "type": "object",
                },
                "system": {"properties": {"all": {"enum": [True, False, None], "type": "boolean"}}, "type": "object"},
            },
            "type": ["object", "string"],
        },
    },
    "required": ["identity"],
    "type": "object",
}
