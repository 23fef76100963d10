"""What an operator looks at and sets for all: agents and what they have, zones, meters, kinds of routers, segments, first rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Mismatch
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.network.actions import agents, default_rules, flavors, hosts, metering, segments, topology, zones
from pileus.network.api import query
from pileus.network.api.crud import Noun, body_of
from pileus.network.api.query import chosen, wanted_fields
from pileus.network.resources import NETWORK, ROUTER
from pileus.network.resources.default_rules import DEFAULT_RULE
from pileus.network.resources.flavors import FLAVOR, SERVICE_PROFILE
from pileus.network.resources.metering import LABEL, LABEL_RULE
from pileus.network.resources.segments import SEGMENT
from pileus.network.types import WORDS, Flag, Text, malformed

NOUNS = (
    Noun(
        "metering/metering-labels",
        LABEL,
        metering.find_metering_label,
        metering.list_metering_labels,
        metering.create_metering_label,
        metering.delete_metering_label,
    ),
    Noun(
        "metering/metering-label-rules",
        LABEL_RULE,
        metering.find_metering_label_rule,
        metering.list_metering_label_rules,
        metering.create_metering_label_rule,
        metering.delete_metering_label_rule,
    ),
    Noun(
        "flavors",
        FLAVOR,
        flavors.find_flavor,
        flavors.list_flavors,
        flavors.create_flavor,
        flavors.delete_flavor,
        flavors.update_flavor,
    ),
    Noun(
        "service_profiles",
        SERVICE_PROFILE,
        flavors.find_service_profile,
        flavors.list_service_profiles,
        flavors.create_service_profile,
        flavors.delete_service_profile,
        flavors.update_service_profile,
    ),
    Noun(
        "default-security-group-rules",
        DEFAULT_RULE,
        default_rules.find_default_rule,
        default_rules.list_default_rules,
        default_rules.create_default_rule,
        default_rules.delete_default_rule,
    ),
    Noun(
        "segments",
        SEGMENT,
        segments.find_segment,
        segments.list_segments,
        segments.create_segment,
        segments.delete_segment,
        segments.update_segment,
    ),
)


def matching(items: Iterable[Row], request: Request, known: Iterable[str]) -> list[Row]:
    """Those of a handful of things that the query's filters fit, in its order, with the fields asked for."""
    kept, names = list(items), set(known)
    asked: dict[str, set[str]] = {}
    for name, value in request.pairs:
        if name not in query.CONTROLS:
            if name not in names:
                raise malformed(f"['{name}'] is invalid attribute for filtering")
            asked.setdefault(name, set()).add(value.lower())
    for name, values in asked.items():
        kept = [item for item in kept if str(item[name]).lower() in values]
    return [chosen(item, wanted_fields(request)) for item in kept]


# -- agents ----------------------------------------------------------------------------------------------------------------

AGENT_FILTERS = (
    "admin_state_up",
    "agent_type",
    "alive",
    "availability_zone",
    "binary",
    "description",
    "host",
    "id",
    "topic",
)


def list_agents(request: Request) -> Response:
    """The machine, as agents."""
    return Response(200, {"agents": matching(agents.list_agents(request.ctx), request, AGENT_FILTERS)})


def show_agent(request: Request) -> Response:
    """Show the machine, as an agent."""
    return Response(200, {"agent": chosen(agents.find_agent(request.ctx, request.params["id"]), wanted_fields(request))})


def update_agent(request: Request) -> Response:
    """Say whether an agent may be given more, and what it is for."""
    given = body_of(request).get("agent")
    if not isinstance(given, dict):
        raise WORDS.no_object("agent", given)
    types: dict[str, Any] = {"admin_state_up": Flag(), "description": Text(null=True)}
    if unknown := [name for name in given if name not in types]:
        raise malformed(f"Cannot update read-only attribute {unknown[0]}")
    values: Row = {}
    for name, value in given.items():
        try:
            values[name] = types[name].parse(value)
        except Mismatch as mismatch:
            raise WORDS.mismatch(name, mismatch) from None
    return Response(200, {"agent": agents.update_agent(request.ctx, request.params["id"], values)})


def delete_agent(request: Request) -> Response:
    """Forget what was said of an agent."""
    agents.delete_agent(request.ctx, request.params["id"])
    return Response(204)


def _added(verb: Callable[[Context, str, Any], None]) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        verb(request.ctx, request.params["id"], body_of(request))
        return Response(201, b"null")

    return handler


def _taken(verb: Callable[[Context, str, str], None]) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        verb(request.ctx, request.params["id"], request.params["key"])
        return Response(204)

    return handler


def list_agent_networks(request: Request) -> Response:
    """The networks that an agent gives addresses on."""
    rows = agents.list_agent_networks(request.ctx, request.params["id"])
    return Response(200, {"networks": NETWORK.views(rows, request.ctx)})


def list_agent_routers(request: Request) -> Response:
    """The routers that an agent carries."""
    rows = agents.list_agent_routers(request.ctx, request.params["id"])
    return Response(200, {"routers": ROUTER.views(rows, request.ctx)})


def list_network_agents(request: Request) -> Response:
    """The agents that give addresses on a network."""
    return Response(200, {"agents": agents.list_network_agents(request.ctx, request.params["id"])})


