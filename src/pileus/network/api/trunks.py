"""Trunks, and the verbs that say what they carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.network.actions import trunks
from pileus.network.api.crud import Noun, body_of
from pileus.network.resources.trunks import PARTS, TRUNK

TRUNKS = Noun("trunks", TRUNK, trunks.find_trunk, trunks.list_trunks, trunks.create_trunk, trunks.delete_trunk, trunks.update_trunk)


def _verb(verb: Callable[[Context, str, Any], Row]) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        return Response(200, TRUNK.view(verb(request.ctx, request.params["id"], body_of(request)), request.ctx))

    return handler


def list_sub_ports(request: Request) -> Response:
    """What a trunk carries."""
    found = trunks.list_sub_ports(request.ctx, request.params["id"])
    return Response(200, {"sub_ports": [{part: row[part] for part in PARTS} for row in found]})


TRUNK_ROUTES: list[Route] = [
    Route("GET", "/v2.0/trunks/{id}/get_subports", list_sub_ports),
    Route("PUT", "/v2.0/trunks/{id}/add_subports", _verb(trunks.add_sub_ports), doc="Carry more ports"),
    Route("PUT", "/v2.0/trunks/{id}/remove_subports", _verb(trunks.remove_sub_ports), doc="Carry some ports no longer"),
]
