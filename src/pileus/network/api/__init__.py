"""Neutron's v2.0 routes, and the handlers of odd shape. Source: https://docs.openstack.org/api-ref/network/v2/"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.errors import NotFound
from pileus.kit.context import Cloud
from pileus.kit.resource import Mismatch
from pileus.kit.store import Row
from pileus.kit.web import Dialect, Request, Response, Route
from pileus.network.actions import floating_ips, networks, ports, quotas, routers, rules, security_groups, subnets, tags
from pileus.network.api import operator, port_forwardings, query, sharing
from pileus.network.api.crud import Noun, body_of, decoded, routes_of
from pileus.network.api.logs import LOG_ROUTES, LOGS
from pileus.network.api.qos import POLICIES, QOS_ROUTES
from pileus.network.api.trunks import TRUNK_ROUTES, TRUNKS
from pileus.network.resources import FLOATING_IP, NETWORK, PORT, ROUTER, RULE, SECURITY_GROUP, SUBNET
from pileus.network.resources.extensions import offered
from pileus.network.types import WORDS, Flag, Whole, malformed
from pileus.openstack import fault
from pileus.openstack.front import Authenticate
from pileus.openstack.front import dialect as openstack_dialect

MOST = 2_147_483_647  # the largest limit a quota may have


def _only_external_default(item: Row, row: Row) -> None:
    """Whether a network is the default one is shown of external networks only."""
    if not row["external"]:
        item.pop("is_default")


NOUNS = (
    Noun(
        "networks",
        NETWORK,
        networks.find_network,
        networks.list_networks,
        networks.create_network,
        networks.delete_network,
        networks.update_network,
        {"status": query.by_status, "shared": query.by_sharing("network")},
        _only_external_default,
    ),
    Noun(
        "subnets",
        SUBNET,
        subnets.find_subnet,
        subnets.list_subnets,
        subnets.create_subnet,
        subnets.delete_subnet,
        subnets.update_subnet,
        {"shared": query.by_network_shared},
    ),
    Noun(
        "ports",
        PORT,
        ports.find_port,
        ports.list_ports,
        ports.create_port,
        ports.delete_port,
        ports.update_port,
        {"fixed_ips": query.by_fixed_ips, "security_groups": query.by_security_group},
    ),
    Noun(
        "routers",
        ROUTER,
        routers.find_router,
        routers.list_routers,
        routers.create_router,
        routers.delete_router,
        routers.update_router,
        {"status": query.by_status},
    ),
    Noun(
        "floatingips",
        FLOATING_IP,
        floating_ips.find_floating_ip,
        floating_ips.list_floating_ips,
        floating_ips.create_floating_ip,
        floating_ips.delete_floating_ip,
        floating_ips.update_floating_ip,
    ),
    Noun(
        "security-groups",
        SECURITY_GROUP,
        security_groups.find_security_group,
        security_groups.list_security_groups,
        security_groups.create_security_group,
        security_groups.delete_security_group,
        security_groups.update_security_group,
        {"shared": query.by_sharing("security_group")},
    ),
    Noun(
        "security-group-rules",
        RULE,
        rules.find_security_group_rule,
        rules.list_security_group_rules,
        rules.create_security_group_rule,
        rules.delete_security_group_rule,
    ),
    *sharing.NOUNS,
    *operator.NOUNS,
    POLICIES,
    TRUNKS,
    LOGS,
)


# -- versions and extensions -----------------------------------------------------------------------------------------------


def list_versions(request: Request) -> Response:
    """The versions of this API."""
    links = [{"rel": "self", "href": f"{request.root}/v2.0/"}]
    return Response(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})


def list_resources(request: Request) -> Response:
    """The nouns of v2.0."""

    def described(noun: Noun) -> Row:
        return {"name": noun.resource.key, "collection": noun.resource.plural, "links": [{"rel": "self", "href": _url(request, noun)}]}

    return Response(200, {"resources": [described(noun) for noun in NOUNS]})


def _url(request: Request, noun: Noun) -> str:
    return f"{request.root}/v2.0/{noun.path}"


def list_extensions(request: Request) -> Response:
    """The extensions this cloud has."""
    return Response(200, {"extensions": list(offered().values())})


def show_extension(request: Request) -> Response:
    """Show an extension, by its alias."""
    alias = request.params["id"]
    if (found := offered().get(alias)) is None:
        raise NotFound(f"Extension with alias {alias} does not exist", type="HTTPNotFound")
    return Response(200, {"extension": found})


# -- router interfaces -----------------------------------------------------------------------------------------------------


def add_router_interface(request: Request) -> Response:
    """Join a router to a subnet, by the subnet or by a port."""
    return Response(200, routers.add_router_interface(request.ctx, request.params["id"], body_of(request)))


def remove_router_interface(request: Request) -> Response:
    """Take a router from a subnet."""
    return Response(200, routers.remove_router_interface(request.ctx, request.params["id"], body_of(request)))


def _routes(request: Request) -> list[dict[str, str]]:
    """The routes that a request names. Raises BadRequest."""
    values = decoded(ROUTER, body_of(request).get("router"), "update", request.ctx)
    if set(values) != {"routes"}:
        raise malformed("Failed to parse request. Required attribute 'routes' not specified")
    found: list[dict[str, str]] = values["routes"]
    return found


def add_extraroutes(request: Request) -> Response:
    """Add to a router's routes."""
    row = routers.add_extraroutes(request.ctx, request.params["id"], _routes(request))
    return Response(200, {"router": ROUTER.view(row, request.ctx)})


def remove_extraroutes(request: Request) -> Response:
    """Take from a router's routes."""
    row = routers.remove_extraroutes(request.ctx, request.params["id"], _routes(request))
    return Response(200, {"router": ROUTER.view(row, request.ctx)})


