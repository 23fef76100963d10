"""Trunks: ports whose frames another port, the parent, carries to its guest under a VLAN tag."""

from __future__ import annotations

from typing import Any

from pileus.errors import Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.resource import Mismatch
from pileus.kit.store import Row, Store
from pileus.network.actions.scope import Page, bump, change, columns, find, fresh, owned, owner, page
from pileus.network.resources.trunks import SubPorts, missing
from pileus.network.types import invalid_input
from pileus.openstack.listing import Listing

SUB_PORT = "trunk:subport"  # device_owner
VLAN = "vlan"
SEGMENTS = range(1, 4095)


@allow(PROJECT_READER, "get_trunk")
def find_trunk(ctx: Context, id: str) -> Row:
    """A trunk of the caller's project; any for an admin. Raises NotFound."""
    return find(ctx, "trunk", id)


@allow(PROJECT_READER, "get_trunk")
def list_trunks(ctx: Context, listing: Listing) -> Page:
    """The trunks that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "trunk", listing)


@allow(PROJECT_MEMBER, "create_trunk")
def create_trunk(ctx: Context, values: Row) -> Row:
    """Make a port the parent of others. Raises NotFound (port), Conflict (port in use, MTU), BadRequest (segment)."""
    project = owner(ctx, values)
    wanted = values.pop("sub_ports", [])
    with ctx.store.transaction():
        _check_free(ctx, find(ctx, "port", values["port_id"]))
        row = {**fresh(ctx), "project_id": project, **columns(values, {})}
        ctx.store.insert("trunk", row)
        _add(ctx, row, wanted)
        ctx.wake("port", row["port_id"])
    return find(ctx, "trunk", row["id"])


def _check_free(ctx: Context, port: Row) -> None:
    if ctx.store.first("sub_port", {"port_id": port["id"]}):
        raise Conflict(f"Port {port['id']} is in use by another trunk.", type="TrunkPortInUse")
    if ctx.store.first("trunk", {"port_id": port["id"]}):
        raise _parent_in_use(port["id"])


def _parent_in_use(id: str) -> Conflict:
    words = f"Port {id} is currently in use and is not eligible for use as a parent port."
    return Conflict(words, type="ParentPortInUse")


@allow(PROJECT_MEMBER, "update_trunk")
def update_trunk(ctx: Context, id: str, values: Row) -> Row:
    """Change a trunk; one whose admin_state_up is false carries nothing, and stays as it is."""
    row = find(ctx, "trunk", id)
    owned(ctx, row, "update_trunk")
    with ctx.store.transaction():
        after = change(ctx, "trunk", row, columns(values, {}))
        for sub in ctx.store.find("sub_port", {"trunk_id": id}):
            ctx.wake("port", sub["port_id"])
    return after


@allow(PROJECT_MEMBER, "delete_trunk")
def delete_trunk(ctx: Context, id: str) -> None:
    """End a trunk; its ports stay. Raises Conflict while it is disabled."""
    row = find(ctx, "trunk", id)
    owned(ctx, row, "delete_trunk")
    _check_enabled(row)
    with ctx.store.transaction():
        for sub in ctx.store.find("sub_port", {"trunk_id": id}):
            _release(ctx, sub["port_id"])
        ctx.store.delete("tag", {"resource_id": id})
        ctx.store.delete("trunk", {"id": id})


def _check_enabled(row: Row) -> None:
    if not row["admin_state_up"]:
        raise Conflict(f"Trunk {row['id']} is currently disabled.", type="TrunkDisabled")


# -- sub-ports -------------------------------------------------------------------------------------------------------------


@allow(PROJECT_READER, "get_subports")
def list_sub_ports(ctx: Context, id: str) -> list[Row]:
    """What a trunk carries. Raises NotFound."""
    return ctx.store.find("sub_port", {"trunk_id": find(ctx, "trunk", id)["id"]}, order="rowid")


@allow(PROJECT_MEMBER, "add_subports")
def add_sub_ports(ctx: Context, id: str, body: Any) -> Row:
    """Carry more ports; `body` is what the client sent. Raises as create_trunk does."""
    return _change(ctx, id, body, "add_subports", _add)


@allow(PROJECT_MEMBER, "remove_subports")
def remove_sub_ports(ctx: Context, id: str, body: Any) -> Row:
    """Carry some ports no longer. Raises NotFound for one that is not carried."""
    return _change(ctx, id, body, "remove_subports", _remove)


def _change(ctx: Context, id: str, body: Any, policy: str, how: Any) -> Row:
    row = find(ctx, "trunk", id)
    owned(ctx, row, policy)
    try:
        wanted = SubPorts().parse(body.get("sub_ports") if isinstance(body, dict) else body)
    except Mismatch as mismatch:
        raise invalid_input(mismatch.reason) from None
    _check_enabled(row)
    with ctx.store.transaction():
        how(ctx, row, wanted)
        bump(ctx, "trunk", id)
    return find(ctx, "trunk", id)


def _add(ctx: Context, trunk: Row, wanted: list[dict[str, Any]]) -> None:
    for item in wanted:
        number = _segment(item)
        if item["port_id"] == trunk["port_id"]:
            raise _parent_in_use(item["port_id"])
        port = find(ctx, "port", item["port_id"])
        _check_mtu(ctx, trunk, port)
        _check_free(ctx, port)
        if port["device_id"]:
            words = f"Unable to complete operation on port {port['id']} for network {port['network_id']}."
            raise Conflict(f"{words} Port already has an attached device {port['device_id']}.", type="PortInUse")
        segment = {"trunk_id": trunk["id"], "segmentation_type": VLAN, "segmentation_id": number}
        if ctx.store.first("sub_port", segment):
            words = f"segmentation_type {VLAN} and segmentation_id {number} already in use on trunk {trunk['id']}."
            raise Conflict(words, type="DuplicateSubPort")
        ctx.store.insert("sub_port", {"port_id": port["id"], **segment})
        parent = ctx.store.get("port", trunk["port_id"])
        host = parent["binding_host"] if parent else ""
        change(ctx, "port", port, {"device_id": trunk["id"], "device_owner": SUB_PORT, "binding_host": host})
        ctx.wake("port", port["id"])


def _segment(item: dict[str, Any]) -> int:
    """The VLAN that a sub-port asks for. Raises BadRequest."""
    if "segmentation_type" not in item:
        raise invalid_input(missing(item))
    if item["segmentation_type"] != VLAN:
        raise invalid_input(f"Unknown segmentation_type '{item['segmentation_type']}'")
    try:
        number = int(item["segmentation_id"])
    except (TypeError, ValueError, OverflowError):
        raise invalid_input(f"Invalid subport details: segmentation_id '{item['segmentation_id']}' is not an integer") from None
    if number not in SEGMENTS:
        raise invalid_input(f"Segmentation ID '{number}' is not in range")
    return number


def _check_mtu(ctx: Context, trunk: Row, port: Row) -> None:
    sql = "SELECT n.mtu FROM port p JOIN network n ON n.id = p.network_id WHERE p.id = ?"
    inner, outer = (ctx.store.query(sql, id)[0]["mtu"] for id in (port["id"], trunk["port_id"]))
    if inner > outer:
        words = f"MTU {inner} of subport {port['id']} cannot be greater than MTU {outer} of trunk {trunk['port_id']}."
        raise Conflict(words, type="SubPortMtuGreaterThanTrunkPortMtu")


def _remove(ctx: Context, trunk: Row, wanted: list[dict[str, Any]]) -> None:
    for item in wanted:
        if not ctx.store.delete("sub_port", {"trunk_id": trunk["id"], "port_id": item["port_id"]}):
            words = f"SubPort on trunk {trunk['id']} with parent port {item['port_id']} could not be found."
            raise NotFound(words, type="SubPortNotFound")
        _release(ctx, item["port_id"])


def _release(ctx: Context, port_id: str) -> None:
    ctx.store.delete("sub_port", {"port_id": port_id})
    port = ctx.store.get("port", port_id)
    if port:
        change(ctx, "port", port, {"device_id": "", "device_owner": "", "binding_host": ""})
        ctx.wake("port", port_id)


# -- for the verbs of ports ------------------------------------------------------------------------------------------------


def is_trunked(store: Store, port_id: str) -> bool:
    """Whether a port is a trunk's parent or carried by one: then it cannot be deleted."""
    return store.first("trunk", {"port_id": port_id}) is not None or store.first("sub_port", {"port_id": port_id}) is not None


def check_untrunked(ctx: Context, port_id: str) -> None:
    """Refuse to delete a port that a trunk needs. Raises Conflict."""
    if sub := ctx.store.first("sub_port", {"port_id": port_id}):
        raise Conflict(f"Port {port_id} is currently a subport for trunk {sub['trunk_id']}.", type="PortInUseAsSubPort")
    if trunk := ctx.store.first("trunk", {"port_id": port_id}):
        raise Conflict(f"Port {port_id} is currently a parent port for trunk {trunk['id']}.", type="PortInUseAsTrunkParent")


def follow_parent(ctx: Context, port_id: str, host: str) -> None:
    """What a trunk carries is bound where its parent is."""
    sql = "SELECT s.port_id FROM trunk t JOIN sub_port s ON s.trunk_id = t.id WHERE t.port_id = ?"
    for sub in ctx.store.query(sql, port_id):
        ctx.store.update("port", sub["port_id"], {"binding_host": host})
        ctx.wake("port", sub["port_id"])
