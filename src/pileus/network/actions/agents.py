"""This one machine as the agents that Neutron has on each: what they are, what they have, and taking it off them and giving it back.

There are no agents: one process does their work. A router that is taken off carries nothing, a network that is taken off has no DHCP, until
they are given back. Not here: what the host does about it (reconcile/).
"""

from __future__ import annotations

import uuid
from typing import Any

from pileus.errors import Conflict, NotFound
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.networks import PHYSICAL
from pileus.network.actions.scope import find, host_name
from pileus.network.resources.fields import ZONE
from pileus.openstack.listing import Listing, fetch

BRIDGE, DHCP, L3 = "Linux bridge agent", "DHCP agent", "L3 agent"
KINDS = {  # agent type: (binary, topic, availability zone)
    BRIDGE: ("neutron-linuxbridge-agent", "N/A", None),
    DHCP: ("neutron-dhcp-agent", "dhcp_agent", ZONE),
    L3: ("neutron-l3-agent", "l3_agent", ZONE),
}
SERVED = (  # networks that the DHCP agent has
    "scheduled = 1 OR scheduled IS NULL AND id IN (SELECT network_id FROM subnet WHERE enable_dhcp = 1)"
)
ROUTED = (  # routers that the L3 agent has
    "scheduled = 1 OR scheduled IS NULL AND id IN"
    " (SELECT device_id FROM port WHERE gone = 0 AND device_owner IN ('network:router_interface', 'network:router_gateway'))"
)


def _time(micros: int) -> str:
    return str(iso(micros, zone="")).replace("T", " ")


def agent_id(ctx: Context, kind: str) -> str:
    """The same for as long as the machine has its name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"agent/{kind}/{host_name(ctx)}"))


def _configurations(ctx: Context, kind: str) -> Row:
    if kind == BRIDGE:
        return {
            "bridge_mappings": {},
            "devices": ctx.store.count("port", {"status": "ACTIVE"}),
            "extensions": [],
            "interface_mappings": {PHYSICAL: "outside"},
            "l2_population": False,
            "tunnel_types": ["vxlan"],
            "tunneling_ip": ctx.cloud.host.get("host_ip", "127.0.0.1"),
        }
    if kind == DHCP:
        networks = _hosted(ctx, "network", SERVED)
        return {
            "dhcp_driver": "pileus.network.live",
            "dhcp_lease_duration": 86400,
            "networks": len(networks),
            "ports": ctx.store.count("port", {"network_id": [network["id"] for network in networks]}),
            "subnets": ctx.store.count("subnet", {"network_id": [network["id"] for network in networks]}),
        }
    routers = _hosted(ctx, "router", ROUTED)
    outward = [router["id"] for router in routers if router["gateway_network_id"]]
    return {
        "agent_mode": "legacy",
        "ex_gw_ports": len(outward),
        "floating_ips": ctx.store.count("floating_ip", {"router_id": outward}),
        "handle_internal_only_routers": True,
        "interfaces": ctx.store.count("port", {"device_owner": "network:router_interface"}),
        "routers": len(routers),
    }


def _hosted(ctx: Context, table: str, rule: str) -> list[Row]:
    return fetch(ctx.store, table, Listing(terms=[(rule, ())]))[0]


def _agent(ctx: Context, kind: str, said: Row | None) -> Row:
    binary, topic, zone = KINDS[kind]
    started = int(ctx.cloud.host.get("started_at") or ctx.now())
    return {
        "id": agent_id(ctx, kind),
        "agent_type": kind,
        "binary": binary,
        "topic": topic,
        "host": host_name(ctx),
        "admin_state_up": bool(said["admin_state_up"]) if said else True,
        "alive": True,  # it answers
        "created_at": _time(started),
        "started_at": _time(started),
        "heartbeat_timestamp": _time(ctx.now()),
        "description": said["description"] if said else None,
        "resources_synced": None,
        "availability_zone": zone,
        "configurations": _configurations(ctx, kind),
    }


@allow(PROJECT_READER, "get_agent")
def list_agents(ctx: Context) -> list[Row]:
    """The one machine, as Neutron shows agents; nobody but an admin sees any."""
    if not ctx.is_admin:
        return []
    said = {row["id"]: row for row in ctx.store.find("agent")}
    return [_agent(ctx, kind, said.get(agent_id(ctx, kind))) for kind in KINDS]


@allow(PROJECT_READER, "get_agent")
def find_agent(ctx: Context, id: str) -> Row:
    """One of them, by its id. Raises NotFound."""
    for agent in list_agents(ctx):
        if agent["id"] == id:
            return agent
    raise NotFound(f"Agent {id} could not be found.", type="AgentNotFound")


@allow(ADMIN, "update_agent")
def update_agent(ctx: Context, id: str, values: Row) -> Row:
    """Say whether an agent may be given more, and what it is for."""
    agent = find_agent(ctx, id)
    row = {"id": id, "admin_state_up": int(agent["admin_state_up"]), "description": agent["description"], **values}
    with ctx.store.transaction():
        ctx.store.delete("agent", {"id": id})
        ctx.store.insert("agent", {**row, "admin_state_up": int(row["admin_state_up"])})
    return find_agent(ctx, id)


@allow(ADMIN, "delete_agent")
def delete_agent(ctx: Context, id: str) -> None:
    """Forget what was said of an agent. It lives, and is there again at once, as Neutron's are at their next report."""
    find_agent(ctx, id)
    with ctx.store.transaction():
        ctx.store.delete("agent", {"id": id})


