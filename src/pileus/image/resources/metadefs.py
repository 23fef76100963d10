"""Metadata definitions: namespaces of properties, objects and tags that say what may be written on which kind of resource.

They describe; nothing in this cloud enforces them, as in Glance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pileus.image.resources.words import Choice, words
from pileus.kit.context import Context
from pileus.kit.resource import Field, Mismatch, Resource, Type, constant, flag, unpacked, when
from pileus.kit.store import Row
from pileus.openstack.types import Bool, Int, List, Obj, Str, below

KINDS = ("array", "boolean", "integer", "number", "object", "string", "null")
NAME = Str(min=1, max=255)
BASE = "/v2/metadefs/namespaces"


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression, as text."""

    def parse(self, value: Any, /) -> str:
        text = Str().parse(value)
        try:
            re.compile(text or "")
        except re.error:
            raise Mismatch(f"{value!r} is not a 'regex'", value, rule="format") from None
        return text or ""

    def schema(self) -> Row:
        return {"type": "string", "format": "regex"}


@dataclass(frozen=True, slots=True)
class Named:
    """An object whose every value is of one type; the keys are names."""

    of: Type

    def parse(self, value: Any, /) -> Row:
        if not isinstance(value, dict):
            raise Mismatch(f"{value!r} is not of type 'object'", value, rule="type")
        parsed = {}
        for key, item in value.items():
            try:
                parsed[str(NAME.parse(key))] = self.of.parse(item)
            except Mismatch as mismatch:
                raise below(mismatch, key) from None
        return parsed

    def schema(self) -> Row:
        return {"type": "object", "additionalProperties": self.of.schema()}


class Number:
    """Any number."""

    def parse(self, value: Any, /) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Mismatch(f"{value!r} is not of type 'number'", value, rule="type")
        return value

    def schema(self) -> Row:
        return {"type": "number"}


ANY_OF_KIND = Obj({"type": Choice(KINDS), "enum": List(Str())}, open=True)
PARTS: dict[str, Type] = {  # of a property, besides its name: a subset of JSON Schema
    "title": Str(),
    "type": Choice(KINDS),
    "description": Str(),
    "operators": List(Str()),
    "minimum": Number(),
    "maximum": Number(),
    "maxLength": Int(min=0),
    "minLength": Int(min=0),
    "pattern": Regex(),
    "enum": List(Str()),
    "readonly": Bool(),
    "items": ANY_OF_KIND,
    "maxItems": Int(min=0),
    "minItems": Int(min=0),
    "uniqueItems": Bool(),
    "additionalItems": Bool(),
}
DEFINITION = Obj({"name": NAME, **PARTS}, required=("type", "title"), open=True)  # open: `default` is of any type
DEFINITIONS = Named(DEFINITION)


def _schema_link(name: str) -> Field:
    return Field("schema", show=constant(f"/v2/schemas/metadefs/{name}"), create=True, update=True, doc="Where its JSON Schema is.")


def _times() -> list[Field]:
    """Taken and not kept: clients send back what they were shown."""
    return [
        Field("created_at", Str(), show=when("created_at"), create=True, update=True, doc="Date and time of creation"),
        Field("updated_at", Str(), show=when("updated_at"), create=True, update=True, doc="Date and time of the last modification"),
    ]


def namespace_path(row: Row, ctx: Context) -> str:
    return f"{BASE}/{row['namespace']}"


def _object_path(row: Row, ctx: Context) -> str:
    return f"{BASE}/{row['namespace']}/objects/{row['name']}"


