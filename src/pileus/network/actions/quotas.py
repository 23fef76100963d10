"""How many of each thing a project may have; counted in the transaction that would exceed it."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, OverQuota
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow, forbid
from pileus.kit.store import Store
from pileus.openstack import quota

DEFAULTS = {
    "network": 100,
    "subnet": 100,
    "subnetpool": -1,
    "port": 500,
    "router": 10,
    "floatingip": 50,
    "rbac_policy": 10,
    "security_group": 10,
    "security_group_rule": 100,
}
COUNTED = {name: name for name in DEFAULTS} | {"floatingip": "floating_ip"}  # the tables that are counted


def spend(ctx: Context, project_id: str, resource: str, more: int = 1) -> None:
    """Count `more` of a resource against a project's limit; call it in the transaction that makes them. Raises OverQuota."""
    if not project_id:
        return  # what the cloud holds for itself
    limit = quota.limits(ctx.store, project_id, {resource: DEFAULTS[resource]})[resource]
    if limit != quota.UNLIMITED and quota.exceeds(limit, used(ctx.store, project_id, resource), more):
        raise OverQuota(f"Quota exceeded for resources: ['{resource}'].", resource=resource, limit=limit)


def used(store: Store, project_id: str, resource: str) -> int:
    return store.count(COUNTED[resource], {"project_id": project_id})


def _readable(ctx: Context, project_id: str) -> None:
    if not ctx.is_admin and project_id != ctx.project_id:
        forbid("get_quota")


@allow(PROJECT_READER, "get_quota")
def show_quota(ctx: Context, project_id: str) -> dict[str, int]:
    """A project's limits: any for an admin, else one's own."""
    _readable(ctx, project_id)
    return quota.limits(ctx.store, project_id, DEFAULTS)


@allow(PROJECT_READER, "get_quota")
def show_default_quota(ctx: Context, project_id: str) -> dict[str, int]:
    """The limits a project has while none are set."""
    _readable(ctx, project_id)
    return dict(DEFAULTS)


@allow(PROJECT_READER, "get_quota")
def show_quota_details(ctx: Context, project_id: str) -> dict[str, dict[str, int]]:
    """A project's limits and how much of each is used. Nothing is reserved: counting and making are one transaction."""
    _readable(ctx, project_id)
    limits = quota.limits(ctx.store, project_id, DEFAULTS)
    return {name: {"limit": limits[name], "used": used(ctx.store, project_id, name), "reserved": 0} for name in DEFAULTS}


@allow(ADMIN, "get_quota")
def list_quotas(ctx: Context) -> list[dict[str, Any]]:
    """The projects for which limits have been set."""
    rows = ctx.store.find("quota", {"resource": list(DEFAULTS)}, order="project_id")
    projects = dict.fromkeys(row["project_id"] for row in rows)
    return [{**quota.limits(ctx.store, id, DEFAULTS), "project_id": id, "tenant_id": id} for id in projects]


@allow(ADMIN, "update_quota")
def update_quota(ctx: Context, project_id: str, changes: dict[str, int], *, check: bool = False) -> dict[str, int]:
    """Set some limits; -1 is none. A limit below what is used refuses new things only; with `check` it is refused itself (BadRequest)."""
    with ctx.store.transaction():
        below = [name for name, limit in changes.items() if limit != quota.UNLIMITED and limit < used(ctx.store, project_id, name)]
        if check and below:
            raise BadRequest(f"Quota limit is below what is used for resources: {sorted(below)}.", type="QuotaLimitTooLow")
        quota.set_limits(ctx.store, project_id, changes)
    return quota.limits(ctx.store, project_id, DEFAULTS)


@allow(ADMIN, "delete_quota")
def delete_quota(ctx: Context, project_id: str) -> None:
    """Back to the defaults."""
    with ctx.store.transaction():
        quota.reset(ctx.store, project_id, DEFAULTS)
