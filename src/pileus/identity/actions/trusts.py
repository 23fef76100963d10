"""Trusts: a user, the trustor, lets another, the trustee, act in a project with some of the trustor's roles."""

from __future__ import annotations

import json
from typing import Any

from pileus.errors import BadRequest, Forbidden, Unauthorized
from pileus.identity.actions import SEES_ALL, changing, missing, new_id, pack
from pileus.identity.actions.application_credentials import may_delegate, role_id
from pileus.identity.actions.effective import Target, effective
from pileus.identity.actions.projects import find_project
from pileus.identity.actions.roles import find_role
from pileus.identity.actions.users import find_user
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row

REDELEGATIONS = 3  # how often a trust may be handed on: Keystone's max_redelegation_count


def find_trust(ctx: Context, id: str) -> Row:
    """A trust that is in force. Raises NotFound."""
    row = ctx.store.get("trust", id)
    if row is None or row["remaining_uses"] == 0 or (row["expires_at"] is not None and row["expires_at"] <= ctx.now()):
        raise missing("trust", id)
    return row


def _party(ctx: Context, id: str, policy: str, *names: str) -> Row:
    """A trust, for those of its two users that are named, and for whoever sees all."""
    row = find_trust(ctx, id)
    if not SEES_ALL(ctx) and ctx.user_id not in [row[name] for name in names]:
        forbid(policy)
    return row


BOTH = ("trustor_user_id", "trustee_user_id")


@allow(ANYONE, "identity:get_trust")
def get_trust(ctx: Context, id: str) -> Row:
    """A trust, for its two users, an admin, and the system's readers."""
    return _party(ctx, id, "identity:get_trust", *BOTH)


@allow(ANYONE, "identity:list_trusts")
def list_trusts(ctx: Context, where: dict[str, Any]) -> list[Row]:
    """Trusts that are in force: a user's own by `trustor_user_id` or `trustee_user_id`, all of them to whoever sees all."""
    if not SEES_ALL(ctx):
        asked = [name for name in BOTH if where.get(name) == ctx.user_id]
        if not asked:
            given = next((name for name in BOTH if name in where), "")
            forbid({"": "identity:list_trusts"}.get(given, f"identity:list_trusts_for_{given.removesuffix('_user_id')}"))
    rows = ctx.store.find("trust", where, order="created_at, rowid")
    return [row for row in rows if row["remaining_uses"] != 0 and (row["expires_at"] is None or row["expires_at"] > ctx.now())]


@allow(ANYONE, "identity:create_trust")
def create_trust(ctx: Context, values: Row) -> Row:
    """A trust of the caller's. With a token of a trust that allows it, that trust is handed on."""
    token = may_delegate(ctx, "trusts")
    if values["trustor_user_id"] != ctx.user_id:
        forbid("identity:create_trust")
    passed_on = find_trust(ctx, token["trust_id"]) if token["trust_id"] else None
    find_user(ctx, values["trustee_user_id"])
    roles = [role_id(ctx, each) for each in values.pop("roles", None) or []]
    if values.get("project_id"):
        find_project(ctx, values["project_id"])
        if not roles:
            raise Forbidden("At least one role should be specified")
        has = {role["id"] for role in effective(ctx.store, ctx.user_id, Target("project", values["project_id"]))}
        for id in roles:
            if id not in has:
                raise missing("role", id)
    elif roles:
        raise BadRequest("Roles are of a project: give project_id.")
    if values.get("expires_at") is not None and values["expires_at"] <= ctx.now():
        raise BadRequest("The trust would have expired already: expires_at has to be in the future.")
    row = {
        "id": new_id(),
        **pack({**values, **_redelegation(values, passed_on, roles)}),
        "roles": json.dumps(list(dict.fromkeys(roles))),
        "created_at": ctx.now(),
    }
    row.pop("allow_redelegation", None)
    with changing(ctx, "trust.created", row["id"]):
        ctx.store.insert("trust", row)
    return find_trust(ctx, row["id"])


