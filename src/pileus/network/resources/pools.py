"""Field tables of address scopes and subnet pools."""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource, flag, unpacked
from pileus.kit.store import Row
from pileus.network.resources.fields import head, tail
from pileus.network.resources.sharing import is_shared, targets_of
from pileus.network.types import WORDS, Flag, Id, PoolPrefixes, Text, Whole

ADDRESS_SCOPE = Resource(
    "address_scope",
    "address_scopes",
    [
        *head(),
        Field("ip_version", Whole(values=(4, 6)), show="ip_version", create="required", filter=True, sort=True, alias="address-scope"),
        Field("shared", Flag(), show=is_shared, create=True, update=True, default=False, relation=targets_of, alias="rbac-address-scope"),
        *tail(),
    ],
    words=WORDS,
)
ADDRESS_SCOPE_ADMIN = ("shared",)


def text(column: str) -> Any:
    """A number as text, as Neutron shows prefix lengths of pools."""

    def show(row: Row, ctx: Context) -> str:
        return str(row[column])

    return show


def length(name: str) -> Field:
    return Field(name, Whole(min=0), show=text(name), create=True, update=True, column=name, filter=name, sort=name)


SUBNETPOOL = Resource(
    "subnetpool",
    "subnetpools",
    [
        Field("id", show="id", filter=True, sort=True),
        Field("name", Text(filled=True), show="name", create="required", update=True, filter=True, sort=True),
        *(field for field in head() if field.name not in ("id", "name")),
        Field("prefixes", PoolPrefixes(), show=unpacked("prefixes"), create="required", update=True, alias="subnet_allocation"),
        Field("default_quota", Whole(min=0, null=True), show="default_quota", create=True, update=True, filter=True, sort=True),
        Field("ip_version", show="ip_version", filter=True, sort=True),
        *(length(f"{which}_prefixlen") for which in ("default", "min", "max")),
        Field(
            "is_default",
            Flag(),
            show=flag("is_default"),
            create=True,
            update=True,
            default=False,
            filter="is_default",
            sort="is_default",
            column="is_default",
            alias="default-subnetpools",
        ),
        Field("shared", Flag(), show=is_shared, create=True, default=False, relation=targets_of, alias="rbac-subnetpool"),
        Field("address_scope_id", Id(null=True), show="address_scope_id", create=True, update=True, filter=True, sort=True),
        *tail(),
    ],
    words=WORDS,
)
SUBNETPOOL_ADMIN = ("is_default", "shared")
