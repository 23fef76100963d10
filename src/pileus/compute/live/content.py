"""What a server is told of itself: the documents of the metadata service and of the config drive, made from its rows.

Not here: who asks, and how (service.py). Sources: nova/api/metadata/base.py, https://docs.openstack.org/nova/latest/user/metadata.html
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.kit.store import Row, Store
from pileus.network.actions import ports_of_device

FOLSOM, GRIZZLY, HAVANA, LIBERTY = "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15"
NEWTON_ONE, NEWTON_TWO, OCATA, ROCKY = "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27"
OPENSTACK = (FOLSOM, GRIZZLY, HAVANA, LIBERTY, NEWTON_ONE, NEWTON_TWO, OCATA, ROCKY)
EC2 = ("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04")
DRIVE_EC2 = ("2009-04-04", "latest")  # what a config drive has of them, as Nova's

Tree = dict[str, Any]  # names to trees, text, or bytes


@dataclass(frozen=True, slots=True)
class Port:
    """A network card and its addresses: (address, its subnet's row)."""

    id: str
    mac: str
    mtu: int
    network_id: str
    addresses: tuple[tuple[str, Row], ...]
    floating: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """All that the documents say, read from the rows at one moment."""

    row: Row
    ports: tuple[Port, ...] = ()
    groups: tuple[str, ...] = ()  # names of security groups
    personality: tuple[tuple[str, bytes], ...] = ()
    user_data: bytes | None = None
    flavor: Mapping[str, Any] = field(default_factory=dict)
    image: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)  # port id -> tag


def describe(store: Store, row: Row) -> Server:
    """Read everything about a server that its documents need."""
    ports = tuple(_port(store, port) for port in ports_of_device(store, row["id"]))
    groups = store.query(
        "SELECT DISTINCT g.name FROM port_security_group b JOIN security_group g ON g.id = b.security_group_id"
        " JOIN port p ON p.id = b.port_id WHERE p.device_id = ? AND p.gone = 0 ORDER BY g.name",
        row["id"],
    )
    return Server(
        row,
        ports,
        tuple(group["name"] for group in groups),
        tuple((file["path"], _decoded(file["contents"])) for file in json.loads(row["personality"])),
        _decoded(row["user_data"]) if row["user_data"] else None,
        json.loads(row["flavor"]),
        json.loads(row["image"]),
        json.loads(row["metadata"]),
        json.loads(row["device_tags"]),
    )


def _port(store: Store, port: Row) -> Port:
    network = store.get("network", port["network_id"], hidden=True)
    addresses = []
    for fixed in store.find("fixed_ip", {"port_id": port["id"]}, order="position"):
        if subnet := store.get("subnet", fixed["subnet_id"]):
            addresses.append((fixed["ip_address"], subnet))
    floating = store.find("floating_ip", {"port_id": port["id"]}, order="created_at")
    mtu = network["mtu"] if network else 1500
    addresses_of_it = tuple(row["floating_ip_address"] for row in floating)
    return Port(port["id"], port["mac_address"], mtu, port["network_id"], tuple(addresses), addresses_of_it)


def _decoded(text: str) -> bytes:
    """What base64 stands for; text that is none stays as it is."""
    try:
        return base64.b64decode(text)
    except ValueError:
        return text.encode()


# -- /openstack --------------------------------------------------------------------------------------------------------------


def meta_data(server: Server, version: str) -> dict[str, Any]:
    """meta_data.json of one version of the interface."""
    row = server.row
    document: dict[str, Any] = {
        "uuid": row["id"],
        "availability_zone": row["availability_zone"],
        "hostname": row["hostname"],
        "launch_index": row["launch_index"],
        "name": row["name"],
    }
    if server.metadata:
        document["meta"] = dict(server.metadata)
    if server.personality:
        document["files"] = [{"path": path, "content_path": f"/content/{n:04}"} for n, (path, _) in enumerate(server.personality)]
    if row["public_key"]:
        key = row["public_key"].rstrip("\n") + "\n"
        document["public_keys"] = {row["key_name"]: key}
        if version >= HAVANA:
            document["keys"] = [{"name": row["key_name"], "type": row["key_type"] or "ssh", "data": key}]
    if version >= GRIZZLY:
        document["random_seed"] = base64.b64encode(os.urandom(512)).decode()
    if version >= LIBERTY:
        document["project_id"] = row["project_id"]
    if version >= NEWTON_ONE:
        document["devices"] = [
            {"type": "nic", "bus": "virtio", "mac": port.mac, "address": "none", "tags": [server.tags[port.id]]}
            for port in server.ports
            if port.id in server.tags
        ]
    return document


