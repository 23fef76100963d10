"""Routers: their gateway, their interfaces and their routes.

A router's legs are ports: `network:router_interface` in a tenant's network, `network:router_gateway` in the external one.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.addresses import give
from pileus.network.actions.flavors import check_flavor
from pileus.network.actions.ports import create_port
from pileus.network.actions.qos import checked_policy
from pileus.network.actions.quotas import spend
from pileus.network.actions.removal import remove_port
from pileus.network.actions.scope import Page, bump, change, columns, deny, find, fresh, host_name, owned, owner, page
from pileus.network.actions.security_groups import default_security_group
from pileus.network.actions.zones import check_hints
from pileus.network.resources import ROUTER
from pileus.network.types import bad_request
from pileus.openstack.listing import Listing
from pileus.openstack.types import is_uuid

INTERFACE, GATEWAY = "network:router_interface", "network:router_gateway"
MAX_ROUTES = 30
PACK = {"routes": json.dumps, "availability_zone_hints": json.dumps}


@allow(PROJECT_READER, "get_router")
def find_router(ctx: Context, id: str) -> Row:
    """A router of the caller's project; any for an admin. Raises NotFound."""
    return find(ctx, "router", id)


@allow(PROJECT_READER, "get_router")
def list_routers(ctx: Context, listing: Listing) -> Page:
    """The routers that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "router", listing)


def legs_of(ctx: Context, router_id: str) -> list[Row]:
    """The subnets a router is on: each address of each leg, with the subnet's range and gateway."""
    return ctx.store.query(
        "SELECT p.id AS port_id, p.device_owner, p.network_id, i.ip_address, s.id AS subnet_id, s.cidr, s.gateway_ip"
        " FROM port p JOIN fixed_ip i ON i.port_id = p.id JOIN subnet s ON s.id = i.subnet_id"
        " WHERE p.device_id = ? AND p.gone = 0 ORDER BY p.rowid, i.position",
        router_id,
    )


@allow(PROJECT_MEMBER, "create_router")
def create_router(ctx: Context, values: Row) -> Row:
    """A router, with a gateway when one is named. Raises OverQuota, and as update_router does."""
    project = owner(ctx, values)
    check_hints(values.get("availability_zone_hints", []))
    if values.get("flavor_id"):
        check_flavor(ctx, values["flavor_id"])
    gateway = values.pop("external_gateway_info", None)
    with ctx.store.transaction():
        default_security_group(ctx, project)
        spend(ctx, project, "router")
        row = {**fresh(ctx), "project_id": project, **columns(values, PACK)}
        ctx.store.insert("router", row)
        if gateway:
            _set_gateway(ctx, find(ctx, "router", row["id"]), gateway, "create")
        ctx.wake("router", row["id"])
    return find(ctx, "router", row["id"])


@allow(PROJECT_MEMBER, "update_router")
def update_router(ctx: Context, id: str, values: Row) -> Row:
    """Change a router; `external_gateway_info` of {} takes its gateway away.

    Raises BadRequest for a network that is not external and for routes that lead nowhere, Conflict while floating IPs need the gateway.
    """
    row = find(ctx, "router", id)
    owned(ctx, row, "update_router")
    gateway = values.pop("external_gateway_info", None)
    with ctx.store.transaction():
        if gateway is not None:
            _set_gateway(ctx, row, gateway, "update")
            row = find(ctx, "router", id)
        if "routes" in values:
            _check_routes(ctx, id, values["routes"])
        change(ctx, "router", row, columns(values, PACK))
        ctx.wake("router", id)
    return find(ctx, "router", id)


@allow(PROJECT_MEMBER, "add_extraroutes")
def add_extraroutes(ctx: Context, id: str, routes: list[dict[str, str]]) -> Row:
    """Add to a router's routes, whatever they are; one that is there already is no error. Raises as update_router does."""
    with ctx.store.transaction():
        have = json.loads(find(ctx, "router", id)["routes"])
        return update_router(ctx, id, {"routes": [*have, *(route for route in routes if route not in have)]})


@allow(PROJECT_MEMBER, "remove_extraroutes")
def remove_extraroutes(ctx: Context, id: str, routes: list[dict[str, str]]) -> Row:
    """Take from a router's routes; one that is not there is no error."""
    with ctx.store.transaction():
        have = json.loads(find(ctx, "router", id)["routes"])
        return update_router(ctx, id, {"routes": [route for route in have if route not in routes]})


