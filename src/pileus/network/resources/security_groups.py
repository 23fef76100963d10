"""Field tables of security groups and their rules."""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource, constant, flag
from pileus.kit.store import Row, Store
from pileus.network.resources.fields import head, tail
from pileus.network.resources.sharing import is_shared, targets_of
from pileus.network.types import WORDS, Ethertype, Flag, Id, OneOf, PortNumber, Prefix, Protocol, Text, network_of


def normalized(row: Row, ctx: Context) -> str | None:
    """The remote range without the bits to the right of its prefix."""
    return str(network_of(row["remote_ip_prefix"])) if row["remote_ip_prefix"] else None


RULE = Resource(
    "security_group_rule",
    "security_group_rules",
    [
        *head(name=False),
        Field("security_group_id", Id(), show="security_group_id", create="required", filter=True, sort=True),
        Field("direction", OneOf(("ingress", "egress")), show="direction", create="required", filter=True, sort=True),
        Field("ethertype", Ethertype(), show="ethertype", create=True, default="IPv4", filter=True, sort=True),
        Field("protocol", Protocol(), show="protocol", create=True, default=None, filter=True, sort=True),
        Field("port_range_min", PortNumber(), show="port_range_min", create=True, default=None, filter=True, sort=True),
        Field("port_range_max", PortNumber(), show="port_range_max", create=True, default=None, filter=True, sort=True),
        Field("remote_ip_prefix", Prefix(), show="remote_ip_prefix", create=True, default=None, filter=True, sort=True),
        Field("remote_group_id", Text(null=True), show="remote_group_id", create=True, default=None, filter=True, sort=True),
        Field(
            "remote_address_group_id",
            Id(null=True),
            show="remote_address_group_id",
            create=True,
            default=None,
            filter=True,
            sort=True,
            alias="security-groups-remote-address-group",
        ),
        Field("normalized_cidr", show=normalized, alias="security-groups-normalized-cidr"),
        *tail(tags=False),
    ],
    words=WORDS,
)

# What Neutron shows of a rule inside its group, which its API layer does not trim: the number of the object and its (never set) tags.
INNER_RULE = Resource(
    RULE.key,
    RULE.plural,
    [*RULE.fields, Field("standard_attr_id", show="rowid"), Field("tags", show=constant([]))],
    words=WORDS,
)


def rules_of(store: Store, rows: list[Row]) -> None:
    """Relation: `rules`, each group's rules, in the order they were made."""
    ids = [row["id"] for row in rows]
    marks = ", ".join("?" * len(ids))
    sql = f"SELECT rowid, * FROM security_group_rule WHERE security_group_id IN ({marks}) ORDER BY rowid"  # noqa: S608 - marks only
    grouped: dict[str, list[Row]] = {}
    for rule in store.query(sql, *ids):
        grouped.setdefault(rule["security_group_id"], []).append(rule)
    for row in rows:
        row["rules"] = grouped.get(row["id"], [])


def inner_rules(row: Row, ctx: Context) -> list[Any]:
    show = INNER_RULE.viewer(ctx)
    return [show(rule, ctx) for rule in row["rules"]]


SECURITY_GROUP = Resource(
    "security_group",
    "security_groups",
    [
        *head(),
        Field("stateful", Flag(null=True), show=flag("stateful"), create=True, update=True, filter=True, alias="stateful-security-group"),
        Field("shared", show=is_shared, relation=targets_of, alias="security-groups-shared-filtering"),
        Field("security_group_rules", show=inner_rules, relation=rules_of, alias="security-group"),
        *tail(),
    ],
    words=WORDS,
)
