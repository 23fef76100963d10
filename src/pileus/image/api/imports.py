"""Imports, locations and tasks."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadMethod, BadRequest
from pileus.image import actions
from pileus.image.api.read import done, object_of, page
from pileus.image.query import limit_of
from pileus.image.resources.tasks import DETAILS, OF_AN_IMAGE, TASK, TASK_STATUSES
from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.openstack.listing import Listing

TASKS = "/v2/tasks"
IMAGE_ONLY = ("image_id", "request_id", "user_id")
FILTERS = {"status": "status", "type": "type", "owner": "project_id"}
SORTS = {"created_at": "created_at", "expires_at": "expires_at", "status": "status", "type": "type", "updated_at": "updated_at", "id": "id"}


def import_image(request: Request) -> Response:
    """Fill an image from what was staged, from the web, or from another image."""
    actions.import_image(request.ctx, request.params["id"], object_of(request))
    return done(202)


def add_location(request: Request) -> Response:
    """Fill an image from a URL: fetched once, and kept."""
    body = object_of(request)
    actions.add_location(request.ctx, request.params["id"], body.get("url"), body.get("validation_data"))
    return done(202)


def list_locations(request: Request) -> Response:
    """Where an image's data can be had."""
    return Response(200, actions.list_locations(request.ctx, request.params["id"]))


def list_image_tasks(request: Request) -> Response:
    """The imports of one image."""
    rows = actions.list_image_tasks(request.ctx, request.params["id"])
    return Response(200, {"tasks": [_of_an_image(row, request.ctx) for row in rows]})


def _of_an_image(row: Row, ctx: Context) -> dict[str, Any]:
    view = {name: value for name, value in TASK.view(row, ctx).items() if name not in OF_AN_IMAGE}
    return {**view, "deleted": False, "deleted_at": None}


def create_task(request: Request) -> Response:
    """Make an image and fill it from a URL: the older kind of import."""
    body = object_of(request)
    for name in ("type", "input"):
        if name not in body:
            raise BadRequest(f"Task '{name}' is required")
    given = TASK.decode_object(body, "create", request.ctx)
    row = actions.create_task(request.ctx, given["type"], given["input"])
    return Response(201, _shown(row, request.ctx), {"Location": f"{request.root}/v2/tasks/{row['id']}"})


def _shown(row: Row, ctx: Context) -> dict[str, Any]:
    view = {name: value for name, value in TASK.view(row, ctx).items() if name not in IMAGE_ONLY}
    if view["expires_at"] is None:
        del view["expires_at"]
    return view


def list_tasks(request: Request) -> Response:
    """All tasks, without their details."""
    query = dict(request.pairs)
    direction, key = query.get("sort_dir", "desc"), query.get("sort_key", "created_at")
    if direction not in ("asc", "desc"):
        raise BadRequest(f"Invalid sort direction: {direction}")
    if key not in SORTS:
        raise BadRequest(f"Invalid sort key: {key}. It must be one of the following: {', '.join(SORTS)}.")
    if (status := query.get("status", "pending")) not in TASK_STATUSES:
        raise BadRequest(f"Invalid status value: {status}")
    listing = Listing(sorts=[(SORTS[key], direction == "desc")], limit=limit_of(request.pairs), marker=query.get("marker"))
    listing.where.update({column: query[name] for name, column in FILTERS.items() if name in query})
    rows, more = actions.list_tasks(request.ctx, listing)
    kept = [pair for pair in request.pairs if pair[0] != "marker"]
    brief = [{name: value for name, value in _shown(row, request.ctx).items() if name not in DETAILS} for row in rows]
    body: dict[str, Any] = {"tasks": brief, "first": page(TASKS, kept), "schema": "/v2/schemas/tasks"}
    if more and rows:
        body["next"] = page(TASKS, [*kept, ("marker", rows[-1]["id"])])
    return Response(200, body)


def show_task(request: Request) -> Response:
    """One task."""
    return Response(200, _shown(actions.find_task(request.ctx, request.params["id"]), request.ctx))


def no_delete(request: Request) -> Response:
    """Tasks go by themselves, two days after their end."""
    raise BadMethod("", allow=["GET"])


ROUTES = [
    Route("POST", "/v2/images/{id}/import", import_image),
    Route("POST", "/v2/images/{id}/locations", add_location),
    Route("GET", "/v2/images/{id}/locations", list_locations),
    Route("GET", "/v2/images/{id}/tasks", list_image_tasks),
    Route("POST", TASKS, create_task),
    Route("GET", TASKS, list_tasks),
    Route("GET", TASKS + "/{id}", show_task),
    Route("DELETE", TASKS + "/{id}", no_delete),
]
