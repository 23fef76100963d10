"""Fields that every Neutron resource has, and ways to show a row that several share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, Relation, Resource, tags_of, unpacked, when
from pileus.kit.store import Row, Store
from pileus.network.types import ListOf, Text

TIMESTAMP = "standard-attr-timestamp"
PROJECT = "project-id"
ZONE = "nova"  # what OpenStack calls the zone of machines that are in none


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


class Sparse(Resource):
    """A resource some of whose fields are shown only of those rows in which they are not null: what was never said of a thing.

    A client that knows nothing of an extension sees what a cloud without it shows; one that has used it sees its field, null or not.
    """

    sparse: tuple[str, ...] = ()

    def viewer(self, ctx: Context) -> Callable[[Row, Context], Row]:
        show, sparse = super().viewer(ctx), self.sparse

        def view(row: Row, ctx: Context) -> Row:
            shown = show(row, ctx)
            for name in sparse:
                if row[name] is None:
                    shown.pop(name, None)
            return shown

        return view


def unsaid(column: str) -> Relation:
    """Relation: an empty text is null, so that it is not shown (Sparse)."""

    def blank(store: Store, rows: list[Row]) -> None:
        for row in rows:
            row[column] = row[column] or None

    return blank


def zones(row: Row, ctx: Any) -> list[str]:
    """The one zone, unless the thing was taken off the machine."""
    return [] if row["scheduled"] == 0 else [ZONE]


def zone_fields(kind: str) -> list[Field]:
    """Availability zones: asked for, and where the thing is."""
    column = "availability_zone_hints"
    return [
        Field(column, ListOf(Text()), show=unpacked(column), create=True, column=column, default=list, alias=f"{kind}_availability_zone"),
        Field("availability_zones", show=zones, alias=f"{kind}_availability_zone"),
    ]


def admin_only(ctx: Any) -> bool:
    """Who sees what only the cloud's own administration is concerned with."""
    return bool(ctx.is_admin)
