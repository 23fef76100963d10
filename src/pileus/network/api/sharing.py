"""The nouns that projects share things by: RBAC policies, address groups and scopes, subnet pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.network.actions import address_groups, address_scopes, rbac, subnetpools
from pileus.network.api.crud import Noun, body_of
from pileus.network.api.query import by_sharing
from pileus.network.resources.address_groups import ADDRESS_GROUP
from pileus.network.resources.pools import ADDRESS_SCOPE, SUBNETPOOL
from pileus.network.resources.rbac import RBAC_POLICY

NOUNS = (
    Noun(
        "rbac-policies",
        RBAC_POLICY,
        rbac.find_rbac_policy,
        rbac.list_rbac_policies,
        rbac.create_rbac_policy,
        rbac.delete_rbac_policy,
        rbac.update_rbac_policy,
    ),
    Noun(
        "address-groups",
        ADDRESS_GROUP,
        address_groups.find_address_group,
        address_groups.list_address_groups,
        address_groups.create_address_group,
        address_groups.delete_address_group,
        address_groups.update_address_group,
        {"shared": by_sharing("address_group")},
    ),
    Noun(
        "address-scopes",
        ADDRESS_SCOPE,
        address_scopes.find_address_scope,
        address_scopes.list_address_scopes,
        address_scopes.create_address_scope,
        address_scopes.delete_address_scope,
        address_scopes.update_address_scope,
        {"shared": by_sharing("address_scope")},
    ),
    Noun(
        "subnetpools",
        SUBNETPOOL,
        subnetpools.find_subnetpool,
        subnetpools.list_subnetpools,
        subnetpools.create_subnetpool,
        subnetpools.delete_subnetpool,
        subnetpools.update_subnetpool,
        {"shared": by_sharing("subnetpool")},
    ),
)


def _addresses(verb: Callable[[Context, str, Any], Row]) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        row = verb(request.ctx, request.params["id"], body_of(request))
        return Response(200, {ADDRESS_GROUP.key: ADDRESS_GROUP.view(row, request.ctx)})

    return handler


def _prefixes(verb: Callable[[Context, str, Any], list[str]]) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        return Response(200, {"prefixes": verb(request.ctx, request.params["id"], body_of(request))})

    return handler


def onboard_network_subnets(request: Request) -> Response:
    """Make a network's subnets parts of a pool."""
    found = subnetpools.onboard_network_subnets(request.ctx, request.params["id"], body_of(request))
    return Response(200, {"subnets": found})


ROUTES = (
    Route("PUT", "/v2.0/subnetpools/{id}/add_prefixes", _prefixes(subnetpools.add_prefixes), doc="Add ranges to a pool"),
    Route("PUT", "/v2.0/subnetpools/{id}/remove_prefixes", _prefixes(subnetpools.remove_prefixes), doc="Take ranges from a pool"),
    Route("PUT", "/v2.0/subnetpools/{id}/onboard_network_subnets", onboard_network_subnets),
    Route("PUT", "/v2.0/address-groups/{id}/add_addresses", _addresses(address_groups.add_addresses), doc="Add ranges to a group"),
    Route("PUT", "/v2.0/address-groups/{id}/remove_addresses", _addresses(address_groups.remove_addresses), doc="Take ranges from a group"),
)
