"""Handlers of projects, domains, users and roles: the five of each, and those that differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.errors import Unauthorized
from pileus.identity import resources
from pileus.identity.actions import SEES_ALL, projects, roles, users
from pileus.identity.api.read import body_of, decode, filters, listed, many, one
from pileus.identity.api.tokens import token_body
from pileus.identity.login import login
from pileus.identity.passwords import Passwords
from pileus.identity.resources import PROJECT, ROLE, USER, expecting
from pileus.kit.policy import require
from pileus.kit.resource import Resource
from pileus.kit.web import Request, Response, Route


def show_project(request: Request) -> Response:
    row = projects.get_project(request.ctx, request.params["id"])
    answer = one(PROJECT, row, request)
    if "parents_as_ids" in request.query:
        answer.body["project"]["parents"] = projects.parents(request.ctx, row)
    return answer


def update_project(request: Request) -> Response:
    values = decode(PROJECT, request, "update")
    row = projects.update_project(request.ctx, request.params["id"], values)
    answer = one(PROJECT, row, request)
    if kept := resources.extra(row):
        answer.body["project"]["extra"] = kept  # Keystone's answer to an update shows them twice
    return answer


def list_projects(request: Request) -> Response:
    """All projects to an admin; to another user those it has a role in, when it asks for no more."""
    ctx = request.ctx
    if not SEES_ALL(ctx) and request.query.get("user_id") == ctx.user_id:
        return many(PROJECT, users.list_user_projects(ctx, ctx.user_id), request)
    return many(PROJECT, projects.list_projects(ctx, filters(PROJECT, request)), request)


def user_projects(request: Request) -> Response:
    return many(PROJECT, users.list_user_projects(request.ctx, request.params["id"]), request)


def user_groups(request: Request) -> Response:
    users.get_user(request.ctx, request.params["id"])
    return listed("groups", [], request)


def list_roles(request: Request) -> Response:
    return many(ROLE, roles.list_roles(request.ctx, filters(ROLE, request)), request)


def with_passwords(passwords: Passwords) -> dict[str, Callable[[Request], Any]]:
    """The handlers that hash or check a password, which takes longer than the loop may be held."""

    async def create_user(request: Request) -> Response:
        values = decode(USER, request, "create")
        require(request.ctx, users.create_user)  # whoever may not must not make us hash
        hashed = await passwords.hash(values["password"]) if values.get("password") is not None else None
        return one(USER, users.create_user(request.ctx, values, hashed), request, 201)

    async def update_user(request: Request) -> Response:
        values = decode(USER, request, "update")
        require(request.ctx, users.update_user)
        users.find_user(request.ctx, request.params["id"])
        hashed = await passwords.hash(values["password"]) if values.get("password") is not None else None
        row = users.update_user(request.ctx, request.params["id"], values, hashed)
        answer = one(USER, row, request)
        if kept := resources.extra(row):
            answer.body["user"]["extra"] = kept
        return answer

    async def change_password(request: Request) -> Response:
        given = body_of(request).get("user")
        if not isinstance(given, dict) or not all(isinstance(given.get(k), str) for k in ("original_password", "password")):
            raise expecting("user.original_password and user.password")
        row = users.find_user(request.ctx, request.params["id"])
        if row["id"] != request.ctx.user_id or not await passwords.check(row["password_hash"], given["original_password"]):
            raise Unauthorized("")
        users.change_password(request.ctx, row["id"], await passwords.hash(given["password"]))
        return Response(204)

    async def create_token(request: Request) -> Response:
        text, row = await login(request.ctx, body_of(request), passwords)
        return Response(201, token_body(request, row), {"X-Subject-Token": text})

    return {"create_user": create_user, "update_user": update_user, "change_password": change_password, "create_token": create_token}


def crud(resource: Resource, verbs: Any, show: Any = None, update: Any = None, listing: Any = None, create: Any = None) -> list[Route]:
    """The five routes of a resource whose actions are named after it."""
    noun, base = resource.key, f"/v3/{resource.plural}"

    def do(verb: str) -> Callable[..., Any]:
        action: Callable[..., Any] = getattr(verbs, f"{verb}_{noun}")
        return action

    def create_it(request: Request) -> Response:
        return one(resource, do("create")(request.ctx, decode(resource, request, "create")), request, 201)

    def show_it(request: Request) -> Response:
        return one(resource, do("get")(request.ctx, request.params["id"]), request)

    def update_it(request: Request) -> Response:
        return one(resource, do("update")(request.ctx, request.params["id"], decode(resource, request, "update")), request)

    def delete_it(request: Request) -> Response:
        do("delete")(request.ctx, request.params["id"])
        return Response(204)

    def list_it(request: Request) -> Response:
        return many(resource, getattr(verbs, f"list_{resource.plural}")(request.ctx, filters(resource, request)), request)

    return [
        Route("GET", base, listing or list_it, doc=f"List {resource.plural}."),
        Route("POST", base, create or create_it, doc=f"Create a {noun}."),
        Route("GET", f"{base}/{{id}}", show or show_it, doc=f"Show a {noun}."),
        Route("PATCH", f"{base}/{{id}}", update or update_it, doc=f"Change a {noun}."),
        Route("DELETE", f"{base}/{{id}}", delete_it, doc=f"Delete a {noun}."),
    ]
