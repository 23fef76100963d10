"""What compute asks of images: may this one be booted, and is its base disk there yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pileus.errors import BadRequest, NotFound
from pileus.image.actions.images import may_see
from pileus.image.states import BOOT
from pileus.kit.context import Context
from pileus.kit.store import Row, Store
from pileus.openstack.types import is_uuid


def find_bootable(ctx: Context, image_id: str) -> Row:
    """The row of an image that the caller may boot a server from.

    Raises NotFound when there is none that it may see, BadRequest when it has no data, was deactivated or holds no disk. Whether a flavor
    is large enough for min_disk, min_ram and virtual_size is compute's question. A kernel (aki) or ramdisk (ari) named by an image's
    kernel_id and ramdisk_id is asked for with `find_part`.
    """
    row = find_part(ctx, image_id)
    if row["container_format"] in ("ovf", "ova", "docker", "compressed") or row["disk_format"] in ("aki", "ari"):
        raise BadRequest(f"Image {image_id} is unacceptable: {row['disk_format']} in {row['container_format']} is no disk to boot from.")
    ctx.store.update("image", row["id"], {"hits": row["hits"] + 1, "used_at": ctx.now()})
    if want_base(ctx.store, row):
        ctx.wake("image", row["id"])
    return row


def find_part(ctx: Context, image_id: str) -> Row:
    """The same without asking for a disk: a kernel or ramdisk."""
    row = ctx.store.get("image", image_id.lower()) if is_uuid(image_id) else None
    if row is None or not may_see(ctx, row):
        raise NotFound(f"Image {image_id} could not be found.")
    if not BOOT.allows(row["status"], None):
        raise BadRequest(f"Image {image_id} is not active.")
    return row


def want_base(store: Store, row: Row) -> bool:
    """Want a base disk again that was taken out of the cache; whether it was, and the image is to be woken."""
    return not row["cached"] and store.update("image", row["id"], {"cached": 1}) == 1


@dataclass(frozen=True)
class Base:
    """How far an image's base disk is. `reason` says why it failed."""

    state: Literal["ready", "making", "failed", "gone"]
    reason: str = ""


def base_of(store: Store, image_id: str) -> Base:
    """Whether `base/<id>.qcow2` is there; of a kernel or ramdisk, whether `images/<id>` is. While it is making, wake the image and raise
    Wait("image", id).
    """
    row = store.get("image", image_id)
    if row is None:
        return Base("gone", f"Image {image_id} has been deleted.")
    if row["host_status"] == "error":
        return Base("failed", row["host_error"] or "The image could not be converted.")
    if row["host_status"] == "ready":
        return Base("ready")
    want_base(store, row)
    return Base("making") if row["status"] in ("active", "deactivated") else Base("failed", f"Image {image_id} has no data.")
