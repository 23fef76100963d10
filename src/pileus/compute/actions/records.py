"""The log of a server: what was asked of it, by whom, and what came of it (os-instance-actions)."""

from __future__ import annotations

from pileus.compute.actions.servers import find_server
from pileus.compute.versions import DELETED_ACTIONS
from pileus.errors import NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.openstack.listing import Listing, fetch

# the name of the one event that each action has, as Nova's own workers call it; what is not here is called api_<action>
EVENTS = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "start": "compute_start_instance",
    "stop": "compute_stop_instance",
    "reboot": "compute_reboot_instance",
    "attach_interface": "compute_attach_interface",
    "detach_interface": "compute_detach_interface",
}


@allow(PROJECT_READER, "os_compute_api:os-instance-actions:list")
def list_records(ctx: Context, server_id: str, listing: Listing, marker: str | None = None) -> tuple[list[Row], bool]:
    """The records of a server, newest first, and whether there are more; of a deleted server from 2.21 on.

    `marker` is a request id. Raises NotFound for the server and for the marker.
    """
    row = find_server(ctx, server_id, deleted=ctx.version >= DELETED_ACTIONS)
    listing.where["resource_id"] = row["id"]
    listing.sorts = [("id", True)]
    last = _record(ctx, row["id"], marker) if marker else None
    return fetch(ctx.store, "action_record", listing, last)


@allow(PROJECT_READER, "os_compute_api:os-instance-actions:show")
def find_record(ctx: Context, server_id: str, request_id: str) -> Row:
    """One record, by the id of the request that asked. Raises NotFound."""
    row = find_server(ctx, server_id, deleted=ctx.version >= DELETED_ACTIONS)
    return _record(ctx, row["id"], request_id)


def _record(ctx: Context, server_id: str, request_id: str) -> Row:
    found = ctx.store.first("action_record", {"resource_id": server_id, "request_id": request_id})
    if found is None:
        raise NotFound(f"Action for request_id {request_id} on instance {server_id} not found")
    return found
