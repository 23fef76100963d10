"""The image cache: in this cloud, the base disks. An image is cached while its base disk is there, ready for the next server.

Every image is wanted there once it is active. What an admin takes out frees the space of the converted copy; the next server that is made
from the image has it made again.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, NotFound
from pileus.image.states import BOOT
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, allow
from pileus.kit.store import Row
from pileus.openstack.types import is_uuid

TARGETS = ("", "cache", "queue")
BASED = "status IN ('active', 'deactivated')"


@allow(ADMIN, "cache_list")
def list_cache(ctx: Context) -> tuple[list[Row], list[str]]:
    """The images whose base disk is there, and the ids of those whose base disk is being made."""
    rows = ctx.store.query(f"SELECT * FROM image WHERE gone = 0 AND cached = 1 AND {BASED} ORDER BY created_at, id")  # noqa: S608
    return [row for row in rows if row["host_status"] == "ready"], [row["id"] for row in rows if row["host_status"] == ""]


@allow(ADMIN, "cache_image")
def queue_image(ctx: Context, id: str) -> None:
    """Have an image's base disk made. Raises NotFound, BadRequest for an image without data."""
    with ctx.store.transaction():
        row = _find(ctx, id)
        if not BOOT.allows(row["status"], None):
            raise BadRequest("Only images with status active can be targeted for queueing")
        ctx.store.update("image", row["id"], {"cached": 1})
        ctx.wake("image", row["id"])


@allow(ADMIN, "cache_delete")
def remove_cached(ctx: Context, id: str) -> None:
    """Take one image's base disk away. Raises NotFound, also when it is neither there nor being made."""
    with ctx.store.transaction():
        row = _find(ctx, id)
        if not row["cached"] or row["status"] not in ("active", "deactivated"):
            raise NotFound(f"Image {id} not cached.")
        _drop(ctx, [row])


@allow(ADMIN, "cache_delete")
def clear_cache(ctx: Context, target: str) -> None:
    """Take all base disks away: those that are there (`cache`), those being made (`queue`), or both. Raises BadRequest."""
    if target not in TARGETS:
        raise BadRequest("If 'x-image-cache-clear-target' header is not provided, both are cleared; else it is one of 'cache', 'queue'.")
    with ctx.store.transaction():
        cached, queued = list_cache(ctx)
        ids = {row["id"] for row in cached if target != "queue"} | {id for id in queued if target != "cache"}
        _drop(ctx, ctx.store.find("image", {"id": ids}))


def _find(ctx: Context, id: str) -> Row:
    row = ctx.store.get("image", id.lower()) if is_uuid(id) else None
    if row is None:
        raise NotFound(f"Image {id} not found.")
    return row


def _drop(ctx: Context, rows: list[Row]) -> None:
    for row in rows:
        ctx.store.update("image", row["id"], {"cached": 0, "host_status": "", "host_error": None})
        ctx.wake("image", row["id"])


def shown(row: Row) -> dict[str, Any]:
    """One cached image as the API shows it; moments are seconds, with fractions."""
    return {
        "image_id": row["id"],
        "hits": row["hits"],
        "last_accessed": (row["used_at"] or row["based_at"] or 0) / 1e6,
        "last_modified": (row["based_at"] or 0) / 1e6,
        "size": row["size"],
    }
