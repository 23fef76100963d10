"""Imports: what may be asked, and what their beginning and end do to the rows. The bytes are the reconciler's business.

An import under way is an image in `importing` with an open task. Both are levels: after a crash the next look goes on where the files say.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.image.actions.content import ALGORITHMS, Content
from pileus.image.actions.images import create_image, find_image, may_see, own_image
from pileus.image.actions.usage import check_limits
from pileus.image.actions.work import end_task, forget_tasks
from pileus.image.fetch import passes
from pileus.image.resources import IMAGE, properties_of
from pileus.image.states import IMPORTS, UPLOADS
from pileus.kit.context import Cloud, Context, Credentials
from pileus.kit.policy import ADMIN, PROJECT_MEMBER, allow, forbid
from pileus.kit.store import Row
from pileus.openstack import record
from pileus.openstack.types import is_uuid

METHODS = tuple(IMPORTS)
COPIED = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")  # properties that glance-download brings along, by their beginning


@allow(PROJECT_MEMBER, "modify_image")
def import_image(ctx: Context, id: str, asked: Mapping[str, Any]) -> None:
    """Begin an import. `asked` is the request's body. Raises Conflict for a wrong state, BadRequest, NotFound, Forbidden."""
    method = _method(asked)
    name = method["name"]
    with ctx.store.transaction():
        check_limits(ctx, ctx.project_id, "image_size_total")
        row = find_image(ctx, id)
        _check_state(row, name)
        parameters = _checked(ctx, name, method)
        if name == "copy-image":
            if not ctx.is_admin:
                forbid("copy_image")
            _copy(asked)
            return
        own_image(ctx, id, "modify_image")
        request = {**asked, "method": {**method, **parameters}}
        _begin(ctx, row, "api_image_import", {"image_id": row["id"], "import_req": request, "backend": [None]})


@allow(PROJECT_MEMBER, "add_image_location")
def add_location(ctx: Context, id: str, url: Any, expected: Any) -> None:
    """Fill an image from a URL, and hold its hash against `expected` when that says one.

    Glance would go on reading the URL; here the bytes are fetched once and kept, since an image that changes elsewhere is nobody's friend.
    """
    with ctx.store.transaction():
        row = own_image(ctx, id, "add_image_location")
        if not UPLOADS.table["upload"].allows(row["status"], None):
            raise Conflict(f"It's not allowed to add locations if image status is {row['status']}.")
        if not isinstance(url, str):
            raise BadRequest("A location has a url.")
        if not passes(url, ctx.cloud.options.get("image_sources", ())):
            raise BadRequest(f"URI for location does not pass filtering: {url}")
        _check_hash(expected)
        for name in ("container_format", "disk_format"):
            if not row[name]:
                raise Conflict(f"'{name}' needs to be set before a location is added")
        method = {"name": "web-download", "uri": url, "expected": expected or None}
        _begin(ctx, row, "location_import", {"image_id": row["id"], "loc_url": url, "import_req": {"method": method}})


@allow(ADMIN, "fetch_image_location")
def list_locations(ctx: Context, id: str) -> list[Row]:
    """Where the data of an image can be had: from this service, once it is there."""
    row = find_image(ctx, id)
    there = row["status"] in ("active", "deactivated")
    return [{"url": f"{ctx.base_url}/v2/images/{row['id']}/file", "metadata": {}}] if there else []


@allow(ADMIN, "tasks_api_access")
def create_task(ctx: Context, kind: str, given: Mapping[str, Any]) -> Row:
    """A task of the older kind: make an image and fill it from a URL. Raises BadRequest."""
    if kind != "import":
        raise BadRequest(f"Tasks of type {kind} cannot be asked for here. Import with POST /v2/images/{{id}}/import.")
    for name in ("import_from", "import_from_format", "image_properties"):
        if name not in given:
            raise BadRequest(f"Input does not contain '{name}' field")
    if not passes(given["import_from"], ctx.cloud.options.get("image_sources", ())):
        raise BadRequest(f"URI for import does not pass filtering: {given['import_from']}")
    properties = given["image_properties"]
    if not isinstance(properties, dict):
        raise BadRequest("image_properties is an object.")
    made = {"disk_format": given["import_from_format"], "container_format": "bare", **properties}
    with ctx.store.transaction():
        image = create_image(ctx, IMAGE.decode_object(made, "create", ctx))
        return _begin(ctx, image, kind, given, result={"image_id": image["id"]})


def _method(asked: Mapping[str, Any]) -> dict[str, Any]:
    method = asked.get("method")
    if not isinstance(method, dict):
        raise BadRequest("Import request requires a 'method' field.")
    if "name" not in method:
        raise BadRequest("Import request requires a 'name' field.")
    if method["name"] not in METHODS:
        raise BadRequest(f"Unknown import method name '{method['name']}'.")
    return method


def _check_state(row: Row, method: str) -> None:
    """Glance's own order and words."""
    if row["status"] == "active" and method != "copy-image":
        raise Conflict("Image with status active cannot be target for import")
    if not IMPORTS[method].allows(row["status"], None):
        if method == "copy-image":
            raise Conflict("Only images with status active can be targeted for copying")
        if method == "glance-direct":
            raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
        raise Conflict(f"Image needs to be in 'queued' state to use '{method}' method")
    if method == "glance-direct" and row["staged"] is None:
        raise Conflict("The image's data is still being staged: wait for the end of PUT …/stage.")
    for name in ("container_format", "disk_format"):
        if not row[name]:
            raise Conflict(f"'{name}' needs to be set before import")


