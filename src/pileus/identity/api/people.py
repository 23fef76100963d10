"""Handlers of projects, domains, users, groups and roles that differ from the plain five."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.errors import BadRequest, Unauthorized
from pileus.identity import resources
from pileus.identity.actions import SEES_DOMAIN, domains, groups, projects, roles, users
from pileus.identity.actions.effective import above, below
from pileus.identity.api.nouns import crud
from pileus.identity.api.read import body_of, decode, expiring, filters, many, object_of, one
from pileus.identity.api.tokens import token_body
from pileus.identity.login import Proof, login
from pileus.identity.passwords import Passwords
from pileus.identity.resources import DOMAIN, GROUP, PROJECT, ROLE, USER, expecting
from pileus.identity.resources.types import TAG, TAGS, mismatched
from pileus.kit.policy import require
from pileus.kit.resource import Mismatch, tags_of
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route

NEAR = {"parents": ("parents_as_list", "parents_as_ids"), "subtree": ("subtree_as_list", "subtree_as_ids")}


def create_project(request: Request) -> Response:
    values = decode(PROJECT, request, "create")
    make = domains.create_domain if values.get("is_domain") else projects.create_project
    return one(PROJECT, make(request.ctx, values), request, 201)


def show_project(request: Request) -> Response:
    row = projects.get_project(request.ctx, request.params["id"])
    answer = one(PROJECT, row, request)
    ctx, query, shown = request.ctx, request.query, answer.body["project"]
    for key, (as_list, as_ids) in NEAR.items():
        if as_list in query and as_ids in query:
            raise BadRequest(f"Cannot use {as_list} and {as_ids} query params at the same time.")
        rows = (above if key == "parents" else below)(ctx.store, row["id"]) if as_list in query else None
        if rows is not None:
            shown[key] = [{"project": one_view(each, request)} for each in projects.known(ctx, rows)]
        elif as_ids in query:
            shown[key] = (projects.parents if key == "parents" else projects.subtree)(ctx, row)
    return answer


def one_view(row: Row, request: Request) -> Row:
    return resources.view(PROJECT, row, request.ctx)


def update_project(request: Request) -> Response:
    values = decode(PROJECT, request, "update")
    if values.get("is_domain") and _is_domain(request):
        del values["is_domain"]
    change = domains.update_domain if _is_domain(request) else projects.update_project
    row = change(request.ctx, request.params["id"], values)
    answer = one(PROJECT, row, request)
    if kept := resources.extra(row):
        answer.body["project"]["extra"] = kept  # Keystone's answer to an update shows them twice
    return answer


def _is_domain(request: Request) -> bool:
    """Whether the project in the URL acts as a domain: then it is changed and deleted as one."""
    row = request.ctx.store.get("project", request.params["id"])
    return bool(row and row["is_domain"])


def delete_project(request: Request) -> Response:
    delete = domains.delete_domain if _is_domain(request) else projects.delete_project
    delete(request.ctx, request.params["id"])
    return Response(204)


def list_projects(request: Request) -> Response:
    """All projects to an admin; to another user those it has a role in, when it asks for no more."""
    ctx = request.ctx
    if not SEES_DOMAIN(ctx) and request.query.get("user_id") == ctx.user_id:
        return many(PROJECT, users.list_user_projects(ctx, ctx.user_id), request)
    rows = projects.list_projects(ctx, filters(PROJECT, request))
    return many(PROJECT, _tagged(rows, request), request)


def _tagged(rows: list[Row], request: Request) -> list[Row]:
    """Projects that the query's filters by tag let through."""
    asked = {name: set(value.split(",")) for name, value in request.pairs if name in ("tags", "tags-any", "not-tags", "not-tags-any")}
    if not asked:
        return rows
    tags_of(request.ctx.store, rows)
    tests: dict[str, Callable[[set[str], set[str]], bool]] = {
        "tags": lambda has, wanted: wanted <= has,
        "tags-any": lambda has, wanted: bool(wanted & has),
        "not-tags": lambda has, wanted: not wanted <= has,
        "not-tags-any": lambda has, wanted: not wanted & has,
    }
    return [row for row in rows if all(tests[name](set(row["tags"]), wanted) for name, wanted in asked.items())]


def user_projects(request: Request) -> Response:
    rows = users.list_user_projects(request.ctx, request.params["id"])
    where = filters(PROJECT, request)
    return many(PROJECT, [row for row in rows if all(row[column] == value for column, value in where.items())], request)


