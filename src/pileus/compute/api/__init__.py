"""Nova's v2.1: the route table and the dialect. The handlers are in the modules beside this one, by noun."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pileus.compute.api import extensions, flavors, hosts, keypairs, proxies, quotas, server_parts, server_verbs, servers, sets, versions
from pileus.compute.api.server_verbs import Console, NoConsole
from pileus.compute.versions import VERSIONS
from pileus.errors import Fault, NotFound
from pileus.kit.context import Cloud
from pileus.kit.web import Dialect, Request, Response, Route
from pileus.openstack import fault, front
from pileus.openstack.front import Authenticate

ID_HEADERS = ("X-OpenStack-Request-Id", "X-Compute-Request-Id")
MODULES = (servers, server_parts, flavors, keypairs, quotas, hosts, sets, extensions, proxies)


def _api(console: Console) -> list[Route]:
    found = [route for module in MODULES for route in module.ROUTES]
    return [*found, Route("POST", "/servers/{id}/action", server_verbs.act(console))]


def _under(prefix: str, routes: Iterable[Route]) -> list[Route]:
    return [dataclasses.replace(route, path=prefix + route.path) for route in routes]


def _old(routes: Iterable[Route]) -> list[Route]:
    """What the API without microversions has: the same at 2.1."""
    return [route for route in routes if route.lives(VERSIONS.minimum)]


def routes(console: Console) -> list[Route]:
    """Every route, with consoles read from `console`."""
    api = _api(console)
    return [*versions.ROUTES, *_under("/v2.1", api), *_under("/v2", _old(api))]


ROUTES = routes(NoConsole())


def _guarded(path: str) -> bool:
    """Below a version a token is asked for before anything is said; elsewhere the versions are offered to all."""
    return path.startswith(("/v2.1/", "/v2/"))


def _render(problem: Fault, request: Request) -> Response:
    if isinstance(problem, NotFound) and not _guarded(request.path):
        return versions.choices(request)
    return fault.nova(problem, request)


def dialect(cloud: Cloud, authenticate: Authenticate, *, console: Console | None = None) -> Dialect:
    """The way in at /compute. `console` reads what serial consoles have said."""
    found = front.dialect(
        "compute",
        routes(console or NoConsole()),
        cloud,
        authenticate,
        _render,
        versions=VERSIONS,
        id_headers=ID_HEADERS,
        guarded=_guarded,
    )

    def begin(request: Request, route: Route | None) -> None:
        if request.path.startswith("/v2/"):  # the API without microversions does not look at what asks for one
            request.headers = {name: value for name, value in request.headers.items() if "api-version" not in name}
        found.begin(request, route)

    def finish(request: Request, response: Response) -> None:
        if response.status == 204:
            response.headers.setdefault("Content-Type", "application/json")  # as Nova's framework signs its empty answers
        found.finish(request, response)

    return dataclasses.replace(found, begin=begin, finish=finish)
