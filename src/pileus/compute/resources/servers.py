"""The server: its fields in every microversion from 2.1 to 2.79, and its views.

Not here: how its addresses and groups are read (relations.py) and what its states are called (states.py).
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

from pileus.compute import relations, versions
from pileus.compute.machine import hostname
from pileus.compute.resources import flavors
from pileus.compute.resources.words import ADMIN_PASS, BOOL, COUNT, IMAGE_REF, SERVERS, TAG, Address, Name, words
from pileus.compute.states import DELETED, ERROR, IN_PROGRESS, status_of
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN
from pileus.kit.resource import Field, Resource, Type, constant, flag, tags_of, unpack, unpacked, when
from pileus.kit.store import Row
from pileus.openstack.types import Base64, Either, Enum, Int, List, Map, Obj, Str, Uuid

KEY = r"^[a-zA-Z0-9-_:. ]{1,255}$"
METADATA = Map(Str(max=255), pattern=KEY)
ROOT = "/dev/vda"
DISK_CONFIG = Enum(("AUTO", "MANUAL"))


# -- how fields are shown --------------------------------------------------------------------------------------------------


@functools.lru_cache(4096)
def host_id(project_id: str, host: str) -> str:
    """What tells a project's users that two of its servers share a host, without saying which."""
    return hashlib.sha224((project_id + host).encode()).hexdigest()


def status(row: Row, ctx: Context) -> str:
    return status_of(row["vm_state"], row["task_state"])


def _host(row: Row, ctx: Context) -> str | None:
    return hostname(ctx) if row["placed"] else None


def _host_id(row: Row, ctx: Context) -> str:
    return host_id(row["project_id"], hostname(ctx)) if row["placed"] else ""


def _host_status(row: Row, ctx: Context) -> str:
    return "UP" if row["placed"] else ""


def _image(row: Row, ctx: Context) -> Any:
    id = row["image_id"]
    return {"id": id, "links": [{"rel": "bookmark", "href": f"{ctx.base_url}/images/{id}"}]} if id else ""


def _property(name: str) -> Any:
    return lambda row, ctx: unpack(row["image"]).get("properties", {}).get(name) or ""


def _instance_name(row: Row, ctx: Context) -> str:
    return f"server-{row['id']}"


def _config_drive(row: Row, ctx: Context) -> str:
    return "True" if row["config_drive"] else ""


def _groups(row: Row, ctx: Context) -> list[Row]:
    return [{"name": name} for name in row["group_names"]]


def _links(row: Row, ctx: Context) -> list[Row]:
    return flavors.links("servers", row["id"], ctx)


def _zone(row: Row, ctx: Context) -> str:
    return row["availability_zone"] if row["placed"] else ""


def _text(column: str) -> Any:
    return lambda row, ctx: row[column] or ""


# -- what creation takes ---------------------------------------------------------------------------------------------------


def _network(*, tag: bool = False) -> Type:
    parts: dict[str, Type] = {"uuid": Uuid(), "fixed_ip": Address(), "port": Either((Uuid(), Str(null=True, max=0)))}
    return List(Obj(parts | ({"tag": TAG} if tag else {})))


def _networks_or_word(*, tag: bool) -> Type:
    return Either((Enum(("auto", "none")), _network(tag=tag)))


_DISKS: dict[str, Type] = {
    "boot_index": Either((Int(loose=True), Str(null=True))),
    "delete_on_termination": BOOL,
    "destination_type": Enum(("volume", "local")),
    "device_name": Str(null=True, max=255),
    "device_type": Str(null=True),
    "disk_bus": Str(null=True),
    "guest_format": Str(null=True),
    "no_device": Either((BOOL, Str(max=0))),
    "source_type": Enum(("volume", "image", "snapshot", "blank")),
    "uuid": Str(null=True, max=255),
    "volume_size": Either((Int(min=1, loose=True), Str(null=True, max=0))),
    "image_id": Uuid(),
    "tag": TAG,
    "volume_type": Str(null=True, max=255),
}
_FILES = List(Obj({"path": Str(), "contents": Base64()}, open=False))

