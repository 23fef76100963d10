"""Quotas, quota classes, limits and usage. Source: https://docs.openstack.org/api-ref/compute/#quota-sets-os-quota-sets"""

from __future__ import annotations

import re
from typing import Any

from pileus.compute import versions
from pileus.compute.actions import quotas, usage
from pileus.compute.api.read import body_of, paged, strict
from pileus.compute.resources.words import BOOL, parse
from pileus.errors import BadRequest
from pileus.kit.clock import micros
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, forbid
from pileus.kit.resource import Type
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.openstack.listing import next_link
from pileus.openstack.types import Int, Obj

LIMIT = Int(min=-1, max=0x7FFFFFFF, loose=True)


def _set(id: str | None, values: Row, ctx: Context) -> Response:
    shown = {name: values[name] for name in quotas.shown(ctx)}
    return Response(200, {"quota_set": ({"id": id} if id else {}) | shown})


def show_quotas(request: Request) -> Response:
    """A project's limits."""
    return _set(request.params["id"], quotas.show_quotas(request.ctx, request.params["id"]), request.ctx)


def detail_quotas(request: Request) -> Response:
    """A project's limits and what it uses."""
    return _set(request.params["id"], quotas.detail_quotas(request.ctx, request.params["id"]), request.ctx)


def default_quotas(request: Request) -> Response:
    """The limits that hold where none are set."""
    return _set(request.params["id"], quotas.default_quotas(request.ctx), request.ctx)


def update_quotas(request: Request) -> Response:
    """Set a project's limits (admin)."""
    ctx, id = request.ctx, request.params["id"]
    kinds: dict[str, Type] = dict.fromkeys(quotas.shown(ctx), LIMIT)
    given = parse("quota_set", body_of(request), Obj({**kinds, "force": BOOL}))
    if "user_id" in request.query:
        raise BadRequest("Limits are set for a project; this cloud has none for single users.")
    force = given.pop("force", False)
    return _set(None, quotas.update_quotas(ctx, id, given, force=force), ctx)


def delete_quotas(request: Request) -> Response:
    """Let a project have the defaults again (admin)."""
    quotas.delete_quotas(request.ctx, request.params["id"])
    return Response(202)


# -- classes -----------------------------------------------------------------------------------------------------------------


def _class_names(ctx: Context) -> list[str]:
    hidden = set(quotas.NETWORK_COUNTS) if ctx.version >= versions.GROUP_QUOTA_CLASS else {"server_groups", "server_group_members"}
    if ctx.version >= versions.NO_PERSONALITY:
        hidden |= set(quotas.FILE_COUNTS)
    return sorted(name for name in quotas.DEFAULTS if name not in hidden)


def _class(id: str | None, values: Row, ctx: Context) -> Response:
    shown = {name: values[name] for name in _class_names(ctx)}
    return Response(200, {"quota_class_set": ({"id": id} if id else {}) | shown})


def show_class(request: Request) -> Response:
    """The default limits (admin)."""
    return _class(request.params["id"], quotas.show_class(request.ctx), request.ctx)


def update_class(request: Request) -> Response:
    """Change the default limits (admin)."""
    ctx = request.ctx
    given = parse("quota_class_set", body_of(request), Obj(dict.fromkeys(_class_names(ctx), LIMIT)))
    if request.params["id"] != "default":
        raise BadRequest("There is one class of quotas, and it is called default.")
    return _class(None, quotas.update_class(ctx, given), ctx)


# -- limits ------------------------------------------------------------------------------------------------------------------

# the API's name -> the quota's; those that Neutron counts, that belong to images and to files end at different versions
LIMITS = {
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalRAMSize": "ram",
    "maxServerMeta": "metadata_items",
    "maxImageMeta": "metadata_items",
    "maxPersonality": "injected_files",
    "maxPersonalitySize": "injected_file_content_bytes",
    "maxTotalKeypairs": "key_pairs",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
    "maxTotalFloatingIps": "floating_ips",
    "maxSecurityGroups": "security_groups",
    "maxSecurityGroupRules": "security_group_rules",
}
USED = {
    "totalRAMUsed": "ram",
    "totalCoresUsed": "cores",
    "totalInstancesUsed": "instances",
    "totalFloatingIpsUsed": "floating_ips",
    "totalSecurityGroupsUsed": "security_groups",
    "totalServerGroupsUsed": "server_groups",
}


