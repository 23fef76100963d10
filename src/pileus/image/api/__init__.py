"""Glance's v2 routes, and the handlers of odd shape. Source: https://docs.openstack.org/api-ref/image/v2/"""

from __future__ import annotations

import dataclasses

from pileus.errors import BadMethod, Fault, NotFound
from pileus.image.api import data, images, imports, info, members, metadefs
from pileus.image.api.read import HTML
from pileus.image.live import Files
from pileus.kit.context import Cloud
from pileus.kit.web import Dialect, Request, Response, Route
from pileus.openstack import fault
from pileus.openstack.front import Authenticate
from pileus.openstack.front import dialect as openstack_dialect

ROUTES = [*info.ROUTES, *images.ROUTES, *members.ROUTES, *imports.ROUTES, *metadefs.ROUTES]


def routes(files: Files) -> list[Route]:
    """All routes; those that carry an image's data need the files."""
    return [*ROUTES, *data.routes(files)]


def render(error: Fault, request: Request) -> Response:
    """Glance's errors; a refused method and a refused media type are worded by its framework."""
    if isinstance(error, BadMethod):
        return Response(405, b"", {"Allow": ", ".join(error.extra.get("allow", ()))}, HTML)
    answer = fault.glance(error, request)
    if "media" in error.extra:
        answer.body["message"] = f"{error.message}\n<br /><br />\n"
    return answer


def dialect(cloud: Cloud, authenticate: Authenticate, files: Files) -> Dialect:
    made = openstack_dialect("image", routes(files), cloud, authenticate, render)

    def begin(request: Request, route: Route | None) -> None:
        made.begin(request, route)
        if request.slash and request.path.startswith("/v2/"):
            raise NotFound("The resource could not be found.")  # as Glance: an empty id is none

    return dataclasses.replace(made, begin=begin)
