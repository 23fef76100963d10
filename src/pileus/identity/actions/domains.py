"""Domains: made, changed, and taken away with all that is in them."""

from __future__ import annotations

import re
from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden
from pileus.identity.actions import ADMIN, SEES_ALL, changing, immutable, new_id, pack, set_tags
from pileus.identity.actions.groups import erase_group
from pileus.identity.actions.projects import DEFAULT_DOMAIN, close, erase, find_domain, unique, update
from pileus.identity.actions.roles import erase_role
from pileus.identity.actions.users import erase_user
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row


@allow(ANYONE, "identity:get_domain")
def get_domain(ctx: Context, id: str) -> Row:
    """A domain, for an admin or for whoever belongs to it."""
    if not SEES_ALL(ctx) and id not in (ctx.who.user_domain_id, ctx.who.domain_id, ctx.who.project_domain_id):
        forbid("identity:get_domain")
    return find_domain(ctx, id)


@allow(ANYONE, "identity:list_domains")
def list_domains(ctx: Context, where: dict[str, Any]) -> list[Row]:
    """Domains that match; to a reader of one domain that one."""
    if not SEES_ALL(ctx) and not (ctx.who.domain_id and "reader" in ctx.roles):
        forbid("identity:list_domains")
    narrowed = {"id": ctx.who.domain_id} if ctx.who.domain_id else {}
    return ctx.store.find("project", {"is_domain": 1, **where, **narrowed}, order="name")


@allow(ADMIN, "identity:create_domain")
def create_domain(ctx: Context, values: Row) -> Row:
    """A domain, empty; with `explicit_domain_id` of that id."""
    tags = values.pop("tags", [])
    id = values.pop("explicit_domain_id", None)
    if id is not None and not re.fullmatch("[0-9a-f]{32}", id):
        raise BadRequest("explicit_domain_id must be 32 hexadecimal digits.")
    if id is not None and ctx.store.get("project", id):
        raise Conflict(f"Conflict occurred attempting to store domain - it is not permitted to have two domains with the same id: {id}.")
    for absent in ("domain_id", "parent_id", "is_domain"):
        values.pop(absent, None)
    row = {
        "id": id or new_id(),
        **pack({"description": "", "enabled": True, "options": {}, **values}),
        "is_domain": 1,
        "created_at": ctx.now(),
    }
    row["description"] = row["description"] or ""
    with changing(ctx, "domain.created", row["id"]):
        unique(ctx, "domain", row["name"], None)
        ctx.store.insert("project", row)
        set_tags(ctx, row["id"], tags)
    return find_domain(ctx, row["id"])


@allow(ADMIN, "identity:update_domain")
def update_domain(ctx: Context, id: str, values: Row) -> Row:
    """Change a domain. Disabled, it lets nobody in: its users' tokens die, and those of its projects."""
    return update(ctx, find_domain(ctx, id), values, "domain")


@allow(ADMIN, "identity:delete_domain")
def delete_domain(ctx: Context, id: str) -> None:
    """Delete a domain that is disabled, with its users, groups, roles and projects."""
    row = find_domain(ctx, id)
    if row["enabled"]:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    if id == DEFAULT_DOMAIN:
        raise BadRequest("The default domain cannot be deleted: the cloud's own users are in it.")
    immutable(row, "domain", "delete")
    store = ctx.store
    with changing(ctx, "domain.deleted", id):
        close(ctx, id, "domain")
        for table, wipe in (("user", erase_user), ("user_group", erase_group), ("role", erase_role), ("project", erase)):
            for inside in store.find(table, {"domain_id": id}):
                wipe(ctx, inside["id"])
        store.delete("domain_config", {"domain_id": id})
        store.delete("project_limit", {"domain_id": id})
        for provider in store.find("identity_provider", {"domain_id": id}):
            store.delete("federation_protocol", {"identity_provider": provider["id"]})
            store.delete("identity_provider", {"id": provider["id"]})
        erase(ctx, id)
