"""What hangs below a server: metadata, tags, addresses, interfaces, groups, actions, attachments, diagnostics, consoles.

Source: https://docs.openstack.org/api-ref/compute/
"""

from __future__ import annotations

from typing import Any

from pileus.compute import versions
from pileus.compute.actions import attachments, diagnostics, interfaces, metadata, records, verbs
from pileus.compute.api.read import a_time, body_of, paged, strict, with_next
from pileus.compute.machine import hostname
from pileus.compute.resources.servers import METADATA, host_id, plain_addresses
from pileus.compute.resources.words import TAG, Address, invalid, parse
from pileus.errors import BadRequest, NotFound
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.resource import Mismatch, Type
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.openstack.listing import Listing
from pileus.openstack.types import Enum, List, Map, Obj, Str, Uuid

# -- metadata ----------------------------------------------------------------------------------------------------------------


def list_metadata(request: Request) -> Response:
    """All of a server's metadata."""
    return Response(200, {"metadata": metadata.list_metadata(request.ctx, request.params["id"])})


def update_metadata(request: Request) -> Response:
    """Add to a server's metadata."""
    given = parse("metadata", body_of(request), METADATA)
    return Response(200, {"metadata": metadata.update_metadata(request.ctx, request.params["id"], given)})


def replace_metadata(request: Request) -> Response:
    """Replace a server's metadata."""
    given = parse("metadata", body_of(request), METADATA)
    return Response(200, {"metadata": metadata.update_metadata(request.ctx, request.params["id"], given, replace=True)})


def show_item(request: Request) -> Response:
    """One item of metadata."""
    key = request.params["key"]
    return Response(200, {"meta": {key: metadata.find_metadata(request.ctx, request.params["id"], key)}})


def update_item(request: Request) -> Response:
    """Set one item of metadata."""
    given = parse("meta", body_of(request), Map(Str(max=255)))
    if len(given) != 1:
        raise invalid("meta", given, f"{given!r} {'has too many' if given else 'does not have enough'} properties")
    if request.params["key"] not in given:
        raise BadRequest("Request body and URI mismatch")
    metadata.update_metadata(request.ctx, request.params["id"], given)
    return Response(200, {"meta": given})


def delete_item(request: Request) -> Response:
    """Remove one item of metadata."""
    metadata.delete_metadata(request.ctx, request.params["id"], request.params["key"])
    return Response(204)


# -- tags --------------------------------------------------------------------------------------------------------------------


def list_tags(request: Request) -> Response:
    """A server's tags."""
    return Response(200, {"tags": metadata.list_tags(request.ctx, request.params["id"])})


def replace_tags(request: Request) -> Response:
    """Replace a server's tags."""
    tags = parse("tags", body_of(request), List(TAG, max=metadata.TAGS_MAX, unique=True))
    return Response(200, {"tags": metadata.replace_tags(request.ctx, request.params["id"], tags)})


def clear_tags(request: Request) -> Response:
    """Remove a server's tags."""
    metadata.replace_tags(request.ctx, request.params["id"], [])
    return Response(204)


def check_tag(request: Request) -> Response:
    """Whether a server has a tag."""
    metadata.check_tag(request.ctx, request.params["id"], request.params["key"])
    return Response(204)


def add_tag(request: Request) -> Response:
    """Add a tag to a server."""
    tag = request.params["key"]
    try:
        TAG.parse(tag)
    except Mismatch as mismatch:
        raise BadRequest(
            f"Tag '{tag}' is invalid. It must be a non empty string without characters '/' and ','. {mismatch.reason}"
        ) from None
    if not metadata.add_tag(request.ctx, request.params["id"], tag):
        return Response(204)
    return Response(201, b"", {"Location": f"{request.root}{request.path}"})


def remove_tag(request: Request) -> Response:
    """Remove a tag from a server."""
    metadata.remove_tag(request.ctx, request.params["id"], request.params["key"])
    return Response(204)


# -- addresses and interfaces ------------------------------------------------------------------------------------------------


def list_addresses(request: Request) -> Response:
    """A server's addresses, by network."""
    return Response(200, {"addresses": plain_addresses(interfaces.list_addresses(request.ctx, request.params["id"]))})


def show_addresses(request: Request) -> Response:
    """A server's addresses on one network."""
    found = plain_addresses(interfaces.list_addresses(request.ctx, request.params["id"]))
    name = request.params["key"]
    if name not in found:
        raise NotFound("Instance is not a member of specified network")
    return Response(200, {name: found[name]})


