"""Handlers of limits, domain configuration, federation, and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pileus.errors import BadRequest
from pileus.identity.actions import domain_configs, events, federation, limits
from pileus.identity.api.nouns import crud
from pileus.identity.api.read import body_of, decode, listed, many, one
from pileus.identity.resources import (
    IDENTITY_PROVIDER,
    LIMIT,
    MAPPING,
    PROTOCOL,
    REGISTERED_LIMIT,
    SERVICE_PROVIDER,
    expecting,
    views,
)
from pileus.kit.clock import iso, micros
from pileus.kit.resource import Resource
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route

FEDERATION = "/v3/OS-FEDERATION"
EVENTS_MOST = 1000


# -- limits ----------------------------------------------------------------------------------------------------------------


def limits_model(request: Request) -> Response:
    said = "Limit enforcement and validation does not take project hierarchy into consideration."
    return Response(200, {"model": {"name": "flat", "description": said}})


def _create_many(resource: Resource, action: Callable[..., list[Row]]) -> Callable[[Request], Response]:
    """Limits are created several at a time, under their plural."""

    def handle(request: Request) -> Response:
        body = body_of(request)
        given = body.get(resource.plural) if isinstance(body, dict) else None
        if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
            raise expecting(resource.plural)
        rows = action(request.ctx, [resource.decode_object(each, "create", request.ctx) for each in given])
        return Response(201, {resource.plural: views(resource, rows, request.ctx)})

    return handle


# -- configuration of a domain ---------------------------------------------------------------------------------------------


def _place(request: Request) -> tuple[str, ...]:
    return tuple(request.params[name] for name in ("group", "option") if name in request.params)


def default_config(request: Request) -> Response:
    return Response(200, {"config": domain_configs.default_config(request.ctx, _place(request))})


def get_config(request: Request) -> Response:
    return Response(200, {"config": domain_configs.get_config(request.ctx, request.params["id"], _place(request))})


def _config(request: Request) -> Any:
    body = body_of(request)
    if not isinstance(body, dict) or "config" not in body:
        raise expecting("config")
    return body["config"]


def put_config(request: Request) -> Response:
    config, fresh = domain_configs.create_config(request.ctx, request.params["id"], _config(request))
    return Response(201 if fresh else 200, {"config": config})


def update_config(request: Request) -> Response:
    changed = domain_configs.update_config(request.ctx, request.params["id"], _place(request), _config(request))
    return Response(200, {"config": changed})


def delete_config(request: Request) -> Response:
    domain_configs.delete_config(request.ctx, request.params["id"], _place(request))
    return Response(204)


def _config_routes() -> list[Route]:
    found = [Route("PUT", "/v3/domains/{id}/config", put_config, doc="Set a domain's configuration, instead of what was set.")]
    for tail, what in (("", "configuration"), ("/{group}", "a group of options"), ("/{group}/{option}", "one option")):
        of = f"A domain's {what}." if not tail else f"Of a domain's configuration {what}."
        found += [
            Route("GET", f"/v3/domains/config{tail}/default", default_config, doc="What holds where a domain says nothing."),
            Route("GET", f"/v3/domains/{{id}}/config{tail}", get_config, doc=of),
            Route("PATCH", f"/v3/domains/{{id}}/config{tail}", update_config, doc=f"Change: {of}"),
            Route("DELETE", f"/v3/domains/{{id}}/config{tail}", delete_config, doc=f"Back to the default: {of}"),
        ]
    return found


# -- federation ------------------------------------------------------------------------------------------------------------


def _put(resource: Resource, action: Callable[..., Row]) -> Callable[[Request], Response]:
    """What the admin chooses the id of is created by PUT."""

    def handle(request: Request) -> Response:
        values = {**decode(resource, request, "create"), "id": request.params["id"]}
        return one(resource, action(request.ctx, values), request, 201)

    return handle


def _named(resource: Resource, verbs: Any, collection: str) -> list[Route]:
    """The five routes, but created by PUT."""
    routes = [route for route in crud(resource, verbs, base=f"{FEDERATION}/{collection}") if route.method != "POST"]
    creates = _put(resource, getattr(verbs, f"create_{resource.key}"))
    return [*routes, Route("PUT", f"{FEDERATION}/{collection}/{{id}}", creates, doc=f"Create {_a(resource.key)}.")]


def _a(key: str) -> str:
    called = key.replace("_", " ")
    return f"{'an' if called[0] in 'aeiou' else 'a'} {called}"


def _both(request: Request) -> tuple[str, str]:
    return request.params["provider"], request.params["id"]


def list_protocols(request: Request) -> Response:
    return many(PROTOCOL, federation.list_protocols(request.ctx, request.params["provider"]), request)


def show_protocol(request: Request) -> Response:
    return one(PROTOCOL, federation.get_protocol(request.ctx, *_both(request)), request)


def create_protocol(request: Request) -> Response:
    return one(PROTOCOL, federation.create_protocol(request.ctx, *_both(request), decode(PROTOCOL, request, "create")), request, 201)


def update_protocol(request: Request) -> Response:
    return one(PROTOCOL, federation.update_protocol(request.ctx, *_both(request), decode(PROTOCOL, request, "update")), request)


def delete_protocol(request: Request) -> Response:
    federation.delete_protocol(request.ctx, *_both(request))
    return Response(204)


def _federation_routes() -> list[Route]:
    protocols = f"{FEDERATION}/identity_providers/{{provider}}/protocols"
    return [
        *_named(IDENTITY_PROVIDER, federation, "identity_providers"),
        *_named(MAPPING, federation, "mappings"),
        *_named(SERVICE_PROVIDER, federation, "service_providers"),
        Route("GET", protocols, list_protocols, doc="The protocols of an identity provider."),
        Route("PUT", protocols + "/{id}", create_protocol, doc="Create a protocol of an identity provider."),
        Route("GET", protocols + "/{id}", show_protocol, doc="Show a protocol."),
        Route("PATCH", protocols + "/{id}", update_protocol, doc="Change a protocol."),
        Route("DELETE", protocols + "/{id}", delete_protocol, doc="Delete a protocol."),
    ]


# -- the audit log ---------------------------------------------------------------------------------------------------------

EVENT_FILTERS = ("event_type", "outcome", "user_id", "project_id", "target_type", "target_id", "request_id")


def _number(request: Request, name: str, default: int | None) -> int | None:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isdigit():
        raise BadRequest(f"Invalid input for field {name}: {text!r} is not a number.")
    return int(text)


def list_events(request: Request) -> Response:
    """Who did what to identities, and who was refused: newest first, `limit` at a time, then on from `marker`."""
    query = request.query
    where = {name: query[name] for name in EVENT_FILTERS if name in query}
    limit = min(_number(request, "limit", 100) or 1, EVENTS_MOST)
    try:
        since = micros(query["since"]) if "since" in query else 0
    except ValueError:
        raise BadRequest(f"Invalid input for field since: {query['since']!r} is not a time.") from None
    rows = events.list_audit_events(request.ctx, where, since=since, before=_number(request, "marker", None), limit=limit)
    answer = listed("audit_events", [_event(row) for row in rows], request)
    if len(rows) == limit:
        keep: Sequence[str] = [f"{name}={value}" for name, value in request.pairs if name != "marker"]
        marker = f"marker={rows[-1]['id']}"
        answer.body["links"]["next"] = f"{request.root}{request.path}?{'&'.join([*keep, marker])}"
    return answer


def _event(row: Row) -> Row:
    return {
        "id": row["id"],
        "time": iso(row["created_at"], fraction=True),
        "event_type": row["event_type"],
        "outcome": row["outcome"],
        "reason": row["reason"],
        "initiator": {"user_id": row["user_id"] or None, "project_id": row["project_id"] or None},
        "target": {"type": row["target_type"], "id": row["target_id"]},
        "request_id": row["request_id"],
    }


def routes() -> list[Route]:
    return [
        Route("GET", "/v3/limits/model", limits_model, doc="How limits are enforced."),
        *crud(REGISTERED_LIMIT, limits, create=_create_many(REGISTERED_LIMIT, limits.create_registered_limits)),
        *crud(LIMIT, limits, create=_create_many(LIMIT, limits.create_limits)),
        *_config_routes(),
        *_federation_routes(),
        Route("GET", "/v3/audit_events", list_events),
    ]