def _redelegation(values: Row, passed_on: Row | None, roles: list[str]) -> Row:
    """How often the new trust may be handed on. Raises Forbidden for one that gives more than it comes from."""
    allowed, count = values.get("allow_redelegation"), values.get("redelegation_count")
    if allowed and values.get("remaining_uses") is not None:
        raise Forbidden("remaining_uses must not be set if redelegation is allowed")
    if count is not None and count > REDELEGATIONS:
        raise Forbidden(f"Requested redelegation depth of {count} is greater than allowed {REDELEGATIONS}")
    if passed_on is None:
        return {"redelegated_trust_id": None, "redelegation_count": (REDELEGATIONS if count is None else count) if allowed else 0}
    left = passed_on["redelegation_count"]
    if left < 1:
        raise Forbidden(f"Redelegation depth of {left} allows no further trust")
    if count is not None and count >= left:
        raise Forbidden("Requested redelegation count is greater than what is left of it")
    if not set(roles) <= set(json.loads(passed_on["roles"])):
        raise Forbidden("Some of requested roles are not in redelegated trust")
    ends = passed_on["expires_at"]
    if ends is not None and (values.get("expires_at") is None or values["expires_at"] > ends):
        raise Forbidden("Requested expiration time is more than redelegated trust can provide")
    if values["impersonation"] and not passed_on["impersonation"]:
        raise Forbidden("Impersonation is not allowed because redelegated trust does not specify impersonation.")
    return {
        "redelegated_trust_id": passed_on["id"],
        "redelegation_count": (left - 1 if count is None else count) if allowed else 0,
    }


@allow(ANYONE, "identity:delete_trust")
def delete_trust(ctx: Context, id: str) -> None:
    """Take back a trust, and those it was handed on by; their tokens die. The trustor and an admin may."""
    row = find_trust(ctx, id)
    if not ctx.is_admin and ctx.user_id != row["trustor_user_id"]:
        forbid("identity:delete_trust")
    with changing(ctx, "trust.deleted", id):
        _erase(ctx, id)


def _erase(ctx: Context, id: str) -> None:
    for further in ctx.store.find("trust", {"redelegated_trust_id": id}):
        _erase(ctx, further["id"])
    ctx.store.delete("token", {"trust_id": id})
    ctx.store.delete("trust", {"id": id})


@allow(ANYONE, "identity:list_roles_for_trust")
def list_trust_roles(ctx: Context, id: str) -> list[Row]:
    """The roles that a trust delegates."""
    row = _party(ctx, id, "identity:list_roles_for_trust", *BOTH)
    return [find_role(ctx, each) for each in json.loads(row["roles"])]


@allow(ANYONE, "identity:get_role_for_trust")
def get_trust_role(ctx: Context, id: str, wanted: str) -> Row:
    """One of the roles that a trust delegates. Raises NotFound for another."""
    row = _party(ctx, id, "identity:get_role_for_trust", *BOTH)
    if wanted not in json.loads(row["roles"]):
        raise missing("role", wanted)
    return find_role(ctx, wanted)


def use(ctx: Context, id: str, user: Row) -> Row:
    """The trust that this user signs in by. Raises Unauthorized or Forbidden."""
    row = ctx.store.get("trust", id)
    if row is None or row["remaining_uses"] == 0 or (row["expires_at"] is not None and row["expires_at"] <= ctx.now()):
        raise Unauthorized("")
    if user["id"] != row["trustee_user_id"]:
        raise Forbidden("User is not a trustee.")
    trustor = ctx.store.get("user", row["trustor_user_id"])
    if trustor is None or not trustor["enabled"]:
        raise Forbidden("Trustor is disabled.")
    return row


def spend(ctx: Context, row: Row) -> None:
    """One use less; in the caller's transaction, with the token that it was used for."""
    if row["remaining_uses"] is not None:
        ctx.store.execute("UPDATE trust SET remaining_uses = remaining_uses - 1 WHERE id = ?", row["id"])
