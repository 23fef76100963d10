"""Subnet pools: ranges that subnets are taken from, and how much of one a project may take."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from pileus.errors import BadRequest, Conflict, Fault
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.resource import Mismatch
from pileus.kit.store import Row
from pileus.network.actions import ranges
from pileus.network.actions.quotas import spend
from pileus.network.actions.rbac import share, stop_sharing
from pileus.network.actions.scope import Page, bump, change, columns, find, fresh, owned, owner, page, restrict
from pileus.network.resources.pools import SUBNETPOOL, SUBNETPOOL_ADMIN
from pileus.network.types import PoolPrefixes, bad_request, invalid_input, malformed
from pileus.openstack.listing import Listing

BITS = {4: 32, 6: 128}
LARGEST = {4: 8, 6: 64}  # prefix lengths of the largest subnet while nobody says
UNITS = {4: 32, 6: 64}  # prefix lengths that a default_quota counts
LENGTHS = ("min_prefixlen", "max_prefixlen", "default_prefixlen")
PACK = {"prefixes": json.dumps}


@allow(PROJECT_READER, "get_subnetpool")
def find_subnetpool(ctx: Context, id: str) -> Row:
    """A pool of the caller's project or shared with it; any for an admin. Raises NotFound."""
    return find(ctx, "subnetpool", id)


