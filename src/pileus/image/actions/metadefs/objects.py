"""Objects of a namespace: groups of properties that belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pileus.image.actions.metadefs.rows import insert, namespace_row, part, parts, update
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row

TABLE = "metadef_object"
COLUMNS = ("name", "description", "required", "properties")


@allow(PROJECT_READER, "get_metadef_objects")
def list_objects(ctx: Context, namespace: str) -> list[Row]:
    """Raises NotFound for a namespace that the caller may not read, as all of these do."""
    return parts(ctx, TABLE, namespace_row(ctx, namespace))


@allow(PROJECT_READER, "get_metadef_object")
def find_object(ctx: Context, namespace: str, name: str) -> Row:
    return part(ctx, TABLE, namespace_row(ctx, namespace), name)


@allow(ADMIN, "add_metadef_object")
def create_object(ctx: Context, namespace: str, values: Mapping[str, Any]) -> Row:
    """Raises Conflict for a name that is there."""
    with ctx.store.transaction():
        return insert(ctx, TABLE, namespace_row(ctx, namespace), _columns(values))


@allow(ADMIN, "modify_metadef_object")
def update_object(ctx: Context, namespace: str, name: str, values: Mapping[str, Any]) -> Row:
    """Replace an object. Raises NotFound, Conflict."""
    with ctx.store.transaction():
        empty: Row = {"description": None, "required": [], "properties": {}}
        return update(ctx, TABLE, namespace_row(ctx, namespace), name, _columns({**empty, **values}))


@allow(ADMIN, "delete_metadef_object")
def delete_object(ctx: Context, namespace: str, name: str) -> None:
    with ctx.store.transaction():
        ctx.store.delete(TABLE, {"id": part(ctx, TABLE, namespace_row(ctx, namespace), name)["id"]})


@allow(ADMIN, "delete_metadef_object")
def delete_objects(ctx: Context, namespace: str) -> None:
    """All of a namespace."""
    with ctx.store.transaction():
        ctx.store.delete(TABLE, {"namespace_id": namespace_row(ctx, namespace)["id"]})


def _columns(values: Mapping[str, Any]) -> Row:
    columns = {name: values[name] for name in COLUMNS if name in values}
    return {name: json.dumps(value) if name in ("required", "properties") else value for name, value in columns.items()}
