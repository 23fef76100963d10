"""Images: create, show, list, update, delete, tags, deactivate and reactivate."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden, NotFound, TooLarge
from pileus.image.actions.patch import Change, apply
from pileus.image.actions.usage import check_limits
from pileus.image.actions.work import end_task
from pileus.image.resources import FIXED, MOST, RESERVED, properties_of, schema_fault
from pileus.image.states import DEACTIVATE, REACTIVATE
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow, forbid
from pileus.kit.states import Verb
from pileus.kit.store import Row
from pileus.openstack.listing import Listing, fetch
from pileus.openstack.types import is_uuid

MOST_TAGS, MOST_PROPERTIES, LONGEST_TAG = 128, 128, 255  # as Glance's defaults


@allow(PROJECT_MEMBER, "add_image")
def create_image(ctx: Context, values: Mapping[str, Any]) -> Row:
    """A new image, queued, without data. `values` is what IMAGE decodes. Raises BadRequest, Forbidden, Conflict."""
    columns, properties = _split(values)
    tags = columns.pop("tags", [])
    now = ctx.now()
    row = {
        "id": columns.pop("id", None) or str(uuid.uuid4()),
        "project_id": ctx.project_id,
        "name": None,
        "status": "queued",
        "visibility": "shared",
        "min_disk": 0,
        "min_ram": 0,
        "protected": 0,
        "os_hidden": 0,
        **columns,
        "properties": json.dumps(properties),
        "created_at": now,
        "updated_at": now,
    }
    row["id"] = row["id"].lower()
    if not row["project_id"]:
        forbid("add_image")
    if row["project_id"] != ctx.project_id and not ctx.is_admin:
        raise Forbidden(f"You are not permitted to create images owned by '{row['project_id']}'.")
    _check(ctx, row, properties, tags)
    _check_visibility(ctx, row["visibility"])
    with ctx.store.transaction():
        check_limits(ctx, row["project_id"], "image_count_total")
        if ctx.store.get("image", row["id"], hidden=True):
            raise Conflict(f"Image ID {row['id']} already exists!")
        ctx.store.insert("image", row)
        _set_tags(ctx, row["id"], tags)
    return _reread(ctx, row["id"])


@allow(PROJECT_READER, "get_image")
def find_image(ctx: Context, id: str) -> Row:
    """An image that the caller may see. Raises NotFound, also for what is there and hidden from this caller."""
    row = ctx.store.get("image", id.lower()) if is_uuid(id) else None
    if row is None or not may_see(ctx, row):
        raise NotFound(f"No image found with ID {id}")
    return row


@allow(PROJECT_READER, "get_images")
def list_images(ctx: Context, listing: Listing) -> tuple[list[Row], bool]:
    """One page of images and whether there is more. Raises BadRequest for an unknown marker."""
    marker = None
    if listing.marker is not None:
        marker = ctx.store.get("image", listing.marker)
        if marker is None or not may_see(ctx, marker):
            raise BadRequest(f"No image found with ID {listing.marker}")
    return fetch(ctx.store, "image", listing, marker)


@allow(PROJECT_MEMBER, "modify_image")
def update_image(ctx: Context, id: str, changes: list[Change]) -> Row:
    """Apply the changes of a JSON patch in order; all or none. Raises BadRequest, Forbidden, NotFound, Conflict."""
    with ctx.store.transaction():
        row = own_image(ctx, id, "modify_image")
        tags = [each["tag"] for each in ctx.store.find("tag", {"resource_id": row["id"]})]
        draft = {**row, "tags": tags, "properties": properties_of(row)}
        for change in changes:
            apply(draft, change)
        if draft["visibility"] != row["visibility"]:
            _check_visibility(ctx, draft["visibility"])
        if draft["project_id"] != row["project_id"] and not ctx.is_admin:
            raise Forbidden("You are not permitted to modify 'owner' on this image.")
        if not draft["project_id"]:
            raise BadRequest("An image has an owner: a project's id.")
        _check(ctx, draft, draft["properties"], draft["tags"])
        written = {name: draft[name] for name in draft if name not in ("id", "tags", "properties") and draft[name] != row[name]}
        written |= {"properties": json.dumps(draft["properties"]), "updated_at": ctx.now(), "revision": row["revision"] + 1}
        ctx.store.update("image", row["id"], {k: int(v) if isinstance(v, bool) else v for k, v in written.items()})
        _set_tags(ctx, row["id"], draft["tags"])
    return _reread(ctx, row["id"])


@allow(PROJECT_MEMBER, "delete_image")
def delete_image(ctx: Context, id: str) -> None:
    """Wish an image away: it is not found any more; its files go next. Raises NotFound, Forbidden when it is protected."""
    with ctx.store.transaction():
        row = ctx.store.get("image", id.lower()) if is_uuid(id) else None
        if row is None or not may_see(ctx, row):
            raise NotFound(f"Failed to find image {id} to delete")
        row = own_image(ctx, id, "delete_image")
        if row["protected"]:
            raise Forbidden(f"Image {row['id']} is protected and cannot be deleted.")
        ctx.store.update("image", row["id"], {"gone": 1, "updated_at": ctx.now(), "revision": row["revision"] + 1})
        ctx.store.delete("tag", {"resource_id": row["id"]})
        ctx.store.delete("image_member", {"image_id": row["id"]})
        end_task(ctx.store, row["id"], ctx.now(), "failure", "The image was deleted.")
        ctx.wake("image", row["id"])


@allow(PROJECT_MEMBER, "modify_image")
def add_tag(ctx: Context, id: str, tag: str) -> None:
    """Put a tag on an image; one that is there stays. Raises NotFound, BadRequest (too long), TooLarge (too many)."""
    with ctx.store.transaction():
        row = own_image(ctx, id, "modify_image")
        tags = {each["tag"] for each in ctx.store.find("tag", {"resource_id": row["id"]})} | {tag}
        _check_tags(sorted(tags))
        _set_tags(ctx, row["id"], sorted(tags))
        _touch(ctx, row)


@allow(PROJECT_MEMBER, "modify_image")
def remove_tag(ctx: Context, id: str, tag: str) -> None:
    """Take a tag off an image. Raises NotFound, also when there is no such tag."""
    with ctx.store.transaction():
        row = own_image(ctx, id, "modify_image")
        if not ctx.store.delete("tag", {"resource_id": row["id"], "tag": tag}):
            raise NotFound("The resource could not be found.")
        _touch(ctx, row)


@allow(PROJECT_MEMBER, "deactivate")
def deactivate_image(ctx: Context, id: str) -> None:
    """No more downloads and boots, until it is reactivated. Raises NotFound, Forbidden in another state than active."""
    _switch(ctx, id, "deactivate", DEACTIVATE, "deactivated")


@allow(PROJECT_MEMBER, "reactivate")
def reactivate_image(ctx: Context, id: str) -> None:
    """The opposite of deactivate. An image whose preparation for guests had failed is tried again."""
    _switch(ctx, id, "reactivate", REACTIVATE, "active")


def may_see(ctx: Context, row: Mapping[str, Any]) -> bool:
    """Whether a caller may read an image, and so boot from it: its own, everybody's, or shared with its project."""
    if ctx.is_admin or row["project_id"] == ctx.project_id or row["visibility"] in ("public", "community"):
        return True
    shared = row["visibility"] == "shared"
    return shared and ctx.store.first("image_member", {"image_id": row["id"], "member": ctx.project_id}) is not None


