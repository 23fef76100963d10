"""Roles, and which role implies which."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden, NotFound
from pileus.identity.actions import ADMIN, SEES_ALL, changing, immutable, merged, missing, new_id, pack
from pileus.identity.actions.assignments import close
from pileus.identity.actions.projects import find_domain
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row

NEVER_IMPLIED = ("admin",)


def find_role(ctx: Context, id: str) -> Row:
    """Any role, whoever asks. Raises NotFound."""
    row = ctx.store.get("role", id)
    if row is None:
        raise missing("role", id)
    return row


def _lists(ctx: Context) -> bool:
    """Who sees all roles: a domain's manager has to know those it may give."""
    return SEES_ALL(ctx) or (ctx.who.domain_id is not None and bool({"manager", "reader"} & ctx.roles))


@allow(ANYONE, "identity:get_role")
def get_role(ctx: Context, id: str) -> Row:
    """A role; a domain's own only to an admin, the system's readers, and readers of that domain."""
    row = find_role(ctx, id)
    if row["domain_id"] and not SEES_ALL(ctx) and ctx.who.domain_id != row["domain_id"]:
        forbid("identity:get_domain_role")
    return row


@allow(ANYONE, "identity:list_roles")
def list_roles(ctx: Context, where: dict[str, Any]) -> list[Row]:
    """The roles that hold everywhere, or (by `domain_id`) a domain's own."""
    if not _lists(ctx):
        forbid("identity:list_roles")
    if where.get("domain_id") and not SEES_ALL(ctx) and ctx.who.domain_id != where["domain_id"]:
        forbid("identity:list_domain_roles")
    return ctx.store.find("role", {"domain_id": None, **where}, order="name")


@allow(ADMIN, "identity:create_role")
def create_role(ctx: Context, values: Row) -> Row:
    """A role that holds everywhere, or one of a domain's own."""
    if values.get("domain_id"):
        find_domain(ctx, values["domain_id"])
    row = {"id": new_id(), **pack({"options": {}, **values}), "created_at": ctx.now()}
    with changing(ctx, "role.created", row["id"]):
        _unique(ctx, row["name"], row.get("domain_id"))
        ctx.store.insert("role", row)
    return find_role(ctx, row["id"])


def _unique(ctx: Context, name: str, domain: str | None, but: str = "") -> None:
    twin = ctx.store.first("role", {"name": name, "domain_id": domain})
    if twin and twin["id"] != but:
        raise Conflict(f"Conflict occurred attempting to store role - Duplicate entry found with name {name}.")


@allow(ADMIN, "identity:update_role")
def update_role(ctx: Context, id: str, values: Row) -> Row:
    """Change a role's name, description or options."""
    row = find_role(ctx, id)
    immutable(row, "role", "update", values)
    if "domain_id" in values and values["domain_id"] != row["domain_id"]:
        raise BadRequest("Update of `domain_id` is not allowed.")
    with changing(ctx, "role.updated", id):
        if "name" in values:
            _unique(ctx, values["name"], row["domain_id"], id)
        changes = pack({**merged(row, values), "updated_at": ctx.now(), "revision": row["revision"] + 1})
        ctx.store.update("role", id, changes)
    return find_role(ctx, id)


@allow(ADMIN, "identity:delete_role")
def delete_role(ctx: Context, id: str) -> None:
    """Delete a role; every assignment of it goes, and the tokens that those opened."""
    row = find_role(ctx, id)
    immutable(row, "role", "delete")
    with changing(ctx, "role.deleted", id):
        erase_role(ctx, id)


def erase_role(ctx: Context, id: str) -> None:
    """Take a role out of the tables; in the caller's transaction."""
    for assignment in ctx.store.find("role_assignment", {"role_id": id}):
        close(ctx, assignment)
    ctx.store.delete("role_assignment", {"role_id": id})
    ctx.store.execute("DELETE FROM implied_role WHERE role_id = :id OR implied_id = :id", id=id)
    ctx.store.delete("role", {"id": id})


# -- what implies what -----------------------------------------------------------------------------------------------------


def _pair(ctx: Context, id: str, implied_id: str) -> tuple[Row, Row]:
    return find_role(ctx, id), find_role(ctx, implied_id)


@allow(ADMIN, "identity:create_implied_role")
def create_implied_role(ctx: Context, id: str, implied_id: str) -> tuple[Row, Row]:
    """Whoever has the first role has the second too, from now on. Twice is once."""
    prior, implied = _pair(ctx, id, implied_id)
    if implied["name"] in NEVER_IMPLIED:
        raise Forbidden(f"{implied_id} cannot be an implied roles")  # as Keystone spells it
    if prior["domain_id"] is None and implied["domain_id"] is not None:
        raise Forbidden(f"{implied_id} cannot be an implied roles")
    with changing(ctx, "implied_role.created", id):
        ctx.store.execute("INSERT OR IGNORE INTO implied_role (role_id, implied_id) VALUES (?, ?)", id, implied_id)
    return prior, implied


@allow(SEES_ALL, "identity:get_implied_role")
def get_implied_role(ctx: Context, id: str, implied_id: str) -> tuple[Row, Row]:
    """The two, if the first implies the second. Raises NotFound."""
    prior, implied = _pair(ctx, id, implied_id)
    if not ctx.store.find("implied_role", {"role_id": id, "implied_id": implied_id}):
        raise NotFound(f"{id} does not imply {implied_id}")
    return prior, implied


@allow(ADMIN, "identity:delete_implied_role")
def delete_implied_role(ctx: Context, id: str, implied_id: str) -> None:
    """The first role no longer brings the second."""
    get_implied_role(ctx, id, implied_id)
    with changing(ctx, "implied_role.deleted", id):
        ctx.store.delete("implied_role", {"role_id": id, "implied_id": implied_id})


@allow(SEES_ALL, "identity:list_implied_roles")
def list_implied_roles(ctx: Context, id: str) -> tuple[Row, list[Row]]:
    """A role and those that it implies directly."""
    ids = [row["implied_id"] for row in ctx.store.find("implied_role", {"role_id": id})]
    return find_role(ctx, id), ctx.store.find("role", {"id": ids}, order="name")


@allow(SEES_ALL, "identity:list_role_inference_rules")
def list_role_inferences(ctx: Context) -> list[tuple[Row, list[Row]]]:
    """Each role that implies others, with those."""
    roles = {row["id"]: row for row in ctx.store.find("role", order="name")}
    found: dict[str, list[Row]] = {}
    for row in ctx.store.find("implied_role"):
        found.setdefault(row["role_id"], []).append(roles[row["implied_id"]])
    return [(roles[id], implied) for id, implied in found.items()]
