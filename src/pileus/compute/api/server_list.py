"""What a list of servers can be asked: filters, sort keys, pages. Source: nova/api/openstack/compute/schemas/servers.py."""

from __future__ import annotations

import json
from typing import Any

from pileus.compute import states, versions
from pileus.compute.api.read import a_bool, a_time, at_least, paged, sorted_by, strict
from pileus.compute.machine import hostname
from pileus.errors import BadRequest, Forbidden
from pileus.kit.web import Request
from pileus.openstack.listing import Listing
from pileus.openstack.types import FALSE, TRUE

# what Nova lists when it refuses a sort key, in its order
SORT_WORDS = [
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "availability_zone",
    "config_drive",
    "created_at",
    "display_description",
    "display_name",
    "host",
    "hostname",
    "image_ref",
    "instance_type_id",
    "kernel_id",
    "key_name",
    "launch_index",
    "launched_at",
    "locked_by",
    "node",
    "power_state",
    "progress",
    "project_id",
    "ramdisk_id",
    "root_device_name",
    "task_state",
    "terminated_at",
    "updated_at",
    "user_id",
    "uuid",
    "vm_state",
    "architecture",
    "cell_name",
    "cleaned",
    "default_ephemeral_device",
    "default_swap_device",
    "deleted",
    "deleted_at",
    "disable_terminate",
    "ephemeral_gb",
    "ephemeral_key_uuid",
    "id",
    "key_data",
    "launched_on",
    "locked",
    "memory_mb",
    "os_type",
    "reservation_id",
    "root_gb",
    "shutdown_terminate",
    "user_data",
    "vcpus",
    "vm_mode",
]
_SAME = (
    "access_ip_v4 access_ip_v6 availability_zone config_drive created_at hostname key_name launch_index launched_at power_state project_id "
    "task_state terminated_at updated_at user_id vm_state"
)
SORTS = {name: name for name in _SAME.split()}
SORTS |= {"display_name": "name", "display_description": "description", "image_ref": "image_id", "uuid": "id"}
SORTS |= {"auto_disk_config": "disk_config"}

# filters that are a column's value; the first for everybody, the others for the admin (from others they are passed over, as in Nova)
EVERYBODY = {"reservation_id": "reservation_id", "image": "image_id"}
ADMIN_ONLY = {
    "availability_zone": "availability_zone",
    "description": "description",
    "display_description": "description",
    "hostname": "hostname",
    "key_name": "key_name",
    "launch_index": "launch_index",
    "power_state": "power_state",
    "task_state": "task_state",
    "user_id": "user_id",
    "uuid": "id",
    "vm_state": "vm_state",
}
# looked at in other ways below, or known and without effect on one machine
OTHERS = [
    "limit",
    "marker",
    "sort_key",
    "sort_dir",
    "all_tenants",
    "changes-since",
    "deleted",
    "flavor",
    "host",
    "ip",
    "ip6",
    "locked_by",
    "name",
    "node",
    "project_id",
    "progress",
    "root_device_name",
    "soft_deleted",
    "status",
    "tenant_id",
    "created_at",
    "launched_at",
    "terminated_at",
    "config_drive",
    "kernel_id",
    "ramdisk_id",
    "image_ref",
    "instance_type_id",
    "accessIPv4",
    "accessIPv6",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "not-tags",
    "not-tags-any",
    "tags",
    "tags-any",
    "changes-before",
    "locked",
]
_FIXED = "SELECT 1 FROM port JOIN fixed_ip ON fixed_ip.port_id = port.id WHERE port.device_id = server.id AND port.gone = 0"


def query(request: Request, *, detailed: bool) -> tuple[Listing, str | None, str | None]:
    """The listing of a query, the policy that it needs when it looks into every project, and the pattern for names."""
    ctx = request.ctx
    strict(request, (*EVERYBODY, *ADMIN_ONLY, *OTHERS))
    listing = sorted_by(request, paged(request), SORTS, SORT_WORDS, ("created_at", True))
    columns = EVERYBODY | ADMIN_ONLY if ctx.is_admin else EVERYBODY
    for name, value in request.pairs:
        if name in columns:
            listing.where[columns[name]] = value
    _status(listing, request)
    _times(listing, request)
    _addresses(listing, request)
    _more(listing, request)
    if at_least(ctx, versions.TAGS):
        _tags(listing, request)
    return listing, _everywhere(listing, request, detailed), request.query.get("name")


