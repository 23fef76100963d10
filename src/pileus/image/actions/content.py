"""What the beginning and the end of an upload do to the row. The bytes themselves are live.py's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest, Forbidden, NotFound
from pileus.image.actions.images import find_image, own_image
from pileus.image.actions.usage import check_limits
from pileus.image.states import DOWNLOAD, STAGES, UPLOADS
from pileus.kit.context import Cloud, Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row, Store
from pileus.openstack import record

ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}  # of os_hash_value, and how long each is in hex


@dataclass(frozen=True)
class Content:
    """What is known of an image's bytes once they are all here and have been looked at."""

    size: int
    md5: str
    hash: str
    virtual_size: int | None  # null where the bytes are no disk (kernels, packages)
    algorithm: str = "sha512"  # of `hash`

    def columns(self) -> Row:
        """What the image's row says of them."""
        return {
            "size": self.size,
            "virtual_size": self.virtual_size,
            "checksum": self.md5,
            "os_hash_algo": self.algorithm,
            "os_hash_value": self.hash,
        }


@allow(PROJECT_MEMBER, "upload_image")
def begin_upload(ctx: Context, id: str) -> Row:
    """queued → saving. Raises BadRequest without formats, Busy when there is data already, NotFound, Forbidden."""
    with ctx.store.transaction():
        row = own_image(ctx, id, "upload_image")
        UPLOADS.check(row, "upload")
        if not row["disk_format"] or not row["container_format"]:
            missing = [name for name in ("disk_format", "container_format") if not row[name]]
            raise BadRequest(f"Properties {', '.join(missing)} must be set prior to saving data.")
        check_limits(ctx, row["project_id"], "image_size_total", "image_count_uploading")
        ctx.store.update("image", row["id"], {"status": "saving", "host_status": "", "host_error": None})
        record.begin(ctx, row["id"], "upload", project_id=row["project_id"])
    return {**row, "status": "saving"}


@allow(PROJECT_MEMBER, "upload_image")
def finish_upload(ctx: Context, id: str, content: Content) -> None:
    """saving → active. Raises NotFound when it was deleted meanwhile."""
    with ctx.store.transaction():
        row = still_arriving(ctx.store, id)
        changes = {"status": "active", **content.columns(), "updated_at": ctx.now(), "revision": row["revision"] + 1}
        ctx.store.update("image", id, changes)
        record.finish(ctx.store, id, ctx.now())
        ctx.wake("image", id)


@allow(PROJECT_MEMBER, "upload_image")
def begin_stage(ctx: Context, id: str) -> Row:
    """queued → uploading. Raises Busy in any other state, NotFound, Forbidden."""
    with ctx.store.transaction():
        row = own_image(ctx, id, "modify_image")
        STAGES.check(row, "stage")
        check_limits(ctx, row["project_id"], "image_stage_total", "image_count_uploading")
        ctx.store.update("image", row["id"], {"status": "uploading", "staged": None, "host_status": "", "host_error": None})
        record.begin(ctx, row["id"], "stage", project_id=row["project_id"])
    return {**row, "status": "uploading"}


@allow(PROJECT_MEMBER, "upload_image")
def finish_stage(ctx: Context, id: str, size: int) -> None:
    """All of it is there: an import may be asked for. Raises NotFound when the image was deleted meanwhile."""
    with ctx.store.transaction():
        row = still_arriving(ctx.store, id)
        ctx.store.update("image", id, {"staged": size, "updated_at": ctx.now(), "revision": row["revision"] + 1})
        record.finish(ctx.store, id, ctx.now())


def abandon_upload(cloud: Cloud, id: str, reason: str) -> None:
    """Back to queued: the upload (or the staging) failed, and may be tried again. Its files go with the look that this wakes."""
    with cloud.store.transaction():
        row = cloud.store.get("image", id, hidden=True)
        if row and _arrives(row):
            cloud.store.update("image", id, {"status": "queued", "updated_at": cloud.clock.now()})
            record.finish(cloud.store, id, cloud.clock.now(), error=reason)
        cloud.store.after_commit(lambda: cloud.wake_now("image", id))


def release_uploads(cloud: Cloud) -> list[str]:
    """At start: an upload whose client was talking to a control plane that is no more goes back to queued."""
    rows = cloud.store.find("image", {"status": ["saving", "uploading"]}, hidden=True)
    ids = [row["id"] for row in rows if _arrives(row)]
    for id in ids:
        abandon_upload(cloud, id, "The control plane was restarted during the upload. Upload it again.")
    return ids


def _arrives(row: Row) -> bool:
    """Whether a client is sending this image's data now."""
    return row["status"] == "saving" or (row["status"] == "uploading" and row["staged"] is None)


def still_arriving(store: Store, id: str) -> Row:
    """The row of an upload under way. Raises NotFound when somebody deleted the image meanwhile."""
    row = store.get("image", id)
    if row is None or not _arrives(row):
        raise NotFound(f"Image {id} could not be found after upload. The image may have been deleted during the upload.")
    return row


@allow(PROJECT_READER, "download_image")
def check_download(ctx: Context, id: str) -> Mapping[str, Any] | None:
    """The row of an image whose data the caller may have; None when it has no data yet. Raises NotFound, Forbidden."""
    row = find_image(ctx, id)
    if row["status"] == "deactivated" and not ctx.is_admin:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    return row if DOWNLOAD.allows(row["status"], None) else None
