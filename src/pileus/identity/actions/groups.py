"""Groups of users. What a group may, its members may."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.identity.actions import MANAGES_DOMAIN, SEES_DOMAIN, changing, in_domain, merged, missing, new_id, not_above, pack, within
from pileus.identity.actions.assignments import close
from pileus.identity.actions.projects import DEFAULT_DOMAIN, find_domain
from pileus.identity.actions.users import find_user
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row


def _find(ctx: Context, id: str, policy: str) -> Row:
    """A group within the caller's reach. Raises NotFound."""
    row = ctx.store.get("user_group", id)
    within(ctx, row["domain_id"] if row else None, policy)
    if row is None:
        raise missing("group", id)
    return row


@allow(SEES_DOMAIN, "identity:get_group")
def get_group(ctx: Context, id: str) -> Row:
    return _find(ctx, id, "identity:get_group")


@allow(SEES_DOMAIN, "identity:list_groups")
def list_groups(ctx: Context, where: dict[str, Any]) -> list[Row]:
    """Groups that match; to a token of a domain those of the domain."""
    return ctx.store.find("user_group", in_domain(ctx, where), order="name")


@allow(MANAGES_DOMAIN, "identity:create_group")
def create_group(ctx: Context, values: Row) -> Row:
    """A group in a domain: the caller's, or the default one."""
    domain = values.pop("domain_id", None) or ctx.who.domain_id or DEFAULT_DOMAIN
    within(ctx, domain, "identity:create_group")
    find_domain(ctx, domain)
    row = {"id": new_id(), **pack(values), "domain_id": domain, "description": values.get("description") or "", "created_at": ctx.now()}
    with changing(ctx, "group.created", row["id"]):
        _unique(ctx, row["name"], domain)
        ctx.store.insert("user_group", row)
    return _find(ctx, row["id"], "identity:create_group")


def _unique(ctx: Context, name: str, domain: str, but: str = "") -> None:
    twin = ctx.store.first("user_group", {"name": name, "domain_id": domain})
    if twin and twin["id"] != but:
        raise Conflict(f"Conflict occurred attempting to store group - Duplicate entry found with name {name} at domain ID {domain}.")


@allow(MANAGES_DOMAIN, "identity:update_group")
def update_group(ctx: Context, id: str, values: Row) -> Row:
    """Change a group's name or description."""
    row = _find(ctx, id, "identity:update_group")
    if "domain_id" in values and values["domain_id"] != row["domain_id"]:
        raise BadRequest("Cannot change Domain ID")
    with changing(ctx, "group.updated", id):
        if "name" in values:
            _unique(ctx, values["name"], row["domain_id"], id)
        changes = pack({**merged(row, values), "updated_at": ctx.now(), "revision": row["revision"] + 1})
        if "description" in changes:
            changes["description"] = changes["description"] or ""
        ctx.store.update("user_group", id, changes)
    return _find(ctx, id, "identity:update_group")


@allow(MANAGES_DOMAIN, "identity:delete_group")
def delete_group(ctx: Context, id: str) -> None:
    """Delete a group with its assignments; its members' tokens that lived by them die."""
    _find(ctx, id, "identity:delete_group")
    not_above(ctx, "identity:delete_group", id)
    with changing(ctx, "group.deleted", id):
        erase_group(ctx, id)


def erase_group(ctx: Context, id: str) -> None:
    """Take a group out of the tables; in the caller's transaction."""
    for assignment in ctx.store.find("role_assignment", {"actor_id": id}):
        close(ctx, assignment)
    ctx.store.delete("role_assignment", {"actor_id": id})
    ctx.store.delete("user_group_member", {"group_id": id})
    ctx.store.delete("user_group", {"id": id})


# -- members ---------------------------------------------------------------------------------------------------------------


def _both(ctx: Context, id: str, user_id: str, policy: str) -> None:
    user = ctx.store.get("user", user_id)
    within(ctx, user["domain_id"] if user else None, policy)
    _find(ctx, id, policy)
    find_user(ctx, user_id)


@allow(MANAGES_DOMAIN, "identity:add_user_to_group")
def add_member(ctx: Context, id: str, user_id: str) -> None:
    """Put a user into a group; twice is once."""
    _both(ctx, id, user_id, "identity:add_user_to_group")
    not_above(ctx, "identity:add_user_to_group", id)
    if not ctx.store.find("user_group_member", {"group_id": id, "user_id": user_id}):
        with changing(ctx, "group.member_added", id):
            ctx.store.insert("user_group_member", {"group_id": id, "user_id": user_id})


@allow(MANAGES_DOMAIN, "identity:remove_user_from_group")
def remove_member(ctx: Context, id: str, user_id: str) -> None:
    """Take a user out of a group; the tokens that its membership opened die."""
    _both(ctx, id, user_id, "identity:remove_user_from_group")
    not_above(ctx, "identity:remove_user_from_group", id)
    _member(ctx, id, user_id)
    with changing(ctx, "group.member_removed", id):
        for assignment in ctx.store.find("role_assignment", {"actor_id": id}):
            close(ctx, {**assignment, "actor_type": "user", "actor_id": user_id})
        ctx.store.delete("user_group_member", {"group_id": id, "user_id": user_id})


@allow(SEES_DOMAIN, "identity:check_user_in_group")
def check_member(ctx: Context, id: str, user_id: str) -> None:
    """Raises NotFound unless the user is in the group."""
    _both(ctx, id, user_id, "identity:check_user_in_group")
    _member(ctx, id, user_id)


def _member(ctx: Context, id: str, user_id: str) -> None:
    if not ctx.store.find("user_group_member", {"group_id": id, "user_id": user_id}):
        raise NotFound(f"User '{user_id}' not found in group '{id}'")


@allow(SEES_DOMAIN, "identity:list_users_in_group")
def list_members(ctx: Context, id: str, where: dict[str, Any]) -> list[Row]:
    """The users in a group."""
    _find(ctx, id, "identity:list_users_in_group")
    ids = [row["user_id"] for row in ctx.store.find("user_group_member", {"group_id": id})]
    return ctx.store.find("user", {**where, "id": ids}, order="name")


@allow(ANYONE, "identity:list_groups_for_user")
def list_user_groups(ctx: Context, user_id: str, where: dict[str, Any]) -> list[Row]:
    """The groups a user is in; to an admin, a reader of its domain, and that user."""
    if user_id != ctx.user_id:
        if not SEES_DOMAIN(ctx):
            forbid("identity:list_groups_for_user")
        user = ctx.store.get("user", user_id)
        within(ctx, user["domain_id"] if user else None, "identity:list_groups_for_user")
    find_user(ctx, user_id)
    ids = [row["group_id"] for row in ctx.store.find("user_group_member", {"user_id": user_id})]
    return ctx.store.find("user_group", {**where, "id": ids}, order="name")
