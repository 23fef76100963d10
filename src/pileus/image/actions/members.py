"""Members: the projects that a shared image is shared with. The owner adds and removes them; only the member itself accepts or rejects."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden, NotFound, TooLarge
from pileus.image.actions.images import find_image, own_image
from pileus.image.resources import MEMBER_STATUSES
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow, forbid
from pileus.kit.store import Row

MOST_MEMBERS = 128


@allow(PROJECT_MEMBER, "add_member")
def add_member(ctx: Context, image_id: str, member: Any) -> Row:
    """Share an image with a project, which then may boot from it, and sees it in its lists once it has accepted."""
    if not isinstance(member, str) or not member:
        raise BadRequest("Member can't be empty")
    with ctx.store.transaction():
        image = own_image(ctx, image_id, "add_member")
        if image["visibility"] != "shared":
            raise Forbidden("Only shared images have members.")
        if ctx.store.count("image_member", {"image_id": image["id"]}) >= MOST_MEMBERS:
            raise TooLarge(f"The limit has been exceeded on the number of allowed image members for this image. Maximum: {MOST_MEMBERS}")
        if ctx.store.first("image_member", {"image_id": image["id"], "member": member}):
            raise Conflict(f"Image member {member} already exists for image {image['id']}")
        row = {"image_id": image["id"], "member": member, "status": "pending", "created_at": ctx.now(), "updated_at": ctx.now()}
        ctx.store.insert("image_member", row)
    return row


@allow(PROJECT_READER, "get_members")
def list_members(ctx: Context, image_id: str) -> list[Row]:
    """All members for the owner; for a member only itself. Raises NotFound when the image is neither."""
    image = find_image(ctx, image_id)
    if image["visibility"] != "shared":
        raise NotFound("Only shared images have members.")
    rows = ctx.store.find("image_member", {"image_id": image["id"]}, order="created_at, member")
    return [row for row in rows if ctx.is_admin or ctx.project_id in (image["project_id"], row["member"])]


@allow(PROJECT_READER, "get_member")
def find_member(ctx: Context, image_id: str, member: str) -> Row:
    """One member, for the owner and for that member."""
    found = [row for row in list_members(ctx, image_id) if row["member"] == member]
    if not found:
        raise NotFound(f"Image member {member} not found for image {image_id}.")
    return found[0]


@allow(PROJECT_MEMBER, "modify_member")
def update_member(ctx: Context, image_id: str, member: str, status: Any) -> Row:
    """Accept or reject what was shared. Raises Forbidden for anybody but the member (or an admin)."""
    with ctx.store.transaction():
        row = find_member(ctx, image_id, member)
        if member != ctx.project_id and not ctx.is_admin:
            forbid("modify_member")
        if status not in MEMBER_STATUSES:
            raise BadRequest("Member status must be one of: pending, accepted, rejected.")
        where = {"image_id": row["image_id"], "member": member}
        changed = {"status": status, "updated_at": ctx.now()}
        ctx.store.execute("UPDATE image_member SET status = :status, updated_at = :updated_at"
                          " WHERE image_id = :image_id AND member = :member", **where, **changed)  # fmt: skip
    return {**row, **changed}


@allow(PROJECT_MEMBER, "delete_member")
def remove_member(ctx: Context, image_id: str, member: str) -> None:
    """Stop sharing with a project. Raises NotFound, Forbidden."""
    with ctx.store.transaction():
        image = own_image(ctx, image_id, "delete_member")
        if not ctx.store.delete("image_member", {"image_id": image["id"], "member": member}):
            raise NotFound(f"{member} not found in the member list of the image {image['id']}.")
