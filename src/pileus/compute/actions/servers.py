"""Servers: find, list, update, delete, and what the reconciler asks when a guest is gone. Creation is in create.py, verbs in verbs.py."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pileus.compute.states import DELETED, SERVER
from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_MEMBER, PROJECT_READER, allow, forbid
from pileus.kit.store import Row
from pileus.network import actions as network
from pileus.openstack import record
from pileus.openstack.listing import Listing, fetch

NAME_PATTERN_MAX = 255
_UNBOUNDED = re.compile(r"(?<!\\)[*+{]")
_GROUP = re.compile(r"(?<!\\)\(")


def find_server(ctx: Context, id: str, *, deleted: bool = False) -> Row:
    """A server of the caller's project, or any for an admin. `deleted`: one that is gone is found too. Raises NotFound."""
    row = ctx.store.get("server", id.lower(), hidden=deleted)
    if row is None or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise NotFound(f"Instance {id} could not be found.")
    return row


@allow(PROJECT_READER, "os_compute_api:servers:show")
def show_server(ctx: Context, id: str) -> Row:
    return find_server(ctx, id)


def unlocked(ctx: Context, row: Row) -> Row:
    """The row, if the caller may change it: an admin goes through locks. Raises Conflict."""
    if row["locked"] and not ctx.is_admin:
        raise Conflict(f"Instance {row['id']} is locked")
    return row


def touch(ctx: Context, row: Row, changes: Mapping[str, Any]) -> Row:
    """Write a wish; returns the row as it is now."""
    written = {**changes, "updated_at": ctx.now(), "revision": row["revision"] + 1}
    ctx.store.update("server", row["id"], written)
    return {**row, **written}


def log(ctx: Context, row: Row, action: str) -> None:
    """Record a verb that is done at once. (`record.begin` opens one for the reconciler to close.)"""
    now = ctx.now()
    written = {"resource_id": row["id"], "action": action, "request_id": ctx.request_id, "user_id": ctx.user_id, "result": "Success"}
    ctx.store.insert("action_record", {**written, "project_id": ctx.project_id, "started_at": now, "updated_at": now, "finished_at": now})


# -- lists -----------------------------------------------------------------------------------------------------------------


@allow(PROJECT_READER, "os_compute_api:servers:index")
def list_servers(ctx: Context, listing: Listing, *, every_project: str | None = None, name: str | None = None) -> tuple[list[Row], bool]:
    """A page of servers and whether there is more. `every_project`: the policy that looking into all projects needs.

    `name` is a pattern, as Nova has it. Raises Forbidden, and BadRequest for a marker that is no server of the caller's.
    """
    if every_project and not ADMIN(ctx):
        forbid(every_project)
    if not every_project:
        listing.where["project_id"] = ctx.project_id
    if name is not None:
        listing.terms.append(_named(ctx, listing, name))
    marker = None
    if listing.marker:
        marker = ctx.store.get("server", listing.marker.lower(), hidden=True)
        if marker is None or (marker["project_id"] != ctx.project_id and not ctx.is_admin):
            raise BadRequest(f"marker [{listing.marker}] not found")
    return fetch(ctx.store, "server", listing, marker)


def _named(ctx: Context, listing: Listing, pattern: str) -> tuple[str, tuple[Any, ...]]:
    """The condition that the name fits a regular expression, found anywhere in it.

    A pattern of plain text is SQL's own search. Python's engine takes exponential time on some patterns, and the loop would stand still:
    groups are refused, and more unbounded repetitions than one, or two after a `^`.
    """
    if not re.search(r"[\\^$.|?*+()\[\]{}]", pattern):
        return "instr(name, ?) > 0", (pattern,)
    most = 2 if pattern.startswith("^") else 1
    if len(pattern) > NAME_PATTERN_MAX or _GROUP.search(pattern) or len(_UNBOUNDED.findall(pattern)) > most:
        raise BadRequest(f"The name filter {pattern!r} is too complex: use no groups, and one of * + {{}}, or two when it starts with ^.")
    try:
        fits = re.compile(pattern).search
    except re.error as error:
        raise BadRequest(f"The name filter {pattern!r} is no regular expression: {error}.") from None
    where = {"project_id": listing.where["project_id"]} if "project_id" in listing.where else {}
    names = {row["name"] for row in ctx.store.find("server", where, hidden=listing.hidden) if fits(row["name"])}
    return "name IN (SELECT value FROM json_each(?))", (json.dumps(sorted(names)),)


