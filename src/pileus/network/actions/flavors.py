"""The network's own flavors: kinds of routers that an operator offers, each with a profile that names the driver. There is one."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.scope import Page, change, columns, find, fresh, page
from pileus.network.resources.flavors import ROUTERS
from pileus.network.types import bad_request, malformed
from pileus.openstack.listing import Listing

DRIVERS = {  # what a profile may name, and how `service-providers` calls it
    "single_node": "single_node",
    "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver": "single_node",
}


@allow(PROJECT_READER, "get_flavor")
def find_flavor(ctx: Context, id: str) -> Row:
    """A flavor. Raises NotFound."""
    return find(ctx, "network_flavor", id)


@allow(PROJECT_READER, "get_flavor")
def list_flavors(ctx: Context, listing: Listing) -> Page:
    """All flavors. Raises NotFound for a marker that is none of them."""
    return page(ctx, "network_flavor", listing)


@allow(ADMIN, "create_flavor")
def create_flavor(ctx: Context, values: Row) -> Row:
    """A kind of router. Raises NotFound for a profile that is not there."""
    profiles = values.pop("service_profiles", [])
    row = {**fresh(ctx), **columns(values, {})}
    with ctx.store.transaction():
        ctx.store.insert("network_flavor", row)
        for profile in profiles:
            _bind(ctx, row["id"], profile)
    return find(ctx, "network_flavor", row["id"])


@allow(ADMIN, "update_flavor")
def update_flavor(ctx: Context, id: str, values: Row) -> Row:
    """Change a flavor. Raises Conflict while a router is of it."""
    row = find(ctx, "network_flavor", id)
    profiles = values.pop("service_profiles", None)
    with ctx.store.transaction():
        _check_unused(ctx, id)
        after = change(ctx, "network_flavor", row, columns(values, {}))
        if profiles is not None:
            ctx.store.delete("flavor_service_profile", {"flavor_id": id})
            for profile in profiles:
                _bind(ctx, id, profile)
    return after


@allow(ADMIN, "delete_flavor")
def delete_flavor(ctx: Context, id: str) -> None:
    """Delete a flavor. Raises Conflict while a router is of it."""
    find(ctx, "network_flavor", id)
    with ctx.store.transaction():
        _check_unused(ctx, id)
        ctx.store.delete("network_flavor", {"id": id})


def _check_unused(ctx: Context, id: str) -> None:
    if ctx.store.first("router", {"flavor_id": id}):
        raise Conflict(f"Flavor {id} is used by some service instance.", type="FlavorInUse")


# -- profiles --------------------------------------------------------------------------------------------------------------


@allow(ADMIN, "get_service_profile")
def find_service_profile(ctx: Context, id: str) -> Row:
    """A profile. Raises NotFound."""
    return find(ctx, "service_profile", id)


@allow(ADMIN, "get_service_profile")
def list_service_profiles(ctx: Context, listing: Listing) -> Page:
    """All profiles. Raises NotFound for a marker that is none of them."""
    return page(ctx, "service_profile", listing)


def _check_driver(driver: str | None) -> None:
    if driver and driver not in DRIVERS:
        raise NotFound(f"Service Profile driver {driver} could not be found.", type="ServiceProfileDriverNotFound")


@allow(ADMIN, "create_service_profile")
def create_service_profile(ctx: Context, values: Row) -> Row:
    """A profile. Raises BadRequest for one that says nothing, NotFound for a driver that is not there."""
    _check_driver(values["driver"])
    if not values["driver"] and not values["metainfo"]:
        raise BadRequest("Service Profile needs either a driver or metainfo.", type="ServiceProfileEmpty")
    row = {**fresh(ctx), **columns(values, {})}
    with ctx.store.transaction():
        ctx.store.insert("service_profile", row)
    return find(ctx, "service_profile", row["id"])


@allow(ADMIN, "update_service_profile")
def update_service_profile(ctx: Context, id: str, values: Row) -> Row:
    """Change a profile. Raises Conflict while a flavor has it."""
    row = find(ctx, "service_profile", id)
    _check_driver(values.get("driver"))
    with ctx.store.transaction():
        _check_unbound(ctx, id)
        return change(ctx, "service_profile", row, columns(values, {}))


@allow(ADMIN, "delete_service_profile")
def delete_service_profile(ctx: Context, id: str) -> None:
    """Delete a profile. Raises Conflict while a flavor has it."""
    find(ctx, "service_profile", id)
    with ctx.store.transaction():
        _check_unbound(ctx, id)
        ctx.store.delete("service_profile", {"id": id})


def _check_unbound(ctx: Context, id: str) -> None:
    if ctx.store.find("flavor_service_profile", {"service_profile_id": id}, limit=1):
        raise Conflict(f"Service Profile {id} is used by some service instance.", type="ServiceProfileInUse")


# -- which flavor has which profile ----------------------------------------------------------------------------------------


def _bind(ctx: Context, flavor_id: str, profile_id: str) -> None:
    find(ctx, "service_profile", profile_id)
    both = {"flavor_id": flavor_id, "service_profile_id": profile_id}
    if ctx.store.find("flavor_service_profile", both, limit=1):
        words = f"Service Profile {profile_id} is already associated with flavor {flavor_id}."
        raise Conflict(words, type="FlavorServiceProfileBindingExists")
    ctx.store.insert("flavor_service_profile", both)


@allow(ADMIN, "create_flavor_service_profile")
def add_flavor_service_profile(ctx: Context, id: str, body: Any) -> Row:
    """Give a flavor a profile. Raises Conflict when it has it."""
    given = body.get("service_profile") if isinstance(body, dict) else None
    if not isinstance(given, dict) or not isinstance(given.get("id"), str):
        raise malformed("Unable to find 'service_profile' in request body")
    row = find(ctx, "network_flavor", id)
    with ctx.store.transaction():
        _bind(ctx, id, given["id"])
    return row


@allow(ADMIN, "delete_flavor_service_profile")
def delete_flavor_service_profile(ctx: Context, id: str, profile_id: str) -> None:
    """Take a profile from a flavor. Raises NotFound when it has it not."""
    find(ctx, "network_flavor", id)
    with ctx.store.transaction():
        if not ctx.store.delete("flavor_service_profile", {"flavor_id": id, "service_profile_id": profile_id}):
            words = f"Service Profile {profile_id} is not associated with flavor {id}."
            raise NotFound(words, type="FlavorServiceProfileBindingNotFound")


@allow(PROJECT_READER, "get_flavors_next_providers")
def list_next_providers(ctx: Context, id: str) -> list[Row]:
    """What would make a router of a flavor. Raises NotFound for one without a profile, Conflict for a profile that is switched off."""
    find(ctx, "network_flavor", id)
    bound = ctx.store.find("flavor_service_profile", {"flavor_id": id}, limit=1)
    profile = ctx.store.get("service_profile", bound[0]["service_profile_id"]) if bound else None
    if profile is None:
        words = f"Service Profile  is not associated with flavor {id}."
        raise NotFound(words, type="FlavorServiceProfileBindingNotFound")
    if not profile["enabled"]:
        raise Conflict("Service Profile is not enabled.", type="ServiceProfileDisabled")
    _check_driver(profile["driver"])
    return [{"driver": profile["driver"], "provider": DRIVERS.get(profile["driver"], "single_node")}]


def check_flavor(ctx: Context, id: str) -> None:
    """Refuse a flavor for a router. Raises NotFound, and Conflict for one that is switched off."""
    row = find(ctx, "network_flavor", id)
    if not row["enabled"]:
        raise Conflict("Flavor is not enabled.", type="FlavorDisabled")
    if row["service_type"] != ROUTERS:
        raise bad_request("router", f"Flavor {id} is of {row['service_type']}, not of {ROUTERS}")
    list_next_providers(ctx, id)
