"""Server groups: which servers want to be together, or apart. On one machine the first is always so."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from pileus.compute.actions.quotas import check_group_members, check_groups
from pileus.errors import BadRequest, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow, forbid
from pileus.kit.store import Row
from pileus.openstack.listing import Listing, fetch


@allow(PROJECT_READER, "os_compute_api:os-server-groups:show")
def find_group(ctx: Context, id: str) -> Row:
    """Raises NotFound."""
    row = ctx.store.get("server_group", id.lower())
    if row is None or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise NotFound(f"Instance group {id} could not be found.")
    return row


@allow(PROJECT_READER, "os_compute_api:os-server-groups:index")
def list_groups(ctx: Context, listing: Listing, *, every_project: bool = False) -> list[Row]:
    """The groups of the project, or of all for an admin."""
    if every_project and not ctx.is_admin:
        forbid("os_compute_api:os-server-groups:index:all_projects")
    if not every_project:
        listing.where["project_id"] = ctx.project_id
    listing.sorts = [("created_at", False)]
    return fetch(ctx.store, "server_group", listing)[0]


@allow(PROJECT_MEMBER, "os_compute_api:os-server-groups:create")
def create_group(ctx: Context, name: str, policy: str, rules: Mapping[str, Any]) -> Row:
    """Raises OverQuota, and BadRequest for rules that the policy does not have."""
    if rules and policy != "anti-affinity":
        raise BadRequest("Only anti-affinity policy supports rules.")
    row = {"id": str(uuid.uuid4()), "project_id": ctx.project_id, "user_id": ctx.user_id, "name": name, "policy": policy}
    with ctx.store.transaction():
        check_groups(ctx)
        ctx.store.insert("server_group", {**row, "rules": json.dumps(dict(rules)), "created_at": ctx.now()})
    return find_group(ctx, row["id"])


@allow(PROJECT_MEMBER, "os_compute_api:os-server-groups:delete")
def delete_group(ctx: Context, id: str) -> None:
    """Its servers stay."""
    row = find_group(ctx, id)
    with ctx.store.transaction():
        ctx.store.execute("UPDATE server SET server_group_id = NULL WHERE server_group_id = ?", row["id"])
        ctx.store.delete("server_group", {"id": row["id"]})


def members_of(ctx: Context, ids: list[str]) -> dict[str, list[str]]:
    """The servers of some groups, oldest first; one query."""
    found: dict[str, list[str]] = {id: [] for id in ids}
    for row in ctx.store.find("server", {"server_group_id": ids}, order="created_at, id"):
        found[row["server_group_id"]].append(row["id"])
    return found


def admit(ctx: Context, hint: str, count: int) -> tuple[Row, bool]:
    """The group that a scheduler hint names, and whether this machine can hold so many more of it. Raises BadRequest, OverQuota."""
    row = ctx.store.get("server_group", hint.lower())
    if row is None or row["project_id"] != ctx.project_id:
        raise BadRequest(f"Instance group {hint} could not be found.")
    check_group_members(ctx, row["id"], count)
    if row["policy"] != "anti-affinity":
        return row, True
    most = int(json.loads(row["rules"]).get("max_server_per_host", 1))
    return row, ctx.store.count("server", {"server_group_id": row["id"]}) + count <= most