@allow(PROJECT_READER, "get_subnetpool")
def list_subnetpools(ctx: Context, listing: Listing) -> Page:
    """The pools that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "subnetpool", listing)


@allow(PROJECT_MEMBER, "create_subnetpool")
def create_subnetpool(ctx: Context, values: Row) -> Row:
    """A pool. Raises BadRequest for ranges and prefix lengths that do not go together, Conflict for what its scope has, OverQuota."""
    restrict(ctx, SUBNETPOOL, "create", values, SUBNETPOOL_ADMIN)
    project, shared = owner(ctx, values), values.pop("shared")
    values |= _ranges(values["prefixes"])
    values |= _lengths(values)
    row = {**fresh(ctx), "project_id": project}
    with ctx.store.transaction():
        spend(ctx, project, "subnetpool")
        if values["is_default"]:
            _check_default(ctx, values["ip_version"])
        _check_scope(ctx, {**row, **values})
        row |= columns(values, PACK)
        ctx.store.insert("subnetpool", row)
        if shared:
            share(ctx, "subnetpool", row)
    return find(ctx, "subnetpool", row["id"])


def _ranges(prefixes: list[str]) -> Row:
    """Ranges as a pool keeps them, and their protocol."""
    if not prefixes:
        raise BadRequest("Empty subnet pool prefix list.", type="EmptySubnetPoolPrefixList")
    versions = {ipaddress.ip_network(prefix).version for prefix in prefixes}
    if len(versions) > 1:
        raise BadRequest("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", type="PrefixVersionMismatch")
    return {"prefixes": ranges.compact(prefixes), "ip_version": versions.pop()}


def _lengths(values: Row) -> Row:
    """The three prefix lengths of a pool, what is not said filled in."""
    version = values["ip_version"]
    least = _or(values.get("min_prefixlen"), LARGEST[version])
    most = _or(values.get("max_prefixlen"), BITS[version])
    usual = _or(values.get("default_prefixlen"), least)
    bounds = (
        (least > most, ("min_prefixlen", least), ("max_prefixlen", most)),
        (most > BITS[version], ("max_prefixlen", most), ("ip_version_max", BITS[version])),
        (usual < least, ("default_prefixlen", usual), ("min_prefixlen", least)),
        (usual > most, ("default_prefixlen", usual), ("max_prefixlen", most)),
    )
    for wrong, (name, value), (other, bound) in bounds:
        if wrong:
            raise BadRequest(f"Illegal prefix bounds: {name}={value}, {other}={bound}.", type="IllegalSubnetPoolPrefixBounds")
    return dict(zip(LENGTHS, (least, most, usual), strict=True))


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _check_default(ctx: Context, version: int) -> None:
    if ctx.store.first("subnetpool", {"is_default": 1, "ip_version": version}):
        words = "A default subnetpool for this IP family has already been set. Only one default may exist per IP family"
        raise invalid_input(words)


def _check_scope(ctx: Context, pool: Row) -> None:
    """Hold a pool against the scope that it is to be in. `prefixes` is a list here."""
    if not pool.get("address_scope_id"):
        return
    scope = find(ctx, "address_scope", pool["address_scope_id"])
    if scope["ip_version"] != pool["ip_version"]:
        raise BadRequest(
            f"Illegal subnetpool association: subnetpool {pool['id']} cannot associate with address scope {scope['id']} because subnetpool"
            f" ip_version is not {scope['ip_version']}.",
            type="IllegalSubnetPoolIpVersionAssociationToAddressScope",
        )
    strangers = ctx.store.query(
        "SELECT 1 FROM subnet s JOIN subnet o ON o.network_id = s.network_id AND o.ip_version = s.ip_version"
        " WHERE s.subnetpool_id = ?1 AND o.subnetpool_id IS NOT ?1 LIMIT 1",
        pool["id"],
    )
    if strangers:
        raise scattered()
    for other in ctx.store.find("subnetpool", {"address_scope_id": scope["id"]}):
        if other["id"] != pool["id"] and ranges.overlap(json.loads(other["prefixes"]), pool["prefixes"]):
            words = "Failed to associate address scope: subnetpools within an address scope must have unique prefixes."
            raise Conflict(words, type="AddressScopePrefixConflict")


def scattered() -> Fault:
    """A network would be in two scopes."""
    words = "Subnets of the same address family hosted on the same network must all participate in the same address scope."
    return BadRequest(words, type="NetworkAddressScopeAffinityError")


# -- changing --------------------------------------------------------------------------------------------------------------


@allow(PROJECT_MEMBER, "update_subnetpool")
def update_subnetpool(ctx: Context, id: str, values: Row) -> Row:
    """Change a pool; its ranges may only grow (remove_prefixes takes away). Raises as create_subnetpool does."""
    row = find(ctx, "subnetpool", id)
    owned(ctx, row, "update_subnetpool")
    restrict(ctx, SUBNETPOOL, "update", values, SUBNETPOOL_ADMIN[:1])
    return _update(ctx, row, values)


def _update(ctx: Context, row: Row, values: Row) -> Row:
    before = {**row, "prefixes": json.loads(row["prefixes"])}
    if "prefixes" in values:
        found = _ranges(values["prefixes"])
        if found["ip_version"] != row["ip_version"] or not ranges.covers(found["prefixes"], before["prefixes"]):
            raise _illegal("Existing prefixes must be a subset of the new prefixes")
        values["prefixes"] = found["prefixes"]
    after = {**before, **{k: v for k, v in values.items() if v is not None or k not in LENGTHS}}
    with ctx.store.transaction():
        values |= _lengths(after)
        if after["is_default"] and not row["is_default"]:
            _check_default(ctx, row["ip_version"])
        if row["address_scope_id"]:
            _check_own_scope(ctx, row)
        _check_scope(ctx, after)
        return change(ctx, "subnetpool", row, columns(values, PACK))


def _illegal(reason: str) -> BadRequest:
    return BadRequest(f"Illegal update to prefixes: {reason}.", type="IllegalSubnetPoolPrefixUpdate")


def _check_own_scope(ctx: Context, row: Row) -> None:
    scope = ctx.store.get("address_scope", row["address_scope_id"])
    if scope and not ctx.is_admin and scope["project_id"] != ctx.project_id:
        words = f"subnetpool {row['id']} cannot be updated when associated with shared address scope {scope['id']}"
        raise BadRequest(f"Illegal subnetpool update : {words}.", type="IllegalSubnetPoolUpdate")


def _named(body: Any) -> list[str]:
    """The ranges that a body names. Raises BadRequest."""
    prefixes = body.get("prefixes") if isinstance(body, dict) else None
    if not prefixes or not isinstance(prefixes, list):
        raise malformed("Request body contains invalid data")
    try:
        return PoolPrefixes().parse(prefixes)
    except Mismatch as mismatch:
        raise malformed(f"Invalid input for prefixes. Reason: {mismatch.reason}.") from None


@allow(PROJECT_MEMBER, "add_prefixes")
def add_prefixes(ctx: Context, id: str, body: Any) -> list[str]:
    """Add ranges to a pool; returns all it has."""
    row = find(ctx, "subnetpool", id)
    owned(ctx, row, "add_prefixes")
    after = _update(ctx, row, {"prefixes": json.loads(row["prefixes"]) + _named(body)})
    return list(json.loads(after["prefixes"]))


@allow(PROJECT_MEMBER, "remove_prefixes")
def remove_prefixes(ctx: Context, id: str, body: Any) -> list[str]:
    """Take ranges from a pool; returns what it has left. Raises BadRequest while a subnet is in one."""
    row = find(ctx, "subnetpool", id)
    owned(ctx, row, "remove_prefixes")
    have, unwanted = json.loads(row["prefixes"]), _named(body)
    versions = {ipaddress.ip_network(prefix).version for prefix in unwanted}
    if versions != {row["ip_version"]} or not ranges.overlap(have, unwanted):
        return list(have)
    with ctx.store.transaction():
        if ranges.overlap((subnet["cidr"] for subnet in ctx.store.find("subnet", {"subnetpool_id": id})), unwanted):
            raise BadRequest(
                "Illegal update to prefixes: One or more the prefixes to be removed is in use by a subnet..",
                type="IllegalSubnetPoolPrefixUpdate",
            )
        left = ranges.prefixes_of(ranges.without(ranges.spans(have), ranges.spans(unwanted)), row["ip_version"])
        change(ctx, "subnetpool", row, {"prefixes": json.dumps([str(each) for each in left])})
    return [str(each) for each in left]


@allow(PROJECT_MEMBER, "delete_subnetpool")
def delete_subnetpool(ctx: Context, id: str) -> None:
    """Delete a pool. Raises BadRequest while a subnet is taken from it."""
    row = find(ctx, "subnetpool", id)
    owned(ctx, row, "delete_subnetpool")
    with ctx.store.transaction():
        if ctx.store.first("subnet", {"subnetpool_id": id}):
            raise BadRequest("Unable to delete subnet pool: Subnet pool has existing allocations.", type="SubnetPoolDeleteError")
        stop_sharing(ctx, id)
        ctx.store.delete("tag", {"resource_id": id})
        ctx.store.delete("subnetpool", {"id": id})


@allow(PROJECT_MEMBER, "onboard_network_subnets")
def onboard_network_subnets(ctx: Context, id: str, body: Any) -> list[Row]:
    """Make a network's subnets parts of a pool, which grows by their ranges; returns them."""
    row = find(ctx, "subnetpool", id)
    owned(ctx, row, "onboard_network_subnets")
    network_id = body.get("network_id") if isinstance(body, dict) else None
    if not isinstance(network_id, str):
        raise invalid_input("network_id must be specified.")
    network = find(ctx, "network", network_id)
    owned(ctx, network, "onboard_network_subnets")
    with ctx.store.transaction():
        subnets = ctx.store.find("subnet", {"network_id": network_id, "ip_version": row["ip_version"]}, order="rowid")
        have = [subnet["cidr"] for subnet in ctx.store.find("subnet", {"subnetpool_id": id})]
        for subnet in subnets:
            if ranges.overlap([subnet["cidr"]], have):
                words = f"Onboarding subnet {subnet['id']}: {subnet['cidr']} conflicts with allocated prefixes in subnet pool {id}"
                raise BadRequest(f"Illegal subnetpool update : {words}.", type="IllegalSubnetPoolUpdate")
        for subnet in subnets:
            ctx.store.update("subnet", subnet["id"], {"subnetpool_id": id})
            bump(ctx, "subnet", subnet["id"])
        if subnets:
            _update(ctx, row, {"prefixes": json.loads(row["prefixes"]) + [subnet["cidr"] for subnet in subnets]})
    return [{"id": subnet["id"], "cidr": subnet["cidr"]} for subnet in subnets]


