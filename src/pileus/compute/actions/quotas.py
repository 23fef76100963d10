"""Limits of a project: what may be, what is, and the counting that creation does in its own transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pileus.compute import versions
from pileus.errors import BadRequest, OverQuota
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, ANYONE, allow, forbid
from pileus.kit.store import Row, Store
from pileus.openstack import quota
from pileus.openstack.quota import UNLIMITED, exceeds

# Nova's own, but for the first three: on one machine its memory is the limit that matters (NoValidHost), not a number in a file
DEFAULTS = {
    "instances": UNLIMITED,
    "cores": UNLIMITED,
    "ram": UNLIMITED,
    "metadata_items": 128,
    "injected_files": 5,
    "injected_file_content_bytes": 10240,
    "injected_file_path_bytes": 255,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
    "fixed_ips": UNLIMITED,
    "floating_ips": UNLIMITED,
    "security_groups": UNLIMITED,
    "security_group_rules": UNLIMITED,
}
NETWORK_COUNTS = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")  # Neutron's, shown until 2.35
FILE_COUNTS = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")  # shown until 2.56
CLASS = "class:default"  # under this name the quota table holds defaults that an admin changed


def shown(ctx: Context) -> list[str]:
    """The resources that have a limit in this version, in Nova's order."""
    hidden: set[str] = set()
    if ctx.version >= versions.NO_PROXIES:
        hidden |= set(NETWORK_COUNTS)
    if ctx.version >= versions.NO_PERSONALITY:
        hidden |= set(FILE_COUNTS)
    return sorted(name for name in DEFAULTS if name not in hidden)


def defaults(store: Store) -> dict[str, int]:
    return quota.limits(store, CLASS, DEFAULTS)


def limits_of(store: Store, project_id: str) -> dict[str, int]:
    """Every limit of a project; -1 is none."""
    return quota.limits(store, project_id, defaults(store))


def usage(store: Store, project_id: str, user_id: str = "") -> dict[str, int]:
    """What a project has of each resource. Key pairs belong to a user and files to nobody: they count 0, as in Nova."""
    row = store.query(
        "SELECT count(*) AS instances, coalesce(sum(vcpus), 0) AS cores, coalesce(sum(ram), 0) AS ram FROM server"
        " WHERE deleted_at IS NULL AND project_id = ?",
        project_id,
    )[0]
    return dict.fromkeys(DEFAULTS, 0) | row | {"server_groups": store.count("server_group", {"project_id": project_id})}


# -- verbs -----------------------------------------------------------------------------------------------------------------


def _own_or_admin(ctx: Context, project_id: str, policy: str) -> None:
    if project_id != ctx.project_id and not ADMIN(ctx):
        forbid(policy)


@allow(ANYONE, "os_compute_api:os-quota-sets:show")
def show_quotas(ctx: Context, project_id: str) -> dict[str, int]:
    _own_or_admin(ctx, project_id, "os_compute_api:os-quota-sets:show")
    return limits_of(ctx.store, project_id)


@allow(ANYONE, "os_compute_api:os-quota-sets:detail")
def detail_quotas(ctx: Context, project_id: str) -> dict[str, Row]:
    _own_or_admin(ctx, project_id, "os_compute_api:os-quota-sets:detail")
    counted = usage(ctx.store, project_id)
    return {name: {"limit": limit, "in_use": counted[name], "reserved": 0} for name, limit in limits_of(ctx.store, project_id).items()}


@allow(ANYONE, "os_compute_api:os-quota-sets:defaults")
def default_quotas(ctx: Context) -> dict[str, int]:
    return defaults(ctx.store)


@allow(ADMIN, "os_compute_api:os-quota-sets:update")
def update_quotas(ctx: Context, project_id: str, changes: Mapping[str, int], *, force: bool = False) -> dict[str, int]:
    """Set limits. Raises BadRequest for one below what is in use, unless forced."""
    counted = usage(ctx.store, project_id)
    for name, limit in changes.items():
        if not force and limit != UNLIMITED and limit < counted[name]:
            raise BadRequest(f"Quota limit {limit} for {name} must be greater than or equal to already used and reserved {counted[name]}.")
    with ctx.store.transaction():
        quota.set_limits(ctx.store, project_id, changes)
    return limits_of(ctx.store, project_id)