def _interface(port: Row, ctx: Context) -> Row:
    addresses = [{"subnet_id": at.subnet_id, "ip_address": at.address} for at in port["addresses"]]
    shown = {"net_id": port["network_id"], "port_id": port["id"], "mac_addr": port["mac_address"], "port_state": port["status"]}
    return {**shown, "fixed_ips": addresses} | ({"tag": port["tag"]} if ctx.version >= (2, 70) else {})


def list_interfaces(request: Request) -> Response:
    """The ports of a server."""
    ports = interfaces.list_interfaces(request.ctx, request.params["id"])
    return Response(200, {"interfaceAttachments": [_interface(port, request.ctx) for port in ports]})


def show_interface(request: Request) -> Response:
    """One port of a server."""
    port = interfaces.find_interface(request.ctx, request.params["id"], request.params["key"])
    return Response(200, {"interfaceAttachment": _interface(port, request.ctx)})


_FIXED_IPS = List(Obj({"ip_address": Address()}, ("ip_address",)), min=1, max=1)
_PORT: dict[str, Type] = {"net_id": Uuid(), "port_id": Uuid(), "fixed_ips": _FIXED_IPS}
_ATTACH = {False: Obj(_PORT), True: Obj({**_PORT, "tag": TAG})}


def attach_interface(request: Request) -> Response:
    """Plug a port into a server."""
    ctx, body = request.ctx, body_of(request)
    given = parse("interfaceAttachment", body, _ATTACH[ctx.version >= versions.INTERFACE_TAGS]) if body else {}
    addresses = given.pop("fixed_ips", None)
    values = {**given, "address": addresses[0]["ip_address"] if addresses else None}
    port = attachments.attach_interface(ctx, request.params["id"], values)
    return Response(200, {"interfaceAttachment": _interface(port, ctx)})


def detach_interface(request: Request) -> Response:
    """Unplug a port from a server."""
    attachments.detach_interface(request.ctx, request.params["id"], request.params["key"])
    return Response(202)


# -- actions -----------------------------------------------------------------------------------------------------------------


def _record(row: Row, ctx: Context) -> Row:
    names = ("action", "request_id", "user_id", "project_id")
    shown = {name: row[name] for name in names} | {"instance_uuid": row["resource_id"]}
    failed = "Error" if row["result"] == "Error" else None
    shown |= {"start_time": iso(row["started_at"], fraction=True, zone=""), "message": failed}
    if ctx.version >= versions.PAGED_ACTIONS:
        shown["updated_at"] = iso(row["updated_at"] or row["started_at"], fraction=True, zone="")
    return shown


def list_records(request: Request) -> Response:
    """What was asked of a server, newest first."""
    ctx = request.ctx
    listing, marker = Listing(), None
    if ctx.version >= versions.PAGED_ACTIONS:
        listing = paged(request)
        marker, listing.marker = listing.marker, None
        since, before = a_time(request, "changes-since"), a_time(request, "changes-before")
        if since is not None:
            listing.terms.append(("updated_at >= ?", (since,)))
        if before is not None and ctx.version >= versions.CHANGES_BEFORE:
            listing.terms.append(("updated_at <= ?", (before,)))
        strict(request, ("limit", "marker", "changes-since", "changes-before"))
    rows, more = records.list_records(ctx, request.params["id"], listing, marker)
    items = [_record(row, ctx) for row in rows]
    shown = with_next("instanceActions", items, rows[-1]["request_id"] if rows else "", request, listing, more=more)
    if "instanceActions_links" in shown:
        shown["links"] = shown.pop("instanceActions_links")
    return Response(200, shown)


def _event(row: Row, ctx: Context) -> Row:
    shown: Row = {
        "event": records.EVENTS.get(row["action"], f"api_{row['action']}"),
        "start_time": iso(row["started_at"], fraction=True, zone=""),
        "finish_time": iso(row["finished_at"], fraction=True, zone=""),
        "result": row["result"],
    }
    if ctx.is_admin:
        shown["traceback"] = row["message"] if row["result"] == "Error" else None
    if ctx.version >= versions.EVENT_HOSTS:
        shown["hostId"] = host_id(row["project_id"], hostname(ctx))
        if ctx.is_admin:
            shown["host"] = hostname(ctx)
    return shown


def show_record(request: Request) -> Response:
    """One thing that was asked of a server, with its event."""
    ctx = request.ctx
    row = records.find_record(ctx, request.params["id"], request.params["key"])
    shown = _record(row, ctx)
    if ctx.is_admin or ctx.version >= versions.EVENTS_FOR_ALL:
        shown["events"] = [_event(row, ctx)]
    return Response(200, {"instanceAction": shown})


