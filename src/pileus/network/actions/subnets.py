"""Subnets: create, find, list, update, delete; what may be said of a range, its gateway and its pools."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from pileus.errors import BadRequest, Conflict
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow, forbid
from pileus.kit.store import Row
from pileus.network.actions.addresses import AUTOMATIC, ROUTER_OWNERS, automatic, default_pools, give_automatic, usable
from pileus.network.actions.networks import check_mtu
from pileus.network.actions.quotas import spend
from pileus.network.actions.removal import AUTO_DELETED, remove_port, remove_subnet
from pileus.network.actions.scope import Page, bump, change, columns, find, fresh, hidden, owner, page
from pileus.network.actions.subnetpools import allocate, check_affinity, default_pool
from pileus.network.types import IPNetwork, bad_request, invalid_input
from pileus.openstack.listing import Listing

PACK = dict.fromkeys(("allocation_pools", "dns_nameservers", "host_routes", "service_types"), json.dumps)
MAX_NAMESERVERS = 5
MAX_ROUTES = 20


@allow(PROJECT_READER, "get_subnet")
def find_subnet(ctx: Context, id: str) -> Row:
    """A subnet of the caller's, or of a network that the caller sees. Raises NotFound."""
    return find(ctx, "subnet", id)


@allow(PROJECT_READER, "get_subnet")
def list_subnets(ctx: Context, listing: Listing) -> Page:
    """The subnets that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "subnet", listing)


@allow(PROJECT_MEMBER, "create_subnet")
def create_subnet(ctx: Context, values: Row) -> Row:
    """A subnet on a network of the caller's. Raises BadRequest for a range that overlaps another on the same network, and OverQuota.

    Out of a pool it is any free range, or the one asked for.
    """
    project = owner(ctx, values)
    network = find(ctx, "network", values["network_id"])
    if not ctx.is_admin and network["project_id"] != ctx.project_id:
        forbid("create_subnet")
    with ctx.store.transaction():
        values["cidr"] = _range_for(ctx, network, project, values)
        cidr = ipaddress.ip_network(values["cidr"])
        _check(values, cidr, None)
        check_mtu(network["id"], values["ip_version"], network["mtu"])
        gateway = values.get("gateway_ip", _first(cidr))
        pools = _pools(values.get("allocation_pools"), cidr, gateway)
        spend(ctx, project, "subnet")
        _check_overlap(ctx, network["id"], cidr)
        row = {**fresh(ctx), **columns({**values, "allocation_pools": pools}, PACK), "project_id": project, "gateway_ip": gateway}
        row["revision"] = 0  # a subnet's count starts there
        ctx.store.insert("subnet", row)
        give_automatic(ctx, find(ctx, "subnet", row["id"]))
        bump(ctx, "network", network["id"])
        ctx.wake("network", network["id"])
    return find(ctx, "subnet", row["id"])


def _range_for(ctx: Context, network: Row, project: str, values: Row) -> str:
    """The range of a new subnet: the one asked for, or one out of a pool, which `values` then names."""
    length, default = values.pop("prefixlen", None), values.pop("use_default_subnetpool", None)
    cidr, pool_id = values.get("cidr"), values.get("subnetpool_id")
    if length is not None and cidr:
        raise bad_request("subnets", "cidr and prefixlen must not be supplied together")
    if default and pool_id:
        raise bad_request("subnets", "subnetpool_id and use_default_subnetpool cannot both be specified")
    pool = default_pool(ctx, values["ip_version"]) if default else find(ctx, "subnetpool", pool_id) if pool_id else None
    if pool is None and not cidr:
        raise bad_request("subnets", "a subnetpool must be specified in the absence of a cidr")
    check_affinity(ctx, network["id"], values["ip_version"], pool)
    if pool is None:
        return str(cidr)
    if pool["ip_version"] != values["ip_version"]:
        words = f"Cannot allocate IPv{values['ip_version']} subnet from IPv{pool['ip_version']} subnet pool"
        raise bad_request("subnets", words)
    if values.get("allocation_pools") is not None and not cidr:
        raise bad_request("subnets", "allocation_pools allowed only for specific subnet requests.")
    values["subnetpool_id"] = pool["id"]
    return allocate(ctx, pool, project, cidr, length)


def _first(cidr: IPNetwork) -> str | None:
    """Where the gateway is when nobody says: the first address a host may have."""
    return str(usable(cidr)[0] if cidr.num_addresses > 1 else cidr[0])


def _check_overlap(ctx: Context, network_id: str, cidr: IPNetwork) -> None:
    if cidr.prefixlen == 0:
        raise invalid_input("0 is not allowed as CIDR prefix length")
    for other in ctx.store.find("subnet", {"network_id": network_id}):
        there = ipaddress.ip_network(other["cidr"])
        if there.version == cidr.version and there.overlaps(cidr):
            raise invalid_input(f"Requested subnet with cidr: {cidr} for network: {network_id} overlaps with another subnet")


# -- what may be said of a subnet ------------------------------------------------------------------------------------------


def _same_version(version: int, text: str, name: str) -> None:
    if ipaddress.ip_network(text, strict=False).version != version:
        raise invalid_input(f"{name} '{text}' does not match the ip_version '{version}'")


def _check(values: Row, cidr: IPNetwork, before: Row | None) -> None:
    """Hold a new subnet, or the changes of one, against its range."""
    version = before["ip_version"] if before else values["ip_version"]
    if before is None:
        _same_version(version, str(cidr), "cidr")
    if values.get("enable_dhcp") and not (before and before["enable_dhcp"]):
        _check_dhcp(cidr)
    if gateway := values.get("gateway_ip"):
        _same_version(version, gateway, "gateway_ip")
        address = ipaddress.ip_address(gateway)
        if version == 4 and cidr.prefixlen <= 30 and address in (cidr[0], cidr[-1]):
            raise invalid_input("Gateway is not valid on subnet")
    for name, most, what in (("dns_nameservers", MAX_NAMESERVERS, "DNS nameservers"), ("host_routes", MAX_ROUTES, "host routes")):
        if len(values.get(name) or ()) > most:
            kind = {"dns_nameservers": "DNSNameServersExhausted", "host_routes": "HostRoutesExhausted"}[name]
            which = before["id"] if before else "new subnet"
            raise BadRequest(f"Unable to complete operation for {which}. The number of {what} exceeds the limit {most}.", type=kind)
    for server in values.get("dns_nameservers") or ():
        _same_version(version, server, "dns_nameserver")
    for route in values.get("host_routes") or ():
        _same_version(version, route["nexthop"], "nexthop")
        _same_version(version, route["destination"], "destination")
    _check_modes(values, version, cidr, before)


def _check_dhcp(cidr: IPNetwork) -> None:
    if cidr.prefixlen > (30 if cidr.version == 4 else 126):
        raise invalid_input("Subnet has a prefix length that is incompatible with DHCP service enabled")
    if cidr.is_multicast:
        raise invalid_input("Multicast IP subnet is not supported if enable_dhcp is True")
    if cidr.is_loopback:
        raise invalid_input("Loopback IP subnet is not supported if enable_dhcp is True")
    if cidr.version == 4 and int(cidr[0]) == 0:
        raise invalid_input("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")


def _check_modes(values: Row, version: int, cidr: IPNetwork, before: Row | None) -> None:
    modes = {name: (before or values).get(name) for name in ("ipv6_ra_mode", "ipv6_address_mode")}
    if version == 4:
        for name, mode in modes.items():
            if mode:
                raise invalid_input(f"{name} is not valid when ip_version is 4")
        return
    ra_mode, address_mode = modes.values()
    if before:
        if values.get("enable_dhcp") is False and (ra_mode or address_mode):
            raise invalid_input("Cannot disable enable_dhcp with ipv6 attributes set")
        return
    if (ra_mode or address_mode) and not values["enable_dhcp"]:
        raise invalid_input("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra_mode and address_mode and ra_mode != address_mode:
        words = f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid."
        raise invalid_input(f"{words} If both attributes are set, they must be the same value")
    if (address_mode in AUTOMATIC or ra_mode in AUTOMATIC) and cidr.prefixlen != 64:
        words = f"Invalid CIDR {cidr} for IPv6 address mode. OpenStack uses the EUI-64 address format"
        raise invalid_input(f"{words}, which requires the prefix to be /64")


def _pools(given: list[dict[str, str]] | None, cidr: IPNetwork, gateway: str | None) -> list[dict[str, str]]:
    """The allocation pools, checked, or what a range has by itself."""
    if given is None:
        return default_pools(str(cidr), gateway)
    first, last = usable(cidr)
    spans: list[tuple[Any, Any]] = []
    for pool in given:
        start, end = (ipaddress.ip_address(pool[key]) for key in ("start", "end"))
        if start.version != cidr.version or end.version != cidr.version or int(end) < int(start):
            raise BadRequest(f"The allocation pool {pool} is not valid.", type="InvalidAllocationPool")
        if int(start) < int(first) or int(end) > int(last):
            words = f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}."
            raise BadRequest(words, type="OutOfBoundsAllocationPool")
        spans.append((start, end))
    for i, (start, end) in enumerate(spans):
        for other, its_end in spans[i + 1 :]:
            if start <= its_end and other <= end:
                words = f"Found overlapping allocation pools: {start}-{end} {other}-{its_end} for subnet {cidr}."
                raise Conflict(words, type="OverlappingAllocationPools")
    _check_gateway(spans, gateway)
    return given


def _check_gateway(spans: list[tuple[Any, Any]], gateway: str | None) -> None:
    address = ipaddress.ip_address(gateway) if gateway else None
    for start, end in spans:
        if address is not None and start <= address <= end:
            words = f"Gateway ip {gateway} conflicts with allocation pool {start}-{end}."
            raise Conflict(words, type="GatewayConflictWithAllocationPools")


# -- changing and deleting -------------------------------------------------------------------------------------------------


def _changeable(ctx: Context, id: str, policy: str) -> Row:
    """The subnet, when the caller owns it or its network."""
    row = find(ctx, "subnet", id)
    if not ctx.is_admin and row["project_id"] != ctx.project_id:
        network = ctx.store.get("network", row["network_id"])
        if network is None or network["project_id"] != ctx.project_id:
            raise hidden(policy)
    return row


@allow(PROJECT_MEMBER, "update_subnet")
def update_subnet(ctx: Context, id: str, values: Row) -> Row:
    """Change a subnet. Raises Conflict for a gateway that a router has."""
    row = _changeable(ctx, id, "update_subnet")
    cidr = ipaddress.ip_network(row["cidr"])
    _check(values, cidr, row)
    with ctx.store.transaction():
        if "gateway_ip" in values and values["gateway_ip"] != row["gateway_ip"]:
            _check_gateway_free(ctx, row)
        gateway = values.get("gateway_ip", row["gateway_ip"])
        if "allocation_pools" in values:
            values["allocation_pools"] = _pools(values["allocation_pools"], cidr, gateway)
        elif "gateway_ip" in values:
            pools = json.loads(row["allocation_pools"])
            _check_gateway([(ipaddress.ip_address(p["start"]), ipaddress.ip_address(p["end"])) for p in pools], gateway)
        after = change(ctx, "subnet", row, columns(values, PACK))
        bump(ctx, "network", row["network_id"])
        ctx.wake("network", row["network_id"])
        if after["gateway_ip"] != row["gateway_ip"]:  # the way out of the routers that have theirs here
            for router in ctx.store.find("router", {"gateway_network_id": row["network_id"]}):
                ctx.wake("router", router["id"])
        if after["ip_version"] == 6:  # what they advertise may be something else now
            _wake_legs(ctx, after)
    return after


def _wake_legs(ctx: Context, row: Row) -> None:
    sql = "SELECT p.device_id FROM port p JOIN fixed_ip i ON i.port_id = p.id WHERE i.subnet_id = ? AND p.gone = 0 AND p.device_owner = ?"
    for leg in ctx.store.query(sql, row["id"], ROUTER_OWNERS[0]):
        ctx.wake("router", leg["device_id"])


def _check_gateway_free(ctx: Context, row: Row) -> None:
    if not row["gateway_ip"]:
        return
    holder = ctx.store.first("fixed_ip", {"subnet_id": row["id"], "ip_address": row["gateway_ip"]})
    port = ctx.store.get("port", holder["port_id"]) if holder else None
    if port and port["device_owner"] in ROUTER_OWNERS:
        words = f"Current gateway ip {row['gateway_ip']} already in use by port {port['id']}. Unable to update."
        raise Conflict(words, type="GatewayIpInUse")


@allow(PROJECT_MEMBER, "delete_subnet")
def delete_subnet(ctx: Context, id: str) -> None:
    """Delete a subnet. Raises Conflict while a port has an address of it, unless hosts make theirs by themselves."""
    row = _changeable(ctx, id, "delete_subnet")
    with ctx.store.transaction():
        sql = "SELECT DISTINCT p.* FROM port p JOIN fixed_ip i ON i.port_id = p.id WHERE i.subnet_id = ? AND p.gone = 0"
        ports = ctx.store.query(sql, id)
        own = [port for port in ports if automatic(row) and port["device_owner"] not in (*AUTO_DELETED, *ROUTER_OWNERS)]
        if any(port["device_owner"] not in AUTO_DELETED for port in ports if port not in own):
            words = f"Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet."
            raise Conflict(words, type="SubnetInUse")
        for port in ports:
            if port in own:  # an address that the host made for itself goes, the port stays
                ctx.wake("port", port["id"])
            else:
                remove_port(ctx, port)
        remove_subnet(ctx, row)
        bump(ctx, "network", row["network_id"])
