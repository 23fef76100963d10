"""Identity's field tables, by noun, and how a row of them is shown."""

from __future__ import annotations

from pileus.identity.resources.auth import AUTH_SCHEMA
from pileus.identity.resources.catalog import ENDPOINT, ENDPOINT_GROUP, POLICY, REGION, SERVICE
from pileus.identity.resources.delegation import ACCESS_RULE, APPLICATION_CREDENTIAL, CONSUMER, CREDENTIAL, TRUST
from pileus.identity.resources.federation import IDENTITY_PROVIDER, MAPPING, PROTOCOL, SERVICE_PROVIDER
from pileus.identity.resources.limits import LIMIT, REGISTERED_LIMIT
from pileus.identity.resources.people import DOMAIN, GROUP, PROJECT, ROLE, USER
from pileus.identity.resources.people import OPTIONAL as USER_OPTIONAL
from pileus.identity.resources.types import expecting, extra, links, required
from pileus.kit.context import Context
from pileus.kit.resource import Resource
from pileus.kit.store import Row

OPTIONAL = {USER: USER_OPTIONAL, SERVICE: ("name", "description")}  # shown when they are set


def views(resource: Resource, rows: list[Row], ctx: Context) -> list[Row]:
    """Rows as Keystone shows them: what clients added stands beside the fields."""
    out = []
    for row, shown in zip(rows, resource.views(rows, ctx), strict=True):
        shown.update({name: row[name] for name in OPTIONAL.get(resource, ()) if row[name] is not None})
        out.append({**extra(row), **shown} if resource.open else shown)
    return out


def view(resource: Resource, row: Row, ctx: Context) -> Row:
    return views(resource, [row], ctx)[0]


__all__ = [
    "ACCESS_RULE",
    "APPLICATION_CREDENTIAL",
    "AUTH_SCHEMA",
    "CONSUMER",
    "CREDENTIAL",
    "DOMAIN",
    "ENDPOINT",
    "ENDPOINT_GROUP",
    "GROUP",
    "IDENTITY_PROVIDER",
    "LIMIT",
    "MAPPING",
    "POLICY",
    "PROJECT",
    "PROTOCOL",
    "REGION",
    "REGISTERED_LIMIT",
    "ROLE",
    "SERVICE",
    "SERVICE_PROVIDER",
    "TRUST",
    "USER",
    "expecting",
    "extra",
    "links",
    "required",
    "view",
    "views",
]
