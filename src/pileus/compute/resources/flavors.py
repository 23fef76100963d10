"""Flavors: the sizes that servers come in."""

from __future__ import annotations

from typing import Any

from pileus.compute.resources.words import BOOL, Name, words
from pileus.kit.context import Context
from pileus.kit.resource import Field, Mismatch, Resource, flag, unpack, unpacked
from pileus.kit.store import Row
from pileus.openstack.types import Int, Map, Str

POSITIVE = Int(min=1, max=2147483647, loose=True)
NATURAL = Int(min=0, max=2147483647, loose=True)
SPECS = Map(Str(max=255), pattern=r"^[a-zA-Z0-9-_:. ]{1,255}$")


class _Factor:
    """A number above zero, or text that says one."""

    def parse(self, value: Any, /) -> float:
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None:
            raise Mismatch(f"{value!r} does not match '^[0-9]+(\\\\.[0-9]+)?$'", value, rule="pattern")
        if not 0 < number < 3.4e38:
            raise Mismatch(f"{number!r} is less than or equal to the minimum of 0", value, rule="minimum")
        return number

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number"], "exclusiveMinimum": 0}


def links(kind: str, id: str, ctx: Context) -> list[Row]:
    """The self and bookmark links of a thing of this API."""
    return [
        {"rel": "self", "href": f"{ctx.base_url}/v2.1/{kind}/{id}"},
        {"rel": "bookmark", "href": f"{ctx.base_url}/{kind}/{id}"},
    ]


def _swap(row: Row, ctx: Context) -> Any:
    return row["swap"] or ""


FLAVOR = Resource(
    "flavor",
    "flavors",
    [
        Field("id", Str(min=1, max=255, null=True, pattern=r"^(?! )[a-zA-Z0-9. _-]*(?<! )$"), show="id", create=True, default=None),
        Field("name", Name(), show="name", create="required"),
        Field("ram", POSITIVE, show="ram", create="required"),
        Field("disk", NATURAL, show="disk", create="required"),
        Field("swap", NATURAL, show=_swap, until="2.74", create=True, default=0),
        Field("swap", NATURAL, show="swap", since="2.75", create=True, default=0),
        Field("OS-FLV-EXT-DATA:ephemeral", NATURAL, show="ephemeral", create=True, default=0),
        Field("OS-FLV-DISABLED:disabled", show=flag("disabled")),
        Field("vcpus", POSITIVE, show="vcpus", create="required"),
        Field("os-flavor-access:is_public", BOOL, show=flag("is_public"), create=True, column="is_public", default=True),
        Field("rxtx_factor", _Factor(), show="rxtx_factor", create=True, default=1.0),
        Field("links", show=lambda row, ctx: links("flavors", row["id"], ctx)),
        Field("description", Str(max=65535, null=True), show="description", since="2.55", create=True, update=True, default=None),
        Field("extra_specs", show=unpacked("extra_specs"), since="2.61"),
    ],
    words=words("flavor"),
)

SORTS = {"flavorid": "id", "name": "name", "memory_mb": "ram", "vcpus": "vcpus", "root_gb": "disk", "ephemeral_gb": "ephemeral"}
SORTS |= {"swap": "swap", "created_at": "created_at", "updated_at": "updated_at", "disabled": "disabled", "is_public": "is_public"}
SORTS |= {"id": "id", "rxtx_factor": "rxtx_factor"}
SORT_WORDS = [
    "created_at",
    "description",
    "disabled",
    "ephemeral_gb",
    "flavorid",
    "id",
    "is_public",
    "memory_mb",
    "name",
    "root_gb",
    "rxtx_factor",
    "swap",
    "updated_at",
    "vcpu_weight",
    "vcpus",
]


def brief(row: Row, ctx: Context) -> Row:
    """What the plain list shows."""
    shown = {"id": row["id"], "name": row["name"], "links": links("flavors", row["id"], ctx)}
    return shown | {"description": row["description"]} if ctx.version >= (2, 55) else shown


def embedded(row: Row, ctx: Context) -> Row:
    """The copy that a server's row carries, as it is shown inside the server from 2.47 on."""
    copy = unpack(row["flavor"])
    names = ("vcpus", "ram", "disk", "ephemeral", "swap")
    return {name: copy[name] for name in names} | {"original_name": copy["name"], "extra_specs": copy["extra_specs"]}


def reference(row: Row, ctx: Context) -> Row:
    """The flavor of a server until 2.46: its id, and where to read it."""
    id = unpack(row["flavor"])["id"]
    return {"id": id, "links": [{"rel": "bookmark", "href": f"{ctx.base_url}/flavors/{id}"}]}
