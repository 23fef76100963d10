"""Field tables of QoS policies and of the five kinds of rules they hold."""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource, flag
from pileus.kit.store import Row, Store
from pileus.network.resources.fields import head, tail
from pileus.network.resources.sharing import is_shared, targets_of
from pileus.network.types import WORDS, Flag, OneOf, Whole

DIRECTION = "qos-bw-limit-direction"
DSCP_MARKS = (0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 44, 46, 48, 56)  # RFC 2474, 2597, 3246
ONE_WAY, ANY_WAY = ("ingress", "egress"), ("ingress", "egress", "any")


def _kind(key: str, *fields: Field) -> Resource:
    """A kind of rule. Its fields are columns of one table."""
    return Resource(f"{key}_rule", f"{key}_rules", [Field("id", show="id", filter=True, sort=True), *fields], words=WORDS, table="qos_rule")


def _number(name: str, default: int | None = None, alias: str | None = None) -> Field:
    required: Any = "required" if default is None else True
    more: dict[str, Any] = {} if default is None else {"default": default}
    return Field(name, Whole(min=0), show=name, create=required, update=True, filter=True, sort=True, alias=alias, **more)


def _way(values: tuple[str, ...], alias: str) -> Field:
    return Field(
        "direction", OneOf(values), show="direction", create=True, update=True, default="egress", filter=True, sort=True, alias=alias
    )


BANDWIDTH_LIMIT = _kind("bandwidth_limit", _number("max_kbps"), _number("max_burst_kbps", 0), _way(ONE_WAY, DIRECTION))
DSCP_MARKING = _kind(
    "dscp_marking",
    Field("dscp_mark", Whole(values=DSCP_MARKS), show="dscp_mark", create="required", update=True, filter=True, sort=True),
)
MINIMUM_BANDWIDTH = _kind("minimum_bandwidth", _number("min_kbps"), _way(ONE_WAY, "qos-bw-minimum-ingress"))
PACKET_RATE_LIMIT = _kind("packet_rate_limit", _number("max_kpps", alias="qos-pps"), _number("max_burst_kpps", 0), _way(ONE_WAY, "qos-pps"))
MINIMUM_PACKET_RATE = _kind("minimum_packet_rate", _number("min_kpps", alias="qos-pps-minimum"), _way(ANY_WAY, "qos-pps-minimum"))
KINDS = {
    kind.key.removesuffix("_rule"): kind
    for kind in (BANDWIDTH_LIMIT, DSCP_MARKING, MINIMUM_BANDWIDTH, PACKET_RATE_LIMIT, MINIMUM_PACKET_RATE)
}


def rules_of(store: Store, rows: list[Row]) -> None:
    """Relation: `rules`, each policy's rules, in the order they were made."""
    by_id = {row["id"]: row for row in rows}
    for row in rows:
        row["rules"] = []
    for rule in store.find("qos_rule", {"qos_policy_id": list(by_id)}, order="rowid"):
        by_id[rule["qos_policy_id"]]["rules"].append(rule)


def inner_rules(row: Row, ctx: Context) -> list[Row]:
    found = []
    for rule in row["rules"]:
        shown = KINDS[rule["type"]].viewer(ctx)(rule, ctx)
        found.append({**shown, "qos_policy_id": row["id"], "type": rule["type"]})
    return found


QOS_POLICY = Resource(
    "policy",
    "policies",
    [
        *head(),
        Field("shared", Flag(), show=is_shared, create=True, update=True, default=False, relation=targets_of, alias="qos"),
        Field("is_default", Flag(), show=flag("is_default"), create=True, update=True, default=False, filter=True, alias="qos-default"),
        Field("rules", show=inner_rules, relation=rules_of, alias="qos"),
        *tail(),
    ],
    words=WORDS,
    table="qos_policy",
)


def policy_id(row: Row, ctx: Context) -> str | None:
    """What was said of a policy; nothing and none are alike here (api/qos.py leaves out what was never said)."""
    return row["qos_policy_id"] or None