# -- the rest ----------------------------------------------------------------------------------------------------------------


def list_attachments(request: Request) -> Response:
    """A server's volumes."""
    return Response(200, {"volumeAttachments": attachments.list_volumes(request.ctx, request.params["id"])})


def show_attachment(request: Request) -> Response:
    """One volume of a server."""
    attachments.find_volume(request.ctx, request.params["id"], request.params["key"])
    return Response(200)


def attach_volume(request: Request) -> Response:
    """Attach a volume to a server: there is no volume service in this version, so none is found."""
    kind = Obj({"volumeId": Str(min=1)}, ("volumeId",), open=True)
    value = parse("volumeAttachment", body_of(request), kind)
    attachments.attach_volume(request.ctx, request.params["id"], value["volumeId"])
    return Response(200)


def show_diagnostics(request: Request) -> Response:
    """How a server's guest is doing (admin)."""
    return Response(200, diagnostics.show_diagnostics(request.ctx, request.params["id"]))


def show_topology(request: Request) -> Response:
    """A server's NUMA topology: it has none."""
    return Response(200, diagnostics.show_topology(request.ctx, request.params["id"]))


def show_password(request: Request) -> Response:
    """What the guest posted as its password, encrypted with the key pair."""
    return Response(200, {"password": attachments.show_password(request.ctx, request.params["id"])})


def clear_password(request: Request) -> Response:
    """Forget the guest's password."""
    attachments.clear_password(request.ctx, request.params["id"])
    return Response(204)


def remote_console(request: Request) -> Response:
    """A console over the web."""
    kinds: dict[str, Any] = {
        "protocol": Enum(("vnc", "spice", "rdp", "serial", "mks")),
        "type": Enum(("novnc", "xvpvnc", "spice-html5", "rdp-html5", "serial", "webmks")),
    }
    value = parse("remote_console", body_of(request), Obj(kinds, ("protocol", "type")))
    verbs.remote_console(request.ctx, request.params["id"], value["type"])
    return Response(200)


_S = "/servers/{id}"
ROUTES = [
    Route("GET", f"{_S}/metadata", list_metadata),
    Route("POST", f"{_S}/metadata", update_metadata),
    Route("PUT", f"{_S}/metadata", replace_metadata),
    Route("GET", f"{_S}/metadata/{{key}}", show_item),
    Route("PUT", f"{_S}/metadata/{{key}}", update_item),
    Route("DELETE", f"{_S}/metadata/{{key}}", delete_item),
    Route("GET", f"{_S}/tags", list_tags, since="2.26"),
    Route("PUT", f"{_S}/tags", replace_tags, since="2.26"),
    Route("DELETE", f"{_S}/tags", clear_tags, since="2.26"),
    Route("GET", f"{_S}/tags/{{key}}", check_tag, since="2.26"),
    Route("PUT", f"{_S}/tags/{{key}}", add_tag, since="2.26"),
    Route("DELETE", f"{_S}/tags/{{key}}", remove_tag, since="2.26"),
    Route("GET", f"{_S}/ips", list_addresses),
    Route("GET", f"{_S}/ips/{{key}}", show_addresses),
    Route("GET", f"{_S}/os-interface", list_interfaces),
    Route("POST", f"{_S}/os-interface", attach_interface),
    Route("GET", f"{_S}/os-interface/{{key}}", show_interface),
    Route("DELETE", f"{_S}/os-interface/{{key}}", detach_interface),
    Route("GET", f"{_S}/os-instance-actions", list_records),
    Route("GET", f"{_S}/os-instance-actions/{{key}}", show_record),
    Route("GET", f"{_S}/os-volume_attachments", list_attachments),
    Route("POST", f"{_S}/os-volume_attachments", attach_volume),
    Route("GET", f"{_S}/os-volume_attachments/{{key}}", show_attachment),
    Route("DELETE", f"{_S}/os-volume_attachments/{{key}}", show_attachment),
    Route("GET", f"{_S}/diagnostics", show_diagnostics),
    Route("GET", f"{_S}/topology", show_topology, since="2.78"),
    Route("GET", f"{_S}/os-server-password", show_password),
    Route("DELETE", f"{_S}/os-server-password", clear_password),
    Route("POST", f"{_S}/remote-consoles", remote_console, since="2.6"),
]
