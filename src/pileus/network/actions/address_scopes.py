"""Address scopes: ranges in which no address comes twice. Pools join them (subnetpools.py), and so do their subnets' networks."""

from __future__ import annotations

from pileus.errors import BadRequest, Conflict
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.rbac import share, stop_sharing
from pileus.network.actions.scope import Page, change, columns, find, fresh, is_shared_with_caller, owned, owner, page, restrict
from pileus.network.resources.pools import ADDRESS_SCOPE, ADDRESS_SCOPE_ADMIN
from pileus.openstack.listing import Listing


@allow(PROJECT_READER, "get_address_scope")
def find_address_scope(ctx: Context, id: str) -> Row:
    """A scope of the caller's project or shared with it; any for an admin. Raises NotFound."""
    return find(ctx, "address_scope", id)


@allow(PROJECT_READER, "get_address_scope")
def list_address_scopes(ctx: Context, listing: Listing) -> Page:
    """The scopes that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "address_scope", listing)


@allow(PROJECT_MEMBER, "create_address_scope")
def create_address_scope(ctx: Context, values: Row) -> Row:
    """A scope for ranges of one protocol."""
    restrict(ctx, ADDRESS_SCOPE, "create", values, ADDRESS_SCOPE_ADMIN)
    shared = values.pop("shared")
    row = {**fresh(ctx), "project_id": owner(ctx, values), **columns(values, {})}
    with ctx.store.transaction():
        ctx.store.insert("address_scope", row)
        if shared:
            share(ctx, "address_scope", row)
    return find(ctx, "address_scope", row["id"])


@allow(PROJECT_MEMBER, "update_address_scope")
def update_address_scope(ctx: Context, id: str, values: Row) -> Row:
    """Change a scope. Raises BadRequest when it is to be shared no longer."""
    row = find(ctx, "address_scope", id)
    owned(ctx, row, "update_address_scope")
    restrict(ctx, ADDRESS_SCOPE, "update", values, ADDRESS_SCOPE_ADMIN)
    shared = values.pop("shared", None)
    if shared is False and is_shared_with_caller(ctx, id):
        words = f"Unable to update address scope {id} : Shared address scope can't be unshared."
        raise BadRequest(words, type="AddressScopeUpdateError")
    with ctx.store.transaction():
        if shared:
            share(ctx, "address_scope", row)
        return change(ctx, "address_scope", row, columns(values, {}))


@allow(PROJECT_MEMBER, "delete_address_scope")
def delete_address_scope(ctx: Context, id: str) -> None:
    """Delete a scope. Raises Conflict while a pool is in it."""
    row = find(ctx, "address_scope", id)
    owned(ctx, row, "delete_address_scope")
    with ctx.store.transaction():
        if ctx.store.first("subnetpool", {"address_scope_id": id}):
            words = f"Unable to complete operation on address scope {id}. There are one or more subnet pools in use on the address scope."
            raise Conflict(words, type="AddressScopeInUse")
        stop_sharing(ctx, id)
        ctx.store.delete("tag", {"resource_id": id})
        ctx.store.delete("address_scope", {"id": id})
