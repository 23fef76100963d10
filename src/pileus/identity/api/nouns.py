"""The five routes of a noun whose actions are named after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.identity.api.read import decode, filters, many, one
from pileus.kit.resource import Resource
from pileus.kit.web import Request, Response, Route

Handler = Callable[[Request], Any]


def crud(
    resource: Resource,
    verbs: Any,
    *,
    base: str = "",
    show: Handler | None = None,
    update: Handler | None = None,
    listing: Handler | None = None,
    create: Handler | None = None,
    delete: Handler | None = None,
) -> list[Route]:
    """`verbs` has create_noun, get_noun, list_nouns, update_noun, delete_noun; `base`: where the collection is, if not at its name."""
    noun, base = resource.key, base or f"/v3/{resource.plural}"
    called = noun.replace("_", " ")

    def do(verb: str) -> Callable[..., Any]:
        action: Callable[..., Any] = getattr(verbs, f"{verb}_{noun}")
        return action

    def create_it(request: Request) -> Response:
        return one(resource, do("create")(request.ctx, decode(resource, request, "create")), request, 201)

    def show_it(request: Request) -> Response:
        return one(resource, do("get")(request.ctx, request.params["id"]), request)

    def update_it(request: Request) -> Response:
        return one(resource, do("update")(request.ctx, request.params["id"], decode(resource, request, "update")), request)

    def delete_it(request: Request) -> Response:
        do("delete")(request.ctx, request.params["id"])
        return Response(204)

    def list_it(request: Request) -> Response:
        return many(resource, getattr(verbs, f"list_{resource.plural}")(request.ctx, filters(resource, request)), request)

    an = "an" if called[0] in "aeio" else "a"
    return [
        Route("GET", base, listing or list_it, doc=f"List {resource.plural.replace('_', ' ')}."),
        Route("POST", base, create or create_it, doc=f"Create {an} {called}."),
        Route("GET", f"{base}/{{id}}", show or show_it, doc=f"Show {an} {called}."),
        Route("PATCH", f"{base}/{{id}}", update or update_it, doc=f"Change {an} {called}."),
        Route("DELETE", f"{base}/{{id}}", delete or delete_it, doc=f"Delete {an} {called}."),
    ]
