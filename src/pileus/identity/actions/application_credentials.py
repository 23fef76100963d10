"""Application credentials: a password of a user's own making for a program, with some of its roles in one project; and access rules."""

from __future__ import annotations

import json
from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden
from pileus.identity.actions import SEES_ALL, changing, missing, new_id, pack
from pileus.identity.actions.effective import Target, effective
from pileus.identity.actions.roles import find_role
from pileus.identity.actions.tokens import delegation, mine
from pileus.identity.actions.users import find_user
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row


def _own(ctx: Context, user_id: str, policy: str, also: Any = None) -> None:
    """Refuse whoever is not this user, unless `also` lets them."""
    if ctx.user_id != user_id and not (also and also(ctx)):
        forbid(policy)


def may_delegate(ctx: Context, what: str) -> Row:
    """The caller's token, which must not be a delegation itself that is not meant to be passed on. Raises Forbidden."""
    row = mine(ctx)
    column, by = delegation(ctx.store, row)
    if column == "application_credential_id" and not (by and by["unrestricted"]):
        raise Forbidden(f"Using method 'application_credential' is not allowed for managing {what}.")
    return row


@allow(ANYONE, "identity:get_application_credential")
def get_application_credential(ctx: Context, user_id: str, id: str) -> Row:
    """One of a user's own; an admin and the system's readers see everybody's."""
    _own(ctx, user_id, "identity:get_application_credential", SEES_ALL)
    row = ctx.store.first("application_credential", {"id": id, "user_id": user_id})
    if row is None:
        raise missing("Application Credential", id)
    return row


@allow(ANYONE, "identity:list_application_credentials")
def list_application_credentials(ctx: Context, user_id: str, where: dict[str, Any]) -> list[Row]:
    """A user's own; an admin and the system's readers see everybody's."""
    _own(ctx, user_id, "identity:list_application_credentials", SEES_ALL)
    find_user(ctx, user_id)
    return ctx.store.find("application_credential", {**where, "user_id": user_id}, order="created_at, rowid")


@allow(ANYONE, "identity:create_application_credential")
def create_application_credential(ctx: Context, user_id: str, values: Row, secret_hash: str) -> Row:
    """A credential for the project of the caller's token, with the roles asked for or all that the token has."""
    token = may_create(ctx, user_id)
    values.pop("secret", None)
    wanted = values.pop("roles", None)
    roles = _roles(ctx, token, wanted) if wanted else [role["id"] for role in _has(ctx, token)]
    if values.get("expires_at") is not None and values["expires_at"] <= ctx.now():
        raise BadRequest("Invalid application credential: it would have expired already.")
    rules = values.pop("access_rules", None)
    row = {
        "id": new_id(),
        **pack(values),
        "user_id": user_id,
        "project_id": token["project_id"],
        "secret_hash": secret_hash,
        "roles": json.dumps(roles),
        "created_at": ctx.now(),
    }
    with changing(ctx, "application_credential.created", row["id"]):
        if ctx.store.first("application_credential", {"user_id": user_id, "name": row["name"]}):
            raise Conflict(f"Conflict occurred attempting to store application_credential - Duplicate entry found with name {row['name']}.")
        row["rules"] = None if rules is None else json.dumps([_rule(ctx, user_id, rule) for rule in rules])
        ctx.store.insert("application_credential", row)
    return get_application_credential(ctx, user_id, row["id"])


def may_create(ctx: Context, user_id: str) -> Row:
    """The caller's token, if it may make a credential for this user; asked before a secret is hashed, too."""
    _own(ctx, user_id, "identity:create_application_credential")
    token = may_delegate(ctx, "additional application credentials")
    if token["trust_id"] or token["access_token_id"]:  # it would outlive them
        raise Forbidden("Using a token of a trust or of OAuth is not allowed for managing application credentials.")
    if not token["project_id"]:
        raise BadRequest("Invalid application credential: a token that is scoped to a project is needed.")
    return token