# -- for subnets -----------------------------------------------------------------------------------------------------------


def default_pool(ctx: Context, version: int) -> Row:
    """The pool that is taken when a request says only that there is to be one. Raises BadRequest when there is none."""
    found = ctx.store.first("subnetpool", {"is_default": 1, "ip_version": version})
    if found is None:
        raise bad_request("subnets", f"No default subnetpool found for IPv{version}")
    return found


def allocate(ctx: Context, pool: Row, project_id: str, cidr: str | None, length: int | None) -> str:
    """A free range of a pool: the one asked for, or any of a prefix length; inside the caller's transaction.

    Raises BadRequest (length out of bounds), Conflict (nothing free, or more than a project may take).
    """
    length = ipaddress.ip_network(cidr).prefixlen if cidr else _or(length, pool["default_prefixlen"])
    for wrong, which, bound in (
        (length > pool["max_prefixlen"], "max", "maximum"),
        (length < pool["min_prefixlen"], "min", "minimum"),
    ):
        if wrong:
            words = f"Unable to allocate subnet with prefix length {length}, {bound} allowed prefix is {pool[f'{which}_prefixlen']}."
            raise BadRequest(words, type=f"{which.title()}PrefixSubnetAllocationError")
    taken = ctx.store.find("subnet", {"subnetpool_id": pool["id"]})
    _check_quota(pool, [subnet["cidr"] for subnet in taken if subnet["project_id"] == project_id], length)
    prefixes, used = json.loads(pool["prefixes"]), [subnet["cidr"] for subnet in taken]
    if cidr:
        if not ranges.covers(prefixes, [cidr]) or ranges.overlap([cidr], used):
            raise _no_room("Cannot allocate requested subnet from the available set of prefixes")
        return cidr
    found = ranges.take(prefixes, used, length)
    if found is None:
        raise _no_room(f"Insufficient prefix space to allocate subnet size /{length}")
    return found


