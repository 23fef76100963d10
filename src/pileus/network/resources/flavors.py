"""Field tables of the network's own flavors (kinds of routers) and their service profiles."""

from __future__ import annotations

from typing import Any

from pileus.kit.resource import Field, Resource, children, flag
from pileus.kit.store import Row, Store
from pileus.network.types import WORDS, Flag, Id, ListOf, Metainfo, OneOf, Text

ROUTERS = "L3_ROUTER_NAT"
SERVICE_TYPES = (ROUTERS, "DUMMY", "FIREWALL", "FIREWALL_V2", "FLAVORS", "LOADBALANCERV2", "METERING", "QOS", "VPN")  # Neutron's


def profiles_of(store: Store, rows: list[Row]) -> None:
    """Relation: `profiles`, the ids of each flavor's service profiles."""
    found = children(store, "flavor_service_profile", "flavor_id", rows, "service_profile_id")
    for row in rows:
        row["profiles"] = [each["service_profile_id"] for each in found.get(row["id"], ())]


def text(name: str, **more: Any) -> Field:
    return Field(name, Text(), show=name, create=True, update=True, default="", filter=True, sort=True, **more)


ENABLED = Field(
    "enabled",
    Flag(),
    show=flag("enabled"),
    create=True,
    update=True,
    default=True,
    filter="enabled",
    sort="enabled",
    column="enabled",
    doc="False: nothing new is made of it.",
)

FLAVOR = Resource(
    "flavor",
    "flavors",
    [
        Field("id", show="id", filter=True, sort=True),
        text("name", alias="flavors", doc="What people call it."),
        text("description", doc="Free text."),
        Field(
            "service_type",
            OneOf(SERVICE_TYPES),
            show="service_type",
            create="required",
            filter=True,
            sort=True,
            doc="What it is a kind of. Only of routers is anything made here.",
        ),
        Field(
            "service_profiles",
            ListOf(Id()),
            show="profiles",
            create=True,
            update=True,
            relation=profiles_of,
            column="service_profiles",
            doc="The ids of its profiles; the first makes the router.",
        ),
        ENABLED,
    ],
    words=WORDS,
    table="network_flavor",
)

SERVICE_PROFILE = Resource(
    "service_profile",
    "service_profiles",
    [
        Field("id", show="id", filter=True, sort=True),
        text("description"),
        text("driver"),
        Field("metainfo", Metainfo(), show="metainfo", create=True, update=True, default="", sort=True),
        ENABLED,
    ],
    words=WORDS,
)
