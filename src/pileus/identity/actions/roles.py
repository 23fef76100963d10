"""Roles, and which role implies which."""

from __future__ import annotations

from typing import Any

from pileus.errors import Conflict
from pileus.identity.actions import ADMIN, EPOCH, SEES_ALL, immutable, merged, missing, new_id, pack
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow
from pileus.kit.store import Row


@allow(ANYONE, "identity:get_role")
def get_role(ctx: Context, id: str) -> Row:
    row = ctx.store.get("role", id)
    if row is None:
        raise missing("role", id)
    return row


@allow(SEES_ALL, "identity:list_roles")
def list_roles(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return ctx.store.find("role", {"domain_id": None, **where}, order="name")


@allow(ADMIN, "identity:create_role")
def create_role(ctx: Context, values: Row) -> Row:
    row = {"id": new_id(), **pack({"options": {}, **values}), "created_at": ctx.now()}
    with ctx.store.transaction():
        _unique(ctx, row["name"], row.get("domain_id"))
        ctx.store.insert("role", row)
    return get_role(ctx, row["id"])


def _unique(ctx: Context, name: str, domain: str | None, but: str = "") -> None:
    twin = ctx.store.first("role", {"name": name, "domain_id": domain})
    if twin and twin["id"] != but:
        raise Conflict(f"Conflict occurred attempting to store role - Duplicate entry found with name {name}.")


@allow(ADMIN, "identity:update_role")
def update_role(ctx: Context, id: str, values: Row) -> Row:
    row = get_role(ctx, id)
    immutable(row, "role", "update", values)
    with ctx.store.transaction():
        if "name" in values:
            _unique(ctx, values["name"], row["domain_id"], id)
        changes = pack({**merged(row, values), "updated_at": ctx.now(), "revision": row["revision"] + 1})
        ctx.store.update("role", id, changes)
        ctx.bump(EPOCH)
    return get_role(ctx, id)


@allow(ADMIN, "identity:delete_role")
def delete_role(ctx: Context, id: str) -> None:
    """Delete a role; every assignment of it goes, and tokens that lived by it alone are no longer valid."""
    row = get_role(ctx, id)
    immutable(row, "role", "delete")
    with ctx.store.transaction():
        ctx.store.delete("role_assignment", {"role_id": id})
        ctx.store.execute("DELETE FROM implied_role WHERE role_id = :id OR implied_id = :id", id=id)
        ctx.store.delete("role", {"id": id})
        ctx.bump(EPOCH)
