"""Policies: texts that services may fetch, and which of them is whose. Pileus's own rules are declared on its actions, not here."""

from __future__ import annotations

from typing import Any

from pileus.errors import NotFound
from pileus.identity.actions import ADMIN, SEES_ALL, changing
from pileus.identity.actions.catalog import ENDPOINTS, REGIONS, SERVICES
from pileus.identity.actions.rows import Noun
from pileus.kit.context import Context
from pileus.kit.policy import allow
from pileus.kit.store import Row

POLICIES = Noun("policy", "policy", "policy")


@allow(SEES_ALL, "identity:get_policy")
def get_policy(ctx: Context, id: str) -> Row:
    return POLICIES.find(ctx, id)


@allow(SEES_ALL, "identity:list_policies")
def list_policies(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return POLICIES.search(ctx, where)


@allow(ADMIN, "identity:create_policy")
def create_policy(ctx: Context, values: Row) -> Row:
    return POLICIES.add(ctx, values)


@allow(ADMIN, "identity:update_policy")
def update_policy(ctx: Context, id: str, values: Row) -> Row:
    return POLICIES.change(ctx, POLICIES.find(ctx, id), values)


@allow(ADMIN, "identity:delete_policy")
def delete_policy(ctx: Context, id: str) -> None:
    POLICIES.find(ctx, id)
    with changing(ctx, "policy.deleted", id):
        ctx.store.delete("policy_association", {"policy_id": id})
        ctx.store.delete("policy", {"id": id})


@allow(ADMIN, "identity:create_policy_association_for_endpoint")
def associate_policy(ctx: Context, id: str, place: dict[str, str]) -> None:
    """Make a policy that of an endpoint, of a service, or of a service in a region; the one before is it no longer."""
    POLICIES.find(ctx, id)
    for name, noun in (("endpoint_id", ENDPOINTS), ("service_id", SERVICES), ("region_id", REGIONS)):
        if name in place:
            noun.find(ctx, place[name])
    full = {"endpoint_id": "", "service_id": "", "region_id": "", **place}
    with changing(ctx, "policy.associated", id):
        ctx.store.delete("policy_association", full)
        ctx.store.insert("policy_association", {"policy_id": id, **full})


@allow(SEES_ALL, "identity:check_policy_association_for_endpoint")
def check_policy_association(ctx: Context, id: str, place: dict[str, str]) -> None:
    """Raises NotFound unless the policy is that of this place."""
    POLICIES.find(ctx, id)
    full = {"endpoint_id": "", "service_id": "", "region_id": "", **place}
    if not ctx.store.find("policy_association", {"policy_id": id, **full}):
        raise NotFound(f"Policy {id} is not associated with {', '.join(place.values())}.")


@allow(ADMIN, "identity:delete_policy_association_for_endpoint")
def dissociate_policy(ctx: Context, id: str, place: dict[str, str]) -> None:
    """The policy is no longer that of this place."""
    check_policy_association(ctx, id, place)
    with changing(ctx, "policy.dissociated", id):
        ctx.store.delete("policy_association", {"endpoint_id": "", "service_id": "", "region_id": "", **place})


@allow(SEES_ALL, "identity:list_endpoints_for_policy")
def list_policy_endpoints(ctx: Context, id: str) -> list[Row]:
    """The endpoints that a policy is for, by whatever association."""
    POLICIES.find(ctx, id)
    return [row for row in ENDPOINTS.search(ctx, {}, "rowid") if _policy_id(ctx, row) == id]


def _policy_id(ctx: Context, endpoint: Row) -> str | None:
    """The nearest association: the endpoint's own, its service's in its region or one above, its service's."""
    wanted = [{"endpoint_id": endpoint["id"], "service_id": "", "region_id": ""}]
    region = endpoint["region_id"]
    while region:
        wanted.append({"endpoint_id": "", "service_id": endpoint["service_id"], "region_id": region})
        row = ctx.store.get("region", region)
        region = row["parent_region_id"] if row else None
    wanted.append({"endpoint_id": "", "service_id": endpoint["service_id"], "region_id": ""})
    for place in wanted:
        if found := ctx.store.first("policy_association", place):
            return str(found["policy_id"])
    return None


@allow(SEES_ALL, "identity:get_policy_for_endpoint")
def get_endpoint_policy(ctx: Context, id: str) -> Row:
    """The policy that is an endpoint's."""
    found = _policy_id(ctx, ENDPOINTS.find(ctx, id))
    if found is None:
        raise NotFound(f"No policy is associated with endpoint {id}.")
    return POLICIES.find(ctx, found)