# -- what an agent has -----------------------------------------------------------------------------------------------------


def _of_kind(ctx: Context, id: str, kind: str) -> Row:
    """The agent, if it is of a kind and in use. Raises NotFound."""
    agent = find_agent(ctx, id)
    if agent["agent_type"] != kind or not agent["admin_state_up"]:
        what, name = ("DHCP Agent", "InvalidDHCPAgent") if kind == DHCP else ("L3 Agent", "InvalidL3Agent")
        raise NotFound(f"Agent {id} is not a valid {what} or has been disabled", type=name)
    return agent


def _has(ctx: Context, table: str, id: str) -> bool:
    rule = SERVED if table == "network" else ROUTED
    return bool(ctx.store.query(f"SELECT 1 FROM {table} WHERE id = ? AND ({rule})", id))  # noqa: S608 - names are ours


@allow(ADMIN, "get_dhcp-networks")
def list_agent_networks(ctx: Context, id: str) -> list[Row]:
    """The networks that an agent gives addresses on."""
    return _hosted(ctx, "network", SERVED) if find_agent(ctx, id)["agent_type"] == DHCP else []


@allow(ADMIN, "get_l3-routers")
def list_agent_routers(ctx: Context, id: str) -> list[Row]:
    """The routers that an agent carries."""
    return _hosted(ctx, "router", ROUTED) if find_agent(ctx, id)["agent_type"] == L3 else []


@allow(ADMIN, "get_dhcp-agents")
def list_network_agents(ctx: Context, network_id: str) -> list[Row]:
    """The agents that give addresses on a network. Raises NotFound."""
    find(ctx, "network", network_id)
    return [find_agent(ctx, agent_id(ctx, DHCP))] if _has(ctx, "network", network_id) else []


@allow(ADMIN, "get_l3-agents")
def list_router_agents(ctx: Context, router_id: str) -> list[Row]:
    """The agents that carry a router. Raises NotFound."""
    find(ctx, "router", router_id)
    return [{**find_agent(ctx, agent_id(ctx, L3)), "ha_state": None}] if _has(ctx, "router", router_id) else []


def _schedule(ctx: Context, table: str, id: str, scheduled: int) -> None:
    with ctx.store.transaction():
        ctx.store.update(table, id, {"scheduled": scheduled})
        ctx.wake(table, id)


@allow(ADMIN, "create_dhcp-network")
def add_agent_network(ctx: Context, id: str, body: Any) -> None:
    """Give a network to the DHCP agent. Raises Conflict when it has it."""
    _of_kind(ctx, id, DHCP)
    network = find(ctx, "network", str(body.get("network_id")))
    if _has(ctx, "network", network["id"]):
        words = f"The network {network['id']} has been already hosted by the DHCP Agent {id}."
        raise Conflict(words, type="NetworkHostedByDHCPAgent")
    _schedule(ctx, "network", network["id"], 1)


@allow(ADMIN, "delete_dhcp-network")
def delete_agent_network(ctx: Context, id: str, network_id: str) -> None:
    """Take a network off the DHCP agent: nobody is given an address on it any more. Raises Conflict when it has it not."""
    agent = find_agent(ctx, id)
    if agent["agent_type"] != DHCP or not _has(ctx, "network", network_id):
        words = f"The network {network_id} is not hosted by the DHCP agent {id}."
        raise Conflict(words, type="NetworkNotHostedByDhcpAgent")
    _schedule(ctx, "network", network_id, 0)


@allow(ADMIN, "create_l3-router")
def add_agent_router(ctx: Context, id: str, body: Any) -> None:
    """Give a router to the L3 agent; harmless when it has it."""
    _of_kind(ctx, id, L3)
    router = find(ctx, "router", str(body.get("router_id")))
    if not _has(ctx, "router", router["id"]):
        _schedule(ctx, "router", router["id"], 1)


@allow(ADMIN, "delete_l3-router")
def delete_agent_router(ctx: Context, id: str, router_id: str) -> None:
    """Take a router off the L3 agent: it carries nothing any more. Raises Conflict when it has it not."""
    agent = find_agent(ctx, id)
    if agent["agent_type"] != L3 or not _has(ctx, "router", router_id):
        raise Conflict(f"The router {router_id} is not hosted by L3 agent {id}.", type="RouterNotHostedByL3Agent")
    _schedule(ctx, "router", router_id, 0)
