"""The five handlers that every noun has, made from its field table and its actions; bulk creation, If-Match, and bodies that are none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pileus.errors import Stale
from pileus.kit.context import Context
from pileus.kit.resource import Resource
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.network.actions.scope import Page
from pileus.network.api.query import Special, asked, chosen, links, wanted_fields
from pileus.network.types import WORDS, bad_request, malformed
from pileus.openstack.listing import Listing

Trim = Callable[[Row, Row], None]  # what is shown of a row, the row: takes away what Neutron shows of some only


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun of the API: its path below /v2.0, its field table and its actions."""

    path: str
    resource: Resource
    find: Callable[[Context, str], Row]
    list: Callable[[Context, Listing], Page]
    create: Callable[[Context, Row], Row]
    delete: Callable[[Context, str], None]
    update: Callable[[Context, str, Row], Row] | None = None
    special: Mapping[str, Special] = field(default_factory=dict)
    trim: Trim | None = None


def routes_of(noun: Noun) -> list[Route]:
    """The noun's routes."""
    at, one, many = f"/v2.0/{noun.path}", noun.resource.key.replace("_", " "), noun.resource.plural.replace("_", " ")
    routes = [
        Route("GET", at, lambda request: list_(noun, request), doc=f"List {many}"),
        Route("POST", at, lambda request: create(noun, request), doc=f"Create a {one}, or several at once"),
        Route("GET", at + "/{id}", lambda request: show(noun, request), doc=f"Show a {one}"),
        Route("DELETE", at + "/{id}", lambda request: delete(noun, request), doc=f"Delete a {one}"),
    ]
    if noun.update:
        routes.append(Route("PUT", at + "/{id}", lambda request: update(noun, request), doc=f"Update a {one}"))
    return routes


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a client sent. Raises BadRequest."""
    body = request.object()
    if body is None:
        raise malformed("Body contains invalid data")
    return body


def shown(noun: Noun, row: Row, ctx: Context) -> Row:
    return noun.resource.view(row, ctx)


def list_(noun: Noun, request: Request) -> Response:
    ask = asked(request, noun.resource, noun.special)
    rows, _ = noun.list(request.ctx, ask.listing)
    items = noun.resource.views(rows, request.ctx)
    if noun.trim:
        for item, row in zip(items, rows, strict=True):
            noun.trim(item, row)
    body: Row = {noun.resource.plural: [chosen(item, ask.fields) for item in items]}
    if ask.listing.limit:
        body[f"{noun.resource.plural}_links"] = links(request, items, ask.listing)
    return Response(200, body)


def show(noun: Noun, request: Request) -> Response:
    row = noun.find(request.ctx, request.params["id"])
    item = shown(noun, row, request.ctx)
    if noun.trim:
        noun.trim(item, row)
    return Response(200, {noun.resource.key: chosen(item, wanted_fields(request))})


def create(noun: Noun, request: Request) -> Response:
    ctx, resource, body = request.ctx, noun.resource, body_of(request)
    if resource.plural not in body:
        row = noun.create(ctx, decoded(resource, body.get(resource.key), "create", ctx))
        return Response(201, {resource.key: shown(noun, row, ctx)})
    items = body[resource.plural]
    if not isinstance(items, list) or not items:
        raise malformed("Resources required")
    with ctx.store.transaction():
        rows = [noun.create(ctx, decoded(resource, _item(resource, item), "create", ctx)) for item in items]
    return Response(201, {resource.plural: resource.views(rows, ctx)})


def _item(resource: Resource, item: Any) -> Any:
    """One of a bulk request: bare, or inside its own key."""
    return item[resource.key] if isinstance(item, dict) and set(item) == {resource.key} else item


def update(noun: Noun, request: Request) -> Response:
    ctx, id = request.ctx, request.params["id"]
    assert noun.update is not None
    values = decoded(noun.resource, body_of(request).get(noun.resource.key), "update", ctx)
    check_revision(request, noun.find(ctx, id))
    row = noun.update(ctx, id, values)
    item = shown(noun, row, ctx)
    if noun.trim:
        noun.trim(item, row)
    return Response(200, {noun.resource.key: item})


def delete(noun: Noun, request: Request) -> Response:
    ctx, id = request.ctx, request.params["id"]
    if request.body.strip():
        raise malformed("Request body is not supported in DELETE.")
    check_revision(request, noun.find(ctx, id))
    noun.delete(ctx, id)
    return Response(204)


def decoded(resource: Resource, given: Any, verb: Literal["create", "update"], ctx: Context) -> Row:
    """A body's object as values for an action. Raises BadRequest, also for fields that exist but are not the client's to set."""
    if not isinstance(given, dict):
        raise WORDS.no_object(resource.key, given)
    known = {f.name for f in resource.fields}
    if unknown := [name for name in given if name not in known]:
        raise WORDS.unknown(unknown)
    writable = {f.name for f in resource.fields if getattr(f, verb)}
    for name in given:
        if name not in writable:
            raise malformed(f"Attribute '{name}' not allowed in POST" if verb == "create" else f"Cannot update read-only attribute {name}")
    return resource.decode_object(given, verb, ctx)


def check_revision(request: Request, row: Row) -> None:
    """`If-Match: revision_number=N`: go on only if the row is still at that revision. Raises Stale."""
    found = re.findall(r'revision_number=([^",\s]*)', request.headers.get("if-match", ""))
    if not found:
        return
    if len(found) > 1:
        raise bad_request("if-match", "Multiple revision_number etags are not supported")
    if not found[0].isdigit():
        raise bad_request("if-match", "Revision number etag must be in the format of revision_number=<int>")
    if int(found[0]) != row["revision"]:
        words = f"Constrained to {found[0]}, but current revision is {row['revision']}"
        raise Stale(words, type="RevisionNumberConstraintFailed")
