"""Tokens: issued, validated, revoked. A token is a random text; the database keeps its hash and its scope, the roles are looked up."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from pileus.errors import NotFound, Unauthorized
from pileus.identity import audit
from pileus.identity.actions import changing, new_audit_id
from pileus.identity.actions.effective import THE_SYSTEM, Target, effective, named
from pileus.kit.clock import iso
from pileus.kit.context import AccessRule, Context, Credentials
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row, Store

PREFIX = "gAAAA"  # the clients' logs mask tokens by this start
DELEGATIONS = {"trust_id": "trust", "application_credential_id": "application_credential", "access_token_id": "oauth_token"}


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
        return THE_SYSTEM if self.system else None


def token_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def issue(
    ctx: Context, user: Row, methods: list[str], scope: Scope, *, rescoped: Row | None = None, via: Row | None = None
) -> tuple[str, Row]:
    """A token for a user who has proved who they are. Returns its text and its row.

    rescoped  the token it is made from, whose end it keeps
    via       the delegation it comes by: {"trust_id": id} and the like, and `expires_at` where it ends before the token would

    Raises Unauthorized when there is no role in the scope, or user, project or domain are disabled.
    """
    now = ctx.now() // 1_000_000 * 1_000_000
    ends = now + int(ctx.cloud.options.get("token_hours", 24)) * 3_600_000_000
    delegated = dict(via or {})
    if (before := delegated.pop("expires_at", None)) is not None:
        ends = min(ends, before)
    text = PREFIX + secrets.token_urlsafe(32)
    old_methods = [m for m in (json.loads(rescoped["methods"]) if rescoped else []) if m not in methods]
    row = {
        "id": token_id(text),
        "user_id": user["id"],
        "project_id": scope.project_id,
        "domain_id": scope.domain_id,
        "system": int(scope.system),
        **dict.fromkeys(DELEGATIONS),
        **delegated,
        "methods": json.dumps([*methods, *old_methods]),
        "audit_ids": json.dumps([new_audit_id(), *([json.loads(rescoped["audit_ids"])[-1]] if rescoped else [])]),
        "issued_at": now,
        "expires_at": rescoped["expires_at"] if rescoped else ends,
    }
    if not _enabled(ctx.store, user, scope) or (scope.target and not roles_of(ctx.store, row)):
        raise Unauthorized("")
    with ctx.store.transaction():
        ctx.store.execute("DELETE FROM token WHERE expires_at < ?", now)
        ctx.store.insert("token", row)
        audit.record(ctx, "user.authenticated", user["id"], user_id=user["id"])
    return text, row


def _enabled(store: Store, user: Row, scope: Scope) -> bool:
    """Whether the user, its domain, and the scope with its domain are all there and switched on."""
    ids = {user["domain_id"], *(id for id in (scope.project_id, scope.domain_id) if id)}
    rows = {row["id"]: row for row in store.find("project", {"id": ids})}
    if project := rows.get(scope.project_id or ""):
        if project["domain_id"] not in rows and (domain := store.get("project", project["domain_id"])):
            rows[domain["id"]] = domain
        ids.add(project["domain_id"])
    return bool(user["enabled"]) and all(id in rows and rows[id]["enabled"] for id in ids)


def lookup(store: Store, text: str, now: int) -> Row | None:
    """The token's row, if it lives."""
    row = store.get("token", token_id(text))
    return row if row and row["expires_at"] > now else None


def scope_of(row: Row) -> Scope:
    return Scope(row["project_id"], row["domain_id"], bool(row["system"]))


def delegation(store: Store, row: Row) -> tuple[str, Row | None]:
    """By what a token comes: the column that names it and its row; ('', None) when its user has signed in itself."""
    for column, table in DELEGATIONS.items():
        if row[column]:
            return column, store.get(table, row[column])
    return "", None


def delegated(ctx: Context) -> str:
    """The column that says by which delegation the caller's token comes; empty when the user has signed in itself."""
    return delegation(ctx.store, mine(ctx))[0]


def roles_of(store: Store, row: Row) -> list[Row]:
    """The roles a token has now: the user's in its scope, or those delegated which whoever delegated them still has. Empty: none."""
    target = scope_of(row).target
    if target is None:
        return []
    column, by = delegation(store, row)
    if not column:
        return effective(store, row["user_id"], target)
    if by is None or by["project_id"] != target.id:
        return []  # what was delegated in one project opens no other
    giver = by["trustor_user_id"] if column == "trust_id" else by["user_id"]
    has = {role["id"] for role in effective(store, giver, target)}
    wanted = json.loads(by["roles"])
    if column == "trust_id" and not has.issuperset(wanted):
        return []  # a trustor who has lost a role no longer stands for what was promised
    return [role for role in named(store, wanted) if role["id"] in has]