def _check_routes(ctx: Context, id: str, routes: list[dict[str, str]]) -> None:
    if len(routes) > MAX_ROUTES:
        words = f"Unable to complete operation for {id}. The number of routes exceeds the maximum {MAX_ROUTES}."
        raise BadRequest(words, type="RoutesExhausted")
    legs = legs_of(ctx, id)
    for route in routes:
        hop = ipaddress.ip_address(route["nexthop"])
        if ipaddress.ip_network(route["destination"], strict=False).version != hop.version:
            raise _bad_routes(routes, "the destination and the nexthop are of different IP versions")
        if not any(hop in ipaddress.ip_network(leg["cidr"]) for leg in legs):
            raise _bad_routes(routes, "the nexthop is not connected with router")
        if any(leg["ip_address"] == str(hop) for leg in legs):
            raise _bad_routes(routes, "the nexthop is used by router")


def _bad_routes(routes: list[dict[str, str]], reason: str) -> BadRequest:
    return BadRequest(f"Invalid format for routes: {routes}, {reason}", type="InvalidRoutes")


# -- the gateway -----------------------------------------------------------------------------------------------------------


def _set_gateway(ctx: Context, row: Row, info: dict[str, Any], verb: str) -> None:
    """Give a router the gateway that `info` describes, or none, inside the caller's transaction."""
    special = [f"external_gateway_info:{key}" for key in ("enable_snat", "external_fixed_ips") if key in info]
    if special and not ctx.is_admin:
        deny(ROUTER, verb, ["external_gateway_info", "external_gateway_info:network_id", *special])
    wanted = info.get("external_fixed_ips")
    network = _external(ctx, info["network_id"], wanted or []) if info else None
    current = ctx.store.get("port", row["gateway_port_id"]) if row["gateway_port_id"] else None
    if current and not (network and network["id"] == current["network_id"] and (wanted is None or _same(ctx, current, wanted))):
        if not network or network["id"] != current["network_id"]:
            _check_gateway_unused(ctx, row)
        remove_port(ctx, current)
        current = None
    port_id = current["id"] if current else None
    if network and not current:
        _check_overlap(ctx, row, ctx.store.find("subnet", {"network_id": network["id"]}))
        leg = {"network_id": network["id"], "device_id": row["id"], "device_owner": GATEWAY, "project_id": ""}
        port_id = create_port(ctx.internal(), {**leg, "fixed_ips": wanted or None, "binding_host": host_name(ctx)})["id"]
    changes = {"gateway_network_id": network["id"] if network else None, "gateway_port_id": port_id}
    changes["enable_snat"] = int(info.get("enable_snat", True))
    if "qos_policy_id" in info:
        checked_policy(ctx, info)
        changes["qos_policy_id"] = info["qos_policy_id"]
    elif not info:
        changes["qos_policy_id"] = None
    change(ctx, "router", row, changes)


def _external(ctx: Context, network_id: str, wanted: list[dict[str, str]]) -> Row:
    network = find(ctx, "network", network_id)
    if not network["external"]:
        raise bad_request("router", f"Network {network_id} is not an external network")
    gateways = {subnet["gateway_ip"] for subnet in ctx.store.find("subnet", {"network_id": network_id})}
    for ask in wanted:
        if ask.get("ip_address") in gateways:
            raise bad_request("router", f"External IP {ask['ip_address']} is the same as the gateway IP")
    return network


def _same(ctx: Context, port: Row, wanted: list[dict[str, str]]) -> bool:
    """Whether a port has exactly the addresses asked for."""
    have = ctx.store.find("fixed_ip", {"port_id": port["id"]})
    return len(have) == len(wanted) and all(any(ask.items() <= ip.items() for ip in have) for ask in wanted)


def _check_gateway_unused(ctx: Context, row: Row) -> None:
    if ctx.store.find("floating_ip", {"router_id": row["id"]}, limit=1):
        words = f"since a gateway to external network {row['gateway_network_id']} is required by one or more floating IPs."
        raise Conflict(f"Gateway cannot be updated for router {row['id']}, {words}", type="RouterExternalGatewayInUseByFloatingIp")


def _check_overlap(ctx: Context, row: Row, subnets: list[Row]) -> None:
    """Refuse a second leg on a subnet, and ranges that overlap: the router would not know where to send."""
    legs = legs_of(ctx, row["id"])
    for subnet in subnets:
        if any(leg["subnet_id"] == subnet["id"] for leg in legs):
            raise bad_request("router", f"Router already has a port on subnet {subnet['id']}")
    for leg in legs:
        there = ipaddress.ip_network(leg["cidr"])
        for subnet in subnets:
            here = ipaddress.ip_network(subnet["cidr"])
            if here.version == there.version and here.overlaps(there):
                words = f"Cidr {here} of subnet {subnet['id']} overlaps with cidr {there} of subnet {leg['subnet_id']}"
                raise bad_request("router", words)


# -- interfaces ------------------------------------------------------------------------------------------------------------


