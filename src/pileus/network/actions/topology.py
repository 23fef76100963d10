"""A network of one's own for those who ask for none in particular: subnets out of the default pools, and a router to the outside."""

from __future__ import annotations

from pileus.errors import Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow, forbid
from pileus.kit.store import Row
from pileus.network.actions.networks import create_network, delete_network
from pileus.network.actions.routers import add_router_interface, create_router, delete_router, remove_router_interface
from pileus.network.actions.scope import change
from pileus.network.actions.subnets import create_subnet

TABLE = "auto_allocated_topology"


def _owned(ctx: Context, project_id: str, policy: str) -> None:
    if not ctx.is_admin and project_id != ctx.project_id:
        forbid(policy)


def _needs(ctx: Context) -> tuple[Row, list[Row]]:
    """The external network and the pools that such a network is made of. Raises Conflict when the cloud has none."""
    outside = ctx.store.first("network", {"is_default": 1, "external": 1})
    if outside is None:
        raise Conflict("Deployment error: No default router:external network.", type="AutoAllocationFailure")
    pools = ctx.store.find("subnetpool", {"is_default": 1}, order="ip_version")
    if not pools:
        raise Conflict("Deployment error: No default subnetpools defined.", type="AutoAllocationFailure")
    return outside, pools


@allow(PROJECT_READER, "get_auto_allocated_topology")
def show_auto_allocated_topology(ctx: Context, project_id: str, *, dry_run: bool = False) -> Row:
    """The project's network, made when it has none; `dry_run`: say only whether it could be. Raises Conflict when it cannot."""
    project = project_id if project_id not in ("", "None") else ctx.project_id
    _owned(ctx, project, "get_auto_allocated_topology")
    found = ctx.store.query(f"SELECT * FROM {TABLE} WHERE project_id = ?", project)  # noqa: S608 - its own name
    if not dry_run and found:
        return {"id": found[0]["network_id"], "tenant_id": project, "project_id": project}
    needs = _needs(ctx)
    if dry_run:
        return {"id": "dry-run=pass", "tenant_id": project, "project_id": project}
    with ctx.store.transaction():
        network_id = _build(ctx.internal(), project, *needs)
    return {"id": network_id, "tenant_id": project, "project_id": project}


def _build(ctx: Context, project: str, outside: Row, pools: list[Row]) -> str:
    whose = {"project_id": project}
    network = create_network(ctx, {**whose, "name": "auto_allocated_network", "admin_state_up": False})
    router = create_router(ctx, {**whose, "name": "auto_allocated_router", "external_gateway_info": {"network_id": outside["id"]}})
    for pool in pools:
        subnet = create_subnet(
            ctx,
            {
                **whose,
                "name": f"auto_allocated_subnet_v{pool['ip_version']}",
                "network_id": network["id"],
                "ip_version": pool["ip_version"],
                "subnetpool_id": pool["id"],
                "enable_dhcp": True,
            },
        )
        add_router_interface(ctx, router["id"], {"subnet_id": subnet["id"]})
    now = ctx.store.get("network", network["id"])
    assert now is not None
    change(ctx, "network", now, {"admin_state_up": 1})
    ctx.wake("network", network["id"])
    ctx.store.insert(TABLE, {"project_id": project, "network_id": network["id"], "router_id": router["id"]})
    return str(network["id"])


@allow(PROJECT_MEMBER, "delete_auto_allocated_topology")
def delete_auto_allocated_topology(ctx: Context, project_id: str) -> None:
    """Delete what was made. Raises NotFound when there is none, Conflict while something is on the network."""
    project = project_id if project_id not in ("", "None") else ctx.project_id
    _owned(ctx, project, "delete_auto_allocated_topology")
    found = ctx.store.query(f"SELECT * FROM {TABLE} WHERE project_id = ?", project)  # noqa: S608 - its own name
    if not found:
        words = f"Auto-allocated topology not found for project {project}."
        raise NotFound(words, type="AutoAllocatedTopologyNotFound")
    inner = ctx.internal()
    with ctx.store.transaction():
        router_id, network_id = found[0]["router_id"], found[0]["network_id"]
        if ctx.store.get("router", router_id):
            for subnet in ctx.store.find("subnet", {"network_id": network_id}):
                if _joined(ctx, router_id, subnet["id"]):
                    remove_router_interface(inner, router_id, {"subnet_id": subnet["id"]})
            delete_router(inner, router_id)
        ctx.store.delete(TABLE, {"project_id": project})
        if ctx.store.get("network", network_id):
            delete_network(inner, network_id)


def _joined(ctx: Context, router_id: str, subnet_id: str) -> bool:
    sql = "SELECT 1 FROM port p JOIN fixed_ip i ON i.port_id = p.id WHERE p.device_id = ? AND p.gone = 0 AND i.subnet_id = ?"
    return bool(ctx.store.query(sql, router_id, subnet_id))
