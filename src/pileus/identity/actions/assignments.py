"""Who has which role where, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from pileus.identity.actions import ADMIN, EPOCH, SEES_ALL, missing
from pileus.kit.context import Context
from pileus.kit.policy import allow
from pileus.kit.store import Row, Store

SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a role holds. `type`: project, domain or system (whose id is `system`)."""

    type: str
    id: str


def implied(store: Store) -> dict[str, list[str]]:
    """role id -> the roles it implies directly."""
    found: dict[str, list[str]] = {}
    for row in store.find("implied_role"):
        found.setdefault(row["role_id"], []).append(row["implied_id"])
    return found


def with_implied(store: Store, role_ids: list[str]) -> list[str]:
    """These roles and all that they imply, each once, in that order."""
    more = implied(store)
    out = dict.fromkeys(role_ids)
    todo = list(out)
    while todo:
        for id in more.get(todo.pop(0), ()):
            if id not in out:
                out[id] = None
                todo.append(id)
    return list(out)


def effective(store: Store, user_id: str, target: Target) -> list[Row]:
    """The roles a user has on a target, with what they imply."""
    found = store.find("role_assignment", {"actor_id": user_id, "target_id": target.id, "target_type": target.type, "inherited": 0})
    ids = with_implied(store, [row["role_id"] for row in found])
    rows = {row["id"]: row for row in store.find("role", {"id": ids})}
    return [rows[id] for id in ids if id in rows]


def _check(ctx: Context, user_id: str, target: Target, role_id: str | None = None) -> None:
    if ctx.store.get("user", user_id) is None:
        raise missing("user", user_id)
    if target.type != SYSTEM:
        row = ctx.store.get("project", target.id)
        if row is None or bool(row["is_domain"]) != (target.type == "domain"):
            raise missing(target.type, target.id)
    if role_id is not None and ctx.store.get("role", role_id) is None:
        raise missing("role", role_id)


@allow(ADMIN, "identity:create_grant")
def grant(ctx: Context, user_id: str, target: Target, role_id: str) -> None:
    """Give a user a role on a target; giving it twice is once."""
    _check(ctx, user_id, target, role_id)
    with ctx.store.transaction():
        ctx.store.execute(
            "INSERT OR IGNORE INTO role_assignment (actor_id, target_id, target_type, role_id) VALUES (?, ?, ?, ?)",
            user_id,
            target.id,
            target.type,
            role_id,
        )
        ctx.bump(EPOCH)


@allow(ADMIN, "identity:revoke_grant")
def revoke(ctx: Context, user_id: str, target: Target, role_id: str) -> None:
    """Take a role away; tokens of the user for that target die with it."""
    _check(ctx, user_id, target, role_id)
    with ctx.store.transaction():
        gone = ctx.store.delete("role_assignment", {"actor_id": user_id, "target_id": target.id, "role_id": role_id})
        if not gone:
            raise missing("role assignment", role_id)
        column, value = {"project": ("project_id", target.id), "domain": ("domain_id", target.id)}.get(target.type, ("system", 1))
        ctx.store.delete("token", {"user_id": user_id, column: value})
        ctx.bump(EPOCH)


@allow(SEES_ALL, "identity:check_grant")
def check_grant(ctx: Context, user_id: str, target: Target, role_id: str) -> None:
    """Raises NotFound unless the user has the role there by assignment."""
    _check(ctx, user_id, target, role_id)
    if not ctx.store.find("role_assignment", {"actor_id": user_id, "target_id": target.id, "role_id": role_id}):
        raise missing("role assignment", role_id)


@allow(SEES_ALL, "identity:list_grants")
def list_grants(ctx: Context, user_id: str, target: Target) -> list[Row]:
    """The roles a user has on a target by assignment."""
    _check(ctx, user_id, target)
    ids = [row["role_id"] for row in ctx.store.find("role_assignment", {"actor_id": user_id, "target_id": target.id, "inherited": 0})]
    return ctx.store.find("role", {"id": ids}, order="name")


@allow(SEES_ALL, "identity:list_role_assignments")
def list_assignments(ctx: Context, where: dict[str, str], *, effective_too: bool = False) -> list[Row]:
    """Assignments that match; with `effective_too`, one more row for each implied role, whose `prior_role_id` says where it comes from."""
    rows = ctx.store.find("role_assignment", where, order="actor_id, target_id, role_id")
    if not effective_too:
        return rows
    out: list[Row] = []
    for row in rows:
        out.append(row)
        for id in with_implied(ctx.store, [row["role_id"]])[1:]:
            out.append({**row, "role_id": id, "prior_role_id": row["role_id"]})
    return out
