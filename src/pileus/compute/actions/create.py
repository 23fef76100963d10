"""Creation of servers: one transaction that looks up, counts and writes. What may be wrong is found in the order in which Nova finds it."""

from __future__ import annotations

import json
import re
import secrets
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pileus.compute.actions import flavors, groups, nics
from pileus.compute.actions.keypairs import find_keypair
from pileus.compute.actions.metadata import write_tags
from pileus.compute.actions.quotas import allowed_count, check_files, check_metadata
from pileus.compute.machine import fact, hostname, memory_mb, reserved_mb, used
from pileus.compute.states import BUILDING, ERROR, SPAWNING
from pileus.errors import BadRequest, NotFound
from pileus.image import actions as image
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, allow, forbid
from pileus.kit.store import Row, Store
from pileus.openstack import record

ZONE = "nova"
NO_HOST = "No valid host was found. There are not enough hosts available."
ALPHABET = string.ascii_letters + string.digits
GIB = 1 << 30
FLAVOR_COPY = ("id", "name", "vcpus", "ram", "disk", "ephemeral", "swap", "rxtx_factor")
IMAGE_COPY = ("disk_format", "container_format", "min_disk", "min_ram")


@dataclass(slots=True)
class Plan:
    """What all servers of one request have in common."""

    values: Mapping[str, Any]
    flavor: Row
    image: Row
    key: Row | None
    nics: nics.Nics
    group_id: str | None
    count: int
    fits: bool
    numbered: bool
    reservation: str


@allow(PROJECT_MEMBER, "os_compute_api:servers:create")
def create_servers(ctx: Context, values: Mapping[str, Any], hints: Mapping[str, Any] | None = None) -> list[Row]:
    """Make one server, or as many as `min_count` to `max_count` say and the quota allows; returns their rows.

    Where memory does not suffice the request is taken all the same and the servers go to ERROR, as Nova does it.
    Raises BadRequest, Conflict and OverQuota in Nova's words.
    """
    with ctx.store.transaction():
        plan = _plan(ctx, values, hints or {})
        return [_insert(ctx, plan, index) for index in range(plan.count)]


def new_password() -> str:
    """What `adminPass` says when the client did not; nothing in the guest knows it unless the image asks for it."""
    return "".join(secrets.choice(ALPHABET) for _ in range(12))


# -- what is asked for -------------------------------------------------------------------------------------------------------


def _plan(ctx: Context, values: Mapping[str, Any], hints: Mapping[str, Any]) -> Plan:
    least = values.get("min_count", 1)
    most = values.get("max_count", least)
    if least > most:
        raise BadRequest("min_count must be <= max_count")
    _check_place(ctx, values)
    image_id = _image_id(values)
    flavor = _flavor(ctx, values["flavor_id"])
    found = _image(ctx, image_id, flavor)
    wanted = nics.resolve(ctx, values.get("networks"), nics.names_of(values.get("security_groups", [])), most)
    key = _key(ctx, values.get("key_name"))
    check_metadata(ctx, ctx.project_id, values.get("metadata", {}))
    check_files(ctx, values.get("personality", []))
    count = allowed_count(ctx, flavor, least, most)
    group_id, apart = _hinted(ctx, hints, count)
    fits = apart and has_room(ctx, flavor["ram"] * count, count)
    reservation = "r-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
    return Plan(values, flavor, found, key, wanted, group_id, count, fits, most > 1, reservation)


def _check_place(ctx: Context, values: Mapping[str, Any]) -> None:
    """The zone, and the host that only an admin may name: there is one of each."""
    zone, *place = values.get("availability_zone", ZONE).split(":")
    if place and not ctx.is_admin:
        forbid("os_compute_api:servers:create:forced_host")
    if (named := [values[key] for key in ("host", "hypervisor_hostname") if key in values]) and not ctx.is_admin:
        forbid("compute:servers:create:requested_destination")
    if zone != ZONE:
        raise BadRequest("The requested availability zone is not available")
    for name in [*place, *named]:
        if name and name != hostname(ctx):
            raise BadRequest(f"Compute host {name} could not be found.")


