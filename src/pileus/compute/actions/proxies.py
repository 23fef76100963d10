"""What Nova asked of Neutron and Glance on a client's behalf until 2.35: the other services' actions, in Nova's words."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from pileus.compute.actions.interfaces import with_rules
from pileus.errors import BadRequest, Forbidden, NotFound
from pileus.image import actions as image
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network import actions as network
from pileus.network.actions import floating_ips, ports, rules, security_groups
from pileus.openstack.listing import Listing

# -- networks ----------------------------------------------------------------------------------------------------------------


@allow(PROJECT_READER, "os_compute_api:os-networks:list")
def list_networks(ctx: Context) -> list[Row]:
    return network.list_networks(ctx, Listing(sorts=[("created_at", False)]))[0]


@allow(PROJECT_READER, "os_compute_api:os-networks:show")
def find_network(ctx: Context, id: str) -> Row:
    try:
        return network.find_network(ctx, id)
    except NotFound:
        raise NotFound("Network not found") from None


# -- floating IPs ------------------------------------------------------------------------------------------------------------


def _described(ctx: Context, rows: list[Row]) -> list[Row]:
    """Each with the name of its pool and the server it leads to."""
    inner = ctx.internal()
    ids = list({row["floating_network_id"] for row in rows})
    pools = {row["id"]: row["name"] for row in network.list_networks(inner, Listing(where={"id": ids}))[0]} if ids else {}
    inside = [row["port_id"] for row in rows if row["port_id"]]
    found = {row["id"]: row for row in ports.list_ports(inner, Listing(where={"id": inside}))[0]} if inside else {}
    shown = []
    for row in rows:
        port = found.get(row["port_id"])
        server = port["device_id"] if port and port["device_owner"].startswith("compute:") else None
        shown.append({**row, "pool": pools.get(row["floating_network_id"]) or row["floating_network_id"], "instance_id": server})
    return shown


@allow(PROJECT_READER, "os_compute_api:os-floating-ips:list")
def list_floating_ips(ctx: Context) -> list[Row]:
    """Those of the caller's project."""
    mine = Listing(where={"project_id": ctx.project_id}, sorts=[("created_at", False)])
    return _described(ctx, floating_ips.list_floating_ips(ctx, mine)[0])


@allow(PROJECT_READER, "os_compute_api:os-floating-ips:show")
def find_floating_ip(ctx: Context, id: str) -> Row:
    try:
        return _described(ctx, [network.find_floating_ip(ctx, id)])[0]
    except NotFound:
        raise NotFound(f"Floating IP not found for ID {id}") from None


@allow(PROJECT_MEMBER, "os_compute_api:os-floating-ips:create")
def create_floating_ip(ctx: Context, pool: str | None) -> Row:
    """From the pool named, else from the only one. Raises NotFound."""
    pools = list_pools(ctx)
    chosen = next((row for row in pools if pool in (None, row["name"], row["id"])), None)
    if chosen is None:
        raise NotFound("Floating IP pool not found." if pool else "No more floating IPs available.")
    row = network.create_floating_ip(ctx, {"floating_network_id": chosen["id"]})
    return _described(ctx, [row])[0]


@allow(PROJECT_MEMBER, "os_compute_api:os-floating-ips:delete")
def delete_floating_ip(ctx: Context, id: str) -> None:
    find_floating_ip(ctx, id)
    network.delete_floating_ip(ctx, id)


@allow(PROJECT_READER, "os_compute_api:os-floating-ip-pools")
def list_pools(ctx: Context) -> list[Row]:
    """The external networks."""
    return network.list_networks(ctx, Listing(where={"external": 1}, sorts=[("created_at", False)]))[0]


# -- security groups -----------------------------------------------------------------------------------------------------------


@allow(PROJECT_READER, "os_compute_api:os-security-groups:get")
def list_groups(ctx: Context) -> list[Row]:
    """The groups of the caller's project, with their rules."""
    return with_rules(ctx, security_groups.list_security_groups(ctx, Listing(where={"project_id": ctx.project_id}))[0])


