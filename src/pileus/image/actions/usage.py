"""How much image data a project has, and how much it may have: limits are Keystone's, registered for this service by an admin.

Without a registered limit there is none, as in Glance with `use_keystone_limits` off.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import TooLarge
from pileus.identity.actions.limits import limits_for
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_READER, allow
from pileus.kit.store import Store
from pileus.openstack.quota import UNLIMITED, exceeds

MIB = 1 << 20
SIZES = ("image_size_total", "image_stage_total")  # in MiB; the others are counted
LIMITS = (*SIZES, "image_count_total", "image_count_uploading")


def usage_of(store: Store, project_id: str) -> dict[str, int]:
    """What a project has, by the names that limits have."""
    [row] = store.query(
        "SELECT coalesce(sum(size), 0) AS bytes, count(*) AS n,"
        " coalesce(sum(CASE WHEN status IN ('uploading', 'importing') THEN staged END), 0) AS staged,"
        " coalesce(sum(status IN ('saving', 'uploading', 'importing')), 0) AS busy"
        " FROM image WHERE project_id = ? AND gone = 0",
        project_id,
    )
    return {
        "image_size_total": -(-row["bytes"] // MIB),
        "image_stage_total": -(-row["staged"] // MIB),
        "image_count_total": row["n"],
        "image_count_uploading": row["busy"],
    }


def limits_of(store: Store, project_id: str) -> dict[str, int]:
    """What a project may have; -1: as much as it likes."""
    return {**dict.fromkeys(LIMITS, UNLIMITED), **limits_for(store, "image", project_id, LIMITS)}


@allow(PROJECT_READER, "get_usage")
def show_usage(ctx: Context) -> dict[str, Any]:
    """Used and allowed, of the caller's project."""
    used, limits = usage_of(ctx.store, ctx.project_id), limits_of(ctx.store, ctx.project_id)
    return {name: {"usage": used[name], "limit": limits[name]} for name in LIMITS}


def check_limits(ctx: Context, project_id: str, *names: str) -> None:
    """Refuse what would exceed a limit. Raises TooLarge. Sizes are checked by what is there already: what comes is not known yet."""
    limits = limits_of(ctx.store, project_id)
    if all(limits[name] == UNLIMITED for name in names):
        return
    used = usage_of(ctx.store, project_id)
    for name in names:
        if exceeds(limits[name], used[name], 0 if name in SIZES else 1):
            plus = "" if name in SIZES else " plus 1"
            raise TooLarge(
                f"Project {project_id} is over a limit for "
                f"[Resource {name} is over limit of {limits[name]} due to current usage {used[name]}{plus}]"
            )
