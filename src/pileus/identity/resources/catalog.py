"""Field tables of the catalog: regions, services, endpoints, groups of endpoints; and policies, which are kept for services to read."""

from __future__ import annotations

from pileus.identity.resources.types import BOOL, FILTERS, ID, INTERFACE, TEXT, URL, Json, declare, links
from pileus.kit.context import Context
from pileus.kit.resource import Field, flag, unpacked
from pileus.kit.store import Row
from pileus.openstack.types import Str


def endpoint_url(row: Row, ctx: Context) -> str:
    """Where it answers. What begins with a slash is a prefix of this cloud's listener, at the address that the client used."""
    url: str = row["url"]
    return ctx.base_url.removesuffix("/identity") + url if url.startswith("/") else url


REGION = declare(
    "region",
    "regions",
    [
        Field("id", Str(max=255), show="id", create=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("parent_region_id", Str(null=True), show="parent_region_id", create=True, update=True, filter=True),
        Field("links", show=links("regions")),
    ],
)

SERVICE = declare(
    "service",
    "services",
    [
        Field("id", show="id"),
        Field("type", Str(min=1, max=255, pattern=r"[\S]+"), show="type", create="required", update=True, filter=True),
        Field("name", Str(null=True), create=True, update=True, filter=True),
        Field("description", TEXT, create=True, update=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("links", show=links("services")),
    ],
)

ENDPOINT = declare(
    "endpoint",
    "endpoints",
    [
        Field("id", show="id"),
        Field("interface", INTERFACE, show="interface", create="required", update=True, filter=True),
        Field("region_id", Str(null=True), show="region_id", create=True, update=True, filter=True),
        Field("region", Str(null=True), show=lambda row, ctx: row["region_id"], create=True, update=True, filter="region_id"),
        Field("service_id", ID, show="service_id", create="required", update=True, filter=True),
        Field("url", URL, show=endpoint_url, create="required", update=True, column="url"),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("links", show=links("endpoints")),
    ],
)

ENDPOINT_GROUP = declare(
    "endpoint_group",
    "endpoint_groups",
    [
        Field("id", show="id"),
        Field("name", Str(min=1, max=255), show="name", create="required", update=True, filter=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("filters", FILTERS, show=unpacked("filters"), create="required", update=True, column="filters"),
        Field("links", show=links("OS-EP-FILTER/endpoint_groups")),
    ],
    open=False,
)

POLICY = declare(
    "policy",
    "policies",
    [
        Field("id", show="id"),
        Field("type", Str(max=255), show="type", create="required", update=True, filter=True, doc="The MIME type of the text."),
        Field("blob", Json(), show="blob", create="required", update=True, doc="The text itself; nothing here reads it."),
        Field("links", show=links("policies")),
    ],
)
