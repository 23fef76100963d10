"""Whom an image is shared with."""

from __future__ import annotations

from pileus.image import actions
from pileus.image.api.read import done, part_of
from pileus.image.resources import MEMBER
from pileus.kit.web import Request, Response, Route

MEMBERS = "/v2/images/{id}/members"
ONE = MEMBERS + "/{member}"


def add_member(request: Request) -> Response:
    row = actions.add_member(request.ctx, request.params["id"], part_of(request, "member"))
    return Response(200, MEMBER.view(row, request.ctx))


def list_members(request: Request) -> Response:
    rows = actions.list_members(request.ctx, request.params["id"])
    return Response(200, {"members": MEMBER.views(rows, request.ctx), "schema": "/v2/schemas/members"})


def show_member(request: Request) -> Response:
    row = actions.find_member(request.ctx, request.params["id"], request.params["member"])
    return Response(200, MEMBER.view(row, request.ctx))


def update_member(request: Request) -> Response:
    status = part_of(request, "status")
    row = actions.update_member(request.ctx, request.params["id"], request.params["member"], status)
    return Response(200, MEMBER.view(row, request.ctx))


def remove_member(request: Request) -> Response:
    actions.remove_member(request.ctx, request.params["id"], request.params["member"])
    return done()


ROUTES = [
    Route("POST", MEMBERS, add_member),
    Route("GET", MEMBERS, list_members),
    Route("GET", ONE, show_member),
    Route("PUT", ONE, update_member),
    Route("DELETE", ONE, remove_member),
]
