"""Field tables of what acts for a user: application credentials, trusts, kept secrets, OAuth consumers."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pileus.identity.resources.types import BOOL, ID, ROLE_REFS, TEXT, Json, Nullable, When, declare, links
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.resource import Field, constant, flag, when
from pileus.kit.store import Row, Store
from pileus.openstack.types import Bool, Enum, Int, List, Obj, Str

METHODS = Enum(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"])
RULES = List(Obj({"id": Str(min=1), "service": Str(min=1, max=64), "method": METHODS, "path": Str(min=1, max=128, pattern="^/")}))


def by_ids(store: Store, table: str, ids: Iterable[str]) -> list[Row]:
    """The rows with these ids that are there, in this order."""
    wanted = list(ids)
    found = {row["id"]: row for row in store.find(table, {"id": wanted})}
    return [found[id] for id in wanted if id in found]


def roles_of(store: Store, rows: list[Row]) -> None:
    """Relation: `role_rows`, the roles that are delegated, and `rule_rows`, the access rules."""
    for row in rows:
        row["role_rows"] = by_ids(store, "role", json.loads(row["roles"]))
        row["rule_rows"] = by_ids(store, "access_rule", json.loads(row["rules"])) if row.get("rules") else []


def _app_roles(row: Row, ctx: Context) -> list[Row]:
    return [
        {**{k: role[k] for k in ("id", "name", "domain_id", "description")}, "options": json.loads(role["options"])}
        for role in row["role_rows"]
    ]


def _trust_roles(row: Row, ctx: Context) -> list[Row]:
    return [
        {
            **{k: role[k] for k in ("id", "name", "domain_id", "description")},
            "options": json.loads(role["options"]),
            "links": {"self": f"{ctx.base_url}/v3/roles/{role['id']}"},
        }
        for role in row["role_rows"]
    ]


def rule_view(row: Row, ctx: Context) -> Row:
    """An access rule, as it is shown in its credential."""
    return {name: row[name] for name in ("id", "service", "path", "method")}


APPLICATION_CREDENTIAL = declare(
    "application_credential",
    "application_credentials",
    [
        Field("id", show="id"),
        Field("name", Str(min=1, max=255, pattern=r"[\S]+"), show="name", create="required", filter=True),
        Field("description", TEXT, show="description", create=True),
        Field("user_id", show="user_id"),
        Field("project_id", show="project_id"),
        Field("system", show=constant(None)),
        Field("expires_at", Nullable(When()), show=when("expires_at", fraction=True, zone=""), create=True, column="expires_at"),
        Field(
            "unrestricted",
            Nullable(Bool()),
            show=lambda row, ctx: None if row["unrestricted"] is None else bool(row["unrestricted"]),
            create=True,
        ),
        Field("roles", ROLE_REFS, show=_app_roles, create=True, relation=roles_of),
        Field("access_rules", RULES, create=True),
        Field("secret", Str(null=True), create=True),
        Field("links", show=links("application_credentials")),
    ],
    open=False,
)

ACCESS_RULE = declare(
    "access_rule",
    "access_rules",
    [
        Field("id", show="id"),
        Field("service", show="service", filter=True),
        Field("method", show="method", filter=True),
        Field("path", show="path", filter=True),
        Field("links", show=links("access_rules")),
    ],
    open=False,
)

TRUST = declare(
    "trust",
    "trusts",
    [
        Field("id", show="id"),
        Field("trustor_user_id", ID, show="trustor_user_id", create="required", filter=True),
        Field("trustee_user_id", ID, show="trustee_user_id", create="required", filter=True),
        Field("project_id", ID, show="project_id", create=True),
        Field("impersonation", BOOL, show=flag("impersonation"), create="required", column="impersonation"),
        Field("expires_at", When(), show=lambda row, ctx: iso(row["expires_at"], fraction=True), create=True, column="expires_at"),
        Field("remaining_uses", Int(min=1, null=True), show="remaining_uses", create=True),
        Field("redelegated_trust_id", ID, show="redelegated_trust_id", create=True),
        Field("redelegation_count", Int(min=0, null=True), show="redelegation_count", create=True),
        Field("allow_redelegation", BOOL, create=True),
        Field("deleted_at", show=constant(None)),
        Field("roles", ROLE_REFS, show=_trust_roles, create=True, relation=roles_of),
        Field("links", show=links("OS-TRUST/trusts")),
    ],
)

CREDENTIAL = declare(
    "credential",
    "credentials",
    [
        Field("id", show="id"),
        Field("user_id", ID, show="user_id", create=True, update=True, filter=True),
        Field("project_id", ID, show="project_id", create=True, update=True),
        Field("type", Str(min=1, max=255), show="type", create="required", update=True, filter=True),
        Field("blob", Json(), show="blob", create="required", update=True),
        Field("links", show=links("credentials")),
    ],
)

CONSUMER = declare(
    "consumer",
    "consumers",
    [
        Field("id", show="id"),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("links", show=links("OS-OAUTH1/consumers")),
    ],
)
