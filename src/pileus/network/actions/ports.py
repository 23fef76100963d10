"""Ports: where a device meets a network, with a MAC, addresses and security groups.

What other services use is here too: `create_port`, `update_port`, `delete_port`, `unbind_port`, `ports_of_device`. Values are by column
(`network/resources/ports.py`); `fixed_ips` and `security_groups` are lists as the API has them, None for what comes by itself.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

from pileus.errors import BadRequest, Conflict
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row, Store
from pileus.network.actions.addresses import ROUTER_OWNERS, Wanted, automatic, give, regive_automatic
from pileus.network.actions.qos import checked_policy
from pileus.network.actions.quotas import spend
from pileus.network.actions.removal import leave_groups, remove_forwardings, remove_port
from pileus.network.actions.scope import (
    Page,
    absent,
    change,
    columns,
    deny,
    find,
    fresh,
    hidden,
    is_shared_with_caller,
    owner,
    page,
    restrict,
)
from pileus.network.actions.security_groups import default_security_group
from pileus.network.actions.trunks import check_untrunked, follow_parent
from pileus.network.resources import PORT, PORT_ADMIN
from pileus.network.types import bad_request
from pileus.openstack.listing import Listing

PACK: dict[str, Callable[[Any], Any]] = {
    "allowed_address_pairs": json.dumps,
    "extra_dhcp_opts": lambda options: json.dumps([o for o in options if o["opt_value"] is not None]),
    "binding_profile": json.dumps,
    "binding_host": lambda host: host or "",
}
LEGS = ("network:router_interface", "network:router_gateway", "network:floatingip")  # ports that only routers and floating IPs delete
# what only the network's owner may say of a port on it, besides an admin
OWNERS_ONLY = {
    "create": ("mac_address", "port_security_enabled", "allowed_address_pairs"),
    "update": ("port_security_enabled", "allowed_address_pairs"),
}


@allow(PROJECT_READER, "get_port")
def find_port(ctx: Context, id: str) -> Row:
    """A port of the caller's, or on a network of the caller's. Raises NotFound."""
    return find(ctx, "port", id)


@allow(PROJECT_READER, "get_port")
def list_ports(ctx: Context, listing: Listing) -> Page:
    """The ports that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "port", listing)


def ports_of_device(store: Store, device_id: str) -> list[Row]:
    """A server's ports (or a router's legs), in the order they were given to it."""
    return store.find("port", {"device_id": device_id}, order="place, rowid")


# -- creating --------------------------------------------------------------------------------------------------------------


@allow(PROJECT_MEMBER, "create_port")
def create_port(ctx: Context, values: Row) -> Row:
    """A port on a network that the caller sees, with addresses.

    Raises NotFound (network, group), Conflict (address or MAC taken, none left), OverQuota, and BadRequest.
    """
    restrict(ctx, PORT, "create", values, PORT_ADMIN)
    project = owner(ctx, values)
    network = find(ctx, "network", values["network_id"])
    _restrict_to_owner(ctx, network, "create", values)
    checked_policy(ctx, values)
    wanted, groups = values.pop("fixed_ips", None), values.pop("security_groups", None)
    with ctx.store.transaction():
        spend(ctx, project, "port")
        default = default_security_group(ctx, project)
        row = {**fresh(ctx), "project_id": project, "device_owner": "", **columns(values, PACK)}
        row["mac_address"] = _mac(ctx, network["id"], values.get("mac_address"))
        trusted = row["device_owner"].startswith("network:")
        if row.get("port_security_enabled") is None:
            row["port_security_enabled"] = int(network["port_security_enabled"] and not trusted)
        if row.get("device_id"):
            row["place"] = ctx.store.count("port", {"device_id": row["device_id"]})
        ctx.store.insert("port", row)
        give(ctx, network, row, wanted)
        if groups is None:
            groups = [default["id"]] if default and row["port_security_enabled"] else []
        _check_security(row, groups)
        _join(ctx, row, groups)
        ctx.wake("port", row["id"])
    return _port(ctx, row["id"])


def _port(ctx: Context, id: str) -> Row:
    row = ctx.store.get("port", id)
    if row is None:
        raise absent("port", id)
    return row


def _restrict_to_owner(ctx: Context, network: Row, verb: Any, values: Row) -> None:
    """Refuse what might harm others on a network that is not the caller's: another's address, no filters, the network's own roles."""
    if ctx.is_admin or network["project_id"] == ctx.project_id:
        return
    names = [name for name in OWNERS_ONLY[verb] if name in values]
    if str(values.get("device_owner") or "").startswith("network:"):
        names.append("device_owner")
    wanted = values.get("fixed_ips") or []
    if any("ip_address" in ask for ask in wanted) or (wanted and not is_shared_with_caller(ctx, network["id"])):
        names.append("fixed_ips")
    if names:
        deny(PORT, verb, names)


