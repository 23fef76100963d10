"""Tags of a namespace: words that may be put on things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.errors import Conflict
from pileus.image.actions.metadefs.rows import insert, namespace_row, part, parts, update
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row

TABLE = "metadef_tag"


@allow(PROJECT_READER, "get_metadef_tags")
def list_tags(ctx: Context, namespace: str) -> list[Row]:
    """Raises NotFound for a namespace that the caller may not read, as all of these do."""
    return parts(ctx, TABLE, namespace_row(ctx, namespace))


@allow(PROJECT_READER, "get_metadef_tag")
def find_tag(ctx: Context, namespace: str, name: str) -> Row:
    return part(ctx, TABLE, namespace_row(ctx, namespace), name)


@allow(ADMIN, "add_metadef_tag")
def create_tag(ctx: Context, namespace: str, name: str) -> Row:
    """Raises Conflict for a name that is there."""
    with ctx.store.transaction():
        return insert(ctx, TABLE, namespace_row(ctx, namespace), {"name": name})


@allow(ADMIN, "add_metadef_tags")
def set_tags(ctx: Context, namespace: str, names: Sequence[str], *, append: bool = False) -> list[Row]:
    """Replace all tags by these, or add these. Raises Conflict for a name that is given twice, or there."""
    with ctx.store.transaction():
        row = namespace_row(ctx, namespace)
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise Conflict(f"A metadata definition tag with name={twice[0]} already exists in namespace={namespace}.")
        if not append:
            ctx.store.delete(TABLE, {"namespace_id": row["id"]})
        return [insert(ctx, TABLE, row, {"name": name}) for name in names]


@allow(ADMIN, "modify_metadef_tag")
def update_tag(ctx: Context, namespace: str, name: str, values: Mapping[str, Any]) -> Row:
    """Rename a tag. Raises NotFound, Conflict."""
    with ctx.store.transaction():
        return update(ctx, TABLE, namespace_row(ctx, namespace), name, {"name": values["name"]})


@allow(ADMIN, "delete_metadef_tag")
def delete_tag(ctx: Context, namespace: str, name: str) -> None:
    with ctx.store.transaction():
        ctx.store.delete(TABLE, {"id": part(ctx, TABLE, namespace_row(ctx, namespace), name)["id"]})


@allow(ADMIN, "delete_metadef_tags")
def delete_tags(ctx: Context, namespace: str) -> None:
    """All of a namespace."""
    with ctx.store.transaction():
        ctx.store.delete(TABLE, {"namespace_id": namespace_row(ctx, namespace)["id"]})
