"""Unified limits: what a service's resource is limited to everywhere, and the limits of single projects and domains.

They are kept for services that ask here: images count by them (`limits_for`), Pileus's other services by their quotas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden
from pileus.identity.actions import ADMIN, SEES_ALL, changing, missing, new_id, pack
from pileus.identity.actions.projects import find_domain, find_project
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row, Store

SAME = ("service_id", "region_id", "resource_name")  # what makes two limits ones of the same thing


def _find(ctx: Context, table: str, kind: str, id: str) -> Row:
    row = ctx.store.get(table, id)
    if row is None:
        raise missing(f"{kind} for", id)
    return row


def _places(ctx: Context, values: Row) -> None:
    """The service and the region are there. Raises BadRequest, for it is the body that names them."""
    for name, table in (("service_id", "service"), ("region_id", "region")):
        if values.get(name) is not None and ctx.store.get(table, values[name]) is None:
            raise BadRequest(f"Could not find {table}: {values[name]}.")


def _same(values: Row) -> Row:
    return {name: values.get(name) for name in SAME}


# -- registered ------------------------------------------------------------------------------------------------------------


@allow(ANYONE, "identity:get_registered_limit")
def get_registered_limit(ctx: Context, id: str) -> Row:
    return _find(ctx, "registered_limit", "registered limit", id)


@allow(ANYONE, "identity:list_registered_limits")
def list_registered_limits(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return ctx.store.find("registered_limit", where, order="created_at, rowid")


@allow(ADMIN, "identity:create_registered_limits")
def create_registered_limits(ctx: Context, many: list[Row]) -> list[Row]:
    """Limit resources of services, all of them or none."""
    ids = []
    with ctx.store.transaction():
        for values in many:
            _places(ctx, values)
            if ctx.store.first("registered_limit", _same(values)):
                raise Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")
            ids.append(id := new_id())
            with changing(ctx, "registered_limit.created", id):
                ctx.store.insert("registered_limit", {"id": id, **pack(values), "created_at": ctx.now()})
    return ctx.store.find("registered_limit", {"id": ids}, order="created_at, rowid")


@allow(ADMIN, "identity:update_registered_limit")
def update_registered_limit(ctx: Context, id: str, values: Row) -> Row:
    """Change a registered limit; what it limits only while no project has a limit by it."""
    row = get_registered_limit(ctx, id)
    _places(ctx, values)
    after = {**row, **values}
    if _same(after) != _same(row):
        _free(ctx, row)
        if ctx.store.first("registered_limit", _same(after)):
            raise Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")
    with changing(ctx, "registered_limit.updated", id):
        ctx.store.update("registered_limit", id, {**pack(values), "updated_at": ctx.now(), "revision": row["revision"] + 1})
    return get_registered_limit(ctx, id)


def _free(ctx: Context, row: Row) -> None:
    if ctx.store.first("project_limit", _same(row)):
        raise Forbidden(f"Unable to update or delete registered limit {row['id']} because there are project limits associated with it.")


@allow(ADMIN, "identity:delete_registered_limit")
def delete_registered_limit(ctx: Context, id: str) -> None:
    """Delete a registered limit that no project has a limit by."""
    _free(ctx, get_registered_limit(ctx, id))
    with changing(ctx, "registered_limit.deleted", id):
        ctx.store.delete("registered_limit", {"id": id})


# -- of a project or a domain ----------------------------------------------------------------------------------------------


def _mine(ctx: Context, row: Row) -> bool:
    who = ctx.who
    if row["project_id"] and row["project_id"] == who.project_id:
        return True
    domains = {who.domain_id} if who.domain_id else {who.project_domain_id} if who.project_id else set()
    project = ctx.store.get("project", row["project_id"]) if row["project_id"] else None
    return (row["domain_id"] in domains and row["domain_id"] is not None) or bool(
        who.domain_id and project and project["domain_id"] == who.domain_id
    )


@allow(ANYONE, "identity:get_limit")
def get_limit(ctx: Context, id: str) -> Row:
    """A limit, for whoever sees all and for those whom it limits."""
    row = ctx.store.get("project_limit", id)
    if not SEES_ALL(ctx) and (row is None or not _mine(ctx, row)):
        forbid("identity:get_limit")
    return _find(ctx, "project_limit", "limit", id)


@allow(ANYONE, "identity:list_limits")
def list_limits(ctx: Context, where: dict[str, Any]) -> list[Row]:
    """Limits that match: all to whoever sees all, else those of the caller's project or domain."""
    rows = ctx.store.find("project_limit", where, order="created_at, rowid")
    return rows if SEES_ALL(ctx) else [row for row in rows if _mine(ctx, row)]


@allow(ADMIN, "identity:create_limits")
def create_limits(ctx: Context, many: list[Row]) -> list[Row]:
    """Give projects or domains limits of their own, all of them or none."""
    ids = []
    with ctx.store.transaction():
        for values in many:
            _places(ctx, values)
            if bool(values.get("project_id")) == bool(values.get("domain_id")):
                raise BadRequest("A limit is of a project or of a domain: give project_id or domain_id.")
            if values.get("project_id"):
                find_project(ctx, values["project_id"])
            else:
                find_domain(ctx, values["domain_id"])
            if not ctx.store.first("registered_limit", _same(values)):
                raise Forbidden("Unable to create a limit that has no corresponding registered limit.")
            whose = {name: values.get(name) for name in ("project_id", "domain_id")}
            if ctx.store.first("project_limit", {**whose, **_same(values)}):
                raise Conflict("Conflict occurred attempting to store limit - Duplicate entry.")
            ids.append(id := new_id())
            with changing(ctx, "limit.created", id):
                ctx.store.insert("project_limit", {"id": id, **pack(values), "created_at": ctx.now()})
    return ctx.store.find("project_limit", {"id": ids}, order="created_at, rowid")


@allow(ADMIN, "identity:update_limit")
def update_limit(ctx: Context, id: str, values: Row) -> Row:
    """Change how much, or the description."""
    row = _find(ctx, "project_limit", "limit", id)
    with changing(ctx, "limit.updated", id):
        ctx.store.update("project_limit", id, {**pack(values), "updated_at": ctx.now(), "revision": row["revision"] + 1})
    return _find(ctx, "project_limit", "limit", id)


@allow(ADMIN, "identity:delete_limit")
def delete_limit(ctx: Context, id: str) -> None:
    """The registered limit holds again."""
    _find(ctx, "project_limit", "limit", id)
    with changing(ctx, "limit.deleted", id):
        ctx.store.delete("project_limit", {"id": id})


# -- what another service asks ---------------------------------------------------------------------------------------------


def limits_for(store: Store, service_type: str, project_id: str, names: Sequence[str]) -> dict[str, int]:
    """How much of a service's resources a project may have: its own limit, else the registered one; what has neither is left out."""
    service = store.first("service", {"type": service_type})
    if service is None:
        return {}
    where = {"service_id": service["id"], "resource_name": list(names)}
    found = {row["resource_name"]: int(row["default_limit"]) for row in store.find("registered_limit", where)}
    own = {row["resource_name"]: int(row["resource_limit"]) for row in store.find("project_limit", {**where, "project_id": project_id})}
    return {**found, **own}