# -- tags ------------------------------------------------------------------------------------------------------------------


def tag_routes(collection: str) -> list[Route]:
    """The routes of one collection's tags."""

    def call(verb: Callable[..., Any], request: Request, *more: Any) -> Any:
        return verb(request.ctx, collection, request.params["id"], *more)

    def each(verb: Callable[..., None], status: int) -> Callable[[Request], Response]:
        def handler(request: Request) -> Response:
            call(verb, request, request.params["key"])
            return Response(status)

        return handler

    def clear(request: Request) -> Response:
        call(tags.delete_tags, request)
        return Response(204)

    at, what = f"/v2.0/{collection}/{{id}}/tags", collection.replace("-", " ")
    return [
        Route("GET", at, lambda request: Response(200, {"tags": call(tags.list_tags, request)}), doc=f"List the tags of {what}"),
        Route("PUT", at, lambda request: Response(200, {"tags": call(tags.replace_tags, request, body_of(request))}), doc="Set all tags"),
        Route("DELETE", at, clear, doc="Remove all tags"),
        Route("GET", at + "/{key}", each(tags.check_tag, 204), doc="Ask whether a tag is there"),
        Route("PUT", at + "/{key}", each(tags.add_tag, 201), doc="Add a tag"),
        Route("DELETE", at + "/{key}", each(tags.delete_tag, 204), doc="Remove a tag"),
    ]


# -- quotas ----------------------------------------------------------------------------------------------------------------


def _quota(limits: Any, status: int = 200) -> Response:
    return Response(status, {"quota": limits})


def show_quota(request: Request) -> Response:
    """A project's limits."""
    return _quota(quotas.show_quota(request.ctx, request.params["id"]))


def show_default_quota(request: Request) -> Response:
    """The limits a project has while none are set."""
    return _quota(quotas.show_default_quota(request.ctx, request.params["id"]))


def show_quota_details(request: Request) -> Response:
    """A project's limits and what is used of them."""
    return _quota(quotas.show_quota_details(request.ctx, request.params["id"]))


def show_own_project(request: Request) -> Response:
    """The project that the token is for."""
    return Response(200, {"tenant": {"tenant_id": request.ctx.project_id, "project_id": request.ctx.project_id}})


def list_quotas(request: Request) -> Response:
    """The projects for which limits have been set."""
    return Response(200, {"quotas": quotas.list_quotas(request.ctx)})


def update_quota(request: Request) -> Response:
    """Set some of a project's limits."""
    given = body_of(request).get("quota")
    if not isinstance(given, dict):
        raise WORDS.no_object("quota", given)
    if unknown := [name for name in given if name not in (*quotas.DEFAULTS, "tenant_id", "project_id", "check_limit", "force")]:
        raise WORDS.unknown(unknown)
    check = _flag(given, "check_limit")
    changes = {}
    for name in given.keys() & quotas.DEFAULTS.keys():
        try:
            changes[name] = int(Whole(min=-1, max=MOST).parse(given[name]) or 0)
        except Mismatch as mismatch:
            raise WORDS.mismatch(name, mismatch) from None
    return _quota(quotas.update_quota(request.ctx, request.params["id"], changes, check=check))


def _flag(given: Row, name: str) -> bool:
    try:
        return bool(Flag().parse(given.get(name, False)))
    except Mismatch as mismatch:
        raise WORDS.mismatch(name, mismatch) from None


def delete_quota(request: Request) -> Response:
    """Give a project the default limits."""
    quotas.delete_quota(request.ctx, request.params["id"])
    return Response(204)


ROUTES: list[Route] = [
    Route("GET", "/", list_versions, open=True),
    Route("GET", "/v2.0", list_resources),
    Route("GET", "/v2.0/extensions", list_extensions),
    Route("GET", "/v2.0/extensions/{id}", show_extension),
    *(route for noun in NOUNS for route in routes_of(noun)),
    *QOS_ROUTES,
    *TRUNK_ROUTES,
    *LOG_ROUTES,
    *(route for collection in tags.TAGGED for route in tag_routes(collection)),
    *sharing.ROUTES,
    *operator.ROUTES,
    *port_forwardings.ROUTES,
    Route("PUT", "/v2.0/routers/{id}/add_router_interface", add_router_interface),
    Route("PUT", "/v2.0/routers/{id}/remove_router_interface", remove_router_interface),
    Route("PUT", "/v2.0/routers/{id}/add_extraroutes", add_extraroutes),
    Route("PUT", "/v2.0/routers/{id}/remove_extraroutes", remove_extraroutes),
    Route("GET", "/v2.0/quotas", list_quotas),
    Route("GET", "/v2.0/quotas/tenant", show_own_project),
    Route("GET", "/v2.0/quotas/project", show_own_project),
    Route("GET", "/v2.0/quotas/{id}", show_quota),
    Route("PUT", "/v2.0/quotas/{id}", update_quota),
    Route("DELETE", "/v2.0/quotas/{id}", delete_quota),
    *(Route("GET", f"/v2.0/quotas/{{id}}/default{end}", show_default_quota) for end in ("", ".json")),
    *(Route("GET", f"/v2.0/quotas/{{id}}/details{end}", show_quota_details) for end in ("", ".json")),
]


def dialect(cloud: Cloud, authenticate: Authenticate) -> Dialect:
    """Neutron at /network. A path that is none of v2.0's is not found without a token, as in Neutron."""
    return openstack_dialect("network", ROUTES, cloud, authenticate, fault.neutron, guarded=lambda path: path.startswith("/v2.0"))


__all__ = ["NOUNS", "ROUTES", "dialect"]
