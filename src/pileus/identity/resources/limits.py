"""Field tables of unified limits: what a resource of a service is limited to, and where a project or a domain has a limit of its own."""

from __future__ import annotations

from pileus.identity.resources.types import ID, TEXT, declare, links
from pileus.kit.resource import Field
from pileus.openstack.types import Int, Str

AMOUNT = Int(min=-1, max=2147483647)
RESOURCE = Str(min=1, max=255)
REGION = Str(null=True)

REGISTERED_LIMIT = declare(
    "registered_limit",
    "registered_limits",
    [
        Field("id", show="id"),
        Field("service_id", ID, show="service_id", create="required", update=True, filter=True),
        Field("region_id", REGION, show="region_id", create=True, update=True, filter=True),
        Field("resource_name", RESOURCE, show="resource_name", create="required", update=True, filter=True),
        Field("default_limit", AMOUNT, show="default_limit", create="required", update=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("links", show=links("registered_limits")),
    ],
    open=False,
)

LIMIT = declare(
    "limit",
    "limits",
    [
        Field("id", show="id"),
        Field("project_id", ID, show="project_id", create=True, filter=True),
        Field("domain_id", ID, show="domain_id", create=True, filter=True),
        Field("service_id", ID, show="service_id", create="required", filter=True),
        Field("region_id", REGION, show="region_id", create=True, filter=True),
        Field("resource_name", RESOURCE, show="resource_name", create="required", filter=True),
        Field("resource_limit", AMOUNT, show="resource_limit", create="required", update=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("links", show=links("limits")),
    ],
    table="project_limit",
    open=False,
)