ASSOCIATION = Resource(
    "resource_type_association",
    "resource_type_associations",
    [
        Field("name", NAME, show="name", create="required", doc="Resource type names should be aligned with Heat resource types."),
        Field("prefix", Str(max=80), show="prefix", create=True, doc="Prefix of the namespace's properties on this resource type."),
        Field(
            "properties_target",
            Str(max=80),
            show="properties_target",
            create=True,
            doc="Where the properties go, if there are several places.",
        ),
        *_times(),
    ],
    words=words("resource_type_association", lambda: ASSOCIATION_SCHEMA, closed=True),
    table="metadef_association",
)
RESOURCE_TYPE = Resource(
    "resource_type",
    "resource_types",
    [Field("name", NAME, show="name", doc="Resource type names should be aligned with Heat resource types."), *_times()],
    words=words("resource_type", lambda: ASSOCIATION_SCHEMA, closed=True),
    table="metadef_resource_type",
)
TAG = Resource(
    "tag",
    "tags",
    [Field("name", NAME, show="name", create="required", update=True, doc="The word itself."), *_times()],
    words=words("tag", lambda: TAG_SCHEMA, closed=True),
    table="metadef_tag",
)
PROPERTY = Resource(
    "property",
    "properties",
    [
        Field("name", NAME, create="required", update=True, doc="What the property is called, without prefix."),
        *(
            Field(
                name,
                kind,
                create="required" if name in ("title", "type") else True,
                update=True,
                doc=f"As JSON Schema's `{name}`: what values are allowed.",
            )
            for name, kind in PARTS.items()
        ),
        Field("default", create=True, update=True, doc="The value that is meant when none is written."),
        _schema_link("property"),
    ],
    words=words("property", lambda: PROPERTY_SCHEMA, closed=True),
    table="metadef_property",
)
OBJECT = Resource(
    "object",
    "objects",
    [
        Field("name", NAME, show="name", create="required", update=True, doc="What the object is called."),
        Field("description", Str(), show="description", create=True, update=True, doc="What it is for."),
        Field("required", List(Str()), show=unpacked("required"), create=True, update=True, doc="Properties that must all be there."),
        Field("properties", DEFINITIONS, show=unpacked("properties"), create=True, update=True, doc="Its properties, by name."),
        Field("self", Str(), show=_object_path, create=True, update=True, doc="Where it is found."),
        _schema_link("object"),
        *_times(),
    ],
    words=words("object", lambda: OBJECT_SCHEMA, closed=True),
    table="metadef_object",
)
NAMESPACE = Resource(
    "namespace",
    "namespaces",
    [
        Field(
            "namespace", Str(min=1, max=80), show="namespace", create="required", update=True, sort=True, doc="The unique namespace text."
        ),
        Field("display_name", Str(max=80), show="display_name", create=True, update=True, doc="The name people read."),
        Field("description", Str(max=500), show="description", create=True, update=True, doc="Provides a user friendly description."),
        Field(
            "visibility",
            Choice(("public", "private")),
            show="visibility",
            create=True,
            update=True,
            doc="Scope of namespace accessibility.",
        ),
        Field("protected", Bool(), show=flag("protected"), create=True, update=True, doc="If true, namespace will not be deletable."),
        Field("owner", Str(max=255), show="project_id", column="project_id", create=True, update=True, doc="Owner of the namespace."),
        Field("self", Str(), show=namespace_path, create=True, update=True, doc="Where it is found."),
        _schema_link("namespace"),
        *_times(),
        Field("properties", DEFINITIONS, create=True, doc="Its properties, by name."),
        Field(
            "objects", List(Obj({"name": NAME, "properties": DEFINITIONS}, required=("name",), open=True)), create=True, doc="Its objects."
        ),
        Field("tags", List(Obj({"name": NAME}, required=("name",), open=True)), create=True, doc="Its tags."),
        Field(
            "resource_type_associations",
            List(Obj({"name": NAME}, required=("name",), open=True)),
            create=True,
            doc="The resource types it is meant for.",
        ),
    ],
    words=words("namespace", lambda: NAMESPACE_SCHEMA, closed=True),
    table="metadef_namespace",
)


def _schema(name: str, resource: Resource, **more: Any) -> Row:
    """The JSON Schema of one definition."""
    properties = {field.name: {**field.type.schema(), "description": field.doc} for field in resource.fields}
    required = [field.name for field in resource.fields if field.create == "required"]
    return {"name": name, "properties": properties, "additionalProperties": False, "required": required, **more}


NAMESPACE_SCHEMA: Row = _schema("namespace", NAMESPACE)
OBJECT_SCHEMA: Row = _schema("object", OBJECT)
PROPERTY_SCHEMA: Row = _schema("property", PROPERTY)
TAG_SCHEMA: Row = _schema("tag", TAG)
ASSOCIATION_SCHEMA: Row = _schema("resource_type_association", ASSOCIATION)
