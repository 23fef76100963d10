"""Tokens: issued, validated, revoked. A token is a random text; the database keeps its hash and its scope, the roles are looked up."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from pileus.errors import NotFound, Unauthorized
from pileus.identity.actions import EPOCH, new_audit_id
from pileus.identity.actions.assignments import SYSTEM, Target, effective
from pileus.kit.context import Context, Credentials
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row, Store

PREFIX = "gAAAA"  # the clients' logs mask tokens by this start


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for: at most one of the three."""

    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False

    @property
    def target(self) -> Target | None:
        if self.project_id:
            return Target("project", self.project_id)
        if self.domain_id:
            return Target("domain", self.domain_id)
        return Target(SYSTEM, SYSTEM) if self.system else None


def token_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def issue(ctx: Context, user: Row, methods: list[str], scope: Scope, *, rescoped: Row | None = None) -> tuple[str, Row]:
    """A token for a user who has proved who they are. `rescoped`: the token it is made from, whose end it keeps.

    Raises Unauthorized when the user has no role in the scope, or user, project or domain are disabled.
    """
    _enabled(ctx, user, scope)
    if scope.target and not effective(ctx.store, user["id"], scope.target):
        raise Unauthorized("")
    now = ctx.now() // 1_000_000 * 1_000_000
    hours = int(ctx.cloud.options.get("token_hours", 24))
    text = PREFIX + secrets.token_urlsafe(32)
    row = {
        "id": token_id(text),
        "user_id": user["id"],
        "project_id": scope.project_id,
        "domain_id": scope.domain_id,
        "system": int(scope.system),
        "methods": json.dumps([*methods, *(m for m in (json.loads(rescoped["methods"]) if rescoped else []) if m not in methods)]),
        "audit_ids": json.dumps([new_audit_id(), *([json.loads(rescoped["audit_ids"])[-1]] if rescoped else [])]),
        "issued_at": now,
        "expires_at": rescoped["expires_at"] if rescoped else now + hours * 3_600_000_000,
    }
    with ctx.store.transaction():
        ctx.store.execute("DELETE FROM token WHERE expires_at < ?", now)
        ctx.store.insert("token", row)
    return text, row


def _enabled(ctx: Context, user: Row, scope: Scope) -> None:
    ids = [user["domain_id"], *(id for id in (scope.project_id, scope.domain_id) if id)]
    rows = {row["id"]: row for row in ctx.store.find("project", {"id": ids})}
    if not user["enabled"] or any(id not in rows or not rows[id]["enabled"] for id in ids):
        raise Unauthorized("")


def lookup(store: Store, text: str, now: int) -> Row | None:
    """The token's row, if it lives."""
    row = store.get("token", token_id(text))
    return row if row and row["expires_at"] > now else None


def scope_of(row: Row) -> Scope:
    return Scope(row["project_id"], row["domain_id"], bool(row["system"]))


def credentials(store: Store, row: Row) -> Credentials | None:
    """What a token says now: None when its user or scope is gone or closed, or no role is left in it."""
    user = store.get("user", row["user_id"])
    scope = scope_of(row)
    place = store.get("project", scope.project_id or scope.domain_id or "") if scope.project_id or scope.domain_id else None
    if user is None or not user["enabled"] or ((scope.project_id or scope.domain_id) and (place is None or not place["enabled"])):
        return None
    roles = effective(store, user["id"], scope.target) if scope.target else []
    if scope.target and not roles:
        return None
    return Credentials(
        user_id=user["id"],
        user_name=user["name"],
        user_domain_id=user["domain_id"],
        project_id=scope.project_id,
        project_name=place["name"] if place and scope.project_id else "",
        project_domain_id=place["domain_id"] if place and scope.project_id else None,
        domain_id=scope.domain_id,
        system=scope.system,
        roles=frozenset(role["name"] for role in roles),
        expires_at=row["expires_at"],
        token_id=row["id"],
    )


@allow(ANYONE, "identity:validate_token")
def validate(ctx: Context, text: str) -> Row:
    """The token's row, for its own user or an admin. Raises NotFound in Keystone's words."""
    row = lookup(ctx.store, text, ctx.now())
    if row is None or credentials(ctx.store, row) is None:
        raise NotFound("Could not recognize Fernet token")
    if row["user_id"] != ctx.user_id and not ctx.is_admin and "service" not in ctx.roles:
        forbid("identity:validate_token")
    return row


@allow(ANYONE, "identity:revoke_token")
def revoke(ctx: Context, text: str) -> None:
    """End a token, and those made from it."""
    row = validate(ctx, text)
    chain = json.loads(row["audit_ids"])[-1]
    with ctx.store.transaction():
        ctx.store.delete("token", {"id": row["id"]})
        if len(json.loads(row["audit_ids"])) == 1:
            for child in ctx.store.find("token", {"user_id": row["user_id"]}):
                if json.loads(child["audit_ids"])[-1] == chain:
                    ctx.store.delete("token", {"id": child["id"]})
        ctx.bump(EPOCH)


def describe(ctx: Context, row: Row) -> dict[str, Any]:
    """The token as Keystone shows it, but for the catalog."""
    user = ctx.store.get("user", row["user_id"])
    assert user is not None
    scope = scope_of(row)
    shown: dict[str, Any] = {
        "methods": json.loads(row["methods"]),
        "user": {
            "domain": domain_brief(ctx, user["domain_id"]),
            "id": user["id"],
            "name": user["name"],
            "password_expires_at": None,
        },
        "audit_ids": json.loads(row["audit_ids"]),
    }
    if scope.target:
        shown["roles"] = [{"id": role["id"], "name": role["name"]} for role in effective(ctx.store, user["id"], scope.target)]
    if scope.project_id and (project := ctx.store.get("project", scope.project_id)):
        shown["project"] = {"domain": domain_brief(ctx, project["domain_id"]), "id": project["id"], "name": project["name"]}
        shown["is_domain"] = False
    elif scope.domain_id:
        shown["domain"] = domain_brief(ctx, scope.domain_id)
    elif scope.system:
        shown["system"] = {"all": True}
    return shown


def domain_brief(ctx: Context, id: str) -> dict[str, str]:
    row = ctx.store.get("project", id)
    return {"id": id, "name": row["name"] if row else ""}
