"""Properties of a namespace: one name each, and what its values may be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pileus.image.actions.metadefs.rows import IGNORED, insert, namespace_row, part, parts, update
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row

TABLE = "metadef_property"


@allow(PROJECT_READER, "get_metadef_properties")
def list_properties(ctx: Context, namespace: str) -> list[Row]:
    """Raises NotFound for a namespace that the caller may not read, as all of these do."""
    return parts(ctx, TABLE, namespace_row(ctx, namespace))


@allow(PROJECT_READER, "get_metadef_property")
def find_property(ctx: Context, namespace: str, name: str) -> Row:
    return part(ctx, TABLE, namespace_row(ctx, namespace), name)


@allow(ADMIN, "add_metadef_property")
def create_property(ctx: Context, namespace: str, values: Mapping[str, Any]) -> Row:
    """Raises Conflict for a name that is there."""
    with ctx.store.transaction():
        return insert(ctx, TABLE, namespace_row(ctx, namespace), _columns(values))


@allow(ADMIN, "modify_metadef_property")
def update_property(ctx: Context, namespace: str, name: str, values: Mapping[str, Any]) -> Row:
    """Replace a property. Raises NotFound, Conflict."""
    with ctx.store.transaction():
        return update(ctx, TABLE, namespace_row(ctx, namespace), name, _columns(values))


@allow(ADMIN, "remove_metadef_property")
def delete_property(ctx: Context, namespace: str, name: str) -> None:
    with ctx.store.transaction():
        ctx.store.delete(TABLE, {"id": part(ctx, TABLE, namespace_row(ctx, namespace), name)["id"]})


@allow(ADMIN, "remove_metadef_property")
def delete_properties(ctx: Context, namespace: str) -> None:
    """All of a namespace."""
    with ctx.store.transaction():
        ctx.store.delete(TABLE, {"namespace_id": namespace_row(ctx, namespace)["id"]})


def _columns(values: Mapping[str, Any]) -> Row:
    definition = {name: value for name, value in values.items() if name not in ("name", *IGNORED)}
    return {"name": values["name"], "definition": json.dumps(definition)}