# -- changes ---------------------------------------------------------------------------------------------------------------


@allow(PROJECT_MEMBER, "os_compute_api:servers:update")
def update_server(ctx: Context, id: str, values: Mapping[str, Any]) -> Row:
    """Name, description, access addresses, disk configuration. A lock does not stop this."""
    row = find_server(ctx, id)
    changes = {key: (value or None) if key.startswith("access_ip") else value for key, value in values.items()}
    with ctx.store.transaction():
        return touch(ctx, row, changes)


@allow(PROJECT_MEMBER, "os_compute_api:servers:delete")
def delete_server(ctx: Context, id: str) -> None:
    """Wish a server away; its row goes when its guest is seen gone. Asked again meanwhile, this is done already."""
    row = unlocked(ctx, find_server(ctx, id))
    with ctx.store.transaction():
        changes = SERVER.begin(row, "delete")
        if row["power"] != "gone":
            record.begin(ctx, row["id"], "delete")
            touch(ctx, row, {**changes, "power": "gone", "soft": 0, "deadline": None})
        ctx.wake("server", row["id"])


@allow(PROJECT_MEMBER, "os_compute_api:os-deferred-delete:force")
def force_delete(ctx: Context, id: str) -> None:
    """The same: no deletion is deferred here."""
    delete_server(ctx, id)


@allow(PROJECT_MEMBER, "os_compute_api:os-console-output")
def find_console(ctx: Context, id: str) -> Row:
    """The server whose console log the caller may read."""
    return find_server(ctx, id)


# -- for the reconciler ----------------------------------------------------------------------------------------------------


def release_port(ctx: Context, server_id: str, port_id: str) -> None:
    """Give back one port: one made for the server is deleted, another is unbound. Call it when no guest of the server has it."""
    row = ctx.store.get("server", server_id, hidden=True)
    assert row is not None
    own, tags = json.loads(row["own_ports"]), json.loads(row["device_tags"])
    with ctx.store.transaction(durable=False):
        ctx.store.delete("interface", {"port_id": port_id})
        port = ctx.store.get("port", port_id)
        if port and port["device_id"] == server_id:  # it may have been deleted, or given away, meanwhile
            if port_id in own and not network.is_trunked(ctx.store, port_id):
                network.delete_port(ctx.internal(), port_id)
            else:
                network.unbind_port(ctx.internal(), port_id)
        tags.pop(port_id, None)
        left = [each for each in own if each != port_id]
        ctx.store.update("server", server_id, {"own_ports": json.dumps(left), "device_tags": json.dumps(tags)})


def release_ports(ctx: Context, row: Row) -> None:
    """Give back all of a server's ports."""
    for port in network.ports_of_device(ctx.store, row["id"]):
        release_port(ctx, row["id"], port["id"])
    ctx.store.delete("interface", {"server_id": row["id"]})


def finish_delete(ctx: Context, row: Row) -> None:
    """The guest is gone: ports back, records closed, the row becomes history. Harmless when asked again."""
    if row["deleted_at"] is not None:
        return
    now = ctx.now()
    with ctx.store.transaction(durable=False):
        release_ports(ctx, row)
        ctx.store.delete("tag", {"resource_id": row["id"]})
        record.finish(ctx.store, row["id"], now)
        gone = {"vm_state": DELETED, "task_state": None, "power_state": 0, "terminated_at": now, "deleted_at": now, "host_uid": None}
        ctx.store.update("server", row["id"], {**gone, "user_data": None, "password": ""})
