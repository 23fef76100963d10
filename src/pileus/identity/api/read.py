"""Reading a request and showing rows, in Keystone's way."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from pileus.identity.resources import expecting, view
from pileus.kit.resource import Resource
from pileus.kit.store import Row
from pileus.kit.web import Request, Response


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