def _everywhere(listing: Listing, request: Request, detailed: bool) -> str | None:
    text = request.query.get("all_tenants")
    if text is not None and text not in (*TRUE, *FALSE, ""):
        raise BadRequest(f"Invalid value '{text}' for all_tenants: a boolean is wanted.")
    if request.ctx.is_admin and (project := request.query.get("project_id") or request.query.get("tenant_id")) and text is not None:
        listing.where["project_id"] = project
    if text is None or text in FALSE:
        return None
    return f"os_compute_api:servers:{'detail' if detailed else 'index'}:get_all_tenants"


def _status(listing: Listing, request: Request) -> None:
    """By the word a user sees; a word that is none finds nothing."""
    wanted = [value.upper() for name, value in request.pairs if name == "status"]
    if not wanted:
        return
    if "DELETED" in wanted and not request.ctx.is_admin:
        raise Forbidden("Only administrators may list deleted instances")
    if "DELETED" in wanted:
        listing.hidden = True
    options: list[str] = []
    bound: list[Any] = []
    for word in wanted:
        for vm_state, task in states.states_of(word):
            if task is not None:
                options.append("(vm_state = ? AND task_state = ?)")
                bound += [vm_state, task]
            else:
                others = list(states.STATUS[vm_state][1])
                options.append(f"(vm_state = ? AND coalesce(task_state, '') NOT IN ({', '.join('?' * len(others))}))")
                bound += [vm_state, *others]
    listing.terms.append((" OR ".join(options) or "0", tuple(bound)))


def _times(listing: Listing, request: Request) -> None:
    """Changed since and before, and deleted ones: who asks for changes is told of deletions too."""
    since = a_time(request, "changes-since")
    before = a_time(request, "changes-before") if at_least(request.ctx, versions.CHANGES_BEFORE) else None
    latest = "max(updated_at, coalesce(launched_at, 0), coalesce(deleted_at, 0))"
    if since is not None and before is not None and since > before:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    if since is not None:
        listing.terms.append((f"{latest} >= ?", (since,)))
    if before is not None:
        listing.terms.append((f"{latest} <= ?", (before,)))
    if since is not None or before is not None:
        listing.hidden = True
    deleted = request.query.get("deleted")
    if deleted is not None and request.ctx.is_admin:
        listing.hidden = a_bool(deleted)
        if listing.hidden:
            listing.terms.append(("deleted_at IS NOT NULL", ()))


def _addresses(listing: Listing, request: Request) -> None:
    """By a part of an address; `^` and `$` hold its ends, the rest is text."""
    for name in ("ip", "ip6"):
        if (text := request.query.get(name)) is None:
            continue
        start, end = text.startswith("^"), text.endswith("$")
        plain = text.strip("^$").replace("\\.", ".")
        for sign in "\\%_":
            plain = plain.replace(sign, f"\\{sign}")
        pattern = f"{'' if start else '%'}{plain}{'' if end else '%'}"
        listing.terms.append((f"EXISTS ({_FIXED} AND fixed_ip.ip_address LIKE ? ESCAPE '\\')", (pattern,)))


def _more(listing: Listing, request: Request) -> None:
    ctx, asked = request.ctx, request.query
    if "flavor" in asked:
        listing.terms.append(("json_extract(flavor, '$.id') = ?", (asked["flavor"],)))
    if ctx.is_admin and (host := asked.get("host") or asked.get("node")):
        listing.terms.append(("placed = 1 AND ? = ?", (host, hostname(ctx))))
    if ctx.is_admin and "config_drive" in asked:
        listing.where["config_drive"] = int(a_bool(asked["config_drive"]))
    if at_least(ctx, versions.LOCKED_REASON) and "locked" in asked:
        text = asked["locked"]
        if text not in (*TRUE, *FALSE):
            raise BadRequest(f"Invalid input for query parameters locked. Value: {text}. {text!r} is not a boolean")
        listing.where["locked"] = int(a_bool(text))


def _tags(listing: Listing, request: Request) -> None:
    """All of some tags, any, not all, none."""
    asked = request.query
    having = "(SELECT count(DISTINCT tag) FROM tag WHERE resource_id = server.id AND tag IN (SELECT value FROM json_each(?)))"
    for name, condition in (("tags", "= ?"), ("tags-any", "> 0"), ("not-tags", "< ?"), ("not-tags-any", "= 0")):
        if text := asked.get(name):
            tags = list(dict.fromkeys(text.split(",")))
            listing.terms.append((f"{having} {condition}", (json.dumps(tags), *([len(tags)] if "?" in condition else []))))