def _giver_enabled(store: Store, column: str, by: Row) -> bool:
    for id in (by["trustor_user_id"], by["trustee_user_id"]) if column == "trust_id" else (by["user_id"],):
        user = store.get("user", id)
        if user is None or not user["enabled"]:
            return False
    return True


def credentials(store: Store, row: Row) -> Credentials | None:
    """What a token says now: None when its user or scope is gone or closed, or no role is left in it."""
    user = store.get("user", row["user_id"])
    scope = scope_of(row)
    if user is None or not _enabled(store, user, scope):
        return None
    roles = roles_of(store, row)
    column, by = delegation(store, row)
    if (scope.target and not roles) or (column and (by is None or not _giver_enabled(store, column, by))):
        return None
    place = store.get("project", scope.project_id or scope.domain_id or "") if scope.project_id or scope.domain_id else None
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
        access_rules=_access_rules(store, by) if column == "application_credential_id" and by else None,
    )


def _access_rules(store: Store, credential: Row) -> tuple[AccessRule, ...] | None:
    if credential["rules"] is None:
        return None
    rows = store.find("access_rule", {"id": json.loads(credential["rules"])})
    return tuple(AccessRule(row["service"], row["method"], row["path"]) for row in rows)


@allow(ANYONE, "identity:validate_token")
def validate(ctx: Context, text: str) -> Row:
    """The token's row, for its own user, an admin or a service. Raises NotFound in Keystone's words."""
    row = lookup(ctx.store, text, ctx.now())
    if row is None or credentials(ctx.store, row) is None:
        raise NotFound("Could not recognize Fernet token")
    if row["user_id"] != ctx.user_id and not _may_look(ctx):
        forbid("identity:validate_token")
    return row


def _may_look(ctx: Context) -> bool:
    return ctx.is_admin or "service" in ctx.roles or (ctx.who.system and "reader" in ctx.roles)


@allow(ANYONE, "identity:revoke_token")
def revoke(ctx: Context, text: str) -> None:
    """End a token, and those made from it."""
    row = validate(ctx, text)
    if row["user_id"] != ctx.user_id and not ctx.is_admin:
        forbid("identity:revoke_token")
    chain = json.loads(row["audit_ids"])[-1]
    with changing(ctx, "token.revoked", row["user_id"]):
        ctx.store.delete("token", {"id": row["id"]})
        if len(json.loads(row["audit_ids"])) == 1:
            for child in ctx.store.find("token", {"user_id": row["user_id"]}):
                if json.loads(child["audit_ids"])[-1] == chain:
                    ctx.store.delete("token", {"id": child["id"]})


def mine(ctx: Context) -> Row:
    """The row of the token that the request came with."""
    row = ctx.store.get("token", ctx.who.token_id)
    if row is None:
        raise Unauthorized("")
    return row


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
            "password_expires_at": iso(user["password_expires_at"], fraction=True, zone=""),
        },
        "audit_ids": json.loads(row["audit_ids"]),
    }
    if scope.target:
        shown["roles"] = [{"id": role["id"], "name": role["name"]} for role in roles_of(ctx.store, row)]
    if scope.project_id and (project := ctx.store.get("project", scope.project_id)):
        shown["project"] = {"domain": domain_brief(ctx, project["domain_id"]), "id": project["id"], "name": project["name"]}
        shown["is_domain"] = False
    elif scope.domain_id:
        shown["domain"] = domain_brief(ctx, scope.domain_id)
    elif scope.system:
        shown["system"] = {"all": True}
    return {**shown, **_delegated(ctx, row)}


def _delegated(ctx: Context, row: Row) -> dict[str, Any]:
    """What a token says of the delegation it comes by."""
    column, by = delegation(ctx.store, row)
    if by is None:
        return {}
    if column == "trust_id":
        people = {name: {"id": by[f"{name}_id"]} for name in ("trustor_user", "trustee_user")}
        return {"OS-TRUST:trust": {"id": by["id"], "impersonation": bool(by["impersonation"]), **people}}
    if column == "access_token_id":
        return {"OS-OAUTH1": {"access_token_id": by["id"], "consumer_id": by["consumer_id"]}}
    shown: dict[str, Any] = {"id": by["id"], "name": by["name"], "restricted": not by["unrestricted"]}
    if by["rules"] is not None:
        rules = ctx.store.find("access_rule", {"id": json.loads(by["rules"])})
        shown["access_rules"] = [{k: rule[k] for k in ("id", "service", "method", "path")} for rule in rules]
    return {"application_credential": shown}


def domain_brief(ctx: Context, id: str) -> dict[str, str]:
    row = ctx.store.get("project", id)
    return {"id": id, "name": row["name"] if row else ""}
