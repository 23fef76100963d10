"""Resource types, by Heat's names, and which namespaces are meant for them. A type that nobody has named before is made then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.errors import Conflict, NotFound
from pileus.image.actions.metadefs.rows import namespace_row
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row

TABLE = "metadef_association"


@allow(PROJECT_READER, "list_metadef_resource_types")
def list_resource_types(ctx: Context) -> list[Row]:
    """All of them."""
    return ctx.store.find("metadef_resource_type", order="name")


@allow(PROJECT_READER, "get_metadef_resource_type")
def list_associations(ctx: Context, namespace: str) -> list[Row]:
    """The resource types that a namespace is meant for. Raises NotFound."""
    return ctx.store.find(TABLE, {"namespace_id": namespace_row(ctx, namespace)["id"]}, order="name")


@allow(ADMIN, "add_metadef_resource_type_association")
def associate(ctx: Context, namespace: str, values: Mapping[str, Any]) -> Row:
    """Say that a namespace is meant for a resource type. Raises NotFound, Conflict."""
    with ctx.store.transaction():
        row, name, now = namespace_row(ctx, namespace), values["name"], ctx.now()
        if not ctx.store.first("metadef_resource_type", {"name": name}):
            ctx.store.insert("metadef_resource_type", {"name": name, "created_at": now, "updated_at": now})
        if ctx.store.first(TABLE, {"namespace_id": row["id"], "name": name}):
            raise Conflict(f"{_of(name, namespace)} already exists.")
        made = {"namespace_id": row["id"], "name": name, "prefix": values.get("prefix"), "created_at": now, "updated_at": now}
        ctx.store.insert(TABLE, {**made, "properties_target": values.get("properties_target")})
    return {**made, "properties_target": values.get("properties_target")}


@allow(ADMIN, "remove_metadef_resource_type_association")
def dissociate(ctx: Context, namespace: str, name: str) -> None:
    """The opposite; the type stays. Raises NotFound."""
    with ctx.store.transaction():
        if not ctx.store.delete(TABLE, {"namespace_id": namespace_row(ctx, namespace)["id"], "name": name}):
            raise NotFound(f"{_of(name, namespace)}, was not found.")


def _of(name: str, namespace: str) -> str:
    return f"The metadata definition resource-type association of resource-type={name} to namespace={namespace}"
