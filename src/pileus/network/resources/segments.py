"""Field table of segments."""

from __future__ import annotations

from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource
from pileus.kit.store import Row
from pileus.network.resources.fields import tail
from pileus.network.types import WORDS, Id, OneOf, Text, Whole


def described(row: Row, ctx: Context) -> str:
    """A segment that nobody has described has an empty description."""
    return row["description"] or ""


SEGMENT = Resource(
    "segment",
    "segments",
    [
        Field("id", show="id", filter=True, sort=True),
        Field("network_id", Id(), show="network_id", create="required", filter=True, sort=True, alias="segment"),
        Field("physical_network", Text(null=True), show="physical_network", create=True, filter=True, sort=True),
        Field(
            "network_type",
            OneOf(("flat", "vxlan", "geneve", "gre", "vlan", "local")),
            show="network_type",
            create="required",
            filter=True,
            sort=True,
        ),
        Field("segmentation_id", Whole(min=0, null=True), show="segmentation_id", create=True, filter=True, sort=True),
        Field("name", Text(null=True), show="name", create=True, update=True, filter=True, sort=True, alias="standard-attr-segment"),
        Field("description", Text(null=True), show=described, create=True, update=True, column="description", filter=True, sort=True),
        *tail(tags=False),
    ],
    words=WORDS,
)