def _image_id(values: Mapping[str, Any]) -> str:
    """The image to boot, from imageRef or from the one disk that a block device mapping may name. Raises BadRequest."""
    disks = values.get("block_device_mapping_v2", [])
    id = values.get("image_id") or ""
    if values.get("block_device_mapping") or len(disks) > 1:
        raise BadRequest("Block Device Mapping is Invalid: this cloud has no volumes, so a server has the one disk of its image.")
    if disks:
        disk = disks[0]
        if disk.get("source_type") != "image" or disk.get("destination_type", "local") != "local":
            raise BadRequest("Block Device Mapping is Invalid: this cloud has no volumes; give source_type image, destination_type local.")
        if str(disk.get("boot_index", 0)) != "0" or id not in ("", disk.get("uuid")):
            raise BadRequest("Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping is not valid.")
        id = disk.get("uuid") or id
    if not id:
        raise BadRequest("Invalid imageRef provided." if values.get("image_id") else "Missing imageRef attribute")
    return str(id)


def _flavor(ctx: Context, id: Any) -> Row:
    try:
        return flavors.find_flavor(ctx, str(id))
    except NotFound as fault:
        raise BadRequest(fault.message) from None


def _key(ctx: Context, name: str | None) -> Row | None:
    if name is None:
        return None
    try:
        return find_keypair(ctx, name)
    except NotFound:
        raise BadRequest("Invalid key_name provided.") from None


def _image(ctx: Context, id: str, flavor: Row) -> Row:
    """The image, if it may be booted and fits the flavor. Raises BadRequest."""
    try:
        row = image.find_bootable(ctx, id)
    except NotFound:
        raise BadRequest("Can not find requested image") from None
    if row["min_ram"] > flavor["ram"]:
        raise BadRequest("Flavor's memory is too small for requested image.")
    disk = flavor["disk"] * GIB  # 0: as large as the image
    if disk and row["min_disk"] * GIB > disk:
        minimum = row["min_disk"] * GIB
        raise BadRequest(f"Flavor's disk is too small for requested image. Flavor disk is {disk} bytes, minimum size is {minimum} bytes.")
    size = row["virtual_size"] or row["size"] or 0
    if disk and size > disk:
        raise BadRequest(f"Flavor's disk is too small for requested image. Flavor disk is {disk} bytes, image is {size} bytes.")
    return row


def _hinted(ctx: Context, hints: Mapping[str, Any], count: int) -> tuple[str | None, bool]:
    """The group that the hints name, and whether this one host is where the servers may be."""
    here = True
    apart = hints.get("different_host") or []
    for id in [apart] if isinstance(apart, str) else apart:
        other = ctx.store.get("server", str(id).lower())
        here = here and not (other and other["placed"])
    if not (hint := hints.get("group")):
        return None, here
    group, room = groups.admit(ctx, str(hint), count)
    return group["id"], here and room


# -- room --------------------------------------------------------------------------------------------------------------------


def has_room(ctx: Context, ram: int, count: int) -> bool:
    """Whether the machine holds so many more servers of so many MiB together, with what each takes beside its own memory."""
    taken = used(ctx.store)
    overhead = int(fact(ctx, "overhead_mb", 0)) * (taken.servers + count)
    if taken.ram + ram + overhead + reserved_mb(ctx) > memory_mb(ctx):
        return False
    uids = int(ctx.cloud.host.get("uid_count") or 0)
    return not uids or ctx.store.count("server", {"placed": 1}) + count <= uids


