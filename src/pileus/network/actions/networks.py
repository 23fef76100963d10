"""Networks: create, find, list, update, delete."""

from __future__ import annotations

import json

from pileus.errors import Conflict
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.qos import checked_policy, default_policy
from pileus.network.actions.quotas import spend
from pileus.network.actions.rbac import EXTERNAL, SHARED, share, stop_sharing, unshare
from pileus.network.actions.removal import AUTO_DELETED, release, remove_port, remove_subnet
from pileus.network.actions.scope import Page, change, columns, find, fresh, owned, owner, page, restrict
from pileus.network.actions.security_groups import default_security_group
from pileus.network.actions.segments import first_segment
from pileus.network.actions.zones import check_hints
from pileus.network.resources import NETWORK, NETWORK_ADMIN
from pileus.network.types import invalid_input
from pileus.openstack.listing import Listing

PACK = {"availability_zone_hints": json.dumps}
PHYSICAL = "public"  # the one physical network: the wire that the outside host is on
TUNNEL_MTU = 1450  # what Neutron gives a VXLAN network over an Ethernet of 1500
ETHERNET_MTU = 1500
ACCESS = {"shared": SHARED, "external": EXTERNAL}  # columns, and the policies for everybody that they stand for
SMALLEST_MTU = {4: 68, 6: 1280}  # RFC 791, RFC 8200


@allow(PROJECT_READER, "get_network")
def find_network(ctx: Context, id: str) -> Row:
    """A network of the caller's project, a shared or an external one; any for an admin. Raises NotFound."""
    return find(ctx, "network", id)


@allow(PROJECT_READER, "get_network")
def list_networks(ctx: Context, listing: Listing) -> Page:
    """The networks that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "network", listing)


@allow(PROJECT_MEMBER, "create_network")
def create_network(ctx: Context, values: Row) -> Row:
    """A network. It exists at once; its bridge follows. Raises OverQuota, and BadRequest for a segment the host does not have."""
    restrict(ctx, NETWORK, "create", values, NETWORK_ADMIN)
    project = owner(ctx, values)
    check_hints(values.get("availability_zone_hints", []))
    checked_policy(ctx, values)
    with ctx.store.transaction():
        default_security_group(ctx, project)
        spend(ctx, project, "network")
        row = {**fresh(ctx), "project_id": project, **columns({**values, **_segment(ctx, values)}, PACK)}
        row["mtu"] = _mtu(row["network_type"], row.get("mtu"))
        if row.get("port_security_enabled") is None:
            row["port_security_enabled"] = 1
        row.setdefault("qos_policy_id", default_policy(ctx, project))
        if row.get("is_default"):
            _take_default(ctx, row)
        ctx.store.insert("network", row)
        first_segment(ctx, row)
        for column, action in ACCESS.items():
            if row.get(column):
                share(ctx, "network", row, action)
        ctx.wake("network", row["id"])
    return find(ctx, "network", row["id"])


def _mtu(network_type: str, asked: int | None) -> int:
    """The MTU of a network: what is asked for, or what its carrier has room for; more than that is refused."""
    most = TUNNEL_MTU if network_type == "vxlan" else ETHERNET_MTU
    if asked and asked > most:
        raise invalid_input(f"Requested MTU is too big, maximum is {most}")
    return asked or most


def _segment(ctx: Context, values: Row) -> Row:
    """What carries the network: a tunnel of its own, or the physical network, which carries one."""
    kind, physical, number = (values.get(key) for key in ("network_type", "physical_network", "segmentation_id"))
    if kind is None:
        if physical is not None or number is not None:
            raise invalid_input("network_type required")
        return {"network_type": "vxlan", "physical_network": None, "segmentation_id": _free_number(ctx)}
    if kind == "flat":
        if physical is None:
            raise invalid_input("physical_network required for flat provider network")
        if physical != PHYSICAL:
            raise invalid_input(f"physical_network '{physical}' unknown for flat provider network")
        if number is not None:
            raise invalid_input("segmentation_id prohibited for flat provider network")
        if ctx.store.first("network", {"physical_network": PHYSICAL}, hidden=True):
            words = f"Unable to create the flat network. Physical network {PHYSICAL} is in use."
            raise Conflict(words, type="FlatNetworkInUse")
        return {"network_type": "flat", "physical_network": PHYSICAL, "segmentation_id": None}
    if kind == "vxlan":
        if physical is not None:
            raise invalid_input("provider:physical_network specified for vxlan network")
        if number is not None and ctx.store.first("network", {"network_type": "vxlan", "segmentation_id": number}, hidden=True):
            raise Conflict(f"Unable to create the network. The tunnel ID {number} is in use.", type="TunnelIdInUse")
        return {"network_type": "vxlan", "physical_network": None, "segmentation_id": number or _free_number(ctx)}
    if kind == "vlan":
        raise invalid_input(f"physical_network '{physical}' unknown for VLAN provider network")
    raise invalid_input(f"network_type value '{kind}' not supported")


def _free_number(ctx: Context) -> int:
    """A segment number that no network has: the one after the largest."""
    return int(ctx.store.query("SELECT ifnull(max(segmentation_id), 0) + 1 AS n FROM network")[0]["n"])


def _take_default(ctx: Context, row: Row) -> None:
    if not row.get("external"):
        raise invalid_input("Only external networks can be the default external network")
    if other := ctx.store.first("network", {"is_default": 1}):
        words = f"A default external network already exists: {other['id']}."
        raise Conflict(words, type="DefaultExternalNetworkExists")


@allow(PROJECT_MEMBER, "update_network")
def update_network(ctx: Context, id: str, values: Row) -> Row:
    """Change a network. Raises Conflict when it can no longer be hidden from those who use it."""
    row = find(ctx, "network", id)
    owned(ctx, row, "update_network")
    restrict(ctx, NETWORK, "update", values, NETWORK_ADMIN)
    checked_policy(ctx, values)
    changes = columns(values, {})
    with ctx.store.transaction():
        if any(key in changes and changes[key] != row[key] for key in ("network_type", "physical_network", "segmentation_id")):
            raise invalid_input("Only VLAN type networks can be updated")
        if row["shared"] and changes.get("shared") == 0:
            unshare(ctx, "network", row)
        if row["external"] and changes.get("external") == 0 and ctx.store.first("router", {"gateway_network_id": id}):
            raise Conflict(
                f"External network {id} cannot be updated to be made non-external, since it has existing gateway ports.",
                type="ExternalNetworkInUse",
            )
        if changes.get("is_default") and not row["is_default"]:
            _take_default(ctx, {**row, **changes})
        if "mtu" in changes:
            changes["mtu"] = _mtu(row["network_type"], changes["mtu"])
            _check_mtu(ctx, row, changes["mtu"])
        for column, action in ACCESS.items():
            if changes.get(column):
                share(ctx, "network", row, action)
        if changes.get("external") == 0:
            stop_sharing(ctx, id, EXTERNAL)
        after = change(ctx, "network", row, changes)
        ctx.wake("network", id)
        if any(after[key] != row[key] for key in ("admin_state_up", "mtu", "qos_policy_id")):
            _wake_all_on(ctx, id)
    return after


def _wake_all_on(ctx: Context, id: str) -> None:
    """What a network says of itself holds for everything on it. A router's leg has its router look."""
    for port in ctx.store.find("port", {"network_id": id}):
        ctx.wake("port", port["id"])


