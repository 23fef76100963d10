"""Floating IPs: addresses of an external network that lead to an inner one, through the router between them."""

from __future__ import annotations

import ipaddress

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.ports import create_port
from pileus.network.actions.qos import checked_policy
from pileus.network.actions.quotas import spend
from pileus.network.actions.removal import release
from pileus.network.actions.scope import Page, change, columns, find, fresh, owned, owner, page, restrict
from pileus.network.resources import FLOATING_IP, FLOATING_IP_ADMIN
from pileus.network.types import bad_request
from pileus.openstack.listing import Listing

PLACE = "network:floatingip"


@allow(PROJECT_READER, "get_floatingip")
def find_floating_ip(ctx: Context, id: str) -> Row:
    """A floating IP of the caller's project; any for an admin. Raises NotFound."""
    return find(ctx, "floating_ip", id)


@allow(PROJECT_READER, "get_floatingip")
def list_floating_ips(ctx: Context, listing: Listing) -> Page:
    """The floating IPs that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "floating_ip", listing)


@allow(PROJECT_MEMBER, "create_floatingip")
def create_floating_ip(ctx: Context, values: Row) -> Row:
    """Take an address of an external network, one that is named or any, and let it lead to a port when one is named.

    Raises BadRequest (network not external), Conflict (address taken, port has one), NotFound (no router between), OverQuota.
    """
    restrict(ctx, FLOATING_IP, "create", {k: v for k, v in values.items() if v is not None}, FLOATING_IP_ADMIN)
    project = owner(ctx, values)
    network = find(ctx, "network", values["floating_network_id"])
    if not network["external"]:
        raise bad_request("floatingip", f"Network {network['id']} is not a valid external network")
    if not ctx.store.find("subnet", {"network_id": network["id"], "ip_version": 4}, limit=1):
        raise bad_request("floatingip", f"Network {network['id']} does not contain any IPv4 subnet")
    checked_policy(ctx, values)
    asked = {key: values.pop(name, None) for key, name in (("subnet_id", "subnet_id"), ("ip_address", "floating_ip_address"))}
    wanted = [{key: value for key, value in asked.items() if value}]
    inner = {name: values.pop(name, None) for name in ("port_id", "fixed_ip_address")}
    with ctx.store.transaction():
        spend(ctx, project, "floatingip")
        row = {**fresh(ctx), "project_id": project, "revision": 0, **columns(values, {})}
        place = {"network_id": network["id"], "device_id": row["id"], "device_owner": PLACE, "project_id": ""}
        port = create_port(ctx.internal(), {**place, "fixed_ips": wanted if wanted[0] else None})
        row["floating_port_id"], row["floating_ip_address"] = port["id"], _outer_address(ctx, network, port)
        ctx.store.insert("floating_ip", {**row, **_association(ctx, row, inner)})
        _wake(ctx, find(ctx, "floating_ip", row["id"]))
    return find(ctx, "floating_ip", row["id"])


def _outer_address(ctx: Context, network: Row, port: Row) -> str:
    for ip in ctx.store.find("fixed_ip", {"port_id": port["id"]}, order="position"):
        if ipaddress.ip_address(ip["ip_address"]).version == 4:
            return str(ip["ip_address"])
    raise BadRequest(f"Unable to find any IP address on external network {network['id']}.", type="ExternalIpAddressExhausted")


def _wake(ctx: Context, row: Row) -> None:
    if row["router_id"]:
        ctx.wake("router", row["router_id"])


# -- where it leads --------------------------------------------------------------------------------------------------------


def _association(ctx: Context, row: Row, inner: Row) -> Row:
    """The columns that say where a floating IP leads, for the port and address asked for."""
    if not inner.get("port_id"):
        if inner.get("fixed_ip_address"):
            raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
        return {"port_id": None, "fixed_ip_address": None, "router_id": None}
    port = find(ctx, "port", inner["port_id"])
    if not ctx.is_admin and port["project_id"] != row["project_id"]:
        words = f"Cannot process floating IP association with Port {port['id']}, since that port is owned by a different tenant"
        raise bad_request("floatingip", words)
    if port["device_owner"] == "network:dhcp":  # a router's own leg may have one, as in Neutron
        raise bad_request("floatingip", f"Port {port['id']} is unable to be assigned a floating IP")
    subnet_id, address = _inner_address(ctx, port, inner.get("fixed_ip_address"))
    router_id = router_between(ctx, row, port, subnet_id)
    twin = ctx.store.first(
        "floating_ip", {"port_id": port["id"], "fixed_ip_address": address, "floating_network_id": row["floating_network_id"]}
    )
    if twin and twin["id"] != row["id"]:
        raise Conflict(
            f"Cannot associate floating IP {row['floating_ip_address']} ({row['id']}) with port {port['id']} using fixed IP {address}, as"
            f" that fixed IP already has a floating IP on external network {row['floating_network_id']}.",
            type="FloatingIPPortAlreadyAssociated",
        )
    return {"port_id": port["id"], "fixed_ip_address": address, "router_id": router_id}


def _inner_address(ctx: Context, port: Row, asked: str | None) -> tuple[str, str]:
    """Subnet and address of a port that a floating IP is to lead to: the one asked for, or the only one."""
    have = ctx.store.find("fixed_ip", {"port_id": port["id"]}, order="position")
    if asked:
        if ipaddress.ip_address(asked).version != 4:
            words = f"Cannot process floating IP association with {asked}, since that is not an IPv4 address"
            raise bad_request("floatingip", words)
        for ip in have:
            if ip["ip_address"] == asked:
                return ip["subnet_id"], asked
        raise bad_request("floatingip", f"Port {port['id']} does not have fixed ip {asked}")
    four = [ip for ip in have if ipaddress.ip_address(ip["ip_address"]).version == 4]
    if not four:
        raise bad_request("floatingip", f"Cannot add floating IP to port {port['id']} that has no fixed IPv4 addresses")
    if len(four) > 1:
        words = f"Port {port['id']} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a floating IP"
        raise bad_request("floatingip", words)
    return four[0]["subnet_id"], four[0]["ip_address"]


def router_between(ctx: Context, row: Row, port: Row, subnet_id: str) -> str:
    """The router that joins a subnet and the external network; of several the one that is the subnet's gateway. Raises NotFound."""
    found = ctx.store.query(
        "SELECT r.id FROM router r JOIN port p ON p.device_id = r.id AND p.device_owner = 'network:router_interface' AND p.gone = 0"
        " JOIN fixed_ip i ON i.port_id = p.id JOIN subnet s ON s.id = i.subnet_id"
        " WHERE i.subnet_id = ? AND r.gateway_network_id = ? AND r.gone = 0 ORDER BY i.ip_address = s.gateway_ip DESC, r.rowid",
        subnet_id,
        row["floating_network_id"],
    )
    if not found:
        raise NotFound(
            f"External network {row['floating_network_id']} is not reachable from subnet {subnet_id}.  Therefore, cannot associate Port"
            f" {port['id']} with a Floating IP.",
            type="ExternalGatewayForFloatingIPNotFound",
        )
    return str(found[0]["id"])


