"""Reading bodies, and the answers that all of Glance's handlers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from pileus.errors import BadRequest
from pileus.kit.web import Request, Response

HTML = "text/html; charset=UTF-8"  # what webob says of an empty answer


def done(status: int = 204) -> Response:
    """An empty answer, as webob sends it."""
    return Response(status, None if status == 204 else b"", {"Content-Type": HTML} if status == 204 else {}, HTML)


def json_of(request: Request) -> Any:
    """The body. Raises BadRequest for what is no JSON."""
    try:
        return request.json()
    except ValueError as error:
        raise BadRequest(f"Malformed JSON in request body: {error}") from None


def object_of(request: Request) -> dict[str, Any]:
    """The body, which has to be an object. Raises BadRequest."""
    body = json_of(request)
    if not isinstance(body, dict):
        raise BadRequest("Request body must be a JSON object.")
    return body


def part_of(request: Request, name: str) -> Any:
    """One value of the body; None when it is not there. Raises BadRequest."""
    body = json_of(request)
    if not isinstance(body, dict):
        raise BadRequest(f'Expected a "{name}" in the body')
    return body.get(name)


def page(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The link to a page of a list."""
    return f"{path}?{urlencode(pairs)}" if pairs else path
