"""Logs: which ports have it written down what their security groups let pass and what they do not.

Where the lines end up: live/journal.py.
"""

from __future__ import annotations

from pileus.errors import NotFound
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, allow
from pileus.kit.store import Row
from pileus.network.actions.scope import Page, change, columns, find, fresh, owner, page
from pileus.network.types import invalid_input
from pileus.openstack.listing import Listing

KIND = "security_group"


@allow(ADMIN, "get_log")
def find_log(ctx: Context, id: str) -> Row:
    """A log. Raises NotFound."""
    return find(ctx, "network_log", id)


@allow(ADMIN, "get_log")
def list_logs(ctx: Context, listing: Listing) -> Page:
    """All logs. Raises NotFound for a marker that is none of them."""
    return page(ctx, "network_log", listing)


@allow(ADMIN, "get_loggable_resource")
def list_loggable_resources(ctx: Context) -> list[dict[str, str]]:
    """Of what logs can be kept."""
    return [{"type": KIND}]


@allow(ADMIN, "create_log")
def create_log(ctx: Context, values: Row) -> Row:
    """Have it written down from now on. Raises BadRequest (another kind of resource, port not in the group), NotFound (group, port)."""
    project = owner(ctx, values)
    if values["resource_type"] != KIND:
        raise invalid_input(f"Invalid log resource_type: {values['resource_type']}", "InvalidLogResourceType")
    group, port = values.get("resource_id"), values.get("target_id")
    if group and ctx.store.get("security_group", group) is None:
        raise NotFound(f"Resource {group} could not be found.", type="ResourceNotFound")
    if port and ctx.store.get("port", port) is None:
        raise NotFound(f"Target resource {port} could not be found.", type="TargetResourceNotFound")
    if group and port and not ctx.store.first("port_security_group", {"port_id": port, "security_group_id": group}):
        words = f"Invalid resource constraint between resource ({KIND} {group}) and target resource (port {port})"
        raise invalid_input(words, "InvalidResourceConstraint")
    with ctx.store.transaction():
        row = {**fresh(ctx), "project_id": project, **columns(values, {})}
        ctx.store.insert("network_log", row)
        _wake(ctx, row)
    return find(ctx, "network_log", row["id"])


@allow(ADMIN, "update_log")
def update_log(ctx: Context, id: str, values: Row) -> Row:
    """Rename a log, or switch it."""
    row = find(ctx, "network_log", id)
    with ctx.store.transaction():
        after = change(ctx, "network_log", row, columns(values, {}))
        _wake(ctx, after)
    return after


@allow(ADMIN, "delete_log")
def delete_log(ctx: Context, id: str) -> None:
    """Nothing is written down any more."""
    row = find(ctx, "network_log", id)
    with ctx.store.transaction():
        ctx.store.delete("network_log", {"id": id})
        _wake(ctx, row)


def _wake(ctx: Context, log: Row) -> None:
    """The ports that a log is about."""
    if log["target_id"]:
        ctx.wake("port", log["target_id"])
        return
    sql = "SELECT DISTINCT p.id FROM port p JOIN port_security_group b ON b.port_id = p.id WHERE p.gone = 0"
    if log["resource_id"]:
        found = ctx.store.query(f"{sql} AND b.security_group_id = ?", log["resource_id"])
    else:
        found = ctx.store.query(f"{sql} AND p.project_id = ?", log["project_id"])
    for port in found:
        ctx.wake("port", port["id"])
