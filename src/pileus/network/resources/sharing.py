"""Who shares what: the relation and the ways to show it that everything shareable has."""

from __future__ import annotations

from pileus.kit.context import Context
from pileus.kit.store import Row, Store

EVERYBODY = "*"


def targets_of(store: Store, rows: list[Row]) -> None:
    """Relation: `shared_with`, the projects each thing is shared with, by one query."""
    found = store.find("rbac_policy", {"object_id": [row["id"] for row in rows], "action": "access_as_shared"})
    by_id: dict[str, set[str]] = {}
    for policy in found:
        by_id.setdefault(policy["object_id"], set()).add(policy["target_project"])
    for row in rows:
        row["shared_with"] = by_id.get(row["id"], set())


def is_shared(row: Row, ctx: Context) -> bool:
    """Shared with the caller's project or with everybody: Neutron says it of whoever asks."""
    return EVERYBODY in row["shared_with"] or ctx.project_id in row["shared_with"]
