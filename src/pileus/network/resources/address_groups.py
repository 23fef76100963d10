"""Field table of address groups."""

from __future__ import annotations

from pileus.kit.resource import Field, Resource, unpacked
from pileus.network.resources.fields import head, tail
from pileus.network.resources.sharing import is_shared, targets_of
from pileus.network.types import WORDS, Prefixes

ADDRESS_GROUP = Resource(
    "address_group",
    "address_groups",
    [
        *head(),
        Field("shared", show=is_shared, relation=targets_of, alias="rbac-address-group"),
        Field("addresses", Prefixes(), show=unpacked("addresses"), create=True, default=list, alias="address-group"),
        *tail(),
    ],
    words=WORDS,
)