def _mac(ctx: Context, network_id: str, given: str | None) -> str:
    """The MAC asked for, or a random one with the prefix of OpenStack's ports that nobody on the network has."""
    if given:
        if ctx.store.first("port", {"network_id": network_id, "mac_address": given}, hidden=True):
            words = f"Unable to complete operation for network {network_id}. The mac address {given} is in use."
            raise Conflict(words, type="MacAddressInUse")
        return given
    while True:
        mac = "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
        if not ctx.store.first("port", {"network_id": network_id, "mac_address": mac}, hidden=True):
            return mac


def _check_security(row: Row, groups: list[str]) -> None:
    if groups and not row["port_security_enabled"]:
        words = "Port security must be enabled and port must have an IP address in order to use security groups."
        raise BadRequest(words, type="PortSecurityAndIPRequiredForSecurityGroups")
    if not row["port_security_enabled"] and json.loads(row.get("allowed_address_pairs") or "[]"):
        words = "Port Security must be enabled in order to have allowed address pairs on a port."
        raise Conflict(words, type="AddressPairAndPortSecurityRequired")


def _join(ctx: Context, row: Row, groups: list[str]) -> None:
    """Put a port into groups that the caller sees, all of which or none follow connections. Raises NotFound, Conflict."""
    kinds = set()
    for id in groups:
        group = ctx.store.get("security_group", id)
        if group is None or not (
            ctx.is_admin or group["project_id"] in (ctx.project_id, row["project_id"]) or is_shared_with_caller(ctx, id)
        ):
            raise absent("security_group", id)
        kinds.add(group["stateful"])
        if len(kinds) > 1:
            reason = "cannot apply both stateful and stateless security groups on the same port"
            raise Conflict(f"Error {reason} while attempting the operation.", type="SecurityGroupConflict")
        ctx.store.insert("port_security_group", {"port_id": row["id"], "security_group_id": id})


# -- changing --------------------------------------------------------------------------------------------------------------


@allow(PROJECT_MEMBER, "update_port")
def update_port(ctx: Context, id: str, values: Row) -> Row:
    """Change a port; `fixed_ips` and `security_groups`, when given, are all it has afterwards. Raises as create_port does."""
    row = find(ctx, "port", id)
    if not ctx.is_admin and row["project_id"] != ctx.project_id:
        raise hidden("update_port")
    restrict(ctx, PORT, "update", values, (*PORT_ADMIN, "mac_address"))
    network = ctx.store.get("network", row["network_id"])
    if network is None:
        raise absent("network", row["network_id"])
    _restrict_to_owner(ctx, network, "update", values)
    checked_policy(ctx, values)
    wanted, groups = values.pop("fixed_ips", None), values.pop("security_groups", None)
    with ctx.store.transaction():
        changes = columns({k: v for k, v in values.items() if v is not None or k == "binding_host"}, PACK)
        if "extra_dhcp_opts" in values:
            changes["extra_dhcp_opts"] = _merged(row["extra_dhcp_opts"], values["extra_dhcp_opts"])
        if values.get("mac_address", "") is None:
            changes["mac_address"] = _mac(ctx, row["network_id"], None)  # another one, whichever
        if changes.get("mac_address", row["mac_address"]) != row["mac_address"]:
            _check_mac_change(ctx, row, changes["mac_address"])
        after = change(ctx, "port", row, changes)
        if after["mac_address"] != row["mac_address"]:
            regive_automatic(ctx, after)
        if wanted is not None:
            _readdress(ctx, network, after, wanted)
        if groups is not None:
            leave_groups(ctx, id)
            _join(ctx, after, groups)
        _check_after(ctx, row, after, groups)
        _wake(ctx, row, after)
    return after


def _merged(before: str, changes: list[dict[str, Any]]) -> str:
    """DHCP options as they are after an update: named ones replaced, or taken away by a value of null."""
    options = {(o["opt_name"], o["ip_version"]): o for o in json.loads(before)}
    for option in changes:
        options[option["opt_name"], option["ip_version"]] = option
    return json.dumps([o for o in options.values() if o["opt_value"] is not None])


def _check_mac_change(ctx: Context, row: Row, mac: str) -> None:
    if row["binding_host"]:
        words = f"port is already bound, port type: bridge, old_mac {row['mac_address']}, new_mac {mac}."
        raise Conflict(f"Unable to complete operation on port {row['id']}, {words}", type="PortBound")
    _mac(ctx, row["network_id"], mac)


