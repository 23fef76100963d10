"""Field tables of networks and subnets."""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource, Show, flag, unpacked
from pileus.kit.store import Row, Store
from pileus.network.resources.fields import Sparse, admin_only, head, tail, unsaid, zone_fields
from pileus.network.resources.qos import policy_id
from pileus.network.resources.sharing import is_shared, targets_of
from pileus.network.types import WORDS, Address, Cidr, DnsName, Flag, Id, ListOf, Nameservers, OneOf, Pools, Routes, Text, Whole

IPV6_MODES = ("dhcpv6-stateful", "dhcpv6-stateless", "slaac")


def subnets_of(store: Store, rows: list[Row]) -> None:
    """Relation: `subnets`, the ids of each network's subnets, and `scopes`, the address scopes that they are in, by protocol."""
    by_id = {row["id"]: row for row in rows}
    for row in rows:
        row["subnets"], row["scopes"] = [], {}
    marks = ", ".join("?" * len(rows))
    columns, joined = "s.id, s.network_id, s.ip_version, p.address_scope_id", "subnet s LEFT JOIN subnetpool p ON p.id = s.subnetpool_id"
    sql = f"SELECT {columns} FROM {joined} WHERE s.network_id IN ({marks}) ORDER BY s.rowid"  # noqa: S608 - marks only
    for each in store.query(sql, *by_id):
        row = by_id[each["network_id"]]
        row["subnets"].append(each["id"])
        if each["address_scope_id"]:
            row["scopes"][each["ip_version"]] = each["address_scope_id"]


def scope(version: int) -> Show:
    return lambda row, ctx: row["scopes"].get(version)


def status(row: Row, ctx: Context) -> str:
    """A network or a router is ACTIVE from its creation on, as in Neutron, unless the host could not do it."""
    return "ERROR" if row["host_status"] == "ERROR" else "ACTIVE"


def is_default(row: Row, ctx: Context) -> Any:
    return bool(row["is_default"])


NETWORK = Sparse(
    "network",
    "networks",
    [
        *head(),
        Field("admin_state_up", Flag(), show=flag("admin_state_up"), create=True, update=True, default=True, filter=True, sort=True),
        Field("mtu", Whole(min=0), show="mtu", create=True, update=True, filter=True, sort=True, alias="net-mtu"),
        Field("status", show=status, sort="host_status"),
        Field("subnets", show="subnets", relation=subnets_of),
        Field("shared", Flag(), show=is_shared, create=True, update=True, default=False, relation=targets_of),
        Field("port_security_enabled", Flag(), show=flag("port_security_enabled"), create=True, update=True, alias="port-security"),
        Field(
            "router:external",
            Flag(),
            show=flag("external"),
            create=True,
            update=True,
            column="external",
            default=False,
            filter="external",
            alias="external-net",
        ),
        Field("is_default", Flag(), show=is_default, create=True, update=True, column="is_default", default=False, filter="is_default"),
        Field("qos_policy_id", Id(null=True), show=policy_id, create=True, update=True, filter=True, alias="qos"),
        Field(
            "dns_domain",
            DnsName(domain=True),
            show="dns_domain",
            create=True,
            update=True,
            relation=unsaid("dns_domain"),
            alias="dns-integration",
        ),
        *zone_fields("network"),
        Field("ipv4_address_scope", show=scope(4), alias="address-scope"),
        Field("ipv6_address_scope", show=scope(6), alias="address-scope"),
        Field(
            "provider:network_type",
            Text(null=True),
            show="network_type",
            create=True,
            update=True,
            filter=True,
            who=admin_only,
            alias="provider",
        ),
        Field(
            "provider:physical_network",
            Text(null=True),
            show="physical_network",
            create=True,
            update=True,
            filter=True,
            who=admin_only,
            alias="provider",
        ),
        Field(
            "provider:segmentation_id",
            Whole(null=True),
            show="segmentation_id",
            create=True,
            update=True,
            filter=True,
            who=admin_only,
            alias="provider",
        ),
        *tail(),
    ],
    words=WORDS,
)
NETWORK.sparse = ("qos_policy_id", "dns_domain")
NETWORK_ADMIN = (
    "shared",
    "router:external",
    "is_default",
    "provider:network_type",
    "provider:physical_network",
    "provider:segmentation_id",
)

SUBNET = Resource(
    "subnet",
    "subnets",
    [
        *head(),
        Field("ip_version", Whole(values=(4, 6)), show="ip_version", create="required", filter=True, sort=True),
        Field("network_id", Id(), show="network_id", create="required", filter=True, sort=True),
        Field("subnetpool_id", Id(null=True), show="subnetpool_id", create=True, filter=True, sort=True),
        Field("prefixlen", Whole(min=0), create=True),
        Field("use_default_subnetpool", Flag(), create=True, default=False, alias="default-subnetpools"),
        Field("cidr", Cidr(), show="cidr", create=True, filter=True, sort=True),
        Field("gateway_ip", Address(null=True), show="gateway_ip", create=True, update=True, filter=True, sort=True),
        Field("enable_dhcp", Flag(), show=flag("enable_dhcp"), create=True, update=True, default=True, filter=True, sort=True),
        Field("ipv6_ra_mode", OneOf(IPV6_MODES), show="ipv6_ra_mode", create=True, filter=True, sort=True),
        Field("ipv6_address_mode", OneOf(IPV6_MODES), show="ipv6_address_mode", create=True, filter=True, sort=True),
        Field("allocation_pools", Pools(), show=unpacked("allocation_pools"), create=True, update=True),
        Field("dns_nameservers", Nameservers(), show=unpacked("dns_nameservers"), create=True, update=True, default=list),
        Field("host_routes", Routes(), show=unpacked("host_routes"), create=True, update=True, default=list),
        Field(
            "service_types",
            ListOf(Text()),
            show=unpacked("service_types"),
            create=True,
            update=True,
            default=list,
            alias="subnet-service-types",
        ),
        *tail(),
    ],
    words=WORDS,
)
