"""Field table of logs: what is written down of packets that security groups judge."""

from __future__ import annotations

from pileus.kit.resource import Field, Resource, flag
from pileus.network.resources.fields import head, tail
from pileus.network.types import WORDS, Flag, Id, OneOf, Text

EVENTS = ("ACCEPT", "DROP", "ALL")

LOG = Resource(
    "log",
    "logs",
    [
        *head(),
        Field("resource_type", Text(filled=True), show="resource_type", create="required", filter=True, sort=True, alias="logging"),
        Field("resource_id", Id(null=True), show="resource_id", create=True, default=None, filter=True, sort=True),
        Field("target_id", Id(null=True), show="target_id", create=True, default=None, filter=True, sort=True),
        Field("event", OneOf(EVENTS), show="event", create=True, default="ALL", filter=True),
        Field("enabled", Flag(), show=flag("enabled"), create=True, update=True, default=True, filter=True, sort=True),
        *tail(tags=False),
    ],
    words=WORDS,
    table="network_log",
)