def _interface_ids(info: dict[str, Any], *, removal: bool = False) -> tuple[str | None, str | None]:
    """Port and subnet that a request names. Raises BadRequest."""
    if "port_id" not in info and "subnet_id" not in info:
        raise bad_request("router", "Either subnet_id or port_id must be specified")
    for key in ("port_id", "subnet_id"):
        if key in info and not is_uuid(info[key]):
            raise bad_request("router", f"'{info[key]}' is not a valid UUID")
    if not removal and "port_id" in info and "subnet_id" in info:
        raise bad_request("router", "Cannot specify both subnet-id and port-id")
    return info.get("port_id"), info.get("subnet_id")


def _interface(row: Row, port: Row, subnet_ids: list[str]) -> dict[str, Any]:
    """What both verbs answer."""
    shown = {"id": row["id"], "tenant_id": row["project_id"], "port_id": port["id"], "network_id": port["network_id"]}
    return {**shown, "subnet_id": subnet_ids[0], "subnet_ids": subnet_ids}


@allow(PROJECT_MEMBER, "add_router_interface")
def add_router_interface(ctx: Context, id: str, info: dict[str, Any]) -> dict[str, Any]:
    """Join a router to a subnet, at the subnet's gateway address, or by a port, at its addresses."""
    port_id, subnet_id = _interface_ids(info)
    row = find(ctx, "router", id)
    owned(ctx, row, "add_router_interface")
    with ctx.store.transaction():
        port, subnets = _by_port(ctx, row, port_id) if port_id else _by_subnet(ctx, row, str(subnet_id))
        bump(ctx, "router", id)
        ctx.wake("router", id)
    return _interface(row, port, subnets)


def _by_port(ctx: Context, row: Row, port_id: str) -> tuple[Row, list[str]]:
    port = find(ctx, "port", port_id)
    if port["device_id"]:
        words = f"Port already has an attached device {port['device_id']}."
        raise Conflict(f"Unable to complete operation on port {port_id} for network {port['network_id']}. {words}", type="PortInUse")
    addresses = ctx.store.find("fixed_ip", {"port_id": port_id}, order="position")
    if not addresses:
        raise bad_request("router", "Router port must have at least one fixed IP")
    subnets = ctx.store.find("subnet", {"id": [ip["subnet_id"] for ip in addresses]})
    if sum(subnet["ip_version"] == 4 for subnet in subnets) > 1:
        raise bad_request("router", "Cannot have multiple IPv4 subnets on router port")
    _check_overlap(ctx, row, subnets)
    if (other := _ipv6_leg(ctx, row, port["network_id"])) and any(subnet["ip_version"] == 6 for subnet in subnets):
        words = "Cannot have multiple router ports with the same network id if both contain IPv6 subnets. Existing port"
        raise bad_request("router", f"{words} {other['id']} has IPv6 subnet(s) and network id {port['network_id']}")
    changes = {"device_id": row["id"], "device_owner": INTERFACE, "binding_host": host_name(ctx), "port_security_enabled": 0}
    ctx.store.delete("port_security_group", {"port_id": port_id})
    after = change(ctx, "port", port, changes)
    ctx.wake("port", port_id)
    return after, [ip["subnet_id"] for ip in addresses]


def _by_subnet(ctx: Context, row: Row, subnet_id: str) -> tuple[Row, list[str]]:
    subnet = find(ctx, "subnet", subnet_id)
    if not subnet["gateway_ip"]:
        raise bad_request("router", "Subnet for router interface must have a gateway IP")
    if not ctx.is_admin and subnet["project_id"] != ctx.project_id:
        words = f"Cannot add interface to router because subnet {subnet_id} is not owned by project making the request"
        raise bad_request("router", words)
    _check_overlap(ctx, row, [subnet])
    network = ctx.store.get("network", subnet["network_id"])
    if network and subnet["ip_version"] == 6 and (shared := _ipv6_leg(ctx, row, network["id"])):
        give(ctx, network, shared, [{"subnet_id": subnet_id, "ip_address": subnet["gateway_ip"]}])
        after = change(ctx, "port", shared, {})
        ctx.wake("port", shared["id"])
        return after, [subnet_id]
    leg = {"network_id": subnet["network_id"], "device_id": row["id"], "device_owner": INTERFACE, "project_id": row["project_id"]}
    asked = [{"subnet_id": subnet_id, "ip_address": subnet["gateway_ip"]}]
    return create_port(ctx.internal(), {**leg, "fixed_ips": asked, "binding_host": host_name(ctx)}), [subnet_id]