def _free_uid(ctx: Context, store: Store) -> int | None:
    """The lowest user of the datacenter that no guest has; None where guests cannot have users of their own."""
    if not ctx.cloud.host.get("uid_count"):
        return None
    found = store.query(
        "WITH taken AS (SELECT host_uid AS n FROM server WHERE deleted_at IS NULL AND host_uid IS NOT NULL)"
        " SELECT min(n) AS n FROM (SELECT 1 AS n UNION SELECT n + 1 FROM taken) WHERE n NOT IN (SELECT n FROM taken)"
    )
    return int(found[0]["n"])


# -- writing -----------------------------------------------------------------------------------------------------------------


def _insert(ctx: Context, plan: Plan, index: int) -> Row:
    """One server with its ports, its tags and its record."""
    id = str(uuid.uuid4())
    values = plan.values
    name = f"{values['name']}-{index + 1}" if plan.numbered else values["name"]
    row: Row = {
        "id": id,
        "project_id": ctx.project_id,
        "user_id": ctx.user_id,
        "name": name,
        "description": values.get("description", name if ctx.version < (2, 19) else None),
        "hostname": host_name(name, id),
        "reservation_id": plan.reservation,
        "launch_index": index,
        "server_group_id": plan.group_id,
        **_copies(plan),
        **_options(values),
        **(_placed(ctx) if plan.fits else _unplaced(ctx)),
        "created_at": ctx.now(),
        "updated_at": ctx.now(),
    }
    if plan.fits:
        own, tags = nics.attach(ctx, row, plan.nics)
        row |= {"own_ports": json.dumps(own), "device_tags": json.dumps(tags)}
    ctx.store.insert("server", row)
    write_tags(ctx, id, values.get("tags", []))
    record.begin(ctx, id, "create")
    if plan.fits:
        ctx.wake("server", id)
    else:
        record.finish(ctx.store, id, ctx.now(), error=NO_HOST)
    written = ctx.store.get("server", id)
    assert written is not None
    return written


def _copies(plan: Plan) -> Row:
    """What the server keeps of its flavor, image and key, so that deleting those changes no server."""
    flavor, found, key = plan.flavor, plan.image, plan.key
    copy = {name: flavor[name] for name in FLAVOR_COPY} | {"extra_specs": json.loads(flavor["extra_specs"])}
    kept = {name: found[name] for name in IMAGE_COPY} | {"properties": json.loads(found["properties"])}
    return {
        "flavor": json.dumps(copy),
        "vcpus": flavor["vcpus"],
        "ram": flavor["ram"],
        "disk": flavor["disk"],
        "image_id": found["id"],
        "image": json.dumps(kept),
        "key_name": key["name"] if key else None,
        "public_key": key["public_key"] if key else None,
        "key_type": key["type"] if key else None,
    }


def _options(values: Mapping[str, Any]) -> Row:
    return {
        "user_data": values.get("user_data"),
        "config_drive": int(values.get("config_drive", False)),
        "metadata": json.dumps(values.get("metadata", {})),
        "personality": json.dumps(values.get("personality", [])),
        "availability_zone": ZONE,
        "disk_config": values.get("disk_config", "MANUAL"),
        "access_ip_v4": values.get("access_ip_v4") or None,
        "access_ip_v6": values.get("access_ip_v6") or None,
    }


def _placed(ctx: Context) -> Row:
    return {"vm_state": BUILDING, "task_state": SPAWNING, "host_uid": _free_uid(ctx, ctx.store)}


def _unplaced(ctx: Context) -> Row:
    fault = {"code": 500, "message": NO_HOST, "created": iso(ctx.now())}
    return {"vm_state": ERROR, "task_state": None, "power": "off", "placed": 0, "fault": json.dumps(fault)}


def host_name(name: str, id: str) -> str:
    """A server's name as its guest's host name: letters, digits and hyphens; where nothing is left, `server-<id>`."""
    text = re.sub(r"[\s_.]+", "-", name[:63].encode("ascii", "ignore").decode())
    return re.sub(r"[^\w-]+", "", text).lower().strip("-") or f"server-{id}"
