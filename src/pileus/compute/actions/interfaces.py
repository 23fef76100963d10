"""A server's cards, addresses and security groups, read and changed by way of its ports."""

from __future__ import annotations

import json
from typing import Any

from pileus.compute import relations
from pileus.compute.actions.servers import find_server
from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network import actions as network
from pileus.network.actions import floating_ips, rules, security_groups
from pileus.openstack.listing import Listing


@allow(PROJECT_READER, "os_compute_api:ips:index")
def list_addresses(ctx: Context, id: str) -> dict[str, list[Row]]:
    """By network, as a server shows them."""
    row = find_server(ctx, id)
    relations.addresses(ctx.store, [row])
    found: dict[str, list[Row]] = row["addresses"]
    return found


@allow(PROJECT_READER, "os_compute_api:os-attach-interfaces:list")
def list_interfaces(ctx: Context, id: str) -> list[Row]:
    """The ports of a server, each with `addresses` and `tag`."""
    row = find_server(ctx, id)
    ports = network.ports_of_device(ctx.store, row["id"])
    found = network.addresses_of(ctx.store, [port["id"] for port in ports])
    tags = json.loads(row["device_tags"])
    return [{**port, "addresses": found[port["id"]], "tag": tags.get(port["id"])} for port in ports]


@allow(PROJECT_READER, "os_compute_api:os-attach-interfaces:show")
def find_interface(ctx: Context, id: str, port_id: str) -> Row:
    """Raises NotFound."""
    for port in list_interfaces(ctx, id):
        if port["id"] == port_id:
            return port
    raise NotFound(f"Instance {id} does not have port with id {port_id}.")


# -- security groups ---------------------------------------------------------------------------------------------------------


@allow(PROJECT_READER, "os_compute_api:os-security-groups:list")
def list_security_groups(ctx: Context, id: str) -> list[Row]:
    """The groups of all of a server's ports, each with its `rules`, by name."""
    row = find_server(ctx, id)
    ids: dict[str, None] = {}
    for port in network.ports_of_device(ctx.store, row["id"]):
        ids |= dict.fromkeys(_groups(ctx, port["id"]))
    return with_rules(ctx, [network.find_security_group(ctx.internal(), group) for group in ids])


def with_rules(ctx: Context, groups: list[Row]) -> list[Row]:
    """The groups with their `rules`, in which `group_name` and `group_project` say which group a rule lets in."""
    inner = ctx.internal()
    found, _ = rules.list_security_group_rules(inner, Listing(where={"security_group_id": [group["id"] for group in groups]}))
    remote = {rule["remote_group_id"] for rule in found if rule["remote_group_id"]}
    named = (
        {each["id"]: each for each in security_groups.list_security_groups(inner, Listing(where={"id": list(remote)}))[0]} if remote else {}
    )
    by_group: dict[str, list[Row]] = {group["id"]: [] for group in groups}
    for rule in found:
        by_group[rule["security_group_id"]].append({**rule, "remote": named.get(rule["remote_group_id"])})
    return [{**group, "rules": by_group[group["id"]]} for group in sorted(groups, key=lambda group: group["name"])]


def _groups(ctx: Context, port_id: str) -> list[str]:
    found = ctx.store.find("port_security_group", {"port_id": port_id}, order="security_group_id")
    return [each["security_group_id"] for each in found]


def _group(ctx: Context, row: Row, name: str) -> str:
    try:
        return str(network.security_groups_by_name(ctx, row["project_id"], [name])[0]["id"])
    except NotFound:
        raise NotFound(f"Security group {name} is not found for project {row['project_id']}") from None


@allow(PROJECT_MEMBER, "os_compute_api:os-security-groups:add")
def add_security_group(ctx: Context, id: str, name: str) -> None:
    """Put every port of a server into a group. Raises NotFound, BadRequest."""
    row = find_server(ctx, id)
    group = _group(ctx, row, name)
    with ctx.store.transaction():
        ports = network.ports_of_device(ctx.store, row["id"])
        if not ports:
            raise BadRequest(f"Instance {row['id']} has no ports to put into security group {name}.")
        for port in ports:
            groups = _groups(ctx, port["id"])
            if group not in groups:
                network.update_port(ctx, port["id"], {"security_groups": [*groups, group]})


@allow(PROJECT_MEMBER, "os_compute_api:os-security-groups:remove")
def remove_security_group(ctx: Context, id: str, name: str) -> None:
    """Take every port of a server out of a group. Raises NotFound, BadRequest when none is in it."""
    row = find_server(ctx, id)
    group = _group(ctx, row, name)
    with ctx.store.transaction():
        held = [port for port in network.ports_of_device(ctx.store, row["id"]) if group in _groups(ctx, port["id"])]
        if not held:
            raise BadRequest(f"Security group {name} is not associated with the instance {row['id']}")
        for port in held:
            network.update_port(ctx, port["id"], {"security_groups": [each for each in _groups(ctx, port["id"]) if each != group]})


# -- floating addresses, as they were given until 2.43 -----------------------------------------------------------------------------


def _floating(ctx: Context, address: str) -> Row:
    found, _ = floating_ips.list_floating_ips(ctx, Listing(where={"floating_ip_address": address}, limit=1))
    if not found:
        raise NotFound("floating IP not found")
    return found[0]


@allow(PROJECT_MEMBER, "os_compute_api:os-floating-ips:add")
def add_floating_ip(ctx: Context, id: str, address: str, fixed: str | None = None) -> None:
    """Let a floating IP lead to a server. Raises NotFound, BadRequest, Conflict."""
    row = find_server(ctx, id)
    floating = _floating(ctx, address)
    found = network.addresses_of_devices(ctx.store, [row["id"]])[row["id"]]
    if not found:
        raise BadRequest("No fixed IPs associated to instance")
    place: Any = next((at for at in found if fixed in (None, at.address) and at.version == 4), None)
    if place is None:
        raise BadRequest("Specified fixed address not assigned to instance")
    if floating["port_id"] and floating["port_id"] != place.port_id:
        raise Conflict(f"floating IP {address} is already associated")
    network.update_floating_ip(ctx, floating["id"], {"port_id": place.port_id, "fixed_ip_address": place.address})


@allow(PROJECT_MEMBER, "os_compute_api:os-floating-ips:remove")
def remove_floating_ip(ctx: Context, id: str, address: str) -> None:
    """Raises NotFound, Conflict when it leads elsewhere."""
    row = find_server(ctx, id)
    floating = _floating(ctx, address)
    if floating["port_id"] not in {port["id"] for port in network.ports_of_device(ctx.store, row["id"])}:
        raise Conflict(f"Floating IP {address} is not associated with instance {row['id']}.")
    network.update_floating_ip(ctx, floating["id"], {"port_id": None})