# -- tags ------------------------------------------------------------------------------------------------------------------


def _tag_body(request: Request, tags: list[str]) -> Response:
    return Response(200, {"tags": tags, "links": {"self": f"{request.root}{request.path}", "next": None, "previous": None}})


def list_tags(request: Request) -> Response:
    return _tag_body(request, projects.list_tags(request.ctx, request.params["id"]))


def replace_tags(request: Request) -> Response:
    body = body_of(request)
    if not isinstance(body, dict) or "tags" not in body:
        raise expecting("tags")
    try:
        tags = TAGS.parse(body["tags"])
    except Mismatch as mismatch:
        raise mismatched("tags", mismatch, TAGS.schema()) from None
    return _tag_body(request, projects.replace_tags(request.ctx, request.params["id"], tags))


def delete_tags(request: Request) -> Response:
    projects.delete_tags(request.ctx, request.params["id"])
    return Response(204)


def check_tag(request: Request) -> Response:
    projects.check_tag(request.ctx, request.params["id"], request.params["tag"])
    return Response(204)


def add_tag(request: Request) -> Response:
    tag = request.params["tag"]
    try:
        TAG.parse(tag)
    except Mismatch as mismatch:
        raise mismatched("tag", mismatch, TAG.schema()) from None
    projects.add_tag(request.ctx, request.params["id"], tag)
    return Response(201, headers={"Location": f"{request.root}{request.path}"})


def delete_tag(request: Request) -> Response:
    projects.delete_tag(request.ctx, request.params["id"], request.params["tag"])
    return Response(204)


# -- users and groups ------------------------------------------------------------------------------------------------------


def list_users(request: Request) -> Response:
    return many(USER, expiring(users.list_users(request.ctx, filters(USER, request)), request), request)


def user_groups(request: Request) -> Response:
    return many(GROUP, groups.list_user_groups(request.ctx, request.params["id"], filters(GROUP, request)), request)


def group_users(request: Request) -> Response:
    return many(USER, expiring(groups.list_members(request.ctx, request.params["id"], filters(USER, request)), request), request)


def _membership(action: Callable[..., None]) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        action(request.ctx, request.params["id"], request.params["user"])
        return Response(204)

    return handle


# -- roles -----------------------------------------------------------------------------------------------------------------


def _brief(row: Row, request: Request) -> Row:
    return {"id": row["id"], "name": row["name"], "links": {"self": f"{request.root}/v3/roles/{row['id']}"}}


def _inference(pair: tuple[Row, Row], request: Request, status: int = 200) -> Response:
    prior, implied = pair
    body = {"prior_role": _brief(prior, request), "implies": _brief(implied, request)}
    return Response(status, {"role_inference": body, "links": {"self": f"{request.root}{request.path}"}})


def _pair(request: Request) -> tuple[str, str]:
    return request.params["id"], request.params["implied"]


def create_implied(request: Request) -> Response:
    return _inference(roles.create_implied_role(request.ctx, *_pair(request)), request, 201)


def show_implied(request: Request) -> Response:
    return _inference(roles.get_implied_role(request.ctx, *_pair(request)), request)


def check_implied(request: Request) -> Response:
    roles.get_implied_role(request.ctx, *_pair(request))
    return Response(204)


def delete_implied(request: Request) -> Response:
    roles.delete_implied_role(request.ctx, *_pair(request))
    return Response(204)


def list_implied(request: Request) -> Response:
    prior, implied = roles.list_implied_roles(request.ctx, request.params["id"])
    body = {"prior_role": _brief(prior, request), "implies": [_brief(each, request) for each in implied]}
    return Response(200, {"role_inference": body, "links": {"self": f"{request.root}{request.path}"}})


def list_inferences(request: Request) -> Response:
    rules = [
        {"prior_role": _brief(prior, request), "implies": [_brief(each, request) for each in implied]}
        for prior, implied in roles.list_role_inferences(request.ctx)
    ]
    return Response(200, {"role_inferences": rules, "links": {"self": f"{request.root}{request.path}"}})


# -- what hashes or checks a password, which takes longer than the loop may be held ----------------------------------------