def _check_mtu(ctx: Context, row: Row, mtu: int) -> None:
    for subnet in ctx.store.find("subnet", {"network_id": row["id"]}):
        check_mtu(row["id"], subnet["ip_version"], mtu)


def check_mtu(network_id: str, ip_version: int, mtu: int) -> None:
    """Refuse an MTU that the subnet's protocol cannot work with."""
    if mtu < SMALLEST_MTU[ip_version]:
        words = f"MTU of {network_id} is not valid, subnet requires a minimum of {SMALLEST_MTU[ip_version]}"
        raise Conflict(words, type="NetworkMTUSubnetConflict")


@allow(PROJECT_MEMBER, "delete_network")
def delete_network(ctx: Context, id: str) -> None:
    """Wish a network away, with its subnets. Raises Conflict while ports are on it."""
    row = find(ctx, "network", id)
    owned(ctx, row, "delete_network")
    with ctx.store.transaction():
        for floating in ctx.store.find("floating_ip", {"floating_network_id": id, "port_id": None, "router_id": None}):
            release(ctx, floating)  # one that leads nowhere goes with its network
        ports = ctx.store.find("port", {"network_id": id})
        if staying := [port["id"] for port in ports if port["device_owner"] not in AUTO_DELETED]:
            words = "There are one or more ports still in use on the network, id for these ports is: "
            raise Conflict(f"Unable to complete operation on network {id}. {words}{','.join(staying)}.", type="NetworkInUse")
        for port in ports:
            remove_port(ctx, port)
        for subnet in ctx.store.find("subnet", {"network_id": id}):
            remove_subnet(ctx, subnet)
        ctx.store.delete("tag", {"resource_id": id})
        stop_sharing(ctx, id)
        ctx.store.delete("segment", {"network_id": id})
        ctx.store.update("network", id, {"gone": 1})
        ctx.wake("network", id)
