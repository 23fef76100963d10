"""What Nova once asked of Neutron and Glance on a client's behalf: networks, floating IPs, security groups, images. Gone from 2.36 on.

Not here: a server's own groups and addresses, which stay (server_parts.py).
"""

from __future__ import annotations

from typing import Any

from pileus.compute.actions import interfaces, proxies
from pileus.compute.api.read import body_of, paged, with_next
from pileus.compute.resources.flavors import links
from pileus.compute.resources.words import parse
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.resource import Type
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.openstack.types import Either, Int, Obj, Str

LAST = "2.35"

# -- networks ----------------------------------------------------------------------------------------------------------------

_EVERYBODY = ("cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "netmask_v6")
_ADMIN = [
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
    "injected",
    "bridge",
    "vlan",
    "vpn_public_address",
    "vpn_public_port",
    "vpn_private_address",
    "dhcp_start",
    "project_id",
    "host",
    "bridge_interface",
    "multi_host",
    "priority",
    "rxtx_base",
    "mtu",
    "dhcp_server",
    "enable_dhcp",
    "share_address",
]


def _network(row: Row, ctx: Context) -> Row:
    """Id and label; the rest belonged to nova-network and is null since."""
    shown: Row = {"id": row["id"], "label": row["name"], **dict.fromkeys(_EVERYBODY)}
    return shown | (dict.fromkeys(_ADMIN) if ctx.is_admin else {})


def list_networks(request: Request) -> Response:
    """Networks."""
    return Response(200, {"networks": [_network(row, request.ctx) for row in proxies.list_networks(request.ctx)]})


def show_network(request: Request) -> Response:
    """One network."""
    return Response(200, {"network": _network(proxies.find_network(request.ctx, request.params["id"]), request.ctx)})


# -- floating IPs ------------------------------------------------------------------------------------------------------------


def _floating(row: Row) -> Row:
    shown = {"id": row["id"], "ip": row["floating_ip_address"], "fixed_ip": row["fixed_ip_address"]}
    return shown | {"pool": row["pool"], "instance_id": row["instance_id"]}


def list_floating_ips(request: Request) -> Response:
    """Floating IPs."""
    return Response(200, {"floating_ips": [_floating(row) for row in proxies.list_floating_ips(request.ctx)]})


def show_floating_ip(request: Request) -> Response:
    """One floating IP."""
    return Response(200, {"floating_ip": _floating(proxies.find_floating_ip(request.ctx, request.params["id"]))})


def create_floating_ip(request: Request) -> Response:
    """Take an address of a pool, which is an external network."""
    body = body_of(request) if request.body else {}
    pool = body.get("pool") if isinstance(body, dict) else None
    return Response(200, {"floating_ip": _floating(proxies.create_floating_ip(request.ctx, pool))})


def delete_floating_ip(request: Request) -> Response:
    """Give an address back."""
    proxies.delete_floating_ip(request.ctx, request.params["id"])
    return Response(202)


def list_pools(request: Request) -> Response:
    """The external networks."""
    return Response(200, {"floating_ip_pools": [{"name": row["name"] or row["id"]} for row in proxies.list_pools(request.ctx)]})


# -- security groups -----------------------------------------------------------------------------------------------------------


def _rule(row: Row) -> Row:
    protocol, low, high = row["protocol"], row["port_range_min"], row["port_range_max"]
    if protocol and low is None and high is None:
        low, high = (1, 65535) if protocol in ("tcp", "udp") else (-1, -1)
    shown = {"id": row["id"], "parent_group_id": row["security_group_id"], "ip_protocol": protocol, "from_port": low, "to_port": high}
    if row["remote"]:
        return shown | {"group": {"name": row["remote"]["name"], "tenant_id": row["remote"]["project_id"]}, "ip_range": {}}
    everywhere = "::/0" if row["ethertype"] == "IPv6" else "0.0.0.0/0"
    return shown | {"group": {}, "ip_range": {"cidr": row["remote_ip_prefix"] or everywhere}}


def _group(row: Row) -> Row:
    shown = {"id": row["id"], "description": row["description"], "name": row["name"], "tenant_id": row["project_id"]}
    return shown | {"rules": [_rule(rule) for rule in row["rules"] if rule["direction"] == "ingress"]}


def list_server_groups(request: Request) -> Response:
    """The security groups of a server's ports."""
    return Response(200, {"security_groups": [_group(row) for row in interfaces.list_security_groups(request.ctx, request.params["id"])]})


def list_groups(request: Request) -> Response:
    """Security groups."""
    return Response(200, {"security_groups": [_group(row) for row in proxies.list_groups(request.ctx)]})


def show_group(request: Request) -> Response:
    """One security group."""
    return Response(200, {"security_group": _group(proxies.find_group(request.ctx, request.params["id"]))})


_GROUP = Obj({"name": Str(max=255), "description": Str(max=255)}, ("name", "description"))


def create_group(request: Request) -> Response:
    """Create a security group."""
    value = parse("security_group", body_of(request), _GROUP)
    return Response(200, {"security_group": _group(proxies.create_group(request.ctx, value))})


def update_group(request: Request) -> Response:
    """Change a security group's name and description."""
    value = parse("security_group", body_of(request), _GROUP)
    return Response(200, {"security_group": _group(proxies.update_group(request.ctx, request.params["id"], value))})


def delete_group(request: Request) -> Response:
    """Delete a security group."""
    proxies.delete_group(request.ctx, request.params["id"])
    return Response(202)


_PORT = Either((Str(null=True, max=0), Int(loose=True, min=-1, max=65535)))
_RULE: dict[str, Type] = {
    "parent_group_id": Str(),
    "ip_protocol": Str(null=True),
    "from_port": _PORT,
    "to_port": _PORT,
    "cidr": Str(null=True),
    "group_id": Str(null=True),
}


def create_rule(request: Request) -> Response:
    """Let something into the members of a security group."""
    value = parse("security_group_rule", body_of(request), Obj(_RULE, ("parent_group_id",)))
    return Response(200, {"security_group_rule": _rule(proxies.create_rule(request.ctx, value))})


def delete_rule(request: Request) -> Response:
    """Delete a rule of a security group."""
    proxies.delete_rule(request.ctx, request.params["id"])
    return Response(202)


# -- images ------------------------------------------------------------------------------------------------------------------

STATUS = {"active": "ACTIVE", "queued": "SAVING", "saving": "SAVING", "deactivated": "ACTIVE", "killed": "ERROR"}


def _image_links(row: Row, request: Request) -> list[Row]:
    other = {"rel": "alternate", "type": "application/vnd.openstack.image", "href": f"{request.host}/image/images/{row['id']}"}
    return [*links("images", row["id"], request.ctx), other]


def _image(row: Row, request: Request) -> Row:
    status = STATUS.get(row["status"], "UNKNOWN")
    return {
        "id": row["id"],
        "name": row["name"],
        "minRam": row["min_ram"],
        "minDisk": row["min_disk"],
        "metadata": proxies.image_metadata(row),
        "created": iso(row["created_at"]),
        "updated": iso(row["updated_at"] or row["created_at"]),
        "status": status,
        "progress": 100 if status == "ACTIVE" else 25,
        "OS-EXT-IMG-SIZE:size": row["size"],
        "links": _image_links(row, request),
    }


def _images(request: Request, *, detailed: bool) -> Response:
    listing = paged(request)
    rows, more = proxies.list_images(request.ctx, listing, request.query)
    brief = ({"id": row["id"], "name": row["name"], "links": _image_links(row, request)} for row in rows)
    items = [_image(row, request) for row in rows] if detailed else list(brief)
    return Response(200, with_next("images", items, rows[-1]["id"] if rows else "", request, listing, more=more))


def list_images(request: Request) -> Response:
    """Images in brief."""
    return _images(request, detailed=False)


def list_image_details(request: Request) -> Response:
    """Images with what Nova knew of them."""
    return _images(request, detailed=True)


def show_image(request: Request) -> Response:
    """One image."""
    return Response(200, {"image": _image(proxies.find_image(request.ctx, request.params["id"]), request)})


def delete_image(request: Request) -> Response:
    """Delete an image."""
    proxies.delete_image(request.ctx, request.params["id"])
    return Response(204)


def list_image_metadata(request: Request) -> Response:
    """An image's properties."""
    return Response(200, {"metadata": proxies.image_metadata(proxies.find_image(request.ctx, request.params["id"]))})


def show_image_item(request: Request) -> Response:
    """One property of an image."""
    key = request.params["key"]
    found: dict[str, Any] = proxies.image_metadata(proxies.find_image(request.ctx, request.params["id"]))
    if key not in found:
        raise proxies.no_item()
    return Response(200, {"meta": {key: found[key]}})


def _until(method: str, path: str, handler: Any, last: str = LAST) -> Route:
    return Route(method, path, handler, until=last)


ROUTES = [
    Route("GET", "/servers/{id}/os-security-groups", list_server_groups),
    _until("GET", "/os-networks", list_networks),
    _until("GET", "/os-networks/{id}", show_network),
    _until("GET", "/os-tenant-networks", list_networks),
    _until("GET", "/os-floating-ips", list_floating_ips),
    _until("POST", "/os-floating-ips", create_floating_ip),
    _until("GET", "/os-floating-ips/{id}", show_floating_ip),
    _until("DELETE", "/os-floating-ips/{id}", delete_floating_ip),
    _until("GET", "/os-floating-ip-pools", list_pools),
    _until("GET", "/os-security-groups", list_groups),
    _until("POST", "/os-security-groups", create_group),
    _until("GET", "/os-security-groups/{id}", show_group),
    _until("PUT", "/os-security-groups/{id}", update_group),
    _until("DELETE", "/os-security-groups/{id}", delete_group),
    _until("POST", "/os-security-group-rules", create_rule),
    _until("DELETE", "/os-security-group-rules/{id}", delete_rule),
    _until("GET", "/images", list_images),
    _until("GET", "/images/detail", list_image_details),
    _until("GET", "/images/{id}", show_image),
    _until("DELETE", "/images/{id}", delete_image),
    _until("GET", "/images/{id}/metadata", list_image_metadata, "2.38"),
    _until("GET", "/images/{id}/metadata/{key}", show_image_item, "2.38"),
]