@allow(PROJECT_MEMBER, "update_floatingip")
def update_floating_ip(ctx: Context, id: str, values: Row) -> Row:
    """Let a floating IP lead elsewhere, or with a port_id of null nowhere. Raises as create_floating_ip does."""
    row = find(ctx, "floating_ip", id)
    owned(ctx, row, "update_floatingip")
    checked_policy(ctx, values)
    if not values:
        values["port_id"] = None  # once a floating IP had nothing else to be changed
    inner: Row = {name: values.pop(name) for name in ("port_id", "fixed_ip_address") if name in values}
    with ctx.store.transaction():
        changes = columns(values, {})
        if inner:
            if inner.get("port_id") and ctx.store.find("port_forwarding", {"floating_ip_id": id}, limit=1):
                raise _forwards(id)
            if not row["port_id"] and not inner.get("port_id"):
                inner = {}  # it leads nowhere, and what it forwards is not touched
        if inner:
            changes |= _association(ctx, row, {"port_id": row["port_id"], **inner})
        moved = any(changes.get(key, row[key]) != row[key] for key in ("port_id", "fixed_ip_address", "router_id"))
        after = change(ctx, "floating_ip", row, {**changes, **({"status": "DOWN"} if moved else {})})
        _wake(ctx, row)
        _wake(ctx, after)
    return after


def _forwards(id: str) -> Conflict:
    return Conflict(f"Floating IP {id} in use by Port Forwarding resources.", type="FipInUseByPortForwarding")


@allow(PROJECT_MEMBER, "delete_floatingip")
def delete_floating_ip(ctx: Context, id: str) -> None:
    """Give a floating IP back. The address is free when the host no longer has it."""
    row = find(ctx, "floating_ip", id)
    owned(ctx, row, "delete_floatingip")
    if ctx.store.find("port_forwarding", {"floating_ip_id": id}, limit=1):
        raise _forwards(id)
    with ctx.store.transaction():
        release(ctx, row)
