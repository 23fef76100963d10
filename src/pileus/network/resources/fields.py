"""Fields that every Neutron resource has, and ways to show a row that several share."""

from __future__ import annotations

from typing import Any

from pileus.kit.resource import Field, tags_of, when
from pileus.network.types import Text

TIMESTAMP = "standard-attr-timestamp"
PROJECT = "project-id"


def head(*, name: bool = True) -> list[Field]:
    """What comes first: id, name and owner."""
    named = [Field("name", Text(), show="name", create=True, update=True, default="", filter=True, sort=True)] if name else []
    return [
        Field("id", show="id", filter=True, sort=True),
        *named,
        Field("tenant_id", Text(), show="project_id", create=True, column="tenant_id", filter="project_id", sort="project_id"),
        Field("project_id", Text(), show="project_id", create=True, filter=True, sort=True, alias=PROJECT),
        Field(
            "description",
            Text(null=True),
            show="description",
            create=True,
            update=True,
            default="",
            filter=True,
            alias="standard-attr-description",
        ),
    ]


def tail(*, tags: bool = True) -> list[Field]:
    """What comes last: tags, times and the revision."""
    tagged = [Field("tags", show="tags", relation=tags_of, alias="standard-attr-tag")] if tags else []
    return [
        *tagged,
        Field("created_at", show=when("created_at"), sort="created_at", alias=TIMESTAMP),
        Field("updated_at", show=when("updated_at"), sort="updated_at", alias=TIMESTAMP),
        Field("revision_number", show="revision", filter="revision", sort="revision", alias="standard-attr-revisions"),
    ]


def admin_only(ctx: Any) -> bool:
    """Who sees what only the cloud's own administration is concerned with."""
    return bool(ctx.is_admin)
