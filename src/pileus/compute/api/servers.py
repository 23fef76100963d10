"""Servers: create, list, show, update, delete. Source: https://docs.openstack.org/api-ref/compute/#servers-servers"""

from __future__ import annotations

from typing import Any

from pileus.compute.actions import create, servers
from pileus.compute.actions.nics import names_of
from pileus.compute.api import server_list
from pileus.compute.api.read import body_of, decode, with_next
from pileus.compute.resources.servers import SERVER, brief, created, detail, updated, whole
from pileus.compute.resources.words import invalid
from pileus.errors import BadRequest
from pileus.kit.web import Request, Response, Route

HINTS = ("os:scheduler_hints", "OS-SCH-HNT:scheduler_hints")


def _page(request: Request, *, detailed: bool) -> Response:
    listing, everywhere, name = server_list.query(request, detailed=detailed)
    rows, more = servers.list_servers(request.ctx, listing, every_project=everywhere, name=name)
    items = detail(rows, request.ctx) if detailed else [brief(row, request.ctx) for row in rows]
    return Response(200, with_next("servers", items, rows[-1]["id"] if rows else "", request, listing, more=more))


def list_servers(request: Request) -> Response:
    """Servers in brief."""
    return _page(request, detailed=False)


def list_details(request: Request) -> Response:
    """Servers with all they have."""
    return _page(request, detailed=True)


def show_server(request: Request) -> Response:
    """One server."""
    return Response(200, {"server": whole(servers.show_server(request.ctx, request.params["id"]), request.ctx)})


def _hints(body: dict[str, Any]) -> dict[str, Any]:
    for name in HINTS:
        if name in body:
            if not isinstance(body[name], dict):
                raise invalid(name, body[name], f"{body[name]!r} is not of type 'object'")
            return dict(body[name])
    return {}


def create_server(request: Request) -> Response:
    """Create one server or several; they are built after the answer."""
    ctx = request.ctx
    values = decode(SERVER, request, "create", beside=HINTS)
    password = values.pop("admin_pass", None) or create.new_password()
    by_reservation = values.pop("return_reservation_id", False)
    rows = create.create_servers(ctx, values, _hints(body_of(request)))
    if by_reservation:
        return Response(202, {"reservation_id": rows[0]["reservation_id"]})
    names = names_of(values.get("security_groups", [])) or ["default"]
    location = {"Location": f"{request.root}/v2.1/servers/{rows[0]['id']}"}
    return Response(202, {"server": created(rows[0], ctx, names, password)}, location)


def update_server(request: Request) -> Response:
    """Change a server's name, description, access addresses or disk configuration."""
    values = decode(SERVER, request, "update")
    if not values:
        raise BadRequest("Invalid input for field/attribute server. Value: {}. {} does not have enough properties")
    row = servers.update_server(request.ctx, request.params["id"], values)
    return Response(200, {"server": updated(row, request.ctx)})


def delete_server(request: Request) -> Response:
    """Delete a server; it goes after the answer."""
    servers.delete_server(request.ctx, request.params["id"])
    return Response(204)


ROUTES = [
    Route("GET", "/servers", list_servers),
    Route("POST", "/servers", create_server),
    Route("GET", "/servers/detail", list_details),
    Route("GET", "/servers/{id}", show_server),
    Route("PUT", "/servers/{id}", update_server),
    Route("DELETE", "/servers/{id}", delete_server),
]
