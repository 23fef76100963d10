"""Reading a request and showing rows, in Keystone's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from pileus.errors import BadRequest
from pileus.identity.resources import expecting, view, views
from pileus.kit.clock import micros
from pileus.kit.resource import Resource
from pileus.kit.store import Row
from pileus.kit.web import Request, Response

FLAGS = ("enabled", "is_domain")
# `name__contains=x` and the like: what the value is compared by; a leading i: case does not matter
COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda value, wanted: wanted in value,
    "startswith": lambda value, wanted: value.startswith(wanted),
    "endswith": lambda value, wanted: value.endswith(wanted),
}
ORDER: dict[str, Callable[[int, int], bool]] = {
    "lt": lambda value, wanted: value < wanted,
    "lte": lambda value, wanted: value <= wanted,
    "gt": lambda value, wanted: value > wanted,
    "gte": lambda value, wanted: value >= wanted,
    "eq": lambda value, wanted: value == wanted,
    "neq": lambda value, wanted: value != wanted,
}


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


def object_of(request: Request, key: str) -> Row:
    """`{key: {...}}` of a body that is no resource's."""
    body = body_of(request)
    given = body.get(key) if isinstance(body, dict) else None
    if not isinstance(given, dict):
        raise expecting(key)
    return given


def one(resource: Resource, row: Row, request: Request, status: int = 200) -> Response:
    return Response(status, {resource.key: view(resource, row, request.ctx)})


def listed(key: str, items: list[Any], request: Request) -> Response:
    """A collection, with the links Keystone puts beside it (it does not page)."""
    query = f"?{unquote(request.query_string)}" if request.query_string else ""
    links = {"next": None, "self": f"{request.root}{request.path}{query}", "previous": None}
    return Response(200, {key: items, "links": links})


def many(resource: Resource, rows: list[Row], request: Request) -> Response:
    return listed(resource.plural, views(resource, inexact(resource, rows, request), request.ctx), request)


def truth(text: str) -> bool:
    """A flag of a query: there is no other false than these."""
    return text.lower() not in ("false", "0", "no", "off")


def filters(resource: Resource, request: Request) -> dict[str, Any]:
    """The query's exact-match filters, as columns; names Keystone does not know are passed over, as it does."""
    where: dict[str, Any] = {}
    for name, value in request.pairs:
        if name in FLAGS:
            where[name] = int(truth(value))
        elif name in resource.filters:
            where[resource.filters[name]] = value
    return where


def inexact(resource: Resource, rows: list[Row], request: Request) -> list[Row]:
    """Those rows that the query's `name__comparison` filters let through."""
    for name, wanted in request.pairs:
        field, _, how = name.partition("__")
        if field not in resource.filters or not how:
            continue
        column, fold = resource.filters[field], how not in COMPARISONS
        compare = COMPARISONS.get(how.removeprefix("i"))
        if compare is None:
            continue
        value = wanted.lower() if fold else wanted
        rows = [row for row in rows if compare(str(row[column] or "").lower() if fold else str(row[column] or ""), value)]
    return rows


def expiring(rows: list[Row], request: Request) -> list[Row]:
    """Users whose password expires as `password_expires_at=lt:2026-01-01T00:00:00Z` asks."""
    for name, value in request.pairs:
        if name == "password_expires_at":
            how, _, text = value.partition(":")
            try:
                compare, wanted = ORDER[how], micros(text)
            except (KeyError, ValueError):
                how, compare, text = "eq", ORDER["eq"], value
                try:
                    wanted = micros(text)
                except ValueError:
                    raise BadRequest(f"Invalid input for field password_expires_at: {value!r} is not operator:time.") from None
            rows = [row for row in rows if row["password_expires_at"] is not None and compare(row["password_expires_at"], wanted)]
    return rows
