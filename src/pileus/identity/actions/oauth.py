"""OAuth 1.0a (OS-OAUTH1): consumers, request tokens that a user authorizes, and the access tokens that come of them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

from pileus.errors import Forbidden, NotFound, Unauthorized
from pileus.identity.actions import ADMIN, SEES_ALL, changing, missing, new_id
from pileus.identity.actions.application_credentials import role_id
from pileus.identity.actions.effective import Target, effective
from pileus.identity.actions.projects import find_project
from pileus.identity.actions.roles import find_role
from pileus.identity.actions.rows import Noun
from pileus.identity.actions.tokens import mine
from pileus.identity.vault import seal, unseal
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row

CONSUMERS = Noun("consumer", "consumer", "Consumer")
REQUEST_SECONDS, ACCESS_SECONDS = 28_800, 86_400  # Keystone's defaults


@allow(SEES_ALL, "identity:get_consumer")
def get_consumer(ctx: Context, id: str) -> Row:
    return CONSUMERS.find(ctx, id)


@allow(SEES_ALL, "identity:list_consumers")
def list_consumers(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return CONSUMERS.search(ctx, where)


@allow(ADMIN, "identity:create_consumer")
def create_consumer(ctx: Context, values: Row) -> Row:
    """A program that users may delegate to. The answer is the only one that has `secret` in the clear."""
    secret = secrets.token_hex(16)
    row = CONSUMERS.add(ctx, {**values, "secret": seal(ctx.cloud, secret)})
    return {**row, "secret": secret}


@allow(ADMIN, "identity:update_consumer")
def update_consumer(ctx: Context, id: str, values: Row) -> Row:
    return CONSUMERS.change(ctx, CONSUMERS.find(ctx, id), values)


@allow(ADMIN, "identity:delete_consumer")
def delete_consumer(ctx: Context, id: str) -> None:
    """Delete a consumer with all that users have authorized it to."""
    CONSUMERS.find(ctx, id)
    with changing(ctx, "consumer.deleted", id):
        for row in ctx.store.find("oauth_token", {"consumer_id": id}):
            _erase(ctx, row["id"])
        ctx.store.delete("consumer", {"id": id})


def _erase(ctx: Context, id: str) -> None:
    ctx.store.delete("token", {"access_token_id": id})
    ctx.store.delete("oauth_token", {"id": id})


# -- the way to an access token --------------------------------------------------------------------------------------------


def secret_of(ctx: Context, row: Row | None) -> str:
    """The secret of a consumer or a token; empty when there is none."""
    return unseal(ctx.cloud, row["secret"]) if row else ""


def live(ctx: Context, kind: str, id: str) -> Row:
    """A request or access token that is in force. Raises Unauthorized."""
    row = ctx.store.first("oauth_token", {"id": id, "kind": kind})
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= ctx.now()):
        raise Unauthorized("")
    return row


def _new(ctx: Context, kind: str, seconds: int, values: Row) -> dict[str, str]:
    id, secret, ends = new_id(), secrets.token_hex(16), ctx.now() + seconds * 1_000_000
    ctx.store.execute("DELETE FROM oauth_token WHERE expires_at < ?", ctx.now())
    ctx.store.insert("oauth_token", {"id": id, "kind": kind, "secret": seal(ctx.cloud, secret), "expires_at": ends, **values})
    return {"oauth_token": id, "oauth_token_secret": secret}


def request_token(ctx: Context, consumer: Row, project_id: str) -> dict[str, str]:
    """A token for a consumer, whose signature has been checked, to have authorized for a project."""
    find_project(ctx, project_id)
    with changing(ctx, "request_token.created", consumer["id"]):
        return _new(ctx, "request", REQUEST_SECONDS, {"consumer_id": consumer["id"], "project_id": project_id})


@allow(ANYONE, "identity:authorize_request_token")
def authorize(ctx: Context, id: str, roles: Sequence[Row]) -> str:
    """Let the consumer have some of the caller's roles in the project it has asked for. Returns the verifier, which proves it."""
    if any(mine(ctx)[column] for column in ("trust_id", "access_token_id", "application_credential_id")):
        raise Forbidden("Cannot authorize a request token with a token issued via delegation.")
    row = ctx.store.first("oauth_token", {"id": id, "kind": "request"})
    if row is None or row["expires_at"] <= ctx.now():
        raise NotFound("Request token not found")
    ids = [role_id(ctx, each) for each in roles]
    has = {role["id"] for role in effective(ctx.store, ctx.user_id, Target("project", row["project_id"]))}
    if not ids or not has.issuperset(ids):
        raise Unauthorized("authorizing user does not have role required")
    verifier = secrets.token_hex(4)
    with changing(ctx, "request_token.authorized", id):
        ctx.store.update("oauth_token", id, {"user_id": ctx.user_id, "roles": json.dumps(ids), "verifier": verifier})
    return verifier


def access_token(ctx: Context, request: Row, verifier: str) -> dict[str, str]:
    """The access token for a request token, which is spent by it. The signature has been checked."""
    if request["verifier"] is None or not secrets.compare_digest(request["verifier"], verifier):
        raise Unauthorized("")
    values = {name: request[name] for name in ("consumer_id", "project_id", "user_id", "roles")}
    with changing(ctx, "access_token.created", request["consumer_id"]):
        ctx.store.delete("oauth_token", {"id": request["id"]})
        return _new(ctx, "access", ACCESS_SECONDS, values)


# -- what a user has authorized --------------------------------------------------------------------------------------------


def _own(ctx: Context, user_id: str, policy: str) -> None:
    if ctx.user_id != user_id and not ctx.is_admin:
        forbid(policy)
    if ctx.user_id == user_id and mine(ctx)["access_token_id"]:
        raise Forbidden("Cannot list request tokens with a token issued via delegation.")


@allow(ANYONE, "identity:list_access_tokens")
def list_access_tokens(ctx: Context, user_id: str) -> list[Row]:
    """The access tokens that a user has authorized."""
    _own(ctx, user_id, "identity:list_access_tokens")
    return ctx.store.find("oauth_token", {"user_id": user_id, "kind": "access"}, order="rowid")


@allow(ANYONE, "identity:get_access_token")
def get_access_token(ctx: Context, user_id: str, id: str) -> Row:
    """One of them."""
    _own(ctx, user_id, "identity:get_access_token")
    row = ctx.store.first("oauth_token", {"user_id": user_id, "kind": "access", "id": id})
    if row is None:
        raise NotFound("Access token not found")
    return row


@allow(ANYONE, "identity:list_access_token_roles")
def list_access_token_roles(ctx: Context, user_id: str, id: str) -> list[Row]:
    """The roles that an access token has."""
    return [find_role(ctx, each) for each in json.loads(get_access_token(ctx, user_id, id)["roles"])]


@allow(ANYONE, "identity:get_access_token_role")
def get_access_token_role(ctx: Context, user_id: str, id: str, wanted: str) -> Row:
    """One of them."""
    if wanted not in json.loads(get_access_token(ctx, user_id, id)["roles"]):
        raise missing("role", wanted)
    return find_role(ctx, wanted)


@allow(ANYONE, "identity:delete_access_token")
def delete_access_token(ctx: Context, user_id: str, id: str) -> None:
    """Take back what was authorized; the tokens that came of it die."""
    get_access_token(ctx, user_id, id)
    with changing(ctx, "access_token.deleted", id):
        _erase(ctx, id)
