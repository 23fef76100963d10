"""From the body of POST /v3/auth/tokens to a token: who, by which method, for which scope."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest, Fault, Forbidden, NotFound, Unauthorized
from pileus.identity import audit, totp
from pileus.identity.actions import tokens, trusts, users
from pileus.identity.actions.credentials import list_credentials
from pileus.identity.actions.effective import Target, effective
from pileus.identity.actions.tokens import DELEGATIONS, Scope
from pileus.identity.passwords import Passwords
from pileus.identity.resources import AUTH_SCHEMA, expecting, required
from pileus.kit.context import Context
from pileus.kit.store import Row

TRUST = "OS-TRUST:trust"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a method has proved: which user; the token it was given; and, of a delegation, what the new token is bound to."""

    user: Row
    old: Row | None = None
    via: Row | None = None
    scope: Scope | None = None


async def login(ctx: Context, body: Any, passwords: Passwords, prove_oauth: Callable[[], Proof]) -> tuple[str, Row]:
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
    proof = await _prove(ctx, identity, methods, passwords, prove_oauth)
    with _noting(ctx, proof.user):
        return _token(ctx, proof, methods, auth.get("scope"))


def _token(ctx: Context, proof: Proof, methods: list[str], asked: Any) -> tuple[str, Row]:
    """The token for what is proved, and in the scope that is asked for."""
    _enough(proof, methods)
    if isinstance(asked, dict) and isinstance(asked.get(TRUST), dict):
        return _by_trust(ctx, proof, methods, asked[TRUST])
    scope = _scope(ctx, asked)
    if proof.scope is not None:  # a delegation brings its scope along
        if scope is not None and scope != proof.scope:
            raise Unauthorized("")
        scope = proof.scope
    if scope is None:
        scope = Scope() if asked == "unscoped" else _default(ctx, proof.user, proof.old)
    return tokens.issue(ctx, proof.user, methods, scope, rescoped=proof.old, via=proof.via)


def _enough(proof: Proof, methods: list[str]) -> None:
    """A user who has rules about it has to prove itself by several methods."""
    options = json.loads(proof.user["options"])
    rules = options.get("multi_factor_auth_rules") or []
    if not rules or options.get("multi_factor_auth_enabled") is False or proof.via:
        return
    given = {*methods, *(json.loads(proof.old["methods"]) if proof.old else [])}
    if not any(given.issuperset(rule) for rule in rules):
        raise Unauthorized("")


def _by_trust(ctx: Context, proof: Proof, methods: list[str], asked: Row) -> tuple[str, Row]:
    """A token of the trustor's, or the trustee's with the trustor's roles: the trust says which."""
    if proof.via:
        raise Forbidden("A token of a delegation cannot be made into one of a trust.")
    trust = trusts.use(ctx, str(asked.get("id")), proof.user)
    user = users.find_user(ctx, trust["trustor_user_id"]) if trust["impersonation"] else proof.user
    via = {"trust_id": trust["id"], "expires_at": trust["expires_at"]}
    with ctx.store.transaction():
        trusts.spend(ctx, trust)
        return tokens.issue(ctx, user, methods, Scope(project_id=trust["project_id"]), rescoped=proof.old, via=via)


@contextlib.contextmanager
def _noting(ctx: Context, user: Row) -> Iterator[None]:
    """Leave a line in the audit log for a user who has proved who it is, and is refused all the same."""
    try:
        yield
    except Fault as fault:
        with ctx.store.transaction(durable=False):
            audit.record(ctx, "user.authenticated", user["id"], user_id=user["id"], failed=fault.message or "no role in the scope")
        raise


# -- methods ---------------------------------------------------------------------------------------------------------------


async def _prove(ctx: Context, identity: Row, methods: list[str], passwords: Passwords, prove_oauth: Callable[[], Proof]) -> Proof:
    """What every named method proves; they have to agree about the user."""
    found: Proof | None = None
    for method in methods:
        given = identity.get(method)
        if method == "oauth1":
            proof = prove_oauth()
        elif method in METHODS:
            proof = await METHODS[method](ctx, given, passwords)
        else:
            raise Unauthorized(f"Attempted to authenticate with an unsupported method: {method}.")
        if found is not None and found.user["id"] != proof.user["id"]:
            raise Unauthorized("")
        before = found or proof
        found = Proof(proof.user, proof.old or before.old, proof.via or before.via, proof.scope or before.scope)
    assert found is not None  # methods is not empty
    return found


