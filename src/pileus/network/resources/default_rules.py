"""Field table of the rules that new security groups start with: a rule's own fields, and where they are used."""

from __future__ import annotations

from pileus.kit.resource import Field, Resource, flag
from pileus.network.resources.security_groups import RULE
from pileus.network.types import WORDS, Flag, Text

KEPT = (
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_address_group_id",
)


def _used(name: str, default: bool) -> Field:
    return Field(name, Flag(), show=flag(name), create=True, default=default, filter=name, sort=name, column=name)


DEFAULT_RULE = Resource(
    "default_security_group_rule",
    "default_security_group_rules",
    [
        Field("id", show="id", filter=True, sort=True),
        Field("description", Text(null=True), show="description", create=True, default="", filter=True, sort=True),
        *(field for field in RULE.fields if field.name in KEPT),
        Field(
            "remote_group_id",
            Text(null=True),
            show="remote_group_id",
            create=True,
            default=None,
            filter=True,
            sort=True,
            alias="security-groups-default-rules",
        ),
        _used("used_in_default_sg", False),
        _used("used_in_non_default_sg", True),
    ],
    words=WORDS,
)
