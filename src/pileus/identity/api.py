"""Keystone's v3 routes, and the handlers of odd shape. Source: https://docs.openstack.org/api-ref/identity/v3/"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from pileus.errors import BadMethod, Fault, NotFound, Unauthorized
from pileus.identity import catalog, resources
from pileus.identity.actions import SEES_ALL, assignments, projects, roles, tokens, users
from pileus.identity.actions.assignments import SYSTEM, Target
from pileus.identity.login import login
from pileus.identity.passwords import Passwords
from pileus.identity.resources import DOMAIN, PROJECT, ROLE, USER, expecting, view
from pileus.kit.clock import iso
from pileus.kit.context import Cloud, Context
from pileus.kit.policy import forbid
from pileus.kit.resource import Resource
from pileus.kit.store import Row
from pileus.kit.web import Dialect, Request, Response, Route
from pileus.openstack import fault
from pileus.openstack.front import Authenticate
from pileus.openstack.front import dialect as openstack_dialect

UPDATED = "2020-04-07T00:00:00Z"
NOT_FOUND_PAGE = (
    b"<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not found on the server."
    b" If you entered the URL manually please check your spelling and try again.</p>\n"
)


# -- reading and showing ---------------------------------------------------------------------------------------------------


def body_of(request: Request) -> Any:
    """The JSON body. Raises BadRequest in Keystone's words."""
    if not request.body:
        return {}
    try:
        return request.json()
    except ValueError:
        raise expecting("valid JSON") from None


def decode(resource: Resource, request: Request, verb: Any) -> Row:
    return resource.decode(body_of(request), verb, request.ctx)


def one(resource: Resource, row: Row, request: Request, status: int = 200) -> Response:
    return Response(status, {resource.key: view(resource, row, request.ctx)})


def listed(key: str, items: list[Any], request: Request) -> Response:
    """A collection, with the links Keystone puts beside it (it does not page)."""
    query = f"?{unquote(request.query_string)}" if request.query_string else ""
    links = {"next": None, "self": f"{request.root}{request.path}{query}", "previous": None}
    return Response(200, {key: items, "links": links})


def many(resource: Resource, rows: list[Row], request: Request) -> Response:
    return listed(resource.plural, [view(resource, row, request.ctx) for row in rows], request)


def filters(resource: Resource, request: Request) -> dict[str, Any]:
    """The query's exact-match filters, as columns; names Keystone does not know are passed over, as it does."""
    where: dict[str, Any] = {}
    for name, value in request.pairs:
        if name in ("enabled", "is_domain"):
            where[name] = int(value.lower() in ("", "true", "1"))
        elif name in resource.filters:
            where[resource.filters[name]] = value
    return where


# -- versions --------------------------------------------------------------------------------------------------------------


def _version(request: Request) -> Row:
    media = [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]
    links = [{"rel": "self", "href": f"{request.root}/v3/"}]
    return {"id": "v3.14", "status": "stable", "updated": UPDATED, "links": links, "media-types": media}


def list_versions(request: Request) -> Response:
    return Response(300, {"versions": {"values": [_version(request)]}}, {"Location": f"{request.root}/v3/"})


def show_version(request: Request) -> Response:
    return Response(200, {"version": _version(request)})


# -- tokens ----------------------------------------------------------------------------------------------------------------


def _subject(request: Request) -> str:
    text = request.headers.get("x-subject-token")
    if not text:
        raise NotFound("Could not recognize Fernet token")
    return text


def _token_body(request: Request, row: Row) -> dict[str, Any]:
    ctx = request.ctx
    shown = tokens.describe(ctx, row)
    if "roles" in shown and "nocatalog" not in request.query:
        shown["catalog"] = catalog.catalog(ctx)
    return {"token": {**shown, **{name: iso(row[name], fraction=True) for name in ("expires_at", "issued_at")}}}


def show_token(request: Request) -> Response:
    text = _subject(request)
    return Response(200, _token_body(request, tokens.validate(request.ctx, text)), {"X-Subject-Token": text})


def revoke_token(request: Request) -> Response:
    tokens.revoke(request.ctx, _subject(request))
    return Response(204)


def auth_catalog(request: Request) -> Response:
    ctx = request.ctx
    if not (ctx.project_id or ctx.who.domain_id or ctx.who.system):
        forbid("identity:get_auth_catalog")
    return Response(200, {"catalog": catalog.catalog(ctx), "links": {"self": f"{ctx.base_url}/v3/auth/catalog"}})


def auth_projects(request: Request) -> Response:
    return many(PROJECT, users.list_user_projects(request.ctx, request.ctx.user_id), request)


def auth_domains(request: Request) -> Response:
    return many(DOMAIN, users.list_user_projects(request.ctx, request.ctx.user_id, domains=True), request)


def auth_system(request: Request) -> Response:
    ctx = request.ctx
    all_of_it = [{"all": True}] if assignments.effective(ctx.store, ctx.user_id, Target(SYSTEM, SYSTEM)) else []
    return Response(200, {"system": all_of_it, "links": {"self": f"{ctx.base_url}/v3/auth/system"}})


# -- projects, domains, users, roles ---------------------------------------------------------------------------------------


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


def _with_passwords(passwords: Passwords) -> dict[str, Callable[[Request], Any]]:
    """The handlers that hash or check a password, which takes longer than the loop may be held."""

    async def create_user(request: Request) -> Response:
        values = decode(USER, request, "create")
        users.list_users(request.ctx, {"id": ""})  # whoever may not even list users must not make us hash
        hashed = await passwords.hash(values["password"]) if values.get("password") is not None else None
        return one(USER, users.create_user(request.ctx, values, hashed), request, 201)

    async def update_user(request: Request) -> Response:
        values = decode(USER, request, "update")
        users.get_user(request.ctx, request.params["id"])
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
        return Response(201, _token_body(request, row), {"X-Subject-Token": text})

    return {"create_user": create_user, "update_user": update_user, "change_password": change_password, "create_token": create_token}


