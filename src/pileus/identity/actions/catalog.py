"""Regions, services and endpoints: what an admin changes here is in the catalog of every token at once."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden
from pileus.identity.actions import ADMIN, SEES_ALL, changing, new_id
from pileus.identity.actions.rows import Noun
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow
from pileus.kit.store import Row

REGIONS = Noun("region", "region", "region")
SERVICES = Noun("service", "service", "service")
ENDPOINTS = Noun("endpoint", "endpoint", "endpoint")

# -- regions ---------------------------------------------------------------------------------------------------------------


@allow(ANYONE, "identity:get_region")
def get_region(ctx: Context, id: str) -> Row:
    return REGIONS.find(ctx, id)


@allow(ANYONE, "identity:list_regions")
def list_regions(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return REGIONS.search(ctx, where)


@allow(ADMIN, "identity:create_region")
def create_region(ctx: Context, values: Row) -> Row:
    """A region of the id that is asked for, or of a new one."""
    id = values.get("id") or new_id()
    if ctx.store.get("region", id):
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {id}.")
    _parent(ctx, id, values)
    return REGIONS.add(ctx, {**values, "id": id, "description": values.get("description") or ""})


def _parent(ctx: Context, id: str, values: Row) -> None:
    """The parent is there, and is not below the region itself."""
    above = values.get("parent_region_id")
    while above is not None:
        if above == id:
            raise BadRequest(f"The parent of region {id} would be below it: a circular reference.")
        above = REGIONS.find(ctx, above)["parent_region_id"]


@allow(ADMIN, "identity:update_region")
def update_region(ctx: Context, id: str, values: Row) -> Row:
    """Change a region's description or parent."""
    row = REGIONS.find(ctx, id)
    _parent(ctx, id, values)
    if "description" in values:
        values["description"] = values["description"] or ""
    return REGIONS.change(ctx, row, values)


@allow(ADMIN, "identity:delete_region")
def delete_region(ctx: Context, id: str) -> None:
    """Delete a region that no endpoint is in. Limits that hold there stay, as in Keystone."""
    REGIONS.find(ctx, id)
    if ctx.store.first("endpoint", {"region_id": id}) or ctx.store.first("region", {"parent_region_id": id}):
        raise Forbidden(f"Unable to delete region {id} because it or its child regions have associated endpoints.")
    with changing(ctx, "region.deleted", id):
        ctx.store.delete("policy_association", {"region_id": id})
        ctx.store.delete("region", {"id": id})


# -- services --------------------------------------------------------------------------------------------------------------


@allow(SEES_ALL, "identity:get_service")
def get_service(ctx: Context, id: str) -> Row:
    return SERVICES.find(ctx, id)


@allow(SEES_ALL, "identity:list_services")
def list_services(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return SERVICES.search(ctx, where, "rowid")


@allow(ADMIN, "identity:create_service")
def create_service(ctx: Context, values: Row) -> Row:
    return SERVICES.add(ctx, {"enabled": True, **values})


@allow(ADMIN, "identity:update_service")
def update_service(ctx: Context, id: str, values: Row) -> Row:
    return SERVICES.change(ctx, SERVICES.find(ctx, id), values)


@allow(ADMIN, "identity:delete_service")
def delete_service(ctx: Context, id: str) -> None:
    """Delete a service with its endpoints. Its limits stay, as in Keystone."""
    SERVICES.find(ctx, id)
    with changing(ctx, "service.deleted", id):
        for endpoint in ctx.store.find("endpoint", {"service_id": id}):
            _erase_endpoint(ctx, endpoint["id"])
        ctx.store.delete("policy_association", {"service_id": id})
        ctx.store.delete("service", {"id": id})


# -- endpoints -------------------------------------------------------------------------------------------------------------


@allow(SEES_ALL, "identity:get_endpoint")
def get_endpoint(ctx: Context, id: str) -> Row:
    return ENDPOINTS.find(ctx, id)


@allow(SEES_ALL, "identity:list_endpoints")
def list_endpoints(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return ENDPOINTS.search(ctx, where, "rowid")


def _placed(ctx: Context, values: Row) -> Row:
    """The columns of an endpoint: its region, which older clients call `region` and expect to be made, and its service."""
    out = dict(values)
    named = out.pop("region", None)
    if named is not None and out.get("region_id") is None:
        if ctx.store.get("region", named) is None:
            ctx.store.insert("region", {"id": named, "created_at": ctx.now()})
        out["region_id"] = named
    for name, noun in (("region_id", REGIONS), ("service_id", SERVICES)):
        if out.get(name) is not None and ctx.store.get(noun.table, out[name]) is None:
            raise BadRequest(f"Could not find {noun.called}: {out[name]}.")
    return out


@allow(ADMIN, "identity:create_endpoint")
def create_endpoint(ctx: Context, values: Row) -> Row:
    """A place where a service answers. `%(project_id)s` and `%(user_id)s` in its URL are filled in for each token."""
    with ctx.store.transaction():
        return ENDPOINTS.add(ctx, {"enabled": True, **_placed(ctx, values)})


@allow(ADMIN, "identity:update_endpoint")
def update_endpoint(ctx: Context, id: str, values: Row) -> Row:
    row = ENDPOINTS.find(ctx, id)
    with ctx.store.transaction():
        return ENDPOINTS.change(ctx, row, _placed(ctx, values))


@allow(ADMIN, "identity:delete_endpoint")
def delete_endpoint(ctx: Context, id: str) -> None:
    """Delete an endpoint; projects that were associated with it no longer are."""
    ENDPOINTS.find(ctx, id)
    with changing(ctx, "endpoint.deleted", id):
        _erase_endpoint(ctx, id)


def _erase_endpoint(ctx: Context, id: str) -> None:
    ctx.store.delete("endpoint_project", {"kind": "endpoint", "target_id": id})
    ctx.store.delete("policy_association", {"endpoint_id": id})
    ctx.store.delete("endpoint", {"id": id})
