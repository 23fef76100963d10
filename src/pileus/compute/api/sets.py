"""Sets of servers and sets of hosts: server groups and aggregates. Source: https://docs.openstack.org/api-ref/compute/"""

from __future__ import annotations

import json
from typing import Any

from pileus.compute import versions
from pileus.compute.actions import aggregates, groups
from pileus.compute.api.read import body_of, strict, whole_number
from pileus.compute.resources.words import COUNT, Name, invalid, parse
from pileus.errors import BadRequest
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.resource import Type
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.openstack.listing import MAX_PAGE, Listing
from pileus.openstack.types import Either, Enum, List, Map, Obj, Str

# -- server groups -----------------------------------------------------------------------------------------------------------


def _group(row: Row, members: list[str], ctx: Context) -> Row:
    shown: Row = {"id": row["id"], "name": row["name"], "members": members}
    if ctx.version >= versions.GROUP_RULES:
        shown |= {"policy": row["policy"], "rules": json.loads(row["rules"])}
    else:
        shown |= {"policies": [row["policy"]], "metadata": {}}
    if ctx.version >= versions.GROUP_OWNERS:
        shown |= {"project_id": row["project_id"], "user_id": row["user_id"]}
    return shown


def _groups(rows: list[Row], ctx: Context) -> list[Row]:
    members = groups.members_of(ctx, [row["id"] for row in rows])
    return [_group(row, members[row["id"]], ctx) for row in rows]


def list_groups(request: Request) -> Response:
    """Server groups."""
    strict(request, ("all_projects", "limit", "offset"))
    limit, offset = whole_number(request, "limit"), whole_number(request, "offset") or 0
    rows = groups.list_groups(request.ctx, Listing(limit=MAX_PAGE), every_project="all_projects" in request.query)
    rows = rows[offset : offset + limit if limit else None]
    return Response(200, {"server_groups": _groups(rows, request.ctx)})


def create_group(request: Request) -> Response:
    """Create a server group."""
    ctx = request.ctx
    names: tuple[str, ...] = ("anti-affinity", "affinity")
    if ctx.version >= versions.SOFT_POLICIES:
        names = (*names, "soft-anti-affinity", "soft-affinity")
    kinds: dict[str, Type] = {"name": Name()}
    if ctx.version >= versions.GROUP_RULES:
        kinds |= {"policy": Enum(names), "rules": Obj({"max_server_per_host": COUNT})}
        value = parse("server_group", body_of(request), Obj(kinds, ("name", "policy")))
        row = groups.create_group(ctx, value["name"], value["policy"], value.get("rules", {}))
    else:
        kinds["policies"] = List(Enum(names), min=1, max=1)
        value = parse("server_group", body_of(request), Obj(kinds, ("name", "policies")))
        row = groups.create_group(ctx, value["name"], value["policies"][0], {})
    return Response(200, {"server_group": _groups([row], ctx)[0]})


def show_group(request: Request) -> Response:
    """One server group."""
    return Response(200, {"server_group": _groups([groups.find_group(request.ctx, request.params["id"])], request.ctx)[0]})


def delete_group(request: Request) -> Response:
    """Delete a server group; its servers stay."""
    groups.delete_group(request.ctx, request.params["id"])
    return Response(204)


# -- aggregates --------------------------------------------------------------------------------------------------------------

_ZONE = Either((Str(null=True, max=0), Name()))
_METADATA = Map(Str(max=255, null=True))


def _aggregate(row: Row, ctx: Context) -> Row:
    shown = {"id": row["id"], "name": row["name"], "availability_zone": row["availability_zone"], "deleted": False, "deleted_at": None}
    shown |= {"hosts": json.loads(row["hosts"]), "metadata": json.loads(row["metadata"])}
    shown |= {f"{name}_at": iso(row[f"{name}_at"], fraction=True, zone="") for name in ("created", "updated")}
    return shown | ({"uuid": row["uuid"]} if ctx.version >= versions.AGGREGATE_UUIDS else {})


def _one(row: Row, request: Request) -> Response:
    return Response(200, {"aggregate": _aggregate(row, request.ctx)})


def list_aggregates(request: Request) -> Response:
    """Aggregates (admin)."""
    return Response(200, {"aggregates": [_aggregate(row, request.ctx) for row in aggregates.list_aggregates(request.ctx)]})


def create_aggregate(request: Request) -> Response:
    """Create an aggregate (admin)."""
    value = parse("aggregate", body_of(request), Obj({"name": Name(), "availability_zone": _ZONE}, ("name",)))
    row = aggregates.create_aggregate(request.ctx, value["name"], value.get("availability_zone"))
    shown = _aggregate(row, request.ctx)
    return Response(200, {"aggregate": {name: what for name, what in shown.items() if name not in ("hosts", "metadata")}})


def show_aggregate(request: Request) -> Response:
    """One aggregate (admin)."""
    return _one(aggregates.find_aggregate(request.ctx, request.params["id"]), request)


def update_aggregate(request: Request) -> Response:
    """Change an aggregate's name or zone (admin)."""
    value = parse("aggregate", body_of(request), Obj({"name": Name(), "availability_zone": _ZONE}))
    if not value:
        raise invalid("aggregate", {}, "{} does not have enough properties")
    return _one(aggregates.update_aggregate(request.ctx, request.params["id"], value), request)


def delete_aggregate(request: Request) -> Response:
    """Delete an aggregate without hosts (admin)."""
    aggregates.delete_aggregate(request.ctx, request.params["id"])
    return Response(200)


def act(request: Request) -> Response:
    """Add or remove a host, or set metadata (admin)."""
    body = body_of(request)
    if len(body) != 1:
        raise BadRequest("Malformed request body")
    verb, ctx, id = next(iter(body)), request.ctx, request.params["id"]
    host = Obj({"host": Str(min=1, max=255)}, ("host",))
    if verb == "add_host":
        return _one(aggregates.add_host(ctx, id, parse(verb, body, host)["host"]), request)
    if verb == "remove_host":
        return _one(aggregates.remove_host(ctx, id, parse(verb, body, host)["host"]), request)
    if verb == "set_metadata":
        given: dict[str, Any] = parse(verb, body, Obj({"metadata": _METADATA}, ("metadata",)))["metadata"]
        return _one(aggregates.set_metadata(ctx, id, given), request)
    raise BadRequest(f"There is no such action: {verb}")


ROUTES = [
    Route("GET", "/os-server-groups", list_groups),
    Route("POST", "/os-server-groups", create_group),
    Route("GET", "/os-server-groups/{id}", show_group),
    Route("DELETE", "/os-server-groups/{id}", delete_group),
    Route("GET", "/os-aggregates", list_aggregates),
    Route("POST", "/os-aggregates", create_aggregate),
    Route("GET", "/os-aggregates/{id}", show_aggregate),
    Route("PUT", "/os-aggregates/{id}", update_aggregate),
    Route("DELETE", "/os-aggregates/{id}", delete_aggregate),
    Route("POST", "/os-aggregates/{id}/action", act),
]
