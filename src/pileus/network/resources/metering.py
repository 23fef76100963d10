"""Field tables of metering labels and their rules."""

from __future__ import annotations

from pileus.kit.resource import Field, Resource, flag
from pileus.network.resources.fields import head
from pileus.network.types import WORDS, Flag, Id, OneOf, PlainPrefix

LABEL = Resource(
    "metering_label",
    "metering_labels",
    [
        *(field for field in head() if field.name not in ("name", "description")),
        *(
            Field(f.name, f.type, show=f.show, create=True, default="", filter=True, sort=True)
            for f in head()
            if f.name in ("name", "description")
        ),
        Field(
            "shared",
            Flag(),
            show=flag("shared"),
            create=True,
            default=False,
            filter="shared",
            sort="shared",
            column="shared",
            alias="metering",
        ),
    ],
    words=WORDS,
)

LABEL_RULE = Resource(
    "metering_label_rule",
    "metering_label_rules",
    [
        *(field for field in head(name=False) if field.name != "description"),
        Field("metering_label_id", Id(), show="metering_label_id", create="required", filter=True, sort=True),
        Field("direction", OneOf(("ingress", "egress")), show="direction", create="required", filter=True, sort=True),
        Field("remote_ip_prefix", PlainPrefix(), show="remote_ip_prefix", create=True, default=None, filter=True, sort=True),
        Field(
            "source_ip_prefix",
            PlainPrefix(),
            show="source_ip_prefix",
            create=True,
            default=None,
            filter=True,
            sort=True,
            alias="metering-source-and-destination-ip-prefixes",
        ),
        Field("destination_ip_prefix", PlainPrefix(), show="destination_ip_prefix", create=True, default=None, filter=True, sort=True),
        Field("excluded", Flag(), show=flag("excluded"), create=True, default=False, filter="excluded", sort="excluded", column="excluded"),
    ],
    words=WORDS,
)
