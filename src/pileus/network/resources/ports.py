"""Field table of ports."""

from __future__ import annotations

import json
from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, children, flag, unpacked
from pileus.kit.store import Row, Store
from pileus.network.resources.fields import Sparse, admin_only, head, tail
from pileus.network.resources.qos import policy_id
from pileus.network.resources.trunks import details_of
from pileus.network.types import WORDS, AddressPairs, Anyhow, DhcpOptions, DnsName, FixedIps, Flag, Id, ListOf, Mac, OneOf, Text
from pileus.network.types.names import DOMAIN, within

VNIC_TYPES = ("normal", "macvtap", "direct", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "vdpa", "accelerator-direct")


def fixed_ips_of(store: Store, rows: list[Row]) -> None:
    """Relation: `fixed_ips`, each port's addresses in their order."""
    found = children(store, "fixed_ip", "port_id", rows, "port_id, position")
    for row in rows:
        row["fixed_ips"] = [{"subnet_id": each["subnet_id"], "ip_address": each["ip_address"]} for each in found.get(row["id"], ())]


def names_of(store: Store, rows: list[Row]) -> None:
    """Relation: `dns_assignment`, the names of each port's addresses in DNS. Of a port without a name null, and so its `dns_name`."""
    for row in rows:
        name = within(row["dns_name"] or "")
        full = [{"ip_address": ip["ip_address"], "hostname": name, "fqdn": f"{name}.{DOMAIN}."} for ip in row["fixed_ips"]]
        row["dns_assignment"] = full if name else None
        row["dns_name"] = row["dns_name"] or None


def groups_of(store: Store, rows: list[Row]) -> None:
    """Relation: `security_groups`, the ids of each port's groups."""
    found = children(store, "port_security_group", "port_id", rows, "security_group_id")
    for row in rows:
        row["security_groups"] = [each["security_group_id"] for each in found.get(row["id"], ())]


def network_policies_of(store: Store, rows: list[Row]) -> None:
    """Relation: `qos_network_policy_id`, the policy of each port's network."""
    ids = {row["network_id"] for row in rows}
    marks = ", ".join("?" * len(ids))
    sql = f"SELECT id, qos_policy_id FROM network WHERE id IN ({marks}) AND qos_policy_id <> ''"  # noqa: S608 - marks only
    found = {network["id"]: network["qos_policy_id"] for network in store.query(sql, *ids)}
    for row in rows:
        row["qos_network_policy_id"] = found.get(row["network_id"])


def uplink(row: Row, ctx: Context) -> bool:
    return bool(row["propagate_uplink_status"])


def pairs(row: Row, ctx: Context) -> list[dict[str, str]]:
    return [{"mac_address": row["mac_address"], **pair} for pair in json.loads(row["allowed_address_pairs"])]


def vif_type(row: Row, ctx: Context) -> str:
    """Bound ports are taps on a bridge; a port that no device uses is unbound."""
    return "bridge" if row["binding_host"] else "unbound"


def vif_details(row: Row, ctx: Context) -> dict[str, Any]:
    return {"port_filter": True, "connectivity": "l2"} if row["binding_host"] else {}


PORT = Sparse(
    "port",
    "ports",
    [
        *head(),
        Field("network_id", Id(), show="network_id", create="required", filter=True, sort=True),
        Field("admin_state_up", Flag(), show=flag("admin_state_up"), create=True, update=True, default=True, filter=True, sort=True),
        Field("mac_address", Mac(null=True), show="mac_address", create=True, update=True, filter=True, sort=True),
        Field("status", show="status", filter=True, sort=True),
        Field("device_id", Text(), show="device_id", create=True, update=True, default="", filter=True, sort=True),
        Field("device_owner", Text(), show="device_owner", create=True, update=True, default="", filter=True, sort=True),
        Field("fixed_ips", FixedIps(), show="fixed_ips", create=True, update=True, relation=fixed_ips_of),
        Field("dns_name", DnsName(), show="dns_name", create=True, update=True, filter=True, alias="dns-integration"),
        Field("dns_assignment", show="dns_assignment", relation=names_of, alias="dns-integration"),
        Field("allowed_address_pairs", AddressPairs(), show=pairs, create=True, update=True, alias="allowed-address-pairs"),
        Field("extra_dhcp_opts", DhcpOptions(), show=unpacked("extra_dhcp_opts"), create=True, update=True, alias="extra_dhcp_opt"),
        Field(
            "security_groups",
            ListOf(Id(), merge=True),
            show="security_groups",
            create=True,
            update=True,
            relation=groups_of,
            alias="security-group",
        ),
        Field("port_security_enabled", Flag(), show=flag("port_security_enabled"), create=True, update=True, alias="port-security"),
        Field("qos_policy_id", Id(null=True), show=policy_id, create=True, update=True, filter=True, alias="qos"),
        Field("qos_network_policy_id", show="qos_network_policy_id", relation=network_policies_of, alias="qos-port-network-policy"),
        Field("trunk_details", show="trunk_details", relation=details_of, alias="trunk-details"),
        Field("propagate_uplink_status", Flag(), show=uplink, create=True, update=True, alias="uplink-status-propagation"),
        Field("binding:vnic_type", OneOf(VNIC_TYPES), show="vnic_type", create=True, update=True, default="normal", alias="binding"),
        Field(
            "binding:host_id",
            Text(null=True),
            show="binding_host",
            create=True,
            update=True,
            filter=True,
            who=admin_only,
            alias="binding",
        ),
        Field(
            "binding:profile",
            Anyhow(),
            show=unpacked("binding_profile"),
            create=True,
            update=True,
            column="binding_profile",
            who=admin_only,
            alias="binding",
        ),
        Field("binding:vif_type", show=vif_type, who=admin_only, alias="binding"),
        Field("binding:vif_details", show=vif_details, who=admin_only, alias="binding"),
        *tail(),
    ],
    words=WORDS,
)
PORT.sparse = ("dns_name", "dns_assignment", "qos_policy_id", "qos_network_policy_id", "trunk_details", "propagate_uplink_status")
PORT_ADMIN = ("binding:host_id", "binding:profile")
