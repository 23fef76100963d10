"""Field tables of routers and floating IPs."""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource, constant, flag, unpacked
from pileus.kit.store import Row, Store
from pileus.network.resources.fields import Sparse, admin_only, head, tail, unsaid, zone_fields
from pileus.network.resources.networks import status
from pileus.network.resources.port_forwardings import forwardings_of
from pileus.network.resources.qos import policy_id
from pileus.network.types import WORDS, Address, DnsName, Flag, Gateway, Id, Routes


def gateway_ips_of(store: Store, rows: list[Row]) -> None:
    """Relation: `gateway_ips`, the addresses of each router's gateway port."""
    ports = {row["gateway_port_id"]: row for row in rows if row["gateway_port_id"]}
    for row in rows:
        row["gateway_ips"] = []
    for ip in store.find("fixed_ip", {"port_id": list(ports)}, order="port_id, position") if ports else ():
        ports[ip["port_id"]]["gateway_ips"].append({"subnet_id": ip["subnet_id"], "ip_address": ip["ip_address"]})


def gateway(row: Row, ctx: Context) -> dict[str, Any] | None:
    if not row["gateway_network_id"]:
        return None
    addresses = row["gateway_ips"]
    shown = {"network_id": row["gateway_network_id"], "external_fixed_ips": addresses, "enable_snat": bool(row["enable_snat"])}
    return shown if row["qos_policy_id"] is None else {**shown, "qos_policy_id": row["qos_policy_id"] or None}


ROUTER = Resource(
    "router",
    "routers",
    [
        *head(),
        Field("admin_state_up", Flag(), show=flag("admin_state_up"), create=True, update=True, default=True, filter=True, sort=True),
        Field("status", show=status, sort="host_status", alias="router"),
        Field(
            "external_gateway_info",
            Gateway(),
            show=gateway,
            create=True,
            update=True,
            relation=gateway_ips_of,
            alias="ext-gw-mode",
        ),
        Field("routes", Routes(), show=unpacked("routes"), update=True, alias="extraroute"),
        Field("flavor_id", Id(null=True), show="flavor_id", create=True, filter=True, sort=True, alias="l3-flavors"),
        *zone_fields("router"),
        Field("distributed", show=constant(False), who=admin_only),
        Field("ha", show=constant(False), who=admin_only),
        *tail(),
    ],
    words=WORDS,
)
ROUTER_ADMIN: tuple[str, ...] = ()

PORT_DETAILS = ("name", "network_id", "mac_address", "status", "device_id", "device_owner")


def inner_ports_of(store: Store, rows: list[Row]) -> None:
    """Relation: `port_details`, what the inner port of each floating IP is."""
    wanted = [row["port_id"] for row in rows if row["port_id"]]
    found = {port["id"]: port for port in store.find("port", {"id": wanted})} if wanted else {}
    for row in rows:
        port = found.get(row["port_id"])
        row["port_details"] = {**{k: port[k] for k in PORT_DETAILS}, "admin_state_up": bool(port["admin_state_up"])} if port else None


def floating_status(row: Row, ctx: Context) -> str:
    """ACTIVE while a router translates it; one that leads nowhere is DOWN."""
    return str(row["status"]) if row["port_id"] or row["port_forwardings"] else "DOWN"


FLOATING_IP = Sparse(
    "floatingip",
    "floatingips",
    [
        *head(name=False),
        Field("floating_network_id", Id(), show="floating_network_id", create="required", filter=True, sort=True, alias="router"),
        Field("floating_ip_address", Address(null=True), show="floating_ip_address", create=True, filter=True, sort=True),
        Field("subnet_id", Id(null=True), create=True),
        Field("port_id", Id(null=True), show="port_id", create=True, update=True, filter=True, sort=True),
        Field("fixed_ip_address", Address(null=True), show="fixed_ip_address", create=True, update=True, filter=True, sort=True),
        Field("router_id", show="router_id", filter=True, sort=True),
        Field("qos_policy_id", Id(null=True), show=policy_id, create=True, update=True, filter=True, alias="qos-fip"),
        Field("status", show=floating_status, filter=True, sort=True),
        Field("port_details", show="port_details", relation=inner_ports_of, alias="fip-port-details"),
        Field("port_forwardings", show="port_forwardings", relation=forwardings_of, alias="expose-port-forwarding-in-fip"),
        Field("dns_name", DnsName(relative=True), show="dns_name", create=True, relation=unsaid("dns_name"), alias="dns-integration"),
        Field("dns_domain", DnsName(domain=True), show="dns_domain", create=True, relation=unsaid("dns_domain"), alias="dns-integration"),
        *tail(),
    ],
    words=WORDS,
    table="floating_ip",
)
FLOATING_IP.sparse = ("qos_policy_id", "port_forwardings", "dns_name", "dns_domain")
FLOATING_IP_ADMIN = ("floating_ip_address",)
