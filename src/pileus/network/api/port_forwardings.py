"""The routes of floating IPs' port forwardings."""

from __future__ import annotations

from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.network.actions import port_forwardings as actions
from pileus.network.api.crud import body_of, decoded
from pileus.network.api.query import asked, chosen, links, wanted_fields
from pileus.network.resources import PORT_FORWARDING
from pileus.network.types import malformed

KEY, PLURAL = PORT_FORWARDING.key, PORT_FORWARDING.plural


def _shown(row: Row, ctx: Context) -> Row:
    return PORT_FORWARDING.view(row, ctx)


def list_port_forwardings(request: Request) -> Response:
    """List the port forwardings of a floating IP."""
    ask = asked(request, PORT_FORWARDING, {})
    rows, _ = actions.list_port_forwardings(request.ctx, request.params["id"], ask.listing)
    items = PORT_FORWARDING.views(rows, request.ctx)
    body: Row = {PLURAL: [chosen(item, ask.fields) for item in items]}
    if ask.listing.limit:
        body[f"{PLURAL}_links"] = links(request, items, ask.listing)
    return Response(200, body)


def create_port_forwarding(request: Request) -> Response:
    """Let ports of a floating IP lead to an inner port; several at once, too."""
    ctx, at, body = request.ctx, request.params["id"], body_of(request)
    if PLURAL not in body:
        row = actions.create_port_forwarding(ctx, at, decoded(PORT_FORWARDING, body.get(KEY), "create", ctx))
        return Response(201, {KEY: _shown(row, ctx)})
    items = body[PLURAL]
    if not isinstance(items, list) or not items:
        raise malformed("Resources required")
    with ctx.store.transaction():
        rows = [actions.create_port_forwarding(ctx, at, decoded(PORT_FORWARDING, item, "create", ctx)) for item in items]
    return Response(201, {PLURAL: PORT_FORWARDING.views(rows, ctx)})


def show_port_forwarding(request: Request) -> Response:
    """Show a port forwarding."""
    row = actions.find_port_forwarding(request.ctx, request.params["id"], request.params["key"])
    return Response(200, {KEY: chosen(_shown(row, request.ctx), wanted_fields(request))})


def update_port_forwarding(request: Request) -> Response:
    """Change a port forwarding."""
    values = decoded(PORT_FORWARDING, body_of(request).get(KEY), "update", request.ctx)
    row = actions.update_port_forwarding(request.ctx, request.params["id"], request.params["key"], values)
    return Response(200, {KEY: _shown(row, request.ctx)})


def delete_port_forwarding(request: Request) -> Response:
    """End a port forwarding."""
    actions.delete_port_forwarding(request.ctx, request.params["id"], request.params["key"])
    return Response(204)


AT = "/v2.0/floatingips/{id}/port_forwardings"
ROUTES = [
    Route("GET", AT, list_port_forwardings),
    Route("POST", AT, create_port_forwarding),
    Route("GET", AT + "/{key}", show_port_forwarding),
    Route("PUT", AT + "/{key}", update_port_forwarding),
    Route("DELETE", AT + "/{key}", delete_port_forwarding),
]
