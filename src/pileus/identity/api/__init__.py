"""Keystone's v3 routes. Source: https://docs.openstack.org/api-ref/identity/v3/"""

from __future__ import annotations

from pileus.errors import Fault, NotFound
from pileus.identity.api import catalog, delegation, grants, oauth, people, rest
from pileus.identity.api import tokens as token_api
from pileus.identity.passwords import Passwords
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
    slow = people.with_passwords(passwords)
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
        *people.routes(slow),
        *grants.routes(),
        *catalog.routes(),
        *delegation.routes(passwords),
        *oauth.routes(),
        *rest.routes(),
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
