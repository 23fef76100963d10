"""Address groups: sets of ranges that security group rules name as their other side."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.resource import Mismatch
from pileus.kit.store import Row
from pileus.network.actions.rbac import stop_sharing
from pileus.network.actions.scope import Page, change, columns, find, fresh, owned, owner, page
from pileus.network.types import Prefixes, malformed, network_of
from pileus.openstack.listing import Listing


def _packed(addresses: list[str]) -> str:
    """Addresses as their column holds them: each once, in order."""
    networks = [ipaddress.ip_network(address) for address in set(addresses)]
    return json.dumps([str(each) for each in sorted(networks, key=lambda each: (each.version, int(each[0]), each.prefixlen))])


@allow(PROJECT_READER, "get_address_group")
def find_address_group(ctx: Context, id: str) -> Row:
    """A group of the caller's project or shared with it; any for an admin. Raises NotFound."""
    return find(ctx, "address_group", id)


@allow(PROJECT_READER, "get_address_group")
def list_address_groups(ctx: Context, listing: Listing) -> Page:
    """The groups that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "address_group", listing)


@allow(PROJECT_MEMBER, "create_address_group")
def create_address_group(ctx: Context, values: Row) -> Row:
    """A group of addresses."""
    row = {**fresh(ctx), "project_id": owner(ctx, values), **columns(values, {"addresses": _packed})}
    with ctx.store.transaction():
        ctx.store.insert("address_group", row)
    return find(ctx, "address_group", row["id"])


@allow(PROJECT_MEMBER, "update_address_group")
def update_address_group(ctx: Context, id: str, values: Row) -> Row:
    """Change a group's name or description; addresses have verbs of their own."""
    row = find(ctx, "address_group", id)
    owned(ctx, row, "update_address_group")
    with ctx.store.transaction():
        return change(ctx, "address_group", row, columns(values, {}))


@allow(PROJECT_MEMBER, "delete_address_group")
def delete_address_group(ctx: Context, id: str) -> None:
    """Delete a group. Raises Conflict while a rule names it."""
    row = find(ctx, "address_group", id)
    owned(ctx, row, "delete_address_group")
    with ctx.store.transaction():
        rules = ("security_group_rule", "default_security_group_rule")
        if any(ctx.store.find(table, {"remote_address_group_id": id}, limit=1) for table in rules):
            raise Conflict(f"Address group {id} is in use on one or more security group rules.", type="AddressGroupInUse")
        stop_sharing(ctx, id)
        ctx.store.delete("tag", {"resource_id": id})
        ctx.store.delete("address_group", {"id": id})


@allow(PROJECT_MEMBER, "add_addresses")
def add_addresses(ctx: Context, id: str, body: Any) -> Row:
    """Add ranges. Raises BadRequest for one that is there already."""
    row, wanted = _changeable(ctx, id, body, "add_addresses")
    have = json.loads(row["addresses"])
    if there := sorted(set(wanted) & set(have)):
        raise BadRequest(f"Addresses {', '.join(there)} already exist in the address group {id}.", type="AddressesAlreadyExist")
    return _rewrite(ctx, row, have + wanted)


@allow(PROJECT_MEMBER, "remove_addresses")
def remove_addresses(ctx: Context, id: str, body: Any) -> Row:
    """Take ranges away. Raises NotFound for one that is not there."""
    row, unwanted = _changeable(ctx, id, body, "remove_addresses")
    have = json.loads(row["addresses"])
    if missing := sorted(set(unwanted) - set(have)):
        raise NotFound(f"Addresses {', '.join(missing)} not found in the address group {id}.", type="AddressesNotFound")
    return _rewrite(ctx, row, [each for each in have if each not in unwanted])


def _changeable(ctx: Context, id: str, body: Any, policy: str) -> tuple[Row, list[str]]:
    """The caller's group, and the ranges that a body names. Raises BadRequest."""
    row = find(ctx, "address_group", id)
    owned(ctx, row, policy)
    if not isinstance(body, dict) or "addresses" not in body:
        raise malformed("Unable to find 'addresses' in request body")
    given = body["addresses"]
    if isinstance(given, list):  # here one address needs no prefix length
        given = [str(network_of(item) or item) for item in given]
    try:
        return row, Prefixes().parse(given)
    except Mismatch as mismatch:
        raise malformed(f"Invalid input for addresses. Reason: {mismatch.reason}.") from None


def _rewrite(ctx: Context, row: Row, addresses: list[str]) -> Row:
    with ctx.store.transaction():
        after = change(ctx, "address_group", row, {"addresses": _packed(addresses)})
        for rule in ctx.store.find("security_group_rule", {"remote_address_group_id": row["id"]}):
            ctx.wake("security_group", rule["security_group_id"])
    return after