def own_image(ctx: Context, id: str, policy: str) -> Row:
    """An image that the caller may change. Raises NotFound when it cannot see it, Forbidden when it only can see it."""
    row = find_image(ctx, id)
    if not ctx.is_admin and row["project_id"] != ctx.project_id:
        forbid(policy)
    return row


def _switch(ctx: Context, id: str, name: str, rule: Verb, status: str) -> None:
    with ctx.store.transaction():
        row = own_image(ctx, id, name)
        if not rule.allows(row["status"], None):
            raise Forbidden(f"Not allowed to {name} image in status '{row['status']}'")
        if row["status"] != status:
            ctx.store.update("image", row["id"], {"status": status})
            _touch(ctx, row)
        ctx.wake("image", row["id"])


def _split(values: Mapping[str, Any]) -> tuple[Row, dict[str, Any]]:
    """What was decoded, as columns and as properties."""
    columns, properties = {}, {}
    for key, value in values.items():
        if key == "extra":
            properties.update(value)
        elif key.startswith("properties."):
            properties[key.removeprefix("properties.")] = value
        else:
            columns[key] = int(value) if isinstance(value, bool) else value
    return columns, properties


def _check(ctx: Context, row: Mapping[str, Any], properties: Mapping[str, Any], tags: list[str]) -> None:
    """The rules that no type can say."""
    for name in ("min_disk", "min_ram"):
        if row[name] < 0:
            raise BadRequest(f"Invalid value '{row[name]}' for parameter '{name}': Cannot be a negative value")
        if row[name] > MOST:
            raise BadRequest(f"Invalid value '{row[name]}' for parameter '{name}': Cannot be greater than {MOST}")
    for name, value in properties.items():
        if name.startswith("os_glance"):
            raise Forbidden("Properties in the os_glance namespace are reserved.")
        if name in FIXED:
            raise Forbidden(f"Attribute '{name}' is read-only.")
        if name in RESERVED:
            raise Forbidden(f"Attribute '{name}' is reserved.")
        if not isinstance(value, str) and not (value is None and name in ("kernel_id", "ramdisk_id")):
            reason = f"{value!r} is not of type 'string'"
            raise schema_fault("image", reason, "type", "['additionalProperties']", {"type": "string"}, f"[{name!r}]", value)
        if len(name) > 255:
            raise BadRequest(f"Invalid property name '{name[:40]}…': it is longer than 255 characters.")
    if len(properties) > MOST_PROPERTIES:
        raise TooLarge(f"The limit has been exceeded on the number of allowed image properties. Attempted: {len(properties)}, "
                       f"Maximum: {MOST_PROPERTIES}")  # fmt: skip
    _check_tags(tags)


def _check_tags(tags: list[str]) -> None:
    if long := [tag for tag in tags if len(tag) > LONGEST_TAG]:
        raise BadRequest(f"Invalid image tag '{long[0][:40]}…': it is longer than {LONGEST_TAG} characters.")
    if len(tags) > MOST_TAGS:
        raise TooLarge(f"The limit has been exceeded on the number of allowed image tags. Attempted: {len(tags)}, Maximum: {MOST_TAGS}")


def _check_visibility(ctx: Context, visibility: str) -> None:
    if visibility == "public" and not ctx.is_admin:
        forbid("publicize_image")


def _set_tags(ctx: Context, id: str, tags: list[str]) -> None:
    ctx.store.delete("tag", {"resource_id": id})
    for tag in dict.fromkeys(tags):
        ctx.store.insert("tag", {"resource_id": id, "tag": tag})


def _touch(ctx: Context, row: Row) -> None:
    ctx.store.update("image", row["id"], {"updated_at": ctx.now(), "revision": row["revision"] + 1})


def _reread(ctx: Context, id: str) -> Row:
    row = ctx.store.get("image", id)
    assert row is not None
    return row
