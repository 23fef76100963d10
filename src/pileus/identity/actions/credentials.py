"""Secrets that a user keeps here: EC2 keys, TOTP seeds, certificates. They are encrypted before they are written."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden
from pileus.identity.actions import SEES_ALL, changing, merged, missing, new_id, pack
from pileus.identity.actions.projects import find_project
from pileus.identity.actions.tokens import delegated, mine
from pileus.identity.actions.users import find_user
from pileus.identity.vault import seal, unseal
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row

EC2 = "ec2"
MARKS = {"trust_id": "trust_id", "app_cred_id": "application_credential_id", "access_token_id": "access_token_id"}


def opened(ctx: Context, row: Row) -> Row:
    """A credential as its user knows it."""
    return {**row, "blob": unseal(ctx.cloud, row["blob"])}


def _own(ctx: Context, row: Row | None, id: str, policy: str, also: Any) -> Row:
    if not also(ctx) and (row is None or row["user_id"] != ctx.user_id):
        forbid(policy)
    if row is None:
        raise missing("credential", id)
    return row


def _admin(ctx: Context) -> bool:
    return ctx.is_admin


@allow(ANYONE, "identity:get_credential")
def get_credential(ctx: Context, id: str) -> Row:
    """One of the caller's own; an admin and the system's readers see everybody's."""
    return opened(ctx, _own(ctx, ctx.store.get("credential", id), id, "identity:get_credential", SEES_ALL))


@allow(ANYONE, "identity:list_credentials")
def list_credentials(ctx: Context, where: dict[str, Any]) -> list[Row]:
    """The caller's own; an admin and the system's readers see everybody's."""
    if not SEES_ALL(ctx):
        where = {**where, "user_id": ctx.user_id if where.get("user_id", ctx.user_id) == ctx.user_id else []}
    return [opened(ctx, row) for row in ctx.store.find("credential", where, order="created_at, rowid")]


@allow(ANYONE, "identity:create_credential")
def create_credential(ctx: Context, values: Row) -> Row:
    """A secret of the caller's own (an admin: of anybody's). An EC2 key needs a project."""
    user_id = values.get("user_id") or ctx.user_id
    if user_id != ctx.user_id and not ctx.is_admin:
        forbid("identity:create_credential")
    find_user(ctx, user_id)
    _not_by_delegation(ctx, values["type"])
    id = new_id()
    if values["type"] == EC2:
        blob = _ec2_blob(ctx, values)
        id = ec2_id(blob["access"])
        if ctx.store.get("credential", id):
            raise Conflict(f"Conflict occurred attempting to store credential - Duplicate entry found with ID {id}.")
        values = {**values, "blob": json.dumps(blob)}
    if values.get("project_id"):
        find_project(ctx, values["project_id"])
    row = {"id": id, **pack({**values, "user_id": user_id, "blob": seal(ctx.cloud, values["blob"])}), "created_at": ctx.now()}
    with changing(ctx, "credential.created", id):
        ctx.store.insert("credential", row)
    return opened(ctx, row | {"project_id": row.get("project_id")})


def _not_by_delegation(ctx: Context, *types: str) -> None:
    """A seed of passcodes is as good as a password: what acts for a user must not change those. EC2 keys are bound to what made them."""
    if any(each != EC2 for each in types) and delegated(ctx):
        raise Forbidden("A token that comes by delegation is not allowed for managing credentials other than EC2 keys.")


def _ec2_blob(ctx: Context, values: Row) -> dict[str, Any]:
    """What is in an EC2 key, with what it was made by, so that it can do no more than that. Raises BadRequest."""
    try:
        blob = json.loads(values["blob"])
    except ValueError:
        blob = None
    if not isinstance(blob, dict) or not isinstance(blob.get("access"), str) or not isinstance(blob.get("secret"), str):
        raise BadRequest("Invalid blob in credential: an EC2 key is a JSON object with access and secret.")
    if not values.get("project_id"):
        raise BadRequest("project_id must be specified for an EC2 credential.")
    return {**blob, **_marks(ctx)}


def _marks(ctx: Context) -> dict[str, Any]:
    token = mine(ctx)
    return {name: token[column] for name, column in MARKS.items() if token[column]}


