"""Which endpoints a project sees (OS-EP-FILTER): single ones, and groups of them. A project that is associated with none sees all."""

from __future__ import annotations

import json
from typing import Any

from pileus.errors import BadRequest, NotFound
from pileus.identity.actions import ADMIN, SEES_ALL, changing
from pileus.identity.actions.catalog import ENDPOINTS
from pileus.identity.actions.projects import find_project
from pileus.identity.actions.rows import Noun
from pileus.identity.catalog import matches, project_endpoints
from pileus.kit.context import Context
from pileus.kit.policy import allow
from pileus.kit.store import Row

GROUPS = Noun("endpoint_group", "endpoint_group", "Endpoint Group")
INTERFACES = ("admin", "internal", "public")


def _sound(values: Row) -> Row:
    if (wrong := (values.get("filters") or {}).get("interface")) and wrong not in INTERFACES:
        raise BadRequest(f"Invalid input for field 'interface': {wrong!r} is not one of {list(INTERFACES)}")
    values.pop("extra", None)
    return values


@allow(SEES_ALL, "identity:get_endpoint_group")
def get_endpoint_group(ctx: Context, id: str) -> Row:
    return GROUPS.find(ctx, id)


@allow(SEES_ALL, "identity:list_endpoint_groups")
def list_endpoint_groups(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return GROUPS.search(ctx, where)


@allow(ADMIN, "identity:create_endpoint_group")
def create_endpoint_group(ctx: Context, values: Row) -> Row:
    """A group of endpoints: all that have an interface, a service or a region in common."""
    return GROUPS.add(ctx, _sound(values))


@allow(ADMIN, "identity:update_endpoint_group")
def update_endpoint_group(ctx: Context, id: str, values: Row) -> Row:
    """Change a group's name, or what its endpoints have in common."""
    row = GROUPS.find(ctx, id)
    return GROUPS.change(ctx, row, _sound(values))


@allow(ADMIN, "identity:delete_endpoint_group")
def delete_endpoint_group(ctx: Context, id: str) -> None:
    """Delete a group; projects that were associated with it no longer are."""
    GROUPS.find(ctx, id)
    with changing(ctx, "endpoint_group.deleted", id):
        ctx.store.delete("endpoint_project", {"kind": "group", "target_id": id})
        ctx.store.delete("endpoint_group", {"id": id})


@allow(SEES_ALL, "identity:list_endpoints_associated_with_endpoint_group")
def list_group_endpoints(ctx: Context, id: str) -> list[Row]:
    """The endpoints that are in a group."""
    filters = json.loads(GROUPS.find(ctx, id)["filters"])
    return [row for row in ENDPOINTS.search(ctx, {}, "rowid") if matches(row, filters)]


# -- associations: `kind` is endpoint or group -----------------------------------------------------------------------------


def _pair(ctx: Context, project_id: str, kind: str, id: str) -> Row:
    find_project(ctx, project_id)
    (ENDPOINTS if kind == "endpoint" else GROUPS).find(ctx, id)
    return {"project_id": project_id, "kind": kind, "target_id": id}


@allow(ADMIN, "identity:add_endpoint_to_project")
def associate(ctx: Context, project_id: str, kind: str, id: str) -> None:
    """Show an endpoint, or a group of them, to a project. Twice is once."""
    pair = _pair(ctx, project_id, kind, id)
    if not ctx.store.find("endpoint_project", pair):
        with changing(ctx, f"{'endpoint' if kind == 'endpoint' else 'endpoint_group'}.associated", id):
            ctx.store.insert("endpoint_project", pair)


@allow(SEES_ALL, "identity:check_endpoint_in_project")
def check_association(ctx: Context, project_id: str, kind: str, id: str) -> None:
    """Raises NotFound unless the two are associated."""
    if not ctx.store.find("endpoint_project", _pair(ctx, project_id, kind, id)):
        raise NotFound(f"Endpoint {id} not found in project {project_id}" if kind == "endpoint" else _no_group(id, project_id))


def _no_group(id: str, project_id: str) -> str:
    return f"Endpoint Group {id} is not associated with project {project_id}"


@allow(ADMIN, "identity:remove_endpoint_from_project")
def dissociate(ctx: Context, project_id: str, kind: str, id: str) -> None:
    """No longer show an endpoint, or a group, to a project by itself."""
    check_association(ctx, project_id, kind, id)
    with changing(ctx, f"{'endpoint' if kind == 'endpoint' else 'endpoint_group'}.dissociated", id):
        ctx.store.delete("endpoint_project", {"project_id": project_id, "kind": kind, "target_id": id})


@allow(SEES_ALL, "identity:list_endpoints_for_project")
def list_project_endpoints(ctx: Context, project_id: str) -> list[Row]:
    """The endpoints that a project is associated with, by itself or by a group."""
    find_project(ctx, project_id)
    return project_endpoints(ctx.store, ENDPOINTS.search(ctx, {}, "rowid"), project_id)


@allow(SEES_ALL, "identity:list_endpoint_groups_for_project")
def list_project_groups(ctx: Context, project_id: str) -> list[Row]:
    """The groups of endpoints that a project is associated with."""
    find_project(ctx, project_id)
    ids = [row["target_id"] for row in ctx.store.find("endpoint_project", {"project_id": project_id, "kind": "group"})]
    return GROUPS.search(ctx, {"id": ids})


@allow(SEES_ALL, "identity:list_projects_for_endpoint")
def list_associated_projects(ctx: Context, kind: str, id: str) -> list[Row]:
    """The projects that are associated with an endpoint, or with a group."""
    (ENDPOINTS if kind == "endpoint" else GROUPS).find(ctx, id)
    ids = [row["project_id"] for row in ctx.store.find("endpoint_project", {"kind": kind, "target_id": id})]
    return ctx.store.find("project", {"id": ids}, order="name")
