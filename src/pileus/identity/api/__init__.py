"""Keystone's v3 routes. Source: https://docs.openstack.org/api-ref/identity/v3/"""

from __future__ import annotations

from pileus.errors import Fault, NotFound
from pileus.identity.actions import projects, roles, users
from pileus.identity.actions.assignments import SYSTEM
from pileus.identity.api import nouns, services
from pileus.identity.api import tokens as token_api
from pileus.identity.api.grants import grants, list_assignments
from pileus.identity.api.nouns import crud, with_passwords
from pileus.identity.passwords import Passwords
from pileus.identity.resources import DOMAIN, PROJECT, ROLE, USER
from pileus.kit.context import Cloud
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


def _version(request: Request) -> Row:
    media = [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]
    links = [{"rel": "self", "href": f"{request.root}/v3/"}]
    return {"id": "v3.14", "status": "stable", "updated": UPDATED, "links": links, "media-types": media}


def list_versions(request: Request) -> Response:
    return Response(300, {"versions": {"values": [_version(request)]}}, {"Location": f"{request.root}/v3/"})


def show_version(request: Request) -> Response:
    return Response(200, {"version": _version(request)})


def routes(passwords: Passwords) -> list[Route]:
    """All of Keystone's routes that this cloud answers."""
    slow = with_passwords(passwords)
    return [
        Route("GET", "/", list_versions, open=True),
        Route("GET", "/v3", show_version, open=True),
        Route("POST", "/v3/auth/tokens", slow["create_token"], open=True, doc="Issue a token."),
        Route("GET", "/v3/auth/tokens", token_api.show_token),
        Route("DELETE", "/v3/auth/tokens", token_api.revoke_token),
        Route("GET", "/v3/auth/catalog", token_api.auth_catalog),
        Route("GET", "/v3/auth/projects", token_api.auth_projects),
        Route("GET", "/v3/auth/domains", token_api.auth_domains),
        Route("GET", "/v3/auth/system", token_api.auth_system),
        *crud(PROJECT, projects, nouns.show_project, nouns.update_project, nouns.list_projects),
        *crud(DOMAIN, projects),
        *crud(USER, users, create=slow["create_user"], update=slow["update_user"]),
        *crud(ROLE, roles),
        Route("GET", "/v3/users/{id}/projects", nouns.user_projects),
        Route("GET", "/v3/users/{id}/groups", nouns.user_groups),
        Route("POST", "/v3/users/{id}/password", slow["change_password"], doc="A user's own new password."),
        *grants("project", "/v3/projects/{id}", "key", "role"),
        *grants("domain", "/v3/domains/{id}", "key", "role"),
        *grants(SYSTEM, "/v3/system", "id", "key"),
        Route("GET", "/v3/role_assignments", list_assignments),
        Route("GET", "/v3/services", services.list_services),
        Route("GET", "/v3/services/{id}", services.show_service),
        Route("GET", "/v3/endpoints", services.list_endpoints),
        Route("GET", "/v3/endpoints/{id}", services.show_endpoint),
        Route("GET", "/v3/regions", services.list_regions),
        Route("GET", "/v3/regions/{id}", services.show_region),
        Route("GET", "/v3/limits/model", services.limits_model),
    ]


ROUTES = routes(Passwords())


def render(error: Fault, request: Request) -> Response:
    """Keystone's errors: JSON, but for a path that does not exist, which its framework answers with a page."""
    if isinstance(error, NotFound) and "path" in error.extra:
        return Response(404, NOT_FOUND_PAGE, content_type="text/html; charset=utf-8")
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
