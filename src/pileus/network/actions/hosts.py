"""What the cloud says of itself: the one host as an agent, its providers, its zones, and how many addresses are left.

There are no agents: one process does what they do in Neutron. What can be said of its work on this host is said as the Linux bridge agent,
which is what it is: bridges, taps and packet filters.
"""

from __future__ import annotations

import uuid
from typing import Any

from pileus.errors import NotFound
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.addresses import availability
from pileus.network.actions.networks import PHYSICAL
from pileus.network.actions.scope import absent, host_name

AGENT = "Linux bridge agent"


def _time(ctx: Context, micros: int) -> str:
    return str(iso(micros, zone="")).replace("T", " ")


@allow(ADMIN, "get_agent")
def list_agents(ctx: Context) -> list[Row]:
    """The one host, as Neutron shows an agent: alive, since it answers."""
    host = host_name(ctx)
    started = int(ctx.cloud.host.get("started_at") or ctx.now())
    devices = ctx.store.count("port", {"status": "ACTIVE"})
    return [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"agent/{AGENT}/{host}")),
            "agent_type": AGENT,
            "binary": "neutron-linuxbridge-agent",
            "topic": "N/A",
            "host": host,
            "admin_state_up": True,
            "alive": True,
            "created_at": _time(ctx, started),
            "started_at": _time(ctx, started),
            "heartbeat_timestamp": _time(ctx, ctx.now()),
            "description": None,
            "resources_synced": None,
            "availability_zone": None,
            "configurations": {
                "bridge_mappings": {},
                "devices": devices,
                "extensions": [],
                "interface_mappings": {PHYSICAL: "outside"},
                "l2_population": False,
                "tunnel_types": ["vxlan"],
                "tunneling_ip": ctx.cloud.host.get("host_ip", "127.0.0.1"),
            },
        }
    ]


@allow(ADMIN, "get_agent")
def find_agent(ctx: Context, id: str) -> Row:
    """The host as an agent, by its id. Raises NotFound."""
    for agent in list_agents(ctx):
        if agent["id"] == id:
            return agent
    raise NotFound(f"Agent {id} could not be found.", type="AgentNotFound")


@allow(PROJECT_READER, "get_service_provider")
def list_service_providers(ctx: Context) -> list[dict[str, Any]]:
    """Who makes routers: one host, not highly available."""
    return [{"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": True}]


@allow(PROJECT_READER, "get_availability_zone")
def list_availability_zones(ctx: Context) -> list[Row]:
    """None: one machine has no zones, and a hint at one is refused."""
    return []


@allow(ADMIN, "get_network_ip_availability")
def list_ip_availabilities(ctx: Context, where: dict[str, Any], ip_version: int | None = None) -> list[dict[str, Any]]:
    """How many addresses each network has, and how many are taken; `where` is over the columns of networks."""
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


@allow(ADMIN, "get_network_ip_availability")
def find_ip_availability(ctx: Context, network_id: str) -> dict[str, Any]:
    """The same of one network. Raises NotFound."""
    for shown in list_ip_availabilities(ctx, {"id": network_id}):
        return shown
    raise absent("network", network_id)
