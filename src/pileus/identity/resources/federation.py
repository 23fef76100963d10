"""Field tables of federation. It is kept so that what manages it can be tried out; nobody signs in by it."""

from __future__ import annotations

from pileus.identity.resources.types import BOOL, ID, TEXT, Nullable, declare
from pileus.kit.context import Context
from pileus.kit.resource import Field, Show, flag, unpacked
from pileus.kit.store import Row
from pileus.openstack.types import Int, List, Obj, Str

LOCATOR = Str(min=1, max=256, pattern=r"^[a-zA-Z][a-zA-Z0-9+.-]*://")


def _links(collection: str, *below: str) -> Show:
    def show(row: Row, ctx: Context) -> Row:
        here = f"{ctx.base_url}/v3/OS-FEDERATION/{collection}/{row['id']}"
        return {"self": here, **{name: f"{here}/{name}" for name in below}}

    return show


def _protocol_links(row: Row, ctx: Context) -> Row:
    provider = f"{ctx.base_url}/v3/OS-FEDERATION/identity_providers/{row['identity_provider']}"
    return {"self": f"{provider}/protocols/{row['id']}", "identity_provider": provider}


IDENTITY_PROVIDER = declare(
    "identity_provider",
    "identity_providers",
    [
        Field("id", show="id", filter=True),
        Field("domain_id", ID, show="domain_id", create=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("remote_ids", Nullable(List(Str(), unique=True)), show=unpacked("remote_ids"), create=True, update=True),
        Field("authorization_ttl", Int(min=0, null=True), show="authorization_ttl", create=True, update=True),
        Field("links", show=_links("identity_providers", "protocols")),
    ],
    open=False,
)

MAPPING = declare(
    "mapping",
    "mappings",
    [
        Field("id", Str(), show="id", create=True, update=True),
        Field("rules", List(Obj({}, ("local", "remote"), open=True), min=1), show=unpacked("rules"), create="required", update=True),
        Field("schema_version", Str(null=True), show="schema_version", create=True, update=True),
        Field("links", show=_links("mappings")),
    ],
    open=False,
)

PROTOCOL = declare(
    "protocol",
    "protocols",
    [
        Field("id", show="id"),
        Field("mapping_id", Str(min=1, max=64), show="mapping_id", create="required", update=True),
        Field("remote_id_attribute", Str(max=64, null=True), show="remote_id_attribute", create=True, update=True),
        Field("links", show=_protocol_links),
    ],
    table="federation_protocol",
    open=False,
)

SERVICE_PROVIDER = declare(
    "service_provider",
    "service_providers",
    [
        Field("id", show="id", filter=True),
        Field("auth_url", LOCATOR, show="auth_url", create="required", update=True),
        Field("sp_url", LOCATOR, show="sp_url", create="required", update=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("relay_state_prefix", Str(max=256), show="relay_state_prefix", create=True, update=True),
        Field("links", show=_links("service_providers")),
    ],
    open=False,
)