def _ipv6_leg(ctx: Context, row: Row, network_id: str) -> Row | None:
    """The leg that all IPv6 subnets of a network share."""
    found = ctx.store.query(
        "SELECT p.id FROM port p JOIN fixed_ip i ON i.port_id = p.id JOIN subnet s ON s.id = i.subnet_id"
        " WHERE p.device_id = ? AND p.device_owner = ? AND p.network_id = ? AND p.gone = 0 AND s.ip_version = 6",
        row["id"],
        INTERFACE,
        network_id,
    )
    return ctx.store.get("port", found[0]["id"]) if found else None


@allow(PROJECT_MEMBER, "remove_router_interface")
def remove_router_interface(ctx: Context, id: str, info: dict[str, Any]) -> dict[str, Any]:
    """Take a router from a subnet. Raises Conflict while floating IPs or routes need the way."""
    port_id, subnet_id = _interface_ids(info, removal=True)
    row = find(ctx, "router", id)
    owned(ctx, row, "remove_router_interface")
    if subnet_id:
        find(ctx, "subnet", subnet_id)
    with ctx.store.transaction():
        legs = [leg for leg in legs_of(ctx, id) if leg["device_owner"] == INTERFACE]
        mine = _leg(row, legs, port_id, subnet_id)
        only = [leg for leg in mine if port_id is None and leg["subnet_id"] == subnet_id and len(mine) > 1]
        for leg in only or mine:
            _check_interface_unused(ctx, row, leg)
        port = ctx.store.get("port", mine[0]["port_id"])
        assert port is not None
        if only:  # one of several subnets on a leg: the others stay
            mine = only
            ctx.store.delete("fixed_ip", {"port_id": port["id"], "subnet_id": subnet_id})
            change(ctx, "port", port, {})
        else:
            remove_port(ctx, port)
        bump(ctx, "router", id)
        ctx.wake("router", id)
    return _interface(row, port, [leg["subnet_id"] for leg in mine])


def _leg(row: Row, legs: list[Row], port_id: str | None, subnet_id: str | None) -> list[Row]:
    """The addresses of the leg that a request is about. Raises NotFound."""
    if port_id is None:
        port_id = next((leg["port_id"] for leg in legs if leg["subnet_id"] == subnet_id), None)
        if port_id is None:
            words = f"Router {row['id']} has no interface on subnet {subnet_id}"
            raise NotFound(words, type="RouterInterfaceNotFoundForSubnet")
    mine = [leg for leg in legs if leg["port_id"] == port_id]
    if not mine:
        words = f"Router {row['id']} does not have an interface with id {port_id}"
        raise NotFound(words, type="RouterInterfaceNotFound")
    if subnet_id and not any(leg["subnet_id"] == subnet_id for leg in mine):
        words = f"Subnet on port {port_id} does not match the requested subnet {subnet_id}."
        raise BadRequest(words, type="SubnetMismatchForPort")
    return mine


def _check_interface_unused(ctx: Context, row: Row, leg: Row) -> None:
    cidr = ipaddress.ip_network(leg["cidr"])
    words = f"Router interface for subnet {leg['subnet_id']} on router {row['id']} cannot be deleted, as it is required by one or more"
    inner = ctx.store.query(
        "SELECT fixed_ip_address AS ip FROM floating_ip WHERE router_id = ?1 AND port_id IS NOT NULL UNION ALL SELECT p.internal_ip_address"
        " FROM port_forwarding p JOIN floating_ip f ON f.id = p.floating_ip_id WHERE f.router_id = ?1",
        row["id"],
    )
    for each in inner:
        if ipaddress.ip_address(each["ip"]) in cidr:
            raise Conflict(f"{words} floating IPs.", type="RouterInterfaceInUseByFloatingIP")
    for route in json.loads(row["routes"]):
        if ipaddress.ip_address(route["nexthop"]) in cidr:
            raise Conflict(f"{words} routes.", type="RouterInterfaceInUseByRoute")


# -- deleting --------------------------------------------------------------------------------------------------------------


@allow(PROJECT_MEMBER, "delete_router")
def delete_router(ctx: Context, id: str) -> None:
    """Wish a router away, with its gateway. Raises Conflict while it has interfaces."""
    row = find(ctx, "router", id)
    owned(ctx, row, "delete_router")
    with ctx.store.transaction():
        ports = ctx.store.find("port", {"device_id": id}, order="rowid")
        if inside := [port["id"] for port in ports if port["device_owner"] == INTERFACE]:
            raise Conflict(f"Router {id} has ports still attached: {', '.join(inside)}", type="RouterInUse")
        for port in ports:
            remove_port(ctx, port)
        ctx.store.delete("tag", {"resource_id": id})
        ctx.store.update("router", id, {"gone": 1})
        ctx.wake("router", id)
