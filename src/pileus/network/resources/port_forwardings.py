"""Field table of floating IPs' port forwardings."""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource, Show, children
from pileus.kit.store import Row, Store
from pileus.network.types import WORDS, Address, Id, OneOf, PortRange, Text, Whole
from pileus.network.types.rules import WITH_PORTS

ALIAS, RANGES = "floating-ip-port-forwarding", "floating-ip-port-forwarding-port-ranges"
LAST = 65535


def single(side: str) -> Show:
    """The one port of a side; null when it is a range."""

    def show(row: Row, ctx: Context) -> Any:
        return row[f"{side}_low"] if row[f"{side}_low"] == row[f"{side}_high"] else None

    return show


def span(side: str) -> Show:
    def show(row: Row, ctx: Context) -> Any:
        return f"{row[f'{side}_low']}:{row[f'{side}_high']}"

    return show


def forwardings_of(store: Store, rows: list[Row]) -> None:
    """Relation: `port_forwardings`, what a floating IP forwards; null for nothing, and then it is not shown (fields.Sparse)."""
    found = children(store, "port_forwarding", "floating_ip_id", rows)
    for row in rows:
        row["port_forwardings"] = [_shown(each) for each in found.get(row["id"], ())] or None


def _shown(row: Row) -> Row:
    """As inside a floating IP: without ranges, as in Neutron."""
    shown = {key: row[key] for key in ("id", "internal_port_id", "internal_ip_address", "protocol")}
    for side in ("internal", "external"):
        if row[f"{side}_low"] == row[f"{side}_high"]:
            shown[f"{side}_port"] = row[f"{side}_low"]
    return shown


PORT_FORWARDING = Resource(
    "port_forwarding",
    "port_forwardings",
    [
        Field("id", show="id", filter=True, sort=True),
        Field("project_id", Text(), create=True),
        Field("tenant_id", Text(), create=True),
        Field("description", Text(), show="description", create=True, update=True, default="", filter=True, alias=f"{ALIAS}-description"),
        Field("protocol", OneOf(tuple(sorted(WITH_PORTS))), show="protocol", create="required", update=True, filter=True, sort=True),
        Field("internal_port_id", Id(), show="internal_port_id", create="required", update=True, filter=True, sort=True, alias=ALIAS),
        Field("internal_ip_address", Address(), show="internal_ip_address", create=True, update=True),
        Field("internal_port", Whole(min=1, max=LAST, null=True), show=single("internal"), create=True, update=True),
        Field("internal_port_range", PortRange(), show=span("internal"), create=True, update=True, alias=RANGES),
        Field(
            "external_port",
            Whole(min=1, max=LAST, null=True),
            show=single("external"),
            create=True,
            update=True,
            filter="external_low",
            sort="external_low",
        ),
        Field("external_port_range", PortRange(), show=span("external"), create=True, update=True),
    ],
    words=WORDS,
    table="port_forwarding",
)