async def _by_password(ctx: Context, given: Any, passwords: Passwords) -> Proof:
    user = given.get("user") if isinstance(given, dict) else None
    if not isinstance(user, dict) or not isinstance(user.get("password"), str):
        raise expecting("identity.password.user with a password")
    row = _named(ctx, user, "identity.password.user")
    fits = await passwords.check(row["password_hash"] if row else None, user["password"])
    by_password_checked(ctx, row, fits, str(user.get("id") or user.get("name")))
    assert row is not None
    return Proof(row)


def by_password_checked(ctx: Context, row: Row | None, fits: bool, name: str) -> None:
    """Count a wrong password; raise Unauthorized for it, for one of a user who is locked out, and for one that has expired."""
    if row is None or not fits or users.locked(ctx, row):
        users.refused(ctx, row, name)
        raise Unauthorized("")
    users.proved(ctx, row)


def _named(ctx: Context, user: Row, where: str) -> Row | None:
    if isinstance(user.get("id"), str):
        return ctx.store.get("user", user["id"])
    domain = user.get("domain")
    if not isinstance(user.get("name"), str) or not isinstance(domain, dict):
        raise expecting(f"{where} with an id, or a name and a domain")
    return users.named_user(ctx, user["name"], domain.get("id"), domain.get("name"))


async def _by_token(ctx: Context, given: Any, passwords: Passwords) -> Proof:
    text = given.get("id") if isinstance(given, dict) else None
    if not isinstance(text, str):
        raise expecting("identity.token.id")
    row = tokens.lookup(ctx.store, text, ctx.now())
    user = ctx.store.get("user", row["user_id"]) if row and tokens.credentials(ctx.store, row) else None
    if row is None or user is None:
        raise NotFound("Could not recognize Fernet token")  # the one method whose failure Keystone answers so
    if row["trust_id"] or row["access_token_id"]:
        raise Forbidden("You are not authorized to perform the requested action: rescope a delegated token.")
    if row["application_credential_id"]:
        via = {column: row[column] for column in DELEGATIONS if row[column]}
        return Proof(user, row, via, tokens.scope_of(row))
    return Proof(user, row)


async def _by_application_credential(ctx: Context, given: Any, passwords: Passwords) -> Proof:
    if not isinstance(given, dict) or not isinstance(given.get("secret"), str):
        raise expecting("identity.application_credential with a secret")
    if isinstance(given.get("id"), str):
        row = ctx.store.get("application_credential", given["id"])
    else:
        user = given.get("user")
        if not isinstance(given.get("name"), str) or not isinstance(user, dict):
            raise expecting("identity.application_credential with an id, or a name and a user")
        owner = _named(ctx, user, "identity.application_credential.user")
        row = ctx.store.first("application_credential", {"user_id": owner["id"], "name": given["name"]}) if owner else None
    fits = await passwords.check(row["secret_hash"] if row else None, given["secret"])
    if row is None or not fits or (row["expires_at"] is not None and row["expires_at"] <= ctx.now()):
        with ctx.store.transaction(durable=False):
            who = row["user_id"] if row else ""
            target = row["id"] if row else str(given.get("id") or given.get("name"))[:255]
            audit.record(ctx, "application_credential.authenticated", target, user_id=who, failed="Unauthorized")
        raise Unauthorized("")
    via = {"application_credential_id": row["id"], "expires_at": row["expires_at"]}
    return Proof(users.find_user(ctx, row["user_id"]), via=via, scope=Scope(project_id=row["project_id"]))


async def _by_totp(ctx: Context, given: Any, passwords: Passwords) -> Proof:
    user = given.get("user") if isinstance(given, dict) else None
    if not isinstance(user, dict) or not isinstance(user.get("passcode"), str):
        raise expecting("identity.totp.user with a passcode")
    row = _named(ctx, user, "identity.totp.user")
    seeds = list_credentials(ctx.internal(), {"user_id": row["id"], "type": "totp"}) if row else []
    if row is None or users.locked(ctx, row) or not any(totp.fits(each["blob"], user["passcode"], ctx.now()) for each in seeds):
        users.refused(ctx, row, str(user.get("id") or user.get("name")))
        raise Unauthorized("")
    return Proof(row)


METHODS: dict[str, Callable[[Context, Any, Passwords], Awaitable[Proof]]] = {
    "password": _by_password,
    "token": _by_token,
    "application_credential": _by_application_credential,
    "totp": _by_totp,
}

# -- scopes ----------------------------------------------------------------------------------------------------------------


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
    """Without a scope: the user's default project, if it is open and the user has a role there, else none."""
    id = user["default_project_id"]
    if id and old is None and effective(ctx.store, user["id"], Target("project", id)):
        project = ctx.store.get("project", id)
        if project and project["enabled"]:
            return Scope(project_id=id)
    return Scope()
