"""Handlers of tokens, and of what a token's bearer may ask about itself."""

from __future__ import annotations

from typing import Any

from pileus.errors import NotFound
from pileus.identity import catalog
from pileus.identity.actions import tokens, users
from pileus.identity.actions.effective import THE_SYSTEM, effective
from pileus.identity.api.read import many
from pileus.identity.resources import DOMAIN, PROJECT
from pileus.kit.clock import iso
from pileus.kit.policy import forbid
from pileus.kit.store import Row
from pileus.kit.web import Request, Response


def _subject(request: Request) -> str:
    text = request.headers.get("x-subject-token")
    if not text:
        raise NotFound("Could not recognize Fernet token")
    return text


def token_body(request: Request, row: Row) -> dict[str, Any]:
    ctx = request.ctx
    shown = tokens.describe(ctx, row)
    if "roles" in shown and "nocatalog" not in request.query:
        shown["catalog"] = catalog.catalog(ctx, row["project_id"], row["user_id"])
    return {"token": {**shown, **{name: iso(row[name], fraction=True) for name in ("expires_at", "issued_at")}}}


def show_token(request: Request) -> Response:
    text = _subject(request)
    return Response(200, token_body(request, tokens.validate(request.ctx, text)), {"X-Subject-Token": text})


def revoke_token(request: Request) -> Response:
    tokens.revoke(request.ctx, _subject(request))
    return Response(204)


def auth_catalog(request: Request) -> Response:
    ctx = request.ctx
    if not (ctx.project_id or ctx.who.domain_id or ctx.who.system):
        forbid("identity:get_auth_catalog")
    return Response(
        200, {"catalog": catalog.catalog(ctx, ctx.who.project_id, ctx.user_id), "links": {"self": f"{ctx.base_url}/v3/auth/catalog"}}
    )


def auth_projects(request: Request) -> Response:
    return many(PROJECT, users.list_user_projects(request.ctx, request.ctx.user_id), request)


def auth_domains(request: Request) -> Response:
    return many(DOMAIN, users.list_user_projects(request.ctx, request.ctx.user_id, domains=True), request)


def auth_system(request: Request) -> Response:
    ctx = request.ctx
    all_of_it = [{"all": True}] if effective(ctx.store, ctx.user_id, THE_SYSTEM) else []
    return Response(200, {"system": all_of_it, "links": {"self": f"{ctx.base_url}/v3/auth/system"}})
