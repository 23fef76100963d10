"""Limits per project: what was set, else the service's default; counted in the transaction that would exceed them."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.kit.store import Store

UNLIMITED = -1


def limits(store: Store, project_id: str, defaults: Mapping[str, int]) -> dict[str, int]:
    """Every resource's limit for a project; -1 is none."""
    found = {row["resource"]: row["limit"] for row in store.find("quota", {"project_id": project_id, "resource": list(defaults)})}
    return {**defaults, **found}


def set_limits(store: Store, project_id: str, changes: Mapping[str, int]) -> None:
    for resource, limit in changes.items():
        store.delete("quota", {"project_id": project_id, "resource": resource})
        store.insert("quota", {"project_id": project_id, "resource": resource, '"limit"': limit})


def reset(store: Store, project_id: str, defaults: Mapping[str, int]) -> None:
    """Back to the defaults."""
    store.delete("quota", {"project_id": project_id, "resource": list(defaults)})


def exceeds(limit: int, used: int, more: int) -> bool:
    return limit != UNLIMITED and used + more > limit
