"""The nouns that projects share things by: RBAC policies, address groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.network.actions import address_groups, rbac
from pileus.network.api.crud import Noun, body_of
from pileus.network.api.query import by_sharing
from pileus.network.resources.address_groups import ADDRESS_GROUP
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
)


def _addresses(verb: Callable[[Context, str, Any], Row]) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        row = verb(request.ctx, request.params["id"], body_of(request))
        return Response(200, {ADDRESS_GROUP.key: ADDRESS_GROUP.view(row, request.ctx)})

    return handler


ROUTES = (
    Route("PUT", "/v2.0/address-groups/{id}/add_addresses", _addresses(address_groups.add_addresses), doc="Add ranges to a group"),
    Route("PUT", "/v2.0/address-groups/{id}/remove_addresses", _addresses(address_groups.remove_addresses), doc="Take ranges from a group"),
)
