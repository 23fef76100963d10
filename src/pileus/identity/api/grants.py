"""Handlers of role assignments."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest
from pileus.identity.actions import assignments, tokens
from pileus.identity.actions.assignments import Actor, Wanted
from pileus.identity.actions.effective import SYSTEM, THE_SYSTEM, Target
from pileus.identity.api.read import listed, many, truth
from pileus.identity.resources import ROLE
from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route

INHERITED = "OS-INHERIT:inherited_to"


def grants(kind: str, prefix: str, actor: str, *, inherited: bool = False) -> list[Route]:
    """The five routes of role assignments of one kind of actor on one kind of target. The target's id is {id}, the system has none."""
    who, role = ("key", "role") if kind != SYSTEM else ("id", "key")

    def pair(request: Request) -> tuple[Actor, Target]:
        target = THE_SYSTEM if kind == SYSTEM else Target(kind, request.params["id"])
        return Actor(actor, request.params[who]), target

    def put(request: Request) -> Response:
        assignments.grant(request.ctx, *pair(request), request.params[role], inherited=inherited)
        return Response(204)

    def delete(request: Request) -> Response:
        assignments.revoke(request.ctx, *pair(request), request.params[role], inherited=inherited)
        return Response(204)

    def check(request: Request) -> Response:
        assignments.check_grant(request.ctx, *pair(request), request.params[role], inherited=inherited)
        return Response(204)

    def listing(request: Request) -> Response:
        return many(ROLE, assignments.list_grants(request.ctx, *pair(request), inherited=inherited), request)

    end = "/inherited_to_projects" if inherited else ""
    base = f"{prefix}/{actor}s/{{{who}}}/roles"
    named = f"{base}/{{{role}}}{end}"
    where = f"in the projects below a {kind}" if inherited else f"on a {kind}" if kind != SYSTEM else "on the system"
    what = f"a role of a {actor} {where}"
    return [
        Route("GET", base + end, listing, doc=f"The roles of a {actor} {where}."),
        Route("PUT", named, put, doc=f"Give {what}."),
        Route("HEAD", named, check, doc=f"Whether there is {what}."),
        Route("GET", named, check, doc=f"Whether there is {what}."),
        Route("DELETE", named, delete, doc=f"Take away {what}."),
    ]


def routes() -> list[Route]:
    found = []
    for actor in ("user", "group"):
        for kind, prefix in (("project", "/v3/projects/{id}"), ("domain", "/v3/domains/{id}"), (SYSTEM, "/v3/system")):
            found += grants(kind, prefix, actor)
        for kind, prefix in (("project", "/v3/OS-INHERIT/projects/{id}"), ("domain", "/v3/OS-INHERIT/domains/{id}")):
            found += grants(kind, prefix, actor, inherited=True)
    return [*found, Route("GET", "/v3/role_assignments", list_assignments, doc="Who has which role where.")]


def _wanted(request: Request) -> Wanted:
    query = request.query
    to = query.get(f"scope.{INHERITED}")
    if to is not None and to != "projects":
        raise BadRequest("scope.OS-INHERIT:inherited_to can only be 'projects'.")
    return Wanted(
        user_id=query.get("user.id"),
        group_id=query.get("group.id"),
        role_id=query.get("role.id"),
        project_id=query.get("scope.project.id"),
        domain_id=query.get("scope.domain.id"),
        system="scope.system" in query,
        inherited=True if to else None,
        effective=truth(query["effective"]) if "effective" in query else False,
        subtree=truth(query["include_subtree"]) if "include_subtree" in query else False,
    )


def list_assignments(request: Request) -> Response:
    ctx, query = request.ctx, request.query
    rows = assignments.list_assignments(ctx, _wanted(request))
    names = _Names(ctx, rows) if "include_names" in query and truth(query["include_names"]) else None
    return listed("role_assignments", [_assignment(ctx, row, names) for row in rows], request)


class _Names:
    """The rows that a list of assignments names, each kind by one query."""

    def __init__(self, ctx: Context, rows: list[Row]) -> None:
        def found(table: str, ids: set[Any]) -> dict[str, Row]:
            return {row["id"]: row for row in ctx.store.find(table, {"id": ids})}

        self._ctx = ctx
        self.role = found("role", {row["role_id"] for row in rows})
        self.user = found("user", {row["actor_id"] for row in rows if row["actor_type"] == "user"})
        self.group = found("user_group", {row["actor_id"] for row in rows if row["actor_type"] == "group"})
        self.place = found("project", {row["target_id"] for row in rows})

    def of(self, row: Row | None) -> Row:
        """The name, and where there is one the domain."""
        if row is None:
            return {"name": ""}
        domain = {"domain": tokens.domain_brief(self._ctx, row["domain_id"])} if row["domain_id"] else {}
        return {"name": row["name"], **domain}


def _assignment(ctx: Context, row: Row, names: _Names | None) -> Row:
    kind, target, actor, role = row["target_type"], row["target_id"], row["actor_type"], row["role_id"]
    scope: Row = {SYSTEM: {"all": True}} if kind == SYSTEM else {kind: {"id": target}}
    if row["inherited"]:
        scope[INHERITED] = "projects"
    shown: Row = {"links": _links(ctx, row), "scope": scope, actor: {"id": row["actor_id"]}, "role": {"id": role}}
    if names:
        shown["role"] |= names.of(names.role.get(role))
        shown[actor] |= names.of((names.user if actor == "user" else names.group).get(row["actor_id"]))
        if kind != SYSTEM:
            scope[kind] |= names.of(names.place.get(target))
    return shown


def _links(ctx: Context, row: Row) -> Row:
    """Where the assignment was made that a row is, or comes from."""
    root, role, prior = f"{ctx.base_url}/v3", row["role_id"], row.get("prior_role_id")
    made: Target = row.get("from_target") or Target(row["target_type"], row["target_id"])
    group = row.get("via_group")
    actor = f"groups/{group}" if group else f"{row['actor_type']}s/{row['actor_id']}"
    path = f"{made.type}s/{made.id}" if made.type != SYSTEM else SYSTEM
    found = {"assignment": f"{root}/{path}/{actor}/roles/{prior or role}"}
    if row["inherited"]:
        found["assignment"] = f"{root}/OS-INHERIT/{path}/{actor}/roles/{prior or role}/inherited_to_projects"
    if group:
        found["membership"] = f"{root}/groups/{group}/users/{row['actor_id']}"
    if prior:
        found["prior_role"] = f"{root}/prior_role/{prior}/implies/{role}"
    return found