@allow(ADMIN, "os_compute_api:os-quota-sets:delete")
def delete_quotas(ctx: Context, project_id: str) -> None:
    with ctx.store.transaction():
        quota.reset(ctx.store, project_id, DEFAULTS)


@allow(ADMIN, "os_compute_api:os-quota-class-sets:show")
def show_class(ctx: Context) -> dict[str, int]:
    return defaults(ctx.store)


@allow(ADMIN, "os_compute_api:os-quota-class-sets:update")
def update_class(ctx: Context, changes: Mapping[str, int]) -> dict[str, int]:
    """Set what holds for projects without limits of their own."""
    with ctx.store.transaction():
        quota.set_limits(ctx.store, CLASS, changes)
    return defaults(ctx.store)


# -- counting, inside the transaction of what would exceed ---------------------------------------------------------------------


def allowed_count(ctx: Context, flavor: Row, least: int, most: int) -> int:
    """How many servers of a flavor may be made, between `least` and `most`. Raises OverQuota when not even the least."""
    limits = limits_of(ctx.store, ctx.project_id)
    each = {"cores": int(flavor["vcpus"]), "instances": 1, "ram": int(flavor["ram"])}
    if all(limits[name] == UNLIMITED for name in each):
        return most
    counted = usage(ctx.store, ctx.project_id)
    for count in range(most, least - 1, -1):
        if not any(exceeds(limits[name], counted[name], count * more) for name, more in each.items()):
            return count
    over = [name for name, more in each.items() if exceeds(limits[name], counted[name], least * more)]
    wanted = {name: str(least * more) for name, more in each.items()}
    if most > least:
        wanted["instances"] = f"{least}-{most}"
    asked, has, may = (", ".join(str(of[name]) for name in over) for of in (wanted, counted, limits))
    names = ", ".join(over)
    raise OverQuota(f"Quota exceeded for {names}: Requested {asked}, but already used {has} of {may} {names}", resource=over)


def check_metadata(ctx: Context, project_id: str, metadata: Mapping[str, str]) -> None:
    """Raises OverQuota when there are too many items."""
    if not metadata:
        return
    limit = limits_of(ctx.store, project_id)["metadata_items"]
    if exceeds(limit, 0, len(metadata)):
        raise OverQuota(f"Maximum number of metadata items exceeds {limit}", resource="metadata_items")


def check_files(ctx: Context, files: list[dict[str, Any]]) -> None:
    """Raises OverQuota when files to inject are too many, or one is too large or its path too long."""
    if not files:
        return
    limits = limits_of(ctx.store, ctx.project_id)
    if exceeds(limits["injected_files"], 0, len(files)):
        raise OverQuota("Personality file limit exceeded")
    for file in files:
        if exceeds(limits["injected_file_path_bytes"], 0, len(file["path"].encode())):
            raise OverQuota(f"Personality file path exceeds maximum {limits['injected_file_path_bytes']}")
        if exceeds(limits["injected_file_content_bytes"], 0, len(json.dumps(file["contents"])) * 3 // 4):
            raise OverQuota(f"Personality file content exceeds maximum {limits['injected_file_content_bytes']}")


def check_keypairs(ctx: Context, user_id: str) -> None:
    limit = limits_of(ctx.store, ctx.project_id)["key_pairs"]
    if exceeds(limit, ctx.store.count("keypair", {"user_id": user_id}), 1):
        raise OverQuota("Quota exceeded, too many key pairs.", resource="key_pairs")


def check_groups(ctx: Context) -> None:
    limit = limits_of(ctx.store, ctx.project_id)["server_groups"]
    if exceeds(limit, ctx.store.count("server_group", {"project_id": ctx.project_id}), 1):
        raise OverQuota("Quota exceeded, too many server groups.", resource="server_groups")


def check_group_members(ctx: Context, group_id: str, more: int) -> None:
    limit = limits_of(ctx.store, ctx.project_id)["server_group_members"]
    if exceeds(limit, ctx.store.count("server", {"server_group_id": group_id}), more):
        raise OverQuota("Quota exceeded, too many servers in group", resource="server_group_members")
