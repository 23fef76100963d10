"""What the cloud says of itself: who makes routers, where floating IPs come from, and how many addresses are left."""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.addresses import availability
from pileus.network.actions.scope import absent, of_caller


@allow(PROJECT_READER, "get_service_provider")
def list_service_providers(ctx: Context) -> list[dict[str, Any]]:
    """Who makes routers: one host, not highly available."""
    return [{"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": True}]


@allow(PROJECT_READER, "get_floatingip_pool")
def list_floatingip_pools(ctx: Context) -> list[Row]:
    """The IPv4 subnets of the external networks that the caller sees."""
    rule, bound = ("1", ()) if ctx.is_admin else of_caller(ctx, "network")
    inner = f"SELECT id FROM network WHERE external = 1 AND gone = 0 AND ({rule})"  # noqa: S608 - names are ours
    found = ctx.store.query(f"SELECT * FROM subnet WHERE ip_version = 4 AND network_id IN ({inner}) ORDER BY rowid", *bound)  # noqa: S608
    return [
        {
            "subnet_id": subnet["id"],
            "subnet_name": subnet["name"],
            "tenant_id": subnet["project_id"],
            "project_id": subnet["project_id"],
            "network_id": subnet["network_id"],
            "cidr": subnet["cidr"],
        }
        for subnet in found
    ]


@allow(PROJECT_READER, "get_network_ip_availability")
def list_ip_availabilities(ctx: Context, where: dict[str, Any], ip_version: int | None = None) -> list[dict[str, Any]]:
    """How many addresses each network has, and how many are taken; `where` is over the columns of networks. Only an admin sees any."""
    if not ctx.is_admin:
        return []
    networks = ctx.store.find("network", where, order="rowid")
    chosen = {"network_id": [n["id"] for n in networks], **({"ip_version": ip_version} if ip_version else {})}
    used = {row["subnet_id"]: row["n"] for row in ctx.store.query("SELECT subnet_id, count(*) AS n FROM fixed_ip GROUP BY subnet_id")}
    subnets: dict[str, list[dict[str, Any]]] = {}
    for subnet in ctx.store.find("subnet", chosen, order="rowid"):
        subnets.setdefault(subnet["network_id"], []).append(availability(subnet, used.get(subnet["id"], 0)))
    shown = []
    for network in networks:
        parts = subnets.get(network["id"], [])
        if parts or not ip_version:
            whose = {"project_id": network["project_id"], "tenant_id": network["project_id"]}
            sums = {key: sum(part[key] for part in parts) for key in ("used_ips", "total_ips")}
            shown.append({"network_id": network["id"], "network_name": network["name"], **whose, "subnet_ip_availability": parts, **sums})
    return shown


@allow(PROJECT_READER, "get_network_ip_availability")
def find_ip_availability(ctx: Context, network_id: str) -> dict[str, Any]:
    """The same of one network. Raises NotFound."""
    for shown in list_ip_availabilities(ctx, {"id": network_id}):
        return shown
    raise absent("network", network_id)