FIELDS = [
    Field("id", show="id"),
    Field("name", Name(), show="name", create="required", update=True),
    Field("status", show=status),
    Field("tenant_id", show="project_id"),
    Field("user_id", show="user_id"),
    Field("metadata", METADATA, show=unpacked("metadata"), create=True, column="metadata"),
    Field("hostId", show=_host_id),
    Field("image", show=_image),
    Field("flavor", show=flavors.reference, until="2.46"),
    Field("flavor", show=flavors.embedded, since="2.47"),
    Field("created", show=when("created_at")),
    Field("updated", show=when("updated_at")),
    Field("addresses", show="addresses", relation=relations.addresses),
    Field("accessIPv4", Address((4,), empty=True), show=_text("access_ip_v4"), create=True, update=True, column="access_ip_v4"),
    Field("accessIPv6", Address((6,), empty=True), show=_text("access_ip_v6"), create=True, update=True, column="access_ip_v6"),
    Field("links", show=_links),
    Field("OS-DCF:diskConfig", DISK_CONFIG, show="disk_config", create=True, update=True),
    Field("progress", show=constant(0)),
    Field("OS-EXT-AZ:availability_zone", show=_zone),
    Field("config_drive", BOOL, show=_config_drive, create=True, column="config_drive"),
    Field("key_name", Name(), show="key_name", create=True),
    Field("OS-SRV-USG:launched_at", show=when("launched_at", fraction=True, zone="")),
    Field("OS-SRV-USG:terminated_at", show=when("terminated_at", fraction=True, zone="")),
    Field("security_groups", List(Obj({"name": Str(min=1, max=255)}, open=True)), show=_groups, create=True, column="security_groups"),
    Field("OS-EXT-SRV-ATTR:host", show=_host, who=ADMIN),
    Field("OS-EXT-SRV-ATTR:instance_name", show=_instance_name, who=ADMIN),
    Field("OS-EXT-SRV-ATTR:hypervisor_hostname", show=_host, who=ADMIN),
    Field("OS-EXT-SRV-ATTR:reservation_id", show="reservation_id", since="2.3", who=ADMIN),
    Field("OS-EXT-SRV-ATTR:launch_index", show="launch_index", since="2.3", who=ADMIN),
    Field("OS-EXT-SRV-ATTR:hostname", show="hostname", since="2.3", who=ADMIN),
    Field("OS-EXT-SRV-ATTR:kernel_id", show=_property("kernel_id"), since="2.3", who=ADMIN),
    Field("OS-EXT-SRV-ATTR:ramdisk_id", show=_property("ramdisk_id"), since="2.3", who=ADMIN),
    Field("OS-EXT-SRV-ATTR:root_device_name", show=constant(ROOT), since="2.3", who=ADMIN),
    Field("OS-EXT-SRV-ATTR:user_data", show="user_data", since="2.3", who=ADMIN),
    Field("OS-EXT-STS:task_state", show="task_state"),
    Field("OS-EXT-STS:vm_state", show="vm_state"),
    Field("OS-EXT-STS:power_state", show="power_state"),
    Field("os-extended-volumes:volumes_attached", show=lambda row, ctx: []),
    Field("host_status", show=_host_status, since="2.16", who=ADMIN),
    Field("locked", show=flag("locked"), since="2.9"),
    Field("locked_reason", show="locked_reason", since="2.73"),
    Field("description", Str(max=255, null=True), show="description", since="2.19", create=True, update=True),
    Field("tags", show="tags", since="2.26", relation=tags_of),
    Field("tags", List(TAG, max=50, unique=True), since="2.52", create=True),
    Field("trusted_image_certificates", Either((List(Str()), Str(null=True, max=0))), show=constant(None), since="2.63", create=True),
    Field("server_groups", show="server_groups", since="2.71", relation=relations.server_groups),
    Field("imageRef", IMAGE_REF, create=True, column="image_id", default=""),
    Field("flavorRef", Either((Str(min=1, max=255), COUNT)), create="required", column="flavor_id"),
    Field("adminPass", ADMIN_PASS, create=True, column="admin_pass"),
    Field("networks", _network(), until="2.31", create=True),
    Field("networks", _network(tag=True), since="2.32", until="2.36", create=True),
    Field("networks", _networks_or_word(tag=False), since="2.37", until="2.41", create="required"),
    Field("networks", _networks_or_word(tag=True), since="2.42", create="required"),
    Field("user_data", Base64(max=65535), create=True),
    Field("availability_zone", Name(), create=True),
    Field("min_count", SERVERS, create=True),
    Field("max_count", SERVERS, create=True),
    Field("return_reservation_id", BOOL, create=True),
    Field("personality", _FILES, until="2.56", create=True),
    Field("block_device_mapping", List(Obj({}, open=True)), create=True),
    Field("block_device_mapping_v2", List(Obj(_DISKS)), create=True),
    Field("host", Str(min=1, max=255), since="2.74", create=True),
    Field("hypervisor_hostname", Str(min=1, max=255), since="2.74", create=True),
]
SERVER = Resource("server", "servers", FIELDS, words=words("server"))

