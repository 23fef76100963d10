"""Handlers of role assignments."""

from __future__ import annotations

from pileus.identity.actions import assignments, tokens
from pileus.identity.actions.assignments import SYSTEM, Target
from pileus.identity.api.read import listed, many
from pileus.identity.resources import ROLE
from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route


def _target(request: Request, kind: str) -> tuple[str, Target]:
    if kind == SYSTEM:
        return request.params["id"], Target(SYSTEM, SYSTEM)
    return request.params["key"], Target(kind, request.params["id"])


def grants(kind: str, prefix: str, user: str, role: str) -> list[Route]:
    """The five routes of role assignments on one kind of target."""

    def put(request: Request) -> Response:
        assignments.grant(request.ctx, *_target(request, kind), request.params[role])
        return Response(204)

    def delete(request: Request) -> Response:
        assignments.revoke(request.ctx, *_target(request, kind), request.params[role])
        return Response(204)

    def check(request: Request) -> Response:
        assignments.check_grant(request.ctx, *_target(request, kind), request.params[role])
        return Response(204)

    def listing(request: Request) -> Response:
        return many(ROLE, assignments.list_grants(request.ctx, *_target(request, kind)), request)

    base = f"{prefix}/users/{{{user}}}/roles"
    named = f"{base}/{{{role}}}"
    what = f"a role of a user on a {kind}"
    return [
        Route("GET", base, listing, doc=f"The roles of a user on a {kind}."),
        Route("PUT", named, put, doc=f"Give {what}."),
        Route("HEAD", named, check, doc=f"Whether there is {what}."),
        Route("GET", named, check, doc=f"Whether there is {what}."),
        Route("DELETE", named, delete, doc=f"Take away {what}."),
    ]


SCOPES = {"scope.project.id": ("target_id", "project"), "scope.domain.id": ("target_id", "domain")}


def list_assignments(request: Request) -> Response:
    ctx = request.ctx
    where: dict[str, str] = {}
    for name, value in request.pairs:
        if name == "user.id":
            where["actor_id"] = value
        elif name == "role.id":
            where["role_id"] = value
        elif name in SCOPES:
            where["target_id"] = value
        elif name == "scope.system":
            where["target_type"] = SYSTEM
        elif name == "group.id":
            where |= {"actor_id": value, "actor_type": "group"}
    flags = {name: value.lower() not in ("false", "0") for name, value in request.pairs if name in ("effective", "include_names")}
    rows = assignments.list_assignments(ctx, where, effective_too=flags.get("effective", False))
    names = flags.get("include_names", False)
    return listed("role_assignments", [_assignment(ctx, row, names) for row in rows], request)


def _assignment(ctx: Context, row: Row, names: bool) -> Row:
    kind, target, user, role = row["target_type"], row["target_id"], row["actor_id"], row["role_id"]
    prior = row.get("prior_role_id")
    path = f"{kind}s/{target}" if kind != SYSTEM else SYSTEM
    links = {"assignment": f"{ctx.base_url}/v3/{path}/users/{user}/roles/{prior or role}"}
    if prior:
        links["prior_role"] = f"{ctx.base_url}/v3/prior_role/{prior}/implies/{role}"
    scope: Row = {SYSTEM: {"all": True}} if kind == SYSTEM else {kind: {"id": target}}
    shown: Row = {"links": links, "scope": scope, "user": {"id": user}, "role": {"id": role}}
    if names:
        found_role, found_user = ctx.store.get("role", role), ctx.store.get("user", user)
        shown["role"]["name"] = found_role["name"] if found_role else ""
        shown["user"] |= {"name": found_user["name"], "domain": tokens.domain_brief(ctx, found_user["domain_id"])} if found_user else {}
        if kind != SYSTEM and (place := ctx.store.get("project", target)):
            scope[kind]["name"] = place["name"]
            if kind == "project":
                scope[kind]["domain"] = tokens.domain_brief(ctx, place["domain_id"])
    return shown