@allow(PROJECT_READER, "os_compute_api:os-security-groups:show")
def find_group(ctx: Context, id: str) -> Row:
    try:
        return with_rules(ctx, [network.find_security_group(ctx, id)])[0]
    except NotFound:
        raise NotFound(f"Security group {id} not found.") from None


@allow(PROJECT_MEMBER, "os_compute_api:os-security-groups:create")
def create_group(ctx: Context, values: Mapping[str, Any]) -> Row:
    return with_rules(ctx, [security_groups.create_security_group(ctx, dict(values))])[0]


@allow(PROJECT_MEMBER, "os_compute_api:os-security-groups:update")
def update_group(ctx: Context, id: str, values: Mapping[str, Any]) -> Row:
    find_group(ctx, id)
    return with_rules(ctx, [security_groups.update_security_group(ctx, id, dict(values))])[0]


@allow(PROJECT_MEMBER, "os_compute_api:os-security-groups:delete")
def delete_group(ctx: Context, id: str) -> None:
    find_group(ctx, id)
    security_groups.delete_security_group(ctx, id)


@allow(PROJECT_MEMBER, "os_compute_api:os-security-groups:rule:create")
def create_rule(ctx: Context, values: Mapping[str, Any]) -> Row:
    """A rule that lets in. Raises NotFound, BadRequest, Conflict."""
    parent = find_group(ctx, values["parent_group_id"])
    if values.get("group_id"):
        find_group(ctx, values["group_id"])
    protocol = (values.get("ip_protocol") or "").lower() or None
    if protocol not in ("tcp", "udp", "icmp") and (protocol or not values.get("group_id")):
        raise BadRequest(f"Invalid IP protocol {protocol}.")
    low, high = (None if port in (None, "", -1) else int(port) for port in (values.get("from_port"), values.get("to_port")))
    cidr = _cidr(values.get("cidr"))
    rule = {
        "security_group_id": parent["id"],
        "direction": "ingress",
        "ethertype": "IPv6" if cidr and ":" in cidr else "IPv4",
        "protocol": protocol,
        "port_range_min": low,
        "port_range_max": high,
        "remote_ip_prefix": cidr,
        "remote_group_id": values.get("group_id") or None,
        "remote_address_group_id": None,
    }
    made = rules.create_security_group_rule(ctx, rule)
    return next(each for each in find_group(ctx, parent["id"])["rules"] if each["id"] == made["id"])


def _cidr(text: str | None) -> str | None:
    if not text:
        return None
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadRequest(f"Invalid cidr {text}.") from None
    return text


@allow(PROJECT_MEMBER, "os_compute_api:os-security-groups:rule:delete")
def delete_rule(ctx: Context, id: str) -> None:
    try:
        rules.delete_security_group_rule(ctx, id)
    except NotFound:
        raise NotFound(f"Security group rule {id} not found.") from None


# -- images ------------------------------------------------------------------------------------------------------------------


@allow(PROJECT_READER, "os_compute_api:os-images:list")
def list_images(ctx: Context, listing: Listing, asked: Mapping[str, str]) -> tuple[list[Row], bool]:
    """The images that the caller sees, newest first."""
    if "name" in asked:
        listing.where["name"] = asked["name"]
    if "status" in asked:
        listing.where["status"] = asked["status"].lower()
    listing.sorts = [("created_at", True)]
    if not ctx.is_admin:
        listing.terms.append(("project_id = ? OR visibility = 'public'", (ctx.project_id,)))
    return image.list_images(ctx, listing)


@allow(PROJECT_READER, "os_compute_api:os-images:show")
def find_image(ctx: Context, id: str) -> Row:
    try:
        return image.find_image(ctx, id)
    except NotFound:
        raise NotFound("Image not found.") from None


@allow(PROJECT_MEMBER, "os_compute_api:os-images:delete")
def delete_image(ctx: Context, id: str) -> None:
    row = find_image(ctx, id)
    if row["project_id"] != ctx.project_id and not ctx.is_admin:
        raise Forbidden("You are not allowed to delete the image.")
    image.delete_image(ctx, id)


def image_metadata(row: Row) -> dict[str, Any]:
    """An image's properties, as Nova showed them."""
    found: dict[str, Any] = json.loads(row["properties"])
    return found


def no_item() -> NotFound:
    return NotFound("Metadata item was not found")
