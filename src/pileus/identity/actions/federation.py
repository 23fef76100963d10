"""Federation's nouns: identity providers with their protocols, mappings, service providers. Kept; nobody signs in by them here."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.identity.actions import ADMIN, SEES_ALL, changing, pack
from pileus.identity.actions.domains import create_domain
from pileus.identity.actions.projects import find_domain
from pileus.identity.actions.rows import Noun
from pileus.kit.context import Context
from pileus.kit.policy import allow
from pileus.kit.store import Row

PROVIDERS = Noun("identity_provider", "identity_provider", "Identity Provider")
MAPPINGS = Noun("mapping", "mapping", "mapping")
SERVICE_PROVIDERS = Noun("service_provider", "service_provider", "Service Provider")


def _new(ctx: Context, noun: Noun, values: Row) -> Row:
    if ctx.store.get(noun.table, values["id"]):
        raise Conflict(f"Conflict occurred attempting to store {noun.table} - Duplicate entry found with ID {values['id']}.")
    return noun.add(ctx, values)


@allow(SEES_ALL, "identity:get_identity_provider")
def get_identity_provider(ctx: Context, id: str) -> Row:
    return PROVIDERS.find(ctx, id)


@allow(SEES_ALL, "identity:list_identity_providers")
def list_identity_providers(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return PROVIDERS.search(ctx, where)


@allow(ADMIN, "identity:create_identity_provider")
def create_identity_provider(ctx: Context, values: Row) -> Row:
    """An identity provider of the id in the URL; without a domain it gets one of its own, as in Keystone."""
    _remote_ids(ctx, values)
    with ctx.store.transaction():
        if values.get("domain_id") is None:
            about = f"Auto generated federated domain for Identity Provider: {values['id']}"
            values["domain_id"] = create_domain(ctx, {"name": values["id"][:64], "description": about})["id"]
        find_domain(ctx, values["domain_id"])
        return _new(ctx, PROVIDERS, {"enabled": False, "remote_ids": [], **{k: v for k, v in values.items() if v is not None}})


def _remote_ids(ctx: Context, values: Row) -> None:
    for row in ctx.store.find("identity_provider"):
        if row["id"] != values["id"] and any(f'"{each}"' in row["remote_ids"] for each in values.get("remote_ids") or ()):
            raise Conflict("Duplicate remote ID: an identity provider has it already.")


@allow(ADMIN, "identity:update_identity_provider")
def update_identity_provider(ctx: Context, id: str, values: Row) -> Row:
    row = PROVIDERS.find(ctx, id)
    _remote_ids(ctx, {**values, "id": id})
    if "remote_ids" in values:
        values["remote_ids"] = values["remote_ids"] or []
    return PROVIDERS.change(ctx, row, values)


@allow(ADMIN, "identity:delete_identity_provider")
def delete_identity_provider(ctx: Context, id: str) -> None:
    """Delete an identity provider with its protocols; its domain stays."""
    PROVIDERS.find(ctx, id)
    with changing(ctx, "identity_provider.deleted", id):
        ctx.store.delete("federation_protocol", {"identity_provider": id})
        ctx.store.delete("identity_provider", {"id": id})


# -- mappings and service providers ----------------------------------------------------------------------------------------


@allow(SEES_ALL, "identity:get_mapping")
def get_mapping(ctx: Context, id: str) -> Row:
    return MAPPINGS.find(ctx, id)


@allow(SEES_ALL, "identity:list_mappings")
def list_mappings(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return MAPPINGS.search(ctx, where)


@allow(ADMIN, "identity:create_mapping")
def create_mapping(ctx: Context, values: Row) -> Row:
    return _new(ctx, MAPPINGS, {"schema_version": "1.0", **values})


@allow(ADMIN, "identity:update_mapping")
def update_mapping(ctx: Context, id: str, values: Row) -> Row:
    values.pop("id", None)  # a client repeats it; the URL says it
    return MAPPINGS.change(ctx, MAPPINGS.find(ctx, id), values)


@allow(ADMIN, "identity:delete_mapping")
def delete_mapping(ctx: Context, id: str) -> None:
    MAPPINGS.find(ctx, id)
    MAPPINGS.remove(ctx, id)


@allow(SEES_ALL, "identity:get_service_provider")
def get_service_provider(ctx: Context, id: str) -> Row:
    return SERVICE_PROVIDERS.find(ctx, id)


@allow(SEES_ALL, "identity:list_service_providers")
def list_service_providers(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return SERVICE_PROVIDERS.search(ctx, where)


@allow(ADMIN, "identity:create_service_provider")
def create_service_provider(ctx: Context, values: Row) -> Row:
    return _new(ctx, SERVICE_PROVIDERS, {"enabled": False, **values})


@allow(ADMIN, "identity:update_service_provider")
def update_service_provider(ctx: Context, id: str, values: Row) -> Row:
    return SERVICE_PROVIDERS.change(ctx, SERVICE_PROVIDERS.find(ctx, id), values)


@allow(ADMIN, "identity:delete_service_provider")
def delete_service_provider(ctx: Context, id: str) -> None:
    SERVICE_PROVIDERS.find(ctx, id)
    SERVICE_PROVIDERS.remove(ctx, id)


# -- protocols -------------------------------------------------------------------------------------------------------------


@allow(SEES_ALL, "identity:get_protocol")
def get_protocol(ctx: Context, provider: str, id: str) -> Row:
    """One of an identity provider's protocols."""
    PROVIDERS.find(ctx, provider)
    row = ctx.store.first("federation_protocol", {"identity_provider": provider, "id": id})
    if row is None:
        raise NotFound(f"Could not find federated protocol {id} for Identity Provider: {provider}.")
    return row


