"""Namespaces: created with all that is in them, or filled afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pileus.errors import Conflict, Forbidden, NotFound
from pileus.image.actions.metadefs import objects, properties, resource_types, tags
from pileus.image.actions.metadefs.rows import namespace_row, visible, written
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.openstack.listing import Listing, fetch

PARTS = ("properties", "objects", "tags", "resource_type_associations")


@allow(PROJECT_READER, "get_metadef_namespaces")
def list_namespaces(ctx: Context, listing: Listing, types: Sequence[str] = ()) -> tuple[list[Row], bool]:
    """One page of the namespaces that the caller may read, of those for certain resource types if any are named. Raises NotFound for an
    unknown marker.
    """
    listing.terms.append(visible(ctx))
    if types:
        marks = ", ".join("?" * len(types))
        listing.terms.append((f"id IN (SELECT namespace_id FROM metadef_association WHERE name IN ({marks}))", tuple(types)))  # noqa: S608
    marker = namespace_row(ctx, listing.marker) if listing.marker is not None else None
    rows, more = fetch(ctx.store, "metadef_namespace", listing, marker)
    return rows, more


@allow(PROJECT_READER, "get_metadef_namespace")
def find_namespace(ctx: Context, name: str) -> Row:
    """Raises NotFound."""
    return namespace_row(ctx, name)


@allow(ADMIN, "add_metadef_namespace")
def create_namespace(ctx: Context, values: Mapping[str, Any]) -> Row:
    """A namespace with all its parts, or nothing. Raises Conflict."""
    own = {name: value for name, value in values.items() if name not in PARTS}
    with ctx.store.transaction():
        _free(ctx, own["namespace"])
        row = {"id": str(uuid.uuid4()), "project_id": ctx.project_id, **written(own), "created_at": ctx.now(), "updated_at": ctx.now()}
        ctx.store.insert("metadef_namespace", row)
        name = own["namespace"]
        for association in values.get("resource_type_associations", []):
            resource_types.associate(ctx, name, association)
        for each in values.get("objects", []):
            objects.create_object(ctx, name, each)
        for key, definition in values.get("properties", {}).items():
            properties.create_property(ctx, name, {**definition, "name": key})
        if values.get("tags"):
            tags.set_tags(ctx, name, [tag["name"] for tag in values["tags"]])
    return namespace_row(ctx, name)


@allow(ADMIN, "modify_metadef_namespace")
def update_namespace(ctx: Context, name: str, values: Mapping[str, Any]) -> Row:
    """Replace what a namespace says of itself; what is not given goes back to its default. Raises NotFound, Conflict."""
    with ctx.store.transaction():
        row = namespace_row(ctx, name)
        if values["namespace"] != name:
            _free(ctx, values["namespace"])
        defaults = {"display_name": None, "description": None, "visibility": "private", "protected": 0, "project_id": ctx.project_id}
        ctx.store.update("metadef_namespace", row["id"], {**defaults, **written(values), "updated_at": ctx.now()})
    return namespace_row(ctx, values["namespace"])


@allow(ADMIN, "delete_metadef_namespace")
def delete_namespace(ctx: Context, name: str) -> None:
    """A namespace and all in it. Raises NotFound, Forbidden for a protected one."""
    with ctx.store.transaction():
        row = namespace_row(ctx, name)
        if row["protected"]:
            raise Forbidden(f"Metadata definition namespace {name} is protected and cannot be deleted.")
        ctx.store.delete("metadef_namespace", {"id": row["id"]})


def _free(ctx: Context, name: str) -> None:
    if ctx.store.first("metadef_namespace", {"namespace": name}):
        raise Conflict(f"The metadata definition namespace={name} already exists.")


def prefix_of(ctx: Context, namespace: Row, resource_type: str) -> str:
    """What the names of a namespace's properties begin with on a resource type. Raises NotFound when it is not meant for that."""
    row = ctx.store.first("metadef_association", {"namespace_id": namespace["id"], "name": resource_type})
    if row is None:
        raise NotFound(
            f"The metadata definition resource-type association of resource-type={resource_type} to namespace={namespace['namespace']}, "
            "was not found."
        )
    return row["prefix"] or ""