def _has(ctx: Context, token: Row) -> list[Row]:
    """The roles of the caller's token: a delegation does not hand on more than it was given."""
    return [role for role in effective(ctx.store, token["user_id"], Target("project", token["project_id"])) if role["name"] in ctx.roles]


def _roles(ctx: Context, token: Row, wanted: list[Row]) -> list[str]:
    has = {role["id"] for role in _has(ctx, token)}
    ids = [role_id(ctx, each) for each in wanted]
    for id in ids:
        if id not in has:
            raise BadRequest(
                f"Invalid application credential: Could not find role assignment with role: {id}, user or group: {token['user_id']},"
                f" project, domain, or system: {token['project_id']}."
            )
    return list(dict.fromkeys(ids))


def role_id(ctx: Context, given: Row) -> str:
    """The id of a role that is named by id or by name. Raises NotFound."""
    if given.get("id"):
        return str(find_role(ctx, given["id"])["id"])
    name = given.get("name", "")
    row = ctx.store.first("role", {"name": name, "domain_id": None})
    if row is None:
        raise missing("role", name)
    return str(row["id"])


@allow(ANYONE, "identity:delete_application_credential")
def delete_application_credential(ctx: Context, user_id: str, id: str) -> None:
    """Delete one of a user's own (an admin: anybody's). Its tokens die; its access rules stay until they are deleted."""
    _own(ctx, user_id, "identity:delete_application_credential", lambda ctx: ctx.is_admin)
    may_delegate(ctx, "additional application credentials")
    get_application_credential(ctx, user_id, id)
    with changing(ctx, "application_credential.deleted", id):
        ctx.store.delete("token", {"application_credential_id": id})
        ctx.store.delete("application_credential", {"id": id})


# -- access rules ----------------------------------------------------------------------------------------------------------


def _rule(ctx: Context, user_id: str, given: Row) -> str:
    """The id of the user's access rule that says this; made when there is none."""
    if "id" in given:
        return str(_find_rule(ctx, user_id, given["id"])["id"])
    if not {"service", "method", "path"} <= given.keys():
        raise BadRequest("Invalid application credential: an access rule has a service, a method and a path, or the id of one.")
    where = {"user_id": user_id, **{name: given[name] for name in ("service", "method", "path")}}
    if found := ctx.store.first("access_rule", where):
        return str(found["id"])
    ctx.store.insert("access_rule", {"id": (id := new_id()), **where})
    return id


def _find_rule(ctx: Context, user_id: str, id: str) -> Row:
    row = ctx.store.first("access_rule", {"id": id, "user_id": user_id})
    if row is None:
        raise missing("Access Rule", id)
    return row


@allow(ANYONE, "identity:get_access_rule")
def get_access_rule(ctx: Context, user_id: str, id: str) -> Row:
    """One of a user's own; an admin and the system's readers see everybody's."""
    _own(ctx, user_id, "identity:get_access_rule", SEES_ALL)
    return _find_rule(ctx, user_id, id)


@allow(ANYONE, "identity:list_access_rules")
def list_access_rules(ctx: Context, user_id: str, where: dict[str, Any]) -> list[Row]:
    """A user's own; an admin and the system's readers see everybody's."""
    _own(ctx, user_id, "identity:list_access_rules", SEES_ALL)
    return ctx.store.find("access_rule", {**where, "user_id": user_id}, order="rowid")


@allow(ANYONE, "identity:delete_access_rule")
def delete_access_rule(ctx: Context, user_id: str, id: str) -> None:
    """Delete an access rule that no application credential has."""
    _own(ctx, user_id, "identity:delete_access_rule", lambda ctx: ctx.is_admin)
    _find_rule(ctx, user_id, id)
    for row in ctx.store.find("application_credential", {"user_id": user_id}):
        if row["rules"] and id in json.loads(row["rules"]):
            raise Forbidden(f"The access rule {id} is in use by the application credential {row['id']}. Delete that first.")
    with changing(ctx, "access_rule.deleted", id):
        ctx.store.delete("access_rule", {"id": id})