# -- assignments -----------------------------------------------------------------------------------------------------------


def _target(request: Request, kind: str) -> tuple[str, Target]:
    if kind == SYSTEM:
        return request.params["id"], Target(SYSTEM, SYSTEM)
    return request.params["key"], Target(kind, request.params["id"])


def _grants(kind: str, prefix: str, user: str, role: str) -> list[Route]:
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


# -- the catalog as resources ----------------------------------------------------------------------------------------------


def _find(items: list[Row], kind: str, id: str) -> Row:
    for item in items:
        if item["id"] == id:
            return item
    raise NotFound(f"Could not find {kind}: {id}.")


def _reader(ctx: Context, policy: str) -> Context:
    if not SEES_ALL(ctx):
        forbid(policy)
    return ctx


def list_services(request: Request) -> Response:
    wanted = [s for s in catalog.services(_reader(request.ctx, "identity:list_services")) if _matches(s, request, ("name", "type"))]
    return listed("services", wanted, request)


def _matches(item: Row, request: Request, names: tuple[str, ...]) -> bool:
    return all(str(item.get(name)) == value for name, value in request.pairs if name in names)


def show_service(request: Request) -> Response:
    services = catalog.services(_reader(request.ctx, "identity:get_service"))
    return Response(200, {"service": _find(services, "service", request.params["id"])})


def list_endpoints(request: Request) -> Response:
    items = catalog.endpoints(_reader(request.ctx, "identity:list_endpoints"))
    return listed("endpoints", [e for e in items if _matches(e, request, ("interface", "service_id", "region_id"))], request)


def show_endpoint(request: Request) -> Response:
    items = catalog.endpoints(_reader(request.ctx, "identity:get_endpoint"))
    return Response(200, {"endpoint": _find(items, "endpoint", request.params["id"])})


def list_regions(request: Request) -> Response:
    return listed("regions", catalog.regions(request.ctx), request)


def show_region(request: Request) -> Response:
    return Response(200, {"region": _find(catalog.regions(request.ctx), "region", request.params["id"])})


def limits_model(request: Request) -> Response:
    said = "Limit enforcement and validation does not take project hierarchy into consideration."
    return Response(200, {"model": {"name": "flat", "description": said}})


# -- the table -------------------------------------------------------------------------------------------------------------


def _crud(resource: Resource, verbs: Any, show: Any = None, update: Any = None, listing: Any = None, create: Any = None) -> list[Route]:
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


def routes(passwords: Passwords) -> list[Route]:
    """All of Keystone's routes that this cloud answers."""
    slow = _with_passwords(passwords)
    return [
        Route("GET", "/", list_versions, open=True),
        Route("GET", "/v3", show_version, open=True),
        Route("POST", "/v3/auth/tokens", slow["create_token"], open=True, doc="Issue a token."),
        Route("GET", "/v3/auth/tokens", show_token),
        Route("DELETE", "/v3/auth/tokens", revoke_token),
        Route("GET", "/v3/auth/catalog", auth_catalog),
        Route("GET", "/v3/auth/projects", auth_projects),
        Route("GET", "/v3/auth/domains", auth_domains),
        Route("GET", "/v3/auth/system", auth_system),
        *_crud(PROJECT, projects, show_project, update_project, list_projects),
        *_crud(DOMAIN, projects),
        *_crud(USER, users, create=slow["create_user"], update=slow["update_user"]),
        *_crud(ROLE, roles),
        Route("GET", "/v3/users/{id}/projects", user_projects),
        Route("GET", "/v3/users/{id}/groups", user_groups),
        Route("POST", "/v3/users/{id}/password", slow["change_password"], doc="A user's own new password."),
        *_grants("project", "/v3/projects/{id}", "key", "role"),
        *_grants("domain", "/v3/domains/{id}", "key", "role"),
        *_grants(SYSTEM, "/v3/system", "id", "key"),
        Route("GET", "/v3/role_assignments", list_assignments),
        Route("GET", "/v3/services", list_services),
        Route("GET", "/v3/services/{id}", show_service),
        Route("GET", "/v3/endpoints", list_endpoints),
        Route("GET", "/v3/endpoints/{id}", show_endpoint),
        Route("GET", "/v3/regions", list_regions),
        Route("GET", "/v3/regions/{id}", show_region),
        Route("GET", "/v3/limits/model", limits_model),
    ]


ROUTES = routes(Passwords())


def render(error: Fault, request: Request) -> Response:
    """Keystone's errors: JSON, but for a path that does not exist, which its framework answers with a page."""
    if isinstance(error, NotFound) and "path" in error.extra:
        return Response(404, NOT_FOUND_PAGE, content_type="text/html; charset=utf-8")
    if isinstance(error, BadMethod):
        kept = [method for method in ("PATCH", "DELETE", "GET", "PUT", "POST") if method in error.extra.get("allow", ())]
        return Response(
            405, {"message": "The method is not allowed for the requested URL."}, {"Allow": ", ".join(["OPTIONS", "HEAD", *kept])}
        )
    return fault.keystone(error, request)


def dialect(cloud: Cloud, authenticate: Authenticate) -> Dialect:
    return openstack_dialect(
        "identity",
        ROUTES,
        cloud,
        authenticate,
        render,
        vary="X-Auth-Token",
        guarded=lambda path: path.startswith("/v3/"),
    )
