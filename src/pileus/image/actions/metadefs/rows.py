"""Rows of definitions: which namespace, which part of it, and the times each of them carries. No rules of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pileus.errors import Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.store import Row

IGNORED = ("created_at", "updated_at", "self", "schema")  # clients send back what they were shown


def visible(ctx: Context) -> tuple[str, tuple[Any, ...]]:
    """The condition that a namespace may be read by this caller."""
    return ("1", ()) if ctx.is_admin else ("visibility = 'public' OR project_id = ?", (ctx.project_id,))


def namespace_row(ctx: Context, name: str) -> Row:
    """Raises NotFound, also for what is there and hidden from this caller."""
    row = ctx.store.first("metadef_namespace", {"namespace": name})
    if row is None or not (ctx.is_admin or row["visibility"] == "public" or row["project_id"] == ctx.project_id):
        raise NotFound(f"Metadata definition namespace={name} was not found.")
    return row


def parts(ctx: Context, table: str, namespace: Row) -> list[Row]:
    """All parts of one kind, newest first, each with the name of its namespace."""
    rows = ctx.store.find(table, {"namespace_id": namespace["id"]}, order="created_at DESC, name")
    return [{**row, "namespace": namespace["namespace"]} for row in rows]


def part(ctx: Context, table: str, namespace: Row, name: str) -> Row:
    """One part by its name. Raises NotFound."""
    row = ctx.store.first(table, {"namespace_id": namespace["id"], "name": name})
    if row is None:
        kind = table.removeprefix("metadef_")
        raise NotFound(f"The metadata definition {kind} with name={name} was not found in namespace={namespace['namespace']}.")
    return {**row, "namespace": namespace["namespace"]}


def insert(ctx: Context, table: str, namespace: Row, values: Mapping[str, Any]) -> Row:
    """A new part. Raises Conflict for a name that is there."""
    _free(ctx, table, namespace, values["name"])
    row = {"id": str(uuid.uuid4()), "namespace_id": namespace["id"], **written(values), "created_at": ctx.now(), "updated_at": ctx.now()}
    ctx.store.insert(table, row)
    return part(ctx, table, namespace, values["name"])


def update(ctx: Context, table: str, namespace: Row, name: str, values: Mapping[str, Any]) -> Row:
    """Change a part, its name too. Raises NotFound, Conflict."""
    row = part(ctx, table, namespace, name)
    new = values.get("name", name)
    if new != name:
        _free(ctx, table, namespace, new)
    ctx.store.update(table, row["id"], {**written(values), "updated_at": ctx.now()})
    return part(ctx, table, namespace, new)


def written(values: Mapping[str, Any]) -> Row:
    """What was decoded, as columns: what is only shown is left out."""
    return {name: int(value) if isinstance(value, bool) else value for name, value in values.items() if name not in IGNORED}


def _free(ctx: Context, table: str, namespace: Row, name: str) -> None:
    if ctx.store.first(table, {"namespace_id": namespace["id"], "name": name}):
        kind = table.removeprefix("metadef_")
        raise Conflict(f"A metadata definition {kind} with name={name} already exists in namespace={namespace['namespace']}.")