def _check_quota(pool: Row, have: list[str], length: int) -> None:
    if pool["default_quota"]:
        unit = UNITS[pool["ip_version"]]
        used = sum(2.0 ** (unit - ipaddress.ip_network(cidr).prefixlen) for cidr in have)
        if used + 2.0 ** (unit - length) > pool["default_quota"]:
            raise Conflict("Per-tenant subnet pool prefix quota exceeded.", type="SubnetPoolQuotaExceeded")


def _no_room(reason: str) -> Conflict:
    return Conflict(f"Failed to allocate subnet: {reason}.", type="SubnetAllocationError")


def check_affinity(ctx: Context, network_id: str, version: int, pool: Row | None) -> None:
    """Refuse a subnet that would have one network in two scopes, or out of two pools."""
    for other in ctx.store.find("subnet", {"network_id": network_id, "ip_version": version}):
        if other["subnetpool_id"] == (pool["id"] if pool else None):
            continue
        its = ctx.store.get("subnetpool", other["subnetpool_id"]) if other["subnetpool_id"] else None
        scopes = [found["address_scope_id"] if found else None for found in (its, pool)]
        if scopes[0] != scopes[1]:
            raise scattered()
        if scopes[0] is None:
            words = "Subnets hosted on the same network must be allocated from the same subnet pool."
            raise BadRequest(words, type="NetworkSubnetPoolAffinityError")