def list_router_agents(request: Request) -> Response:
    """The agents that carry a router."""
    return Response(200, {"agents": agents.list_router_agents(request.ctx, request.params["id"])})


# -- what the cloud says of itself -----------------------------------------------------------------------------------------


def list_availability_zones(request: Request) -> Response:
    """The availability zone, for networks and for routers."""
    found = zones.list_availability_zones(request.ctx)
    return Response(200, {"availability_zones": matching(found, request, ("name", "resource", "state"))})


def list_service_providers(request: Request) -> Response:
    """Who makes routers."""
    found = hosts.list_service_providers(request.ctx)
    return Response(200, {"service_providers": matching(found, request, ("service_type", "name", "default"))})


def list_ip_availabilities(request: Request) -> Response:
    """How many addresses each network has, and how many are taken."""
    columns = {"network_id": "id", "network_name": "name", "tenant_id": "project_id", "project_id": "project_id"}
    where = {columns[name]: value for name, value in request.pairs if name in columns}
    version = request.query.get("ip_version", "")
    found = hosts.list_ip_availabilities(request.ctx, where, int(version) if version in ("4", "6") else None)
    return Response(200, {"network_ip_availabilities": [chosen(item, wanted_fields(request)) for item in found]})


def show_ip_availability(request: Request) -> Response:
    """The same of one network."""
    return Response(200, {"network_ip_availability": hosts.find_ip_availability(request.ctx, request.params["id"])})


def list_floatingip_pools(request: Request) -> Response:
    """The subnets that floating IPs come from."""
    found = hosts.list_floatingip_pools(request.ctx)
    known = ("cidr", "network_id", "project_id", "subnet_id", "subnet_name", "tenant_id")
    return Response(200, {"floatingip_pools": matching(found, request, known)})


# -- kinds of routers ------------------------------------------------------------------------------------------------------


def add_flavor_service_profile(request: Request) -> Response:
    """Give a flavor a service profile."""
    row = flavors.add_flavor_service_profile(request.ctx, request.params["id"], body_of(request))
    return Response(201, {"service_profile": FLAVOR.view(row, request.ctx)})


def list_next_providers(request: Request) -> Response:
    """What would make a router of a flavor."""
    return Response(200, {"next_providers": flavors.list_next_providers(request.ctx, request.params["id"])})


# -- a network for whoever asks for none -----------------------------------------------------------------------------------


def show_topology(request: Request) -> Response:
    """A project's own network and router, made at first sight."""
    dry = "dry-run" in wanted_fields(request)
    found = topology.show_auto_allocated_topology(request.ctx, request.params["id"], dry_run=dry)
    return Response(200, {"auto_allocated_topology": found})


def delete_topology(request: Request) -> Response:
    """Delete what was made."""
    topology.delete_auto_allocated_topology(request.ctx, request.params["id"])
    return Response(204)


ROUTES = (
    Route("GET", "/v2.0/agents", list_agents),
    Route("GET", "/v2.0/agents/{id}", show_agent),
    Route("PUT", "/v2.0/agents/{id}", update_agent),
    Route("DELETE", "/v2.0/agents/{id}", delete_agent),
    Route("GET", "/v2.0/agents/{id}/dhcp-networks", list_agent_networks),
    Route("POST", "/v2.0/agents/{id}/dhcp-networks", _added(agents.add_agent_network), doc="Give a network to the DHCP agent"),
    Route("DELETE", "/v2.0/agents/{id}/dhcp-networks/{key}", _taken(agents.delete_agent_network), doc="Take a network off the DHCP agent"),
    Route("GET", "/v2.0/agents/{id}/l3-routers", list_agent_routers),
    Route("POST", "/v2.0/agents/{id}/l3-routers", _added(agents.add_agent_router), doc="Give a router to the L3 agent"),
    Route("DELETE", "/v2.0/agents/{id}/l3-routers/{key}", _taken(agents.delete_agent_router), doc="Take a router off the L3 agent"),
    Route("GET", "/v2.0/networks/{id}/dhcp-agents", list_network_agents),
    Route("GET", "/v2.0/routers/{id}/l3-agents", list_router_agents),
    Route("GET", "/v2.0/availability_zones", list_availability_zones),
    Route("GET", "/v2.0/service-providers", list_service_providers),
    Route("GET", "/v2.0/network-ip-availabilities", list_ip_availabilities),
    Route("GET", "/v2.0/network-ip-availabilities/{id}", show_ip_availability),
    *(Route("GET", f"/v2.0/{path}", list_floatingip_pools) for path in ("floatingip_pools", "floatingip-pools")),
    Route("POST", "/v2.0/flavors/{id}/service_profiles", add_flavor_service_profile),
    Route(
        "DELETE",
        "/v2.0/flavors/{id}/service_profiles/{key}",
        _taken(flavors.delete_flavor_service_profile),
        doc="Take a service profile from a flavor",
    ),
    Route("GET", "/v2.0/flavors/{id}/next_providers", list_next_providers),
    Route("GET", "/v2.0/auto-allocated-topology/{id}", show_topology),
    Route("DELETE", "/v2.0/auto-allocated-topology/{id}", delete_topology),
)