@allow(ANYONE, "identity:update_credential")
def update_credential(ctx: Context, id: str, values: Row) -> Row:
    """Change a secret of the caller's own (an admin: anybody's)."""
    row = _own(ctx, ctx.store.get("credential", id), id, "identity:update_credential", _admin)
    if values.get("user_id", row["user_id"]) != row["user_id"] and not ctx.is_admin:
        forbid("identity:update_credential")
    _not_by_delegation(ctx, row["type"], str(values.get("type", row["type"])))
    if EC2 in (row["type"], values.get("type")) and "blob" in values:
        kept = json.loads(unseal(ctx.cloud, row["blob"])) if row["type"] == EC2 else {}
        blob = _ec2_blob(ctx, {"project_id": row["project_id"], **values})
        if row["type"] == EC2 and any(blob.get(name) != kept.get(name) for name in MARKS):
            raise BadRequest("What an EC2 key was made by cannot be changed. Make another key.")
        values = {**values, "blob": json.dumps(blob)}
    changes = pack({**merged(row, values), "updated_at": ctx.now(), "revision": row["revision"] + 1})
    if "blob" in changes:
        changes["blob"] = seal(ctx.cloud, changes["blob"])
    with changing(ctx, "credential.updated", id):
        ctx.store.update("credential", id, changes)
    return opened(ctx, {**row, **changes})


@allow(ANYONE, "identity:delete_credential")
def delete_credential(ctx: Context, id: str) -> None:
    """Delete a secret of the caller's own (an admin: anybody's)."""
    row = _own(ctx, ctx.store.get("credential", id), id, "identity:delete_credential", _admin)
    _not_by_delegation(ctx, row["type"])
    with changing(ctx, "credential.deleted", id):
        ctx.store.delete("credential", {"id": id})


# -- EC2 keys --------------------------------------------------------------------------------------------------------------


def ec2_id(access: str) -> str:
    """The id under which an EC2 key is kept."""
    return hashlib.sha256(access.encode()).hexdigest()


def ec2_view(ctx: Context, row: Row) -> Row:
    """An EC2 key as OS-EC2 shows it; `row` is opened."""
    blob = json.loads(row["blob"])
    return {
        "access": blob["access"],
        "secret": blob["secret"],
        "user_id": row["user_id"],
        "tenant_id": row["project_id"],
        "trust_id": blob.get("trust_id"),
        "links": {"self": f"{ctx.base_url}/v3/users/{row['user_id']}/credentials/OS-EC2/{blob['access']}"},
    }


@allow(ANYONE, "identity:ec2_create_credential")
def create_ec2(ctx: Context, user_id: str, project_id: str) -> Row:
    """A new EC2 key for a project, of the caller's own (an admin: of anybody's)."""
    if user_id != ctx.user_id and not ctx.is_admin:
        forbid("identity:ec2_create_credential")
    find_user(ctx, user_id)
    find_project(ctx, project_id)
    blob = {"access": secrets.token_hex(16), "secret": secrets.token_hex(16)}
    return create_credential(ctx, {"type": EC2, "user_id": user_id, "project_id": project_id, "blob": json.dumps(blob)})


def _ec2(ctx: Context, user_id: str, access: str, policy: str, also: Any) -> Row:
    row = ctx.store.first("credential", {"id": ec2_id(access), "user_id": user_id, "type": EC2})
    if row is None:
        raise missing("credential", access)
    return _own(ctx, row, access, policy, also)


@allow(ANYONE, "identity:ec2_get_credential")
def get_ec2(ctx: Context, user_id: str, access: str) -> Row:
    """An EC2 key of the caller's own; an admin and the system's readers see everybody's."""
    return opened(ctx, _ec2(ctx, user_id, access, "identity:ec2_get_credential", SEES_ALL))


@allow(ANYONE, "identity:ec2_list_credentials")
def list_ec2(ctx: Context, user_id: str) -> list[Row]:
    """The EC2 keys of the caller; an admin and the system's readers see everybody's."""
    if user_id != ctx.user_id and not SEES_ALL(ctx):
        forbid("identity:ec2_list_credentials")
    find_user(ctx, user_id)
    return [opened(ctx, row) for row in ctx.store.find("credential", {"user_id": user_id, "type": EC2}, order="created_at, rowid")]


@allow(ANYONE, "identity:ec2_delete_credential")
def delete_ec2(ctx: Context, user_id: str, access: str) -> None:
    """Delete an EC2 key of the caller's own (an admin: anybody's)."""
    row = _ec2(ctx, user_id, access, "identity:ec2_delete_credential", _admin)
    with changing(ctx, "credential.deleted", row["id"]):
        ctx.store.delete("credential", {"id": row["id"]})


def ec2_key(ctx: Context, access: str) -> tuple[Row, dict[str, Any]] | None:
    """The key with this access part and what is in it, for whoever checks a signature."""
    row = ctx.store.first("credential", {"id": ec2_id(access), "type": EC2})
    blob = json.loads(unseal(ctx.cloud, row["blob"])) if row else {}
    return (row, blob) if row and blob["access"] == access else None