def network_data(server: Server) -> dict[str, Any]:
    """network_data.json: the cards, what is configured on each, and the name servers."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for port in server.ports:
        link = f"tap{port.id[:11]}"
        links.append({"id": link, "vif_id": port.id, "type": "bridge", "mtu": port.mtu, "ethernet_mac_address": port.mac})
        for address, subnet in port.addresses:
            networks.append({"id": f"network{len(networks)}", "link": link, "network_id": port.network_id, **_configured(address, subnet)})
            services += [{"type": "dns", "address": name_server} for name_server in json.loads(subnet["dns_nameservers"])]
    unique = list({service["address"]: service for service in services}.values())
    return {"links": links, "networks": networks, "services": unique}


def _configured(address: str, subnet: Row) -> dict[str, Any]:
    """How one address is to be configured: by DHCP, or as written here."""
    version = subnet["ip_version"]
    if version == 4 and subnet["enable_dhcp"]:
        return {"type": "ipv4_dhcp"}
    if version == 6 and subnet["ipv6_address_mode"]:
        return {"type": f"ipv6_{subnet['ipv6_address_mode']}"}
    network = ipaddress.ip_network(subnet["cidr"])
    routes = [_route(route["destination"], route["nexthop"]) for route in json.loads(subnet["host_routes"])]
    if subnet["gateway_ip"]:
        routes.insert(0, _route("0.0.0.0/0" if version == 4 else "::/0", subnet["gateway_ip"]))
    services = [{"type": "dns", "address": one} for one in json.loads(subnet["dns_nameservers"])]
    return {"type": f"ipv{version}", "ip_address": address, "netmask": str(network.netmask), "routes": routes, "services": services}


def _route(destination: str, gateway: str) -> dict[str, str]:
    network = ipaddress.ip_network(destination, strict=False)
    return {"network": str(network.network_address), "netmask": str(network.netmask), "gateway": gateway}


def openstack_tree(server: Server, version: str) -> Tree:
    """The files below /openstack/<version>, in the order a listing shows them. `latest` is the newest."""
    version = ROCKY if version == "latest" else version
    tree: Tree = {"meta_data.json": _text(meta_data(server, version))}
    if server.user_data is not None:
        tree["user_data"] = server.user_data
    if version >= HAVANA:
        tree["password"] = server.row["password"]
        tree["vendor_data.json"] = "{}"
    if version >= LIBERTY:
        tree["network_data.json"] = _text(network_data(server))
    if version >= NEWTON_TWO:
        tree["vendor_data2.json"] = '{"static": {}}'
    return tree


def _text(document: Any) -> str:
    return json.dumps(document)


# -- the paths that EC2 has -----------------------------------------------------------------------------------------------


def ec2_meta_data(server: Server) -> Tree:
    """The tree below /<version>/meta-data."""
    row = server.row
    fixed = [address for port in server.ports for address, subnet in port.addresses if subnet["ip_version"] == 4]
    floating = [address for port in server.ports for address in port.floating]
    properties = server.image.get("properties", {})
    tree: Tree = {
        "ami-id": _ec2_id("ami", row["image_id"]),
        "ami-launch-index": str(row["launch_index"]),
        "ami-manifest-path": "FIXME",  # what Nova says
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "hostname": row["hostname"],
        "instance-action": "none",
        "instance-id": _ec2_id("i", row["id"]),
        "instance-type": str(server.flavor.get("name", "")),
        "local-hostname": row["hostname"],
        "local-ipv4": fixed[0] if fixed else "",
        "mac": server.ports[0].mac if server.ports else "",
        "placement": {"availability-zone": row["availability_zone"]},
        "public-hostname": row["hostname"],
        "public-ipv4": floating[0] if floating else "",
        "reservation-id": row["reservation_id"],
        "security-groups": "\n".join(server.groups),
    }
    if row["public_key"]:
        tree["public-keys"] = {"0": {"openssh-key": row["public_key"].rstrip("\n") + "\n"}, "": f"0={row['key_name']}"}
    for name, kind, part in (("kernel-id", "aki", "kernel_id"), ("ramdisk-id", "ari", "ramdisk_id")):
        if properties.get(part):
            tree[name] = _ec2_id(kind, properties[part])
    return dict(sorted(tree.items()))


def _ec2_id(kind: str, id: str | None) -> str:
    """An id as EC2 writes one: here the first eight digits of the uuid, so that it leads back to it."""
    return f"{kind}-{(id or '00000000')[:8]}"


def ec2_tree(server: Server) -> Tree:
    tree: Tree = {"meta-data": ec2_meta_data(server)}
    if server.user_data is not None:
        tree["user-data"] = server.user_data
    return tree


# -- everything ------------------------------------------------------------------------------------------------------------


def content_tree(server: Server) -> Tree:
    """Files that were handed in at creation ("personality")."""
    return {f"{n:04}": body for n, (_, body) in enumerate(server.personality)}


Branch = Callable[[Server], Tree]
BRANCHES: dict[str, Branch] = dict.fromkeys((*EC2, "latest"), ec2_tree)


def openstack_branch(version: str) -> Branch:
    """What makes the files below /openstack/<version>; `content` is beside the versions."""
    return content_tree if version == "content" else lambda server: openstack_tree(server, version)


def drive_files(server: Server) -> dict[str, bytes]:
    """The files of the config drive, by path."""
    files: dict[str, bytes] = {}
    for version in (*OPENSTACK, "latest"):
        tree = openstack_tree(server, version)
        tree.pop("password", None)  # is the guest's to post
        files.update({f"openstack/{version}/{name}": _bytes(body) for name, body in tree.items()})
    files.update({f"openstack/content/{name}": body for name, body in content_tree(server).items()})
    for version in DRIVE_EC2:
        nested = {key: value for key, value in ec2_meta_data(server).items() if key != "public-keys"}
        if server.row["public_key"]:
            nested["public-keys"] = {"0": {"openssh-key": server.row["public_key"].rstrip("\n") + "\n"}}
        files[f"ec2/{version}/meta-data.json"] = _text(nested).encode()
        if server.user_data is not None:
            files[f"ec2/{version}/user-data"] = server.user_data
    return files


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body