@allow(SEES_ALL, "identity:list_protocols")
def list_protocols(ctx: Context, provider: str) -> list[Row]:
    """An identity provider's protocols."""
    PROVIDERS.find(ctx, provider)
    return ctx.store.find("federation_protocol", {"identity_provider": provider}, order="id")


def _mapped(ctx: Context, values: Row) -> None:
    if "mapping_id" in values and ctx.store.get("mapping", values["mapping_id"]) is None:
        raise BadRequest(f"Could not find mapping: {values['mapping_id']}.")


@allow(ADMIN, "identity:create_protocol")
def create_protocol(ctx: Context, provider: str, id: str, values: Row) -> Row:
    """A protocol by which an identity provider speaks, and the mapping that reads what it says."""
    PROVIDERS.find(ctx, provider)
    _mapped(ctx, values)
    if ctx.store.first("federation_protocol", {"identity_provider": provider, "id": id}):
        raise Conflict(f"Conflict occurred attempting to store federation_protocol - Duplicate entry found with ID {id}.")
    with changing(ctx, "federation_protocol.created", id):
        ctx.store.insert("federation_protocol", {"id": id, "identity_provider": provider, **pack(values)})
    return get_protocol(ctx, provider, id)


@allow(ADMIN, "identity:update_protocol")
def update_protocol(ctx: Context, provider: str, id: str, values: Row) -> Row:
    """Another mapping for a protocol."""
    row = get_protocol(ctx, provider, id)
    _mapped(ctx, values)
    after = {**row, **values}
    with changing(ctx, "federation_protocol.updated", id):
        ctx.store.execute(
            "UPDATE federation_protocol SET mapping_id = ?, remote_id_attribute = ? WHERE identity_provider = ? AND id = ?",
            after["mapping_id"],
            after["remote_id_attribute"],
            provider,
            id,
        )
    return get_protocol(ctx, provider, id)


@allow(ADMIN, "identity:delete_protocol")
def delete_protocol(ctx: Context, provider: str, id: str) -> None:
    """The identity provider no longer speaks by it."""
    get_protocol(ctx, provider, id)
    with changing(ctx, "federation_protocol.deleted", id):
        ctx.store.delete("federation_protocol", {"identity_provider": provider, "id": id})
