"""Rows of the network service as its actions leave them, written by hand: for the tests of its reconciler and of packets."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Iterable
from typing import Any

from pileus.app import migrations
from pileus.kit.store import Row, Store

PROJECT, OTHER = "1" * 32, "2" * 32
SUBNETS = ("host_routes", "dns_nameservers", "enable_dhcp", "ipv6_ra_mode", "ipv6_address_mode")  # what `network` says of the subnet


@functools.cache
def _template() -> tuple[bytes, dict[str, str]]:
    """A database with all tables, and what its store hides."""
    store = Store(":memory:", migrations(), synchronous="off")
    return store._db.serialize(), store._hidden


def new_store() -> Store:
    """A fresh database in memory: a copy, since the migrations would take longer than most tests."""
    store = Store(":memory:", [], synchronous="off")
    data, store._hidden = _template()
    store._db.deserialize(data)
    return store


class Rows:
    """Writes rows. What is on the host follows when somebody looks."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def row(self, table: str, id: str) -> Row:
        found = self.store.get(table, id, hidden=True)
        assert found is not None
        return found

    def insert(self, table: str, **values: Any) -> str:
        id = str(values.pop("id", None) or uuid.uuid4())
        row = {"id": id, "project_id": PROJECT, "created_at": 1, "updated_at": 1, **values}
        packed = {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in row.items()}
        self.store.insert(table, packed)
        return id

    def network(self, cidr: str, **values: Any) -> tuple[str, str]:
        """(network, subnet) whose gateway is .254 unless it is said."""
        gateway = values.pop("gateway_ip", None if ":" in cidr else cidr.rpartition(".")[0] + ".254")
        subnet = {key: values.pop(key) for key in SUBNETS if key in values}
        network = self.insert("network", **values)
        return network, self.subnet(network, cidr, gateway_ip=gateway, project_id=values.get("project_id", PROJECT), **subnet)

    def subnet(self, network: str, cidr: str, **values: Any) -> str:
        return self.insert(
            "subnet", network_id=network, ip_version=6 if ":" in cidr else 4, cidr=cidr, **{"allocation_pools": [], **values}
        )

    def public(self) -> tuple[str, str]:
        """The network that the outside host is on."""
        flat = {"external": 1, "physical_network": "public", "network_type": "flat", "mtu": 1500}
        return self.network("192.168.37.0/24", gateway_ip="192.168.37.1", enable_dhcp=0, **flat)

    def port(self, network: str, subnet: str, ip: str, groups: Iterable[str] = (), **values: Any) -> str:
        number = self.store.query("SELECT count(*) AS n FROM port")[0]["n"] + 1
        made = {"mac_address": f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}", "device_id": str(uuid.uuid4())}
        id = self.insert("port", network_id=network, **{"device_owner": "compute:nova", **made, **values})
        self.store.insert("fixed_ip", {"port_id": id, "subnet_id": subnet, "network_id": network, "ip_address": ip})
        for group in groups:
            self.join(id, group)
        return id

    def join(self, port: str, group: str) -> None:
        self.store.insert("port_security_group", {"port_id": port, "security_group_id": group})

    def leave(self, port: str, group: str) -> None:
        self.store.delete("port_security_group", {"port_id": port, "security_group_id": group})

    def trunk(self, parent: str, **carried: int) -> str:
        """A trunk that carries ports (by their id) under these VLANs."""
        id = self.insert("trunk", port_id=parent)
        for port, vlan in carried.items():
            self.carry(id, port, vlan)
        return id

    def carry(self, trunk: str, port: str, vlan: int) -> None:
        self.store.delete("sub_port", {"port_id": port})
        self.store.insert("sub_port", {"port_id": port, "trunk_id": trunk, "segmentation_type": "vlan", "segmentation_id": vlan})
        self.store.update("port", port, {"device_id": trunk, "device_owner": "trunk:subport"})

    def group(self, *rules: dict[str, Any], egress: bool = True, **values: Any) -> str:
        id = self.insert("security_group", name="g", **values)
        if egress:
            self.rule(id, direction="egress")
            self.rule(id, direction="egress", ethertype="IPv6")
        for rule in rules:
            self.rule(id, **rule)
        return id

    def rule(self, group: str, **values: Any) -> str:
        made = {"direction": "ingress", "ethertype": "IPv4", "security_group_id": group}
        return self.insert("security_group_rule", **{**made, **values})

    def router(self, *inside: tuple[str, str, str], outside: tuple[str, str, str] | None = None, **values: Any) -> str:
        """A router with legs (network, subnet, address)."""
        id = self.insert("router", **values)
        for leg in inside:
            self.leg(id, *leg)
        if outside:
            port = self.port(*outside, device_id=id, device_owner="network:router_gateway", port_security_enabled=0)
            self.store.update("router", id, {"gateway_network_id": outside[0], "gateway_port_id": port})
        return id

    def leg(self, router: str, network: str, subnet: str, ip: str) -> str:
        return self.port(network, subnet, ip, device_id=router, device_owner="network:router_interface", port_security_enabled=0)

    def floating(self, public: tuple[str, str], address: str, router: str | None, port_id: str | None) -> str:
        id = str(uuid.uuid4())
        place = self.port(*public, address, device_id=id, device_owner="network:floatingip", port_security_enabled=0)
        values = {"floating_network_id": public[0], "floating_ip_address": address, "floating_port_id": place}
        self.insert("floating_ip", id=id, **values)
        self.associate(id, port_id, router)
        return id

    def associate(self, floating: str, port_id: str | None, router: str | None) -> None:
        """Let a floating IP lead to a port, or with None nowhere."""
        fixed = self.store.first("fixed_ip", {"port_id": port_id}) if port_id else None
        changes = {"port_id": port_id, "fixed_ip_address": fixed["ip_address"] if fixed else None, "router_id": router, "status": "DOWN"}
        self.store.update("floating_ip", floating, changes)

    def forwarding(self, floating: str, router: str, port_id: str, external: int, internal: int, *, more: int = 0, **values: Any) -> str:
        """Let a port of a floating IP, and `more` after it, lead to an inner port and those after it (`internal_high`: or not)."""
        fixed = self.store.first("fixed_ip", {"port_id": port_id})
        assert fixed
        self.store.update("floating_ip", floating, {"router_id": router})
        ports = {"external_low": external, "external_high": external + more, "internal_low": internal, "internal_high": internal + more}
        inner = {"internal_port_id": port_id, "internal_ip_address": fixed["ip_address"]}
        return self.insert("port_forwarding", floating_ip_id=floating, **{"protocol": "tcp", **ports, **inner, **values})

    def remove_port(self, id: str) -> None:
        for floating in self.store.find("floating_ip", {"port_id": id}):
            self.associate(floating["id"], None, None)
        self.store.delete("port_security_group", {"port_id": id})
        self.store.update("port", id, {"gone": 1})

    def remove_floating(self, id: str) -> str:
        """Returns its place's port, which is gone with it."""
        place = self.row("floating_ip", id)["floating_port_id"]
        self.store.delete("floating_ip", {"id": id})
        self.remove_port(place)
        return str(place)
