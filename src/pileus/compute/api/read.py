"""What a handler reads from a request: bodies, pages, filters; refusals in Nova's words. Not here: what is asked for (actions)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from pileus.compute.resources.words import invalid, invalid_query
from pileus.compute.versions import STRICT_QUERIES
from pileus.errors import BadRequest
from pileus.kit.clock import micros
from pileus.kit.context import Context
from pileus.kit.resource import Resource
from pileus.kit.store import Row
from pileus.kit.web import Request
from pileus.openstack.listing import MAX_PAGE, Listing, next_link
from pileus.openstack.types import FALSE, TRUE, unexpected


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises BadRequest."""
    body = request.object()
    if body is None:
        raise BadRequest("Malformed request body")
    return body


def decode(resource: Resource, request: Request, verb: Literal["create", "update"], *, beside: tuple[str, ...] = ()) -> Row:
    """`{key: {...}}` as the values an action takes. `beside`: keys that may stand beside the object."""
    body = body_of(request)
    given = body.get(resource.key)
    if resource.key in body and (extra := [name for name in body if name != resource.key and name not in beside]):
        raise BadRequest(unexpected(extra))
    if isinstance(given, dict):
        known = resource.takes(verb, request.ctx.version)
        if unknown := [name for name in given if name not in known]:
            raise invalid(resource.key, given, unexpected(unknown))
    return resource.decode(body, verb, request.ctx)


# -- queries -----------------------------------------------------------------------------------------------------------------


def whole_number(request: Request, name: str) -> int | None:
    """A query parameter of digits. Raises BadRequest."""
    text = request.query.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]*", text):
        raise invalid_query(name, text, f"{text!r} does not match '^[0-9]*$'")
    return int(text) if text else None


def paged(request: Request) -> Listing:
    """A listing with the limit and marker of the query; a limit of 0 is the largest page."""
    limit = whole_number(request, "limit")
    return Listing(limit=min(limit, MAX_PAGE) if limit else MAX_PAGE, marker=request.query.get("marker") or None)


def sorted_by(request: Request, listing: Listing, columns: dict[str, str], names: Iterable[str], default: tuple[str, bool]) -> Listing:
    """Put the query's sort keys and directions into a listing. `names`: all that Nova lists when it refuses one."""
    keys = [value for name, value in request.pairs if name == "sort_key"]
    directions = [value for name, value in request.pairs if name == "sort_dir"]
    for key in keys:
        if key not in names:
            raise invalid_query("sort_key", key, f"{key!r} is not one of {list(names)}")
    for way in directions:
        if way not in ("asc", "desc"):
            raise invalid_query("sort_dir", way, f"{way!r} is not one of ['asc', 'desc']")
    first = directions[0] == "desc" if directions else default[1]
    ways = [way == "desc" for way in directions] + [first] * len(keys)
    listing.sorts = [(columns[key], way) for key, way in zip(keys, ways, strict=False) if key in columns]
    if not listing.sorts:
        listing.sorts = [(default[0], first)]
    return listing


def a_time(request: Request, name: str) -> int | None:
    """A time in the query, in microseconds. Raises BadRequest."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return micros(text.replace(" ", "+"))  # a plus sign that was not quoted
    except ValueError:
        raise invalid_query(name, text, f"{text!r} is not a 'date-time'") from None


def a_bool(text: str | None, default: bool = False) -> bool:
    """A word of the query as a boolean; what is no such word is the default, as oslo's bool_from_string has it."""
    if text is None:
        return default
    if text in TRUE or text.lower() in ("y", "t"):
        return True
    return False if text in FALSE or text.lower() in ("n", "f") else default


def strict(request: Request, known: Iterable[str]) -> None:
    """From 2.75 on: refuse query parameters that are not known."""
    if request.ctx.version >= STRICT_QUERIES and (unknown := [name for name in request.query if name not in known]):
        raise BadRequest(unexpected(unknown))


def with_next(key: str, items: list[Any], last: str, request: Request, listing: Listing, *, more: bool) -> Row:
    """`{key: [...]}` and the link to the next page when there may be one.

    As Nova does it, a page that is full by the client's own limit has a link even when nothing follows.
    """
    full = "limit" in request.query and listing.limit is not None and len(items) == listing.limit
    shown: Row = {key: items}
    if items and (full or more):
        shown[f"{key}_links"] = [next_link(f"{request.root}{request.path}", request.pairs, last)]
    return shown


def at_least(ctx: Context, gate: tuple[int, int]) -> bool:
    return ctx.version >= gate
