"""The JSON Schemas that `/v2/schemas/…` serves, by the path below it."""

from __future__ import annotations

from pileus.image.resources.images import SCHEMA
from pileus.image.resources.members import MEMBER_SCHEMA
from pileus.image.resources.metadefs import ASSOCIATION_SCHEMA, NAMESPACE_SCHEMA, OBJECT_SCHEMA, PROPERTY_SCHEMA, TAG_SCHEMA
from pileus.image.resources.tasks import PARTIAL_SCHEMA, TASK_SCHEMA
from pileus.image.resources.words import collection
from pileus.kit.store import Row

PAGES = ("first", "next")
PROPERTIES: Row = {
    "name": "properties",
    "properties": {"properties": {"type": "object", "additionalProperties": PROPERTY_SCHEMA}},
    "links": [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}, {"rel": "describedby", "href": "{schema}"}],
}

SCHEMAS: dict[str, Row] = {
    "image": SCHEMA,
    "images": collection("images", SCHEMA, PAGES),
    "member": MEMBER_SCHEMA,
    "members": collection("members", MEMBER_SCHEMA, ()),
    "task": TASK_SCHEMA,
    "tasks": collection("tasks", PARTIAL_SCHEMA, PAGES),
    "metadefs/namespace": NAMESPACE_SCHEMA,
    "metadefs/namespaces": collection("namespaces", NAMESPACE_SCHEMA, PAGES),
    "metadefs/resource_type": ASSOCIATION_SCHEMA,
    "metadefs/resource_types": collection("resource_type_associations", ASSOCIATION_SCHEMA, PAGES),
    "metadefs/property": PROPERTY_SCHEMA,
    "metadefs/properties": PROPERTIES,
    "metadefs/object": OBJECT_SCHEMA,
    "metadefs/objects": collection("objects", OBJECT_SCHEMA, PAGES),
    "metadefs/tag": TAG_SCHEMA,
    "metadefs/tags": collection("tags", TAG_SCHEMA, PAGES),
}
