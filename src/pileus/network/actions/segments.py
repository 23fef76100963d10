"""Segments: what carries a network, as a cloud of several machines would have it.

A network's first segment is made with it. Others can be named, of tunnels only; on one machine all of them are the network's one bridge.
"""

from __future__ import annotations

from pileus.errors import Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.scope import Page, change, find, fresh, page
from pileus.network.types import bad_request, invalid_input
from pileus.openstack.listing import Listing

TUNNELS = ("geneve", "gre", "vxlan")


def first_segment(ctx: Context, network: Row) -> None:
    """The segment that a new network is on."""
    carried = {name: network.get(name) for name in ("network_type", "physical_network", "segmentation_id")}
    ctx.store.insert("segment", {**fresh(ctx), "network_id": network["id"], **carried})


@allow(PROJECT_READER, "get_segment")
def find_segment(ctx: Context, id: str) -> Row:
    """A segment, for an admin. Raises NotFound."""
    if not ctx.is_admin:
        raise NotFound(f"Segment {id} could not be found.", type="SegmentNotFound")
    return find(ctx, "segment", id)


@allow(PROJECT_READER, "get_segment")
def list_segments(ctx: Context, listing: Listing) -> Page:
    """All segments, for an admin. Raises NotFound for a marker that is none of them."""
    return page(ctx, "segment", listing) if ctx.is_admin else ([], False)


@allow(ADMIN, "create_segment")
def create_segment(ctx: Context, values: Row) -> Row:
    """Another segment for a network. Raises BadRequest for what this machine does not have, Conflict for a number that is taken."""
    network = find(ctx, "network", values["network_id"])
    kind, number = values["network_type"], values.get("segmentation_id")
    if kind not in TUNNELS:
        raise bad_request("segment", f"network_type value '{kind}' not supported for a further segment")
    if values.get("physical_network"):
        raise invalid_input(f"provider:physical_network specified for {kind} network")
    with ctx.store.transaction():
        if number is None:
            found = ctx.store.query("SELECT ifnull(max(segmentation_id), 0) + 1 AS n FROM segment WHERE network_type = ?", kind)
            number = int(found[0]["n"])
        if ctx.store.first("segment", {"network_type": kind, "segmentation_id": number}):
            raise Conflict(f"Unable to create the network. The tunnel ID {number} is in use.", type="TunnelIdInUse")
        row = {**fresh(ctx), **values, "network_id": network["id"], "segmentation_id": number}
        ctx.store.insert("segment", row)
    return find(ctx, "segment", row["id"])


@allow(ADMIN, "update_segment")
def update_segment(ctx: Context, id: str, values: Row) -> Row:
    """Change a segment's name or description."""
    row = find(ctx, "segment", id)
    with ctx.store.transaction():
        return change(ctx, "segment", row, values)


@allow(ADMIN, "delete_segment")
def delete_segment(ctx: Context, id: str) -> None:
    """Delete a segment. Raises Conflict for the one that a network is on."""
    row = find(ctx, "segment", id)
    with ctx.store.transaction():
        first = ctx.store.find("segment", {"network_id": row["network_id"]}, order="rowid", limit=1)
        if first and first[0]["id"] == id:
            raise Conflict(f"Segment '{id}' cannot be deleted: The network is on it.", type="SegmentInUse")
        ctx.store.delete("segment", {"id": id})
