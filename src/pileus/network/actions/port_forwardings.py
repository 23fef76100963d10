"""Port forwardings: ports of a floating IP, one by one or in ranges, that lead to ports of inner addresses.

A floating IP has either these or one inner port that all of it leads to. They end with the inner port, or with its address.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.floating_ips import router_between
from pileus.network.actions.removal import remove_forwardings
from pileus.network.actions.scope import Page, change, find, fresh, owned
from pileus.network.types import bad_request
from pileus.openstack.listing import Listing, fetch

NOUN = "port_forwarding"
SIDES = ("internal", "external")


def _bad(reason: str) -> BadRequest:
    return bad_request(NOUN, reason)


def _get(ctx: Context, floating_ip_id: str, id: str) -> tuple[Row, Row]:
    """(floating IP, forwarding). Raises NotFound."""
    floating = find(ctx, "floating_ip", floating_ip_id)
    row = ctx.store.get("port_forwarding", id)
    if row is None or row["floating_ip_id"] != floating["id"]:
        raise NotFound(f"Port Forwarding {id} could not be found.", type="PortForwardingNotFound")
    return floating, row


@allow(PROJECT_READER, "get_floatingip_port_forwarding")
def find_port_forwarding(ctx: Context, floating_ip_id: str, id: str) -> Row:
    """A forwarding of a floating IP that the caller sees. Raises NotFound."""
    return _get(ctx, floating_ip_id, id)[1]


@allow(PROJECT_READER, "get_floatingip_port_forwarding")
def list_port_forwardings(ctx: Context, floating_ip_id: str, listing: Listing) -> Page:
    """The forwardings of a floating IP. Raises NotFound."""
    find(ctx, "floating_ip", floating_ip_id)
    listing.where["floating_ip_id"] = floating_ip_id
    marker = _get(ctx, floating_ip_id, listing.marker)[1] if listing.marker and listing.limit else None
    return fetch(ctx.store, "port_forwarding", listing, marker)


@allow(PROJECT_MEMBER, "create_floatingip_port_forwarding")
def create_port_forwarding(ctx: Context, floating_ip_id: str, values: Row) -> Row:
    """Let ports of a floating IP lead to an inner port.

    Raises NotFound (floating IP, port), BadRequest (ports taken, ranges that do not match, no router between), Conflict (the floating IP,
    or one of the inner port's own, is associated already).
    """
    floating = find(ctx, "floating_ip", floating_ip_id)
    owned(ctx, floating, "create_floatingip_port_forwarding")
    row: Row = {key: values[key] for key in ("description", "protocol", "internal_port_id") if key in values}
    for side in SIDES:
        ends = _ends(values, side)
        if ends is None:
            raise _bad(f"either {side}_port or {side}_port_range must be given")
        row[f"{side}_low"], row[f"{side}_high"] = ends
    with ctx.store.transaction():
        row |= {**fresh(ctx), "floating_ip_id": floating["id"], "project_id": floating["project_id"]}
        router_id = _lead(ctx, floating, row, values.get("internal_ip_address"))
        _check_ports(ctx, row)
        ctx.store.insert("port_forwarding", row)
        if not floating["router_id"]:
            change(ctx, "floating_ip", floating, {"router_id": router_id})
        ctx.wake("router", router_id)
    return find_port_forwarding(ctx, floating_ip_id, row["id"])


@allow(PROJECT_MEMBER, "update_floatingip_port_forwarding")
def update_port_forwarding(ctx: Context, floating_ip_id: str, id: str, values: Row) -> Row:
    """Change a forwarding. Raises as create_port_forwarding does."""
    floating, row = _get(ctx, floating_ip_id, id)
    owned(ctx, floating, "update_floatingip_port_forwarding")
    changes: Row = {key: values[key] for key in ("description", "protocol", "internal_port_id") if key in values}
    for side in SIDES:
        if ends := _ends(values, side):
            changes[f"{side}_low"], changes[f"{side}_high"] = ends
    with ctx.store.transaction():
        after = {**row, **changes}
        moved = after["internal_port_id"] != row["internal_port_id"]
        asked = values.get("internal_ip_address") or (None if moved else row["internal_ip_address"])
        _lead(ctx, floating, after, asked)
        _check_ports(ctx, after)
        kept = change(ctx, "port_forwarding", row, {**changes, "internal_ip_address": after["internal_ip_address"]})
        ctx.wake("router", floating["router_id"])
    return kept


@allow(PROJECT_MEMBER, "delete_floatingip_port_forwarding")
def delete_port_forwarding(ctx: Context, floating_ip_id: str, id: str) -> None:
    """End a forwarding. Raises NotFound."""
    floating, row = _get(ctx, floating_ip_id, id)
    owned(ctx, floating, "delete_floatingip_port_forwarding")
    with ctx.store.transaction():
        remove_forwardings(ctx, {"id": row["id"]})


# -- what may be said ------------------------------------------------------------------------------------------------------


def _ends(values: Row, side: str) -> tuple[int, int] | None:
    """First and last port that a request names for a side; None when it names none. Raises BadRequest when it names two."""
    port, span = values.get(f"{side}_port"), values.get(f"{side}_port_range")
    if span and port and span != (port, port):
        raise _bad(f"{side}_port {port} and {side}_port_range {span[0]}:{span[1]} do not match")
    return span or ((port, port) if port else None)


def _lead(ctx: Context, floating: Row, row: Row, asked: str | None) -> str:
    """Find the inner address of a forwarding and write it into `row`; returns the router between."""
    port = find(ctx, "port", row["internal_port_id"])
    own = ctx.store.first("floating_ip", {"port_id": port["id"]})
    if own:
        raise Conflict(
            f"Cannot create port forwarding to floating IP {own['floating_ip_address']} ({own['id']}) with port {port['id']} using fixed IP"
            f" {asked}, as that port already has a binding floating IP.",
            type="PortHasBindingFloatingIP",
        )
    if floating["port_id"]:
        raise Conflict(
            f"Cannot associate floating IP {floating['floating_ip_address']} ({floating['id']}) with port {port['id']} using fixed IP"
            f" {asked}, as that fixed IP already has a floating IP on external network {floating['floating_network_id']}.",
            type="FloatingIPPortAlreadyAssociated",
        )
    subnet_id, row["internal_ip_address"] = _inner(ctx, port, asked)
    try:
        router_id = router_between(ctx, floating, port, subnet_id)
    except NotFound:
        raise _bad(
            f"External network {floating['floating_network_id']} is not reachable from subnet {subnet_id}. Cannot set Port forwarding for"
            f" port {port['id']} with Floating IP {floating['id']}"
        ) from None
    if floating["router_id"] not in (None, router_id):
        words = f"The Floating IP {floating['id']} had been set on router {floating['router_id']}, the internal Neutron port"
        raise _bad(f"{words} {port['id']} can not reach it")
    return router_id


def _inner(ctx: Context, port: Row, asked: str | None) -> tuple[str, str]:
    have = ctx.store.find("fixed_ip", {"port_id": port["id"]}, order="position")
    four = [ip for ip in have if ipaddress.ip_address(ip["ip_address"]).version == 4]
    if not four:
        raise _bad(f"Requested internal port {port['id']} must allocate an IPv4 address at least.")
    for ip in four:
        if asked in (None, ip["ip_address"]):
            return ip["subnet_id"], ip["ip_address"]
    shown = [{"subnet_id": ip["subnet_id"], "ip_address": ip["ip_address"]} for ip in four]
    words = f"Requested internal IP address {asked} is not suitable for internal neutron port {port['id']}"
    raise _bad(f"{words}, as its fixed_ips are {shown}")


def _check_ports(ctx: Context, row: Row) -> None:
    """Refuse ranges that do not match, and ports that another forwarding has."""
    inner, outer = (row[f"{side}_high"] - row[f"{side}_low"] for side in SIDES)
    if inner > 0 and inner != outer:
        words = "Invalid ranges of internal and/or external ports. The relation between internal and external ports must be N-N or 1-N"
        raise _bad(words)
    internal = {key: row[key] for key in ("internal_port_id", "internal_ip_address", "protocol")}
    external = {key: row[key] for key in ("floating_ip_id", "protocol")}
    for side, where in (("internal", internal), ("external", external)):
        for other in ctx.store.find("port_forwarding", where):
            if other["id"] != row["id"] and _overlap(row, other, side):
                here, there = (f"{each[f'{side}_low']}:{each[f'{side}_high']}" for each in (row, other))
                words = f"There is a port collision with the {side}_port_range. The following ranges collide: {there} and {here}"
                raise _bad(words)


def _overlap(one: Row, two: Row, side: str) -> bool:
    low, high = f"{side}_low", f"{side}_high"
    found: Any = max(one[low], two[low]) <= min(one[high], two[high])
    return bool(found)