def _readdress(ctx: Context, network: Row, row: Row, wanted: list[Wanted]) -> None:
    """Give a port the addresses it is to have: those it has and keeps, and new ones; the rest are free at once."""
    have = ctx.store.find("fixed_ip", {"port_id": row["id"]}, order="position")
    keep: list[Row] = []
    ask: list[Wanted] = []
    for want in wanted:
        fits = (ip for ip in have if ip not in keep and want.items() <= ip.items())
        found = next(fits, None) if want else None
        if found:
            keep.append(found)
        else:
            ask.append(want)
    for ip in have:
        if ip not in keep and not _is_automatic(ctx, row, ip):
            _check_floating(ctx, row["id"], ip["ip_address"])
            remove_forwardings(ctx, {"internal_port_id": row["id"], "internal_ip_address": ip["ip_address"]})
            ctx.store.delete("fixed_ip", {"subnet_id": ip["subnet_id"], "ip_address": ip["ip_address"]})
    if ask:
        give(ctx, network, row, ask)


def _is_automatic(ctx: Context, row: Row, ip: Row) -> bool:
    """An address that the port makes for itself is not taken away by not being named."""
    subnet = ctx.store.get("subnet", ip["subnet_id"])
    return bool(subnet and automatic(subnet) and row["device_owner"] not in ROUTER_OWNERS)


def _check_floating(ctx: Context, port_id: str, address: str) -> None:
    if ctx.store.first("floating_ip", {"port_id": port_id, "fixed_ip_address": address}):
        words = f"Cannot update the fixed_ips of the port {port_id}, because its original fixed_ip has been associated to a floating ip"
        raise bad_request("port", words)


def _check_after(ctx: Context, before: Row, after: Row, groups: list[str] | None) -> None:
    """Hold what a port has become against itself."""
    opened = before["port_security_enabled"] and not after["port_security_enabled"]
    if opened and groups is None and ctx.store.find("port_security_group", {"port_id": after["id"]}, limit=1):
        words = "Port has security group associated. Cannot disable port security or IP address until security group is removed."
        raise Conflict(words, type="PortSecurityPortHasSecurityGroup")
    _check_security(after, groups or [])


def _wake(ctx: Context, before: Row, after: Row) -> None:
    ctx.wake("port", after["id"])
    for owner_, device in {(port["device_owner"], port["device_id"]) for port in (before, after)}:
        if owner_ in LEGS and device:
            ctx.wake("router", device)
    if before["device_id"] and before["device_id"] != after["device_id"]:
        ctx.wake("server", before["device_id"])  # whose guest has a card to let go of
    for floating in ctx.store.find("floating_ip", {"port_id": after["id"]}):
        if floating["router_id"]:
            ctx.wake("router", floating["router_id"])


def bind_port(ctx: Context, id: str, device_id: str, device_owner: str, host: str) -> Row:
    """Give a port to a device; whoever asks has seen that the caller may. Raises Conflict when another device has it."""
    row = _port(ctx, id)
    if row["device_id"] and row["device_id"] != device_id:
        words = f"Port already has an attached device {row['device_id']}."
        raise Conflict(f"Unable to complete operation on port {id} for network {row['network_id']}. {words}", type="PortInUse")
    with ctx.store.transaction():
        place = row["place"] if row["device_id"] else ctx.store.count("port", {"device_id": device_id})
        after = change(ctx, "port", row, {"device_id": device_id, "device_owner": device_owner, "binding_host": host, "place": place})
        follow_parent(ctx, id, host)
        _wake(ctx, row, after)
    return after


def unbind_port(ctx: Context, id: str) -> None:
    """Take a port from its device: it stays, with its addresses, for the next."""
    row = ctx.store.get("port", id)
    if row is None:
        return
    with ctx.store.transaction():
        free = {"device_id": "", "device_owner": "", "binding_host": "", "binding_profile": "{}"}
        follow_parent(ctx, id, "")
        _wake(ctx, row, change(ctx, "port", row, free))


# -- deleting --------------------------------------------------------------------------------------------------------------


@allow(PROJECT_MEMBER, "delete_port")
def delete_port(ctx: Context, id: str) -> None:
    """Wish a port away. Raises Conflict for a router's leg and a floating IP's place: those end with what they are for."""
    row = find(ctx, "port", id)
    if row["device_owner"] in LEGS and _serves(ctx, row):
        words = f"has device owner {row['device_owner']}"
        raise Conflict(f"Port {id} cannot be deleted directly via the port API: {words}.", type="ServicePortInUse")
    check_untrunked(ctx, id)
    with ctx.store.transaction():
        remove_port(ctx, row)


def _serves(ctx: Context, row: Row) -> bool:
    table = "floating_ip" if row["device_owner"] == "network:floatingip" else "router"
    return ctx.store.get(table, row["device_id"]) is not None
