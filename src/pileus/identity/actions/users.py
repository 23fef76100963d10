"""Users and their passwords. A password reaches an action as a hash: hashing is done before, off the loop."""

from __future__ import annotations

from typing import Any

from pileus.errors import Conflict
from pileus.identity.actions import ADMIN, EPOCH, SEES_ALL, immutable, merged, missing, new_id, pack
from pileus.identity.actions.projects import DEFAULT_DOMAIN, find_domain
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row


def find_user(ctx: Context, id: str) -> Row:
    """Any user, whoever asks. Raises NotFound."""
    row = ctx.store.get("user", id)
    if row is None:
        raise missing("user", id)
    return row


def named_user(ctx: Context, name: str, domain_id: str | None, domain_name: str | None) -> Row | None:
    """The user with this name in a domain given by id or by name."""
    if domain_id is None:
        domain = ctx.store.first("project", {"is_domain": 1, "name": domain_name or ""})
        if domain is None:
            return None
        domain_id = domain["id"]
    return ctx.store.first("user", {"name": name, "domain_id": domain_id})


@allow(ANYONE, "identity:get_user")
def get_user(ctx: Context, id: str) -> Row:
    """A user, for an admin or for that user."""
    if not SEES_ALL(ctx) and id != ctx.user_id:
        forbid("identity:get_user")
    return find_user(ctx, id)


@allow(SEES_ALL, "identity:list_users")
def list_users(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return ctx.store.find("user", where, order="name")


@allow(ADMIN, "identity:create_user")
def create_user(ctx: Context, values: Row, password_hash: str | None) -> Row:
    """A user in a domain. Without a password nobody can sign in as it."""
    values.pop("password", None)
    domain = values.pop("domain_id", None) or ctx.who.domain_id or DEFAULT_DOMAIN
    find_domain(ctx, domain)
    row = {
        "id": new_id(),
        **pack({"enabled": True, "options": {}, **values}),
        "domain_id": domain,
        "password_hash": password_hash,
        "created_at": ctx.now(),
    }
    with ctx.store.transaction():
        _unique(ctx, row["name"], domain)
        ctx.store.insert("user", row)
    return find_user(ctx, row["id"])


def _unique(ctx: Context, name: str, domain: str, but: str = "") -> None:
    twin = ctx.store.first("user", {"name": name, "domain_id": domain})
    if twin and twin["id"] != but:
        raise Conflict(f"Conflict occurred attempting to store user - Duplicate entry found with name {name} at domain ID {domain}.")


@allow(ADMIN, "identity:update_user")
def update_user(ctx: Context, id: str, values: Row, password_hash: str | None = None) -> Row:
    """Change a user. A new password, or being disabled, ends the user's tokens."""
    row = find_user(ctx, id)
    immutable(row, "user", "update", values)
    changes = merged(row, values)
    changed_password = "password" in changes
    changes.pop("password", None)
    if "domain_id" in changes and changes["domain_id"] != row["domain_id"]:
        forbid("identity:update_user (domain_id)")
    if changed_password:
        changes["password_hash"] = password_hash
    with ctx.store.transaction():
        if "name" in changes:
            _unique(ctx, changes["name"], row["domain_id"], id)
        ctx.store.update("user", id, pack({**changes, "updated_at": ctx.now(), "revision": row["revision"] + 1}))
        if changed_password or changes.get("enabled") is False:
            ctx.store.delete("token", {"user_id": id})
        ctx.bump(EPOCH)
    return find_user(ctx, id)


@allow(ANYONE, "identity:change_password")
def change_password(ctx: Context, id: str, password_hash: str) -> None:
    """A user's own new password; the caller has checked the old one. All the user's tokens end."""
    with ctx.store.transaction():
        ctx.store.update("user", id, {"password_hash": password_hash, "updated_at": ctx.now()})
        ctx.store.delete("token", {"user_id": id})
        ctx.bump(EPOCH)


@allow(ADMIN, "identity:delete_user")
def delete_user(ctx: Context, id: str) -> None:
    """Delete a user with its assignments and tokens."""
    row = find_user(ctx, id)
    immutable(row, "user", "delete")
    with ctx.store.transaction():
        ctx.store.delete("token", {"user_id": id})
        ctx.store.delete("role_assignment", {"actor_id": id})
        ctx.store.delete("user", {"id": id})
        ctx.bump(EPOCH)


@allow(ANYONE, "identity:list_user_projects")
def list_user_projects(ctx: Context, id: str, *, domains: bool = False) -> list[Row]:
    """The enabled projects (or domains) a user has a role in."""
    if not SEES_ALL(ctx) and id != ctx.user_id:
        forbid("identity:list_user_projects")
    return ctx.store.query(
        "SELECT * FROM project WHERE is_domain = ? AND enabled = 1 AND id IN (SELECT target_id FROM role_assignment WHERE actor_id = ?)"
        " ORDER BY name",
        int(domains),
        id,
    )