def with_passwords(passwords: Passwords) -> dict[str, Callable[[Request], Any]]:
    """The handlers of users and tokens that wait for a hash."""

    async def create_user(request: Request) -> Response:
        values = decode(USER, request, "create")
        require(request.ctx, users.create_user)  # whoever may not must not make us hash
        users.fits_rules(request.ctx, values.get("password"))
        hashed = await passwords.hash(values["password"]) if values.get("password") is not None else None
        return one(USER, users.create_user(request.ctx, values, hashed), request, 201)

    async def update_user(request: Request) -> Response:
        values = decode(USER, request, "update")
        require(request.ctx, users.update_user)
        users.fits_rules(request.ctx, values.get("password"))
        hashed = await passwords.hash(values["password"]) if values.get("password") is not None else None
        row = users.update_user(request.ctx, request.params["id"], values, hashed)
        answer = one(USER, row, request)
        if kept := resources.extra(row):
            answer.body["user"]["extra"] = kept
        return answer

    async def change_password(request: Request) -> Response:
        """A user's own new password. Without a token: one whose password has expired cannot have any."""
        given = object_of(request, "user")
        if not all(isinstance(given.get(k), str) for k in ("original_password", "password")):
            raise expecting("user.original_password and user.password")
        ctx, id = request.ctx, request.params["id"]
        row = ctx.store.get("user", id)
        fits = await passwords.check(row["password_hash"] if row else None, given["original_password"])
        if row is None or not fits or users.locked(ctx, row) or not row["enabled"]:
            users.refused(ctx, row, id)
            raise Unauthorized("")
        users.fits_rules(ctx, given["password"])
        for old in users.may_change_password(ctx, row):
            if await passwords.check(old, given["password"]):
                raise users.used_before(ctx)
        users.change_password(ctx, row["id"], await passwords.hash(given["password"]))
        return Response(204)

    async def create_token(request: Request) -> Response:
        text, row = await login(request.ctx, body_of(request), passwords, lambda: _prove_oauth(request))
        return Response(201, token_body(request, row), {"X-Subject-Token": text})

    return {"create_user": create_user, "update_user": update_user, "change_password": change_password, "create_token": create_token}


def _prove_oauth(request: Request) -> Proof:
    from pileus.identity.api.oauth import prove

    return prove(request)


MEMBER = "/v3/groups/{id}/users/{user}"
IMPLIED = "/v3/roles/{id}/implies/{implied}"
TAGS_PATH = "/v3/projects/{id}/tags"


def routes(slow: dict[str, Callable[[Request], Any]]) -> list[Route]:
    return [
        *crud(
            PROJECT, projects, show=show_project, update=update_project, listing=list_projects, create=create_project, delete=delete_project
        ),
        *crud(DOMAIN, domains),
        *crud(USER, users, create=slow["create_user"], update=slow["update_user"], listing=list_users),
        *crud(GROUP, groups),
        *crud(ROLE, roles),
        Route("GET", TAGS_PATH, list_tags, doc="A project's tags."),
        Route("PUT", TAGS_PATH, replace_tags, doc="Give a project exactly these tags."),
        Route("DELETE", TAGS_PATH, delete_tags, doc="Take all tags from a project."),
        Route("GET", TAGS_PATH + "/{tag}", check_tag, doc="Whether a project has a tag."),
        Route("PUT", TAGS_PATH + "/{tag}", add_tag, doc="Give a project one more tag."),
        Route("DELETE", TAGS_PATH + "/{tag}", delete_tag, doc="Take a tag from a project."),
        Route("GET", "/v3/users/{id}/projects", user_projects, doc="The projects a user has a role in."),
        Route("GET", "/v3/users/{id}/groups", user_groups, doc="The groups a user is in."),
        Route("POST", "/v3/users/{id}/password", slow["change_password"], open=True, doc="A user's own new password."),
        Route("GET", "/v3/groups/{id}/users", group_users, doc="The users in a group."),
        Route("PUT", MEMBER, _membership(groups.add_member), doc="Put a user into a group."),
        Route("HEAD", MEMBER, _membership(groups.check_member), doc="Whether a user is in a group."),
        Route("GET", MEMBER, _membership(groups.check_member), doc="Whether a user is in a group."),
        Route("DELETE", MEMBER, _membership(groups.remove_member), doc="Take a user out of a group."),
        Route("GET", "/v3/role_inferences", list_inferences, doc="Which roles imply which."),
        Route("GET", "/v3/roles/{id}/implies", list_implied, doc="The roles that a role implies."),
        Route("PUT", IMPLIED, create_implied, doc="Let a role imply another."),
        Route("GET", IMPLIED, show_implied, doc="Whether a role implies another."),
        Route("HEAD", IMPLIED, check_implied, doc="Whether a role implies another."),
        Route("DELETE", IMPLIED, delete_implied, doc="Let a role no longer imply another."),
    ]