# what an update's answer leaves out before 2.75
EXTENDED = frozenset(
    name
    for name in (field.name for field in FIELDS)
    if name.startswith(("OS-EXT", "OS-SRV")) or name in ("config_drive", "key_name", "security_groups", "host_status")
) | {"os-extended-volumes:volumes_attached"}


# -- views -----------------------------------------------------------------------------------------------------------------


def brief(row: Row, ctx: Context) -> Row:
    """What the plain list shows."""
    return {"id": row["id"], "name": row["name"], "links": _links(row, ctx)}


def _finish(shown: Row, row: Row) -> Row:
    """The keys that are there in some states only."""
    if shown["status"] not in IN_PROGRESS:
        del shown["progress"]
    if not row["group_names"]:
        del shown["security_groups"]
    if row["fault"] and row["vm_state"] in (ERROR, DELETED):
        shown["fault"] = unpack(row["fault"])
    return shown


def detail(rows: list[Row], ctx: Context) -> list[Row]:
    """The rows as the detailed list shows them."""
    show = SERVER.viewer(ctx)
    shown = [_finish(show(row, ctx), row) for row in SERVER.load(ctx.store, rows)]
    for each in shown:
        each.pop("server_groups", None)  # of one server only, as Nova has it
        _without_details(each, ctx)
    return shown


def whole(row: Row, ctx: Context) -> Row:
    """One server as it is shown by itself."""
    SERVER.load(ctx.store, [row])
    shown = _finish(SERVER.viewer(ctx)(row, ctx), row)
    _without_details(shown, ctx)
    return shown


def _without_details(shown: Row, ctx: Context) -> None:
    """A fault's details are for the admin, or everybody when the fault is not the cloud's own (a 5xx)."""
    if (fault := shown.get("fault")) and not ctx.is_admin and fault.get("code", 500) >= 500:
        fault.pop("details", None)


def updated(row: Row, ctx: Context) -> Row:
    """What an update answers with: everything from 2.75 on; before, without what extensions once added."""
    shown = whole(row, ctx)
    if ctx.version >= versions.STRICT_QUERIES:
        return shown
    shown["addresses"] = plain_addresses(row["addresses"])
    return {name: value for name, value in shown.items() if name not in EXTENDED}


def plain_addresses(addresses: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Version and address only."""
    return {name: [{"version": each["version"], "addr": each["addr"]} for each in found] for name, found in addresses.items()}


def created(row: Row, ctx: Context, groups: list[str], password: str) -> Row:
    """What creation answers with."""
    return {
        "id": row["id"],
        "links": _links(row, ctx),
        "OS-DCF:diskConfig": row["disk_config"],
        "security_groups": [{"name": name} for name in groups],
        "adminPass": password,
    }