def _checked(ctx: Context, name: str, method: Mapping[str, Any]) -> dict[str, Any]:
    """What a method needs to know besides its name. Raises BadRequest."""
    if name == "web-download" and not passes(method.get("uri"), ctx.cloud.options.get("image_sources", ())):
        raise BadRequest(f"URI for web-download does not pass filtering: {method.get('uri')}")
    if name != "glance-download":
        return {}
    for part in ("glance_region", "glance_image_id"):
        if part not in method:
            raise BadRequest(f"'{part}' needs to be set for glance-download import method")
    if not is_uuid(method["glance_image_id"]):
        raise BadRequest(f"Remote image id does not look like a UUID: {method['glance_image_id']}")
    return {"glance_service_interface": method.get("glance_service_interface") or "public"}  # clients send null


def _copy(asked: Mapping[str, Any]) -> None:
    """There is one store, and an active image is in it: all stores have it, and no other one can be named."""
    if stores := asked.get("stores"):
        raise BadRequest(f"There is one store, without a name: {stores} are not known here.")


def _check_hash(expected: Any) -> None:
    if not expected:
        return
    if not isinstance(expected, dict):
        raise BadRequest("validation_data is an object.")
    algorithm, value = expected.get("os_hash_algo"), expected.get("os_hash_value")
    if not algorithm or not value:
        raise BadRequest("validation_data needs os_hash_algo and os_hash_value.")
    if algorithm not in ALGORITHMS:
        raise BadRequest(f"os_hash_algo is one of {', '.join(ALGORITHMS)}, not {algorithm}.")
    if not isinstance(value, str) or len(value) != ALGORITHMS[algorithm] or set(value.lower()) - set("0123456789abcdef"):
        raise BadRequest(f"os_hash_value of {algorithm} has {ALGORITHMS[algorithm]} hexadecimal digits.")


def _begin(ctx: Context, image: Row, kind: str, given: Mapping[str, Any], result: Any = None) -> Row:
    now = ctx.now()
    forget_tasks(ctx.store, now)
    task = {
        "id": str(uuid.uuid4()),
        "project_id": ctx.project_id,
        "user_id": ctx.user_id,
        "request_id": ctx.request_id,
        "image_id": image["id"],
        "type": kind,
        "status": "pending",
        "input": json.dumps(given),
        "result": json.dumps(result) if result else None,
        "created_at": now,
        "updated_at": now,
    }
    ctx.store.insert("image_task", task)
    ctx.store.update("image", image["id"], {"status": "importing", "updated_at": now, "host_status": "", "host_error": None})
    record.begin(ctx, image["id"], "import", project_id=image["project_id"])
    ctx.wake("image", image["id"])
    return {**task, "message": "", "expires_at": None}


# -- for the reconciler ------------------------------------------------------------------------------------------------------


def finish_import(cloud: Cloud, id: str, content: Content, disk_format: str) -> None:
    """importing → active."""

    def write(row: Row, now: int) -> Row:
        changes = {"status": "active", **content.columns(), "disk_format": disk_format, "staged": None, "revision": row["revision"] + 1}
        return {**changes, "updated_at": now}

    _end(cloud, id, write, "success", {"image_id": id}, "")


def fail_import(cloud: Cloud, id: str, reason: str) -> None:
    """importing → queued: it may be tried again. What was staged goes with the next look."""
    _end(cloud, id, lambda row, now: {"status": "queued", "staged": None, "updated_at": now}, "failure", None, reason)


def _end(cloud: Cloud, id: str, write: Callable[[Row, int], Row], status: str, result: Any, message: str) -> None:
    now = cloud.clock.now()
    with cloud.store.transaction():
        row = cloud.store.get("image", id)
        if row is None or row["status"] != "importing":
            return
        cloud.store.update("image", id, write(row, now))
        record.finish(cloud.store, id, now, error=message or None)
        end_task(cloud.store, id, now, status, message, result)


def source_of(cloud: Cloud, task: Row, method: Mapping[str, Any]) -> Row:
    """The image that glance-download copies, as whoever asked may see it. Raises NotFound."""
    region, interface = method["glance_region"], method["glance_service_interface"]
    if region != cloud.options.get("region", "RegionOne") or interface not in ("public", "internal", "admin"):
        raise NotFound(f"There is no {interface} endpoint of the image service in region {region}: this cloud copies from its own.")
    who = Credentials(user_id=task["user_id"], project_id=task["project_id"], roles=frozenset({"member"}))
    row = cloud.store.get("image", method["glance_image_id"].lower())
    if row is None or not may_see(Context(cloud, who), row):
        raise NotFound(f"No image found with ID {method['glance_image_id']}")
    if row["status"] != "active":
        raise NotFound(f"Image {row['id']} is not active.")
    return row


def take_over(cloud: Cloud, id: str, source: Row) -> None:
    """What glance-download brings along besides the data: the formats, and the properties that describe hardware and system."""
    with cloud.store.transaction():
        row = cloud.store.get("image", id)
        if row is None or row["status"] != "importing":
            return
        kept = {name: value for name, value in properties_of(row).items() if not name.startswith(COPIED)}
        copied = {name: value for name, value in properties_of(source).items() if name.startswith(COPIED)}
        formats = {name: source[name] for name in ("disk_format", "container_format")}
        cloud.store.update("image", id, {**formats, "properties": json.dumps({**kept, **copied})})