def _hidden(ctx: Context) -> set[str]:
    hidden: set[str] = set()
    if ctx.version >= versions.NO_PROXIES:
        hidden |= {"maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules", "totalFloatingIpsUsed", "totalSecurityGroupsUsed"}
    if ctx.version >= versions.NO_IMAGE_METADATA:
        hidden.add("maxImageMeta")
    if ctx.version >= versions.NO_PERSONALITY:
        hidden |= {"maxPersonality", "maxPersonalitySize"}
    return hidden


def show_limits(request: Request) -> Response:
    """A project's limits and use, as one flat table; an admin may name another project."""
    strict(request, ("reserved", "tenant_id"))
    ctx = request.ctx
    project = request.query.get("tenant_id") or ctx.project_id
    if not PROJECT_READER(ctx):
        forbid("os_compute_api:limits")
    if project != ctx.project_id and not ADMIN(ctx):
        forbid("os_compute_api:limits:other_project")
    may, has, hidden = quotas.limits_of(ctx.store, project), quotas.usage(ctx.store, project), _hidden(ctx)
    absolute = {name: may[quota] for name, quota in LIMITS.items() if name not in hidden}
    absolute |= {name: has[quota] for name, quota in USED.items() if name not in hidden}
    return Response(200, {"limits": {"rate": [], "absolute": absolute}})


# -- usage -------------------------------------------------------------------------------------------------------------------


def _moment(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        if not re.match(r"\d{4}-\d\d-\d\d", text):
            raise ValueError(text)
        return micros(text)
    except ValueError:
        raise BadRequest(f"Datetime is in invalid format: {text}") from None


def _span(request: Request) -> tuple[int, int, str | None, int | None]:
    now = request.ctx.now()
    start, stop = _moment(request, "start", now), _moment(request, "end", now)
    if stop < start:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    if request.ctx.version < versions.PAGED_USAGE:
        return start, stop, None, None
    listing = paged(request)
    return start, stop, listing.marker, listing.limit


def _links(request: Request, key: str, shares: list[Row], limit: int | None) -> Row:
    if limit is None or len(shares) < limit or "limit" not in request.query:
        return {}
    return {f"{key}_links": [next_link(f"{request.root}{request.path}", request.pairs, shares[-1]["instance_id"])]}


def show_usage(request: Request) -> Response:
    """A project's usage."""
    strict(request, ("start", "end", "limit", "marker"))
    start, stop, marker, limit = _span(request)
    total, shares = usage.show_usage(request.ctx, request.params["id"], start, stop, marker=marker, limit=limit)
    shown: dict[str, Any] = {"tenant_usage": {**total, "server_usages": shares} if shares else {}}
    return Response(200, shown | _links(request, "tenant_usage", shares, limit))


def list_usage(request: Request) -> Response:
    """Every project's usage (admin)."""
    strict(request, ("start", "end", "detailed", "limit", "marker"))
    start, stop, marker, limit = _span(request)
    found = usage.list_usage(request.ctx, start, stop, marker=marker, limit=limit)
    detailed = request.query.get("detailed", "0") == "1"
    shown: dict[str, Any] = {"tenant_usages": [{**total, **({"server_usages": shares} if detailed else {})} for total, shares in found]}
    return Response(200, shown | _links(request, "tenant_usages", [share for _, shares in found for share in shares], limit))


ROUTES = [
    Route("GET", "/os-quota-sets/{id}", show_quotas),
    Route("PUT", "/os-quota-sets/{id}", update_quotas),
    Route("DELETE", "/os-quota-sets/{id}", delete_quotas),
    Route("GET", "/os-quota-sets/{id}/detail", detail_quotas),
    Route("GET", "/os-quota-sets/{id}/defaults", default_quotas),
    Route("GET", "/os-quota-class-sets/{id}", show_class),
    Route("PUT", "/os-quota-class-sets/{id}", update_class),
    Route("GET", "/limits", show_limits),
    Route("GET", "/os-simple-tenant-usage", list_usage),
    Route("GET", "/os-simple-tenant-usage/{id}", show_usage),
]
