"""Find, add, change and remove a row, with its line in the audit log: what nouns without rules of their own have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pileus.identity.actions import changing, merged, missing, new_id, pack
from pileus.kit.context import Context
from pileus.kit.store import Row


@dataclass(frozen=True, slots=True)
class Noun:
    """A table, what the audit log calls a row of it, and what Keystone calls it when it is not there."""

    table: str
    event: str
    called: str

    def find(self, ctx: Context, id: str) -> Row:
        """The row. Raises NotFound."""
        row = ctx.store.get(self.table, id)
        if row is None:
            raise missing(self.called, id)
        return row

    def search(self, ctx: Context, where: dict[str, Any], order: str = "created_at, rowid") -> list[Row]:
        return ctx.store.find(self.table, where, order=order)

    def add(self, ctx: Context, values: Row) -> Row:
        row = {"id": new_id(), **pack(values), "created_at": ctx.now()}
        with changing(ctx, f"{self.event}.created", row["id"]):
            ctx.store.insert(self.table, row)
        return self.find(ctx, row["id"])

    def change(self, ctx: Context, row: Row, values: Row) -> Row:
        changes = pack({**merged(row, values), "updated_at": ctx.now(), "revision": row["revision"] + 1})
        with changing(ctx, f"{self.event}.updated", row["id"]):
            ctx.store.update(self.table, row["id"], changes)
        return self.find(ctx, row["id"])

    def remove(self, ctx: Context, id: str) -> None:
        with changing(ctx, f"{self.event}.deleted", id):
            ctx.store.delete(self.table, {"id": id})
