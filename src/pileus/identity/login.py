"""From the body of POST /v3/auth/tokens to a token: who, by which method, for which scope."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, Forbidden, Unauthorized
from pileus.identity.actions import tokens, users
from pileus.identity.actions.assignments import Target, effective
from pileus.identity.actions.tokens import Scope
from pileus.identity.passwords import Passwords
from pileus.identity.resources import AUTH_SCHEMA, expecting, required
from pileus.kit.context import Context
from pileus.kit.store import Row


async def login(ctx: Context, body: Any, passwords: Passwords) -> tuple[str, Row]:
    """A new token's text and row. Raises BadRequest for a malformed body, else Unauthorized, which does not say what was wrong."""
    auth = body.get("auth") if isinstance(body, dict) else None
    if not isinstance(auth, dict):
        raise expecting("auth")
    identity = auth.get("identity")
    if identity is None:
        raise required("identity", AUTH_SCHEMA, auth)
    methods = identity.get("methods") if isinstance(identity, dict) else None
    if not isinstance(methods, list) or not methods or not all(isinstance(m, str) for m in methods):
        raise expecting("identity.methods")
    user, old = await _prove(ctx, identity, methods, passwords)
    scope = _scope(ctx, auth.get("scope"))
    if scope is None:
        scope = Scope() if auth.get("scope") == "unscoped" else _default(ctx, user, old)
    return tokens.issue(ctx, user, methods, scope, rescoped=old)


async def _prove(ctx: Context, identity: Row, methods: list[str], passwords: Passwords) -> tuple[Row, Row | None]:
    """The user that every named method proves, and the token it came with."""
    user: Row | None = None
    old: Row | None = None
    for method in methods:
        if method == "password":
            proved = await _by_password(ctx, identity.get("password"), passwords)
        elif method == "token":
            proved, old = _by_token(ctx, identity.get("token"))
        else:
            raise Unauthorized(f"Attempted to authenticate with an unsupported method: {method}.")
        if user is not None and user["id"] != proved["id"]:
            raise Unauthorized("")
        user = proved
    assert user is not None  # methods is not empty
    return user, old


async def _by_password(ctx: Context, given: Any, passwords: Passwords) -> Row:
    user = given.get("user") if isinstance(given, dict) else None
    if not isinstance(user, dict) or not isinstance(user.get("password"), str):
        raise expecting("identity.password.user with a password")
    row = _named(ctx, user)
    if not await passwords.check(row["password_hash"] if row else None, user["password"]) or row is None:
        raise Unauthorized("")
    return row


def _named(ctx: Context, user: Row) -> Row | None:
    if isinstance(user.get("id"), str):
        return ctx.store.get("user", user["id"])
    domain = user.get("domain")
    if not isinstance(user.get("name"), str) or not isinstance(domain, dict):
        raise expecting("identity.password.user with an id, or a name and a domain")
    return users.named_user(ctx, user["name"], domain.get("id"), domain.get("name"))


def _by_token(ctx: Context, given: Any) -> tuple[Row, Row]:
    text = given.get("id") if isinstance(given, dict) else None
    if not isinstance(text, str):
        raise expecting("identity.token.id")
    row = tokens.lookup(ctx.store, text, ctx.now())
    user = ctx.store.get("user", row["user_id"]) if row and tokens.credentials(ctx.store, row) else None
    if row is None or user is None:
        raise Unauthorized("")
    return user, row


def _scope(ctx: Context, given: Any) -> Scope | None:
    """The scope that is asked for; None when none is. Raises Unauthorized for a place that is not there: who may not know is not told."""
    if given is None or given == "unscoped" or given == {}:
        return None
    if not isinstance(given, dict):
        raise expecting("scope as an object")
    if "unscoped" in given:
        return Scope()
    if len(given) != 1:
        raise BadRequest("A token has one scope: name a project, a domain or the system, not several.")
    kind, what = next(iter(given.items()))
    if kind == "system":
        return Scope(system=True)
    if kind in ("project", "domain") and isinstance(what, dict):
        id = _place(ctx, kind, what)
        return Scope(project_id=id) if kind == "project" else Scope(domain_id=id)
    raise Forbidden(f"A scope of the kind {kind!r} is not served by this cloud.")


def _place(ctx: Context, kind: str, what: Row) -> str:
    if isinstance(what.get("id"), str):
        row = ctx.store.get("project", what["id"])
    elif kind == "domain":
        row = ctx.store.first("project", {"is_domain": 1, "name": str(what.get("name"))})
    else:
        given = what.get("domain")
        domain = given.get("id") or _place(ctx, "domain", given) if isinstance(given, dict) else None
        row = ctx.store.first("project", {"is_domain": 0, "name": str(what.get("name")), "domain_id": domain})
    if row is None or bool(row["is_domain"]) != (kind == "domain"):
        raise Unauthorized("")
    return str(row["id"])


def _default(ctx: Context, user: Row, old: Row | None) -> Scope:
    """Without a scope: the user's default project, if it has a role there, else none."""
    id = user["default_project_id"]
    if id and old is None and effective(ctx.store, user["id"], Target("project", id)):
        return Scope(project_id=id)
    return Scope()
