"""The image and its members, as Glance shows and takes them. The JSON Schemas that Glance serves are made from these tables too.

Not here: what may be done when (states) and by whom (actions). Glance has no microversions that change a body: every field is in all.
"""

from __future__ import annotations

import json
import pprint
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest, Fault, Forbidden
from pileus.image.states import STATUSES
from pileus.kit.context import Context
from pileus.kit.resource import Field, Mismatch, Resource, Type, Words, flag, tags_of, when
from pileus.kit.store import Row
from pileus.openstack.types import Bool, Int, List, Str

UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
DISK_FORMATS = (None, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
CONTAINER_FORMATS = (None, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
VISIBILITIES = ("community", "public", "private", "shared")
MEMBER_STATUSES = ("pending", "accepted", "rejected")
MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, with or without null, as Glance's schema says it."""

    values: tuple[str | None, ...]

    def parse(self, value: Any, /) -> Any:
        if value is not None and not isinstance(value, str):
            raise Mismatch(f"{value!r} is not of type {', '.join(repr(n) for n in self._types())}", value, rule="type")
        if value not in self.values:
            raise Mismatch(f"{value!r} is not one of {list(self.values)}", value, rule="enum")
        return value

    def schema(self) -> dict[str, Any]:
        types = self._types()
        return {"type": types if len(types) > 1 else types[0], "enum": list(self.values)}

    def _types(self) -> list[str]:
        return ["null", "string"] if None in self.values else ["string"]


@dataclass(frozen=True, slots=True)
class Shown:
    """The schema of what no request may carry: it is only served."""

    served: Row

    def parse(self, value: Any, /) -> Any:
        raise Mismatch(f"{value!r} cannot be given", value)

    def schema(self) -> Row:
        return dict(self.served)


NULL_INT = Shown({"type": ["null", "integer"]})


# -- words: those of Python's jsonschema, through which Glance speaks ---------------------------------------------------------


def _mismatch(name: str, mismatch: Mismatch) -> Fault:
    """The validator's report: the reason, the rule that failed, and the value, each with its place."""
    part, where, value_at = SCHEMA["properties"].get(name), f"['properties'][{name!r}]", f"[{name!r}]"
    if part is None:
        part, where = SCHEMA["additionalProperties"], "['additionalProperties']"
    for step in mismatch.path:
        inner = "items" if isinstance(step, int) else "properties"
        part, where = (
            (part["items"], where + "['items']") if inner == "items" else (part["properties"][step], f"{where}['properties'][{step!r}]")
        )
        value_at += f"[{step!r}]"
    return schema_fault("image", mismatch.reason, mismatch.rule, where, part, value_at, mismatch.value)


def schema_fault(schema: str, reason: str, rule: str, where: str, part: Any, value_at: str, value: Any) -> Fault:
    """400 with the text that `str(jsonschema.ValidationError)` has."""
    shown, given = (textwrap.indent(pprint.pformat(thing, width=72, sort_dicts=True), "    ") for thing in (part, value))
    return BadRequest(
        f"Provided object does not match schema {schema!r}: {reason}\n\n"
        f"Failed validating {rule!r} in schema{where}:\n{shown}\n\nOn instance{value_at}:\n{given}"
    )


def _no_object(key: str, body: Any) -> Fault:
    return schema_fault(key, f"{body!r} is not of type 'object'", "type", "", {"type": "object"}, "", body)


def read_only(names: list[str]) -> Fault:
    return Forbidden(f"Attribute '{names[0]}' is read-only.")


WORDS = Words(
    mismatch=_mismatch, unknown=read_only, missing=lambda name, given: _no_object("image", given), no_object=_no_object, fixed=read_only
)


# -- the image ---------------------------------------------------------------------------------------------------------------


def _self(row: Row, ctx: Context) -> str:
    return f"/v2/images/{row['id']}"


def _file(row: Row, ctx: Context) -> str:
    return f"/v2/images/{row['id']}/file"


def _property(name: str, type: Type, doc: str) -> Field:
    """A property that Glance documents; it lives among the others, and is shown when it is set."""
    return Field(name, type, column=f"properties.{name}", create=True, update=True, doc=doc)


LOCATIONS = Shown(
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "url": {"type": "string", "maxLength": 255},
                "metadata": {"type": "object"},
                "validation_data": {
                    "description": "Values to be used to populate the corresponding image properties. If the image status is not 'queued', "
                    "values must exactly match those already contained in the image properties.",
                    "type": "object",
                    "writeOnly": True,
                    "additionalProperties": False,
                    "properties": {
                        "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                        "os_hash_algo": {"type": "string", "maxLength": 64},
                        "os_hash_value": {"type": "string", "maxLength": 128},
                    },
                    "required": ["os_hash_algo", "os_hash_value"],
                },
            },
            "required": ["url", "metadata"],
        },
    }
)

# in the order in which Glance answers
IMAGE = Resource(
    "image",
    "images",
    [
        Field(
            "name",
            Str(max=255, null=True),
            show="name",
            create=True,
            update=True,
            filter=True,
            sort=True,
            doc="Descriptive name for the image",
        ),
        Field(
            "disk_format",
            Choice(DISK_FORMATS),
            show="disk_format",
            create=True,
            update=True,
            filter=True,
            sort=True,
            doc="Format of the disk",
        ),
        Field(
            "container_format",
            Choice(CONTAINER_FORMATS),
            show="container_format",
            create=True,
            update=True,
            filter=True,
            sort=True,
            doc="Format of the container",
        ),
        Field(
            "visibility", Choice(VISIBILITIES), show="visibility", create=True, update=True, filter=True, doc="Scope of image accessibility"
        ),
        Field("size", NULL_INT, show="size", sort=True, doc="Size of image file in bytes"),
        Field("virtual_size", NULL_INT, show="virtual_size", doc="Virtual size of image in bytes"),
        Field("status", Choice(STATUSES), show="status", filter=True, sort=True, doc="Status of the image"),
        Field("checksum", Str(max=32, null=True), show="checksum", filter=True, doc="md5 hash of image contents."),
        Field(
            "protected", Bool(), show=flag("protected"), create=True, update=True, filter=True, doc="If true, image will not be deletable."
        ),
        Field("min_ram", Int(), show="min_ram", create=True, update=True, filter=True, doc="Amount of ram (in MB) required to boot image."),
        Field(
            "min_disk",
            Int(),
            show="min_disk",
            create=True,
            update=True,
            filter=True,
            doc="Amount of disk space (in GB) required to boot image.",
        ),
        Field(
            "owner",
            Str(max=255, null=True),
            show="project_id",
            column="project_id",
            create=True,
            update=True,
            filter=True,
            doc="Owner of the image",
        ),
        Field(
            "os_hidden",
            Bool(),
            show=flag("os_hidden"),
            create=True,
            update=True,
            filter=True,
            doc="If true, image will not appear in default image list response.",
        ),
        Field("os_hash_algo", Str(max=64, null=True), show="os_hash_algo", doc="Algorithm to calculate the os_hash_value"),
        Field(
            "os_hash_value",
            Str(max=128, null=True),
            show="os_hash_value",
            filter=True,
            doc="Hexdigest of the image contents using the algorithm specified by the os_hash_algo",
        ),
        Field("id", Str(pattern=UUID), show="id", create=True, filter=True, sort=True, doc="An identifier for the image"),
        Field("created_at", Str(), show=when("created_at"), column="created_at", sort=True, doc="Date and time of image registration"),
        Field(
            "updated_at", Str(), show=when("updated_at"), column="updated_at", sort=True, doc="Date and time of the last image modification"
        ),
        Field(
            "tags", List(Str(max=255)), show="tags", create=True, update=True, relation=tags_of, doc="List of strings related to the image"
        ),
        Field("self", Str(), show=_self, doc="An image self url"),
        Field("file", Str(), show=_file, doc="An image file url"),
        Field("schema", Str(), show=lambda row, ctx: "/v2/schemas/image", doc="An image schema url"),
        Field("direct_url", Str(), doc="URL to access the image file kept in external store"),
        Field(
            "stores",
            Str(),
            doc="Store in which image data resides.  Only present when the operator has enabled multiple stores.  "
            "May be a comma-separated list of store identifiers.",
        ),
        Field("locations", LOCATIONS, doc="A set of URLs to access the image file kept in external store"),
        _property(
            "kernel_id",
            Str(pattern=UUID, null=True),
            "ID of image stored in Glance that should be used as the kernel when booting an AMI-style image.",
        ),
        _property(
            "ramdisk_id",
            Str(pattern=UUID, null=True),
            "ID of image stored in Glance that should be used as the ramdisk when booting an AMI-style image.",
        ),
        _property(
            "instance_uuid",
            Str(),
            "Metadata which can be used to record which instance this image is associated with. "
            "(Informational only, does not create an instance snapshot.)",
        ),
        _property(
            "architecture",
            Str(),
            "Operating system architecture as specified in https://docs.openstack.org/python-glanceclient/latest/cli/property-keys.html",
        ),
        _property(
            "os_distro",
            Str(),
            "Common name of operating system distribution as specified in "
            "https://docs.openstack.org/python-glanceclient/latest/cli/property-keys.html",
        ),
        _property("os_version", Str(), "Operating system version as specified by the distributor."),
        _property("description", Str(), "A human-readable string describing this image."),
        _property(
            "cinder_encryption_key_id",
            Str(),
            "Identifier in the OpenStack Key Management Service for the encryption key for the Block Storage Service to use when "
            "mounting a volume created from this image",
        ),
        _property(
            "cinder_encryption_key_deletion_policy",
            Choice(("on_image_deletion", "do_not_delete")),
            "States the condition under which the Image Service will delete the object associated with the 'cinder_encryption_key_id' "
            "image property.  If this property is missing, the Image Service will take no action",
        ),
    ],
    words=WORDS,
    open=True,
)

BY_NAME = {field.name: field for field in IMAGE.fields}
SETTABLE = {name: field for name, field in BY_NAME.items() if field.update}
FIXED = frozenset(name for name, field in BY_NAME.items() if not field.update)  # `id` may be chosen, but never changed
READ_ONLY = FIXED - {"id", "locations"}
RESERVED = frozenset({"location", "deleted", "deleted_at", "is_public"})


def shown(row: Row, ctx: Context) -> Row:
    """One image as a client sees it: the properties that clients added are beside the fields."""
    return {**properties_of(row), **IMAGE.view(row, ctx)}


def listed(rows: list[Row], ctx: Context) -> list[Row]:
    """The same for a list."""
    return [{**properties_of(row), **view} for row, view in zip(rows, IMAGE.views(rows, ctx), strict=True)]


def properties_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What clients added to an image (`kernel_id`, `hw_…`, anything of their own), by name."""
    found: dict[str, Any] = json.loads(row["properties"])
    return found


# -- schemas -----------------------------------------------------------------------------------------------------------------


def _schema_of(field: Field) -> Row:
    schema = {**field.type.schema(), "description": field.doc}
    if field.name in READ_ONLY:
        schema["readOnly"] = True
    if (field.column or "").startswith("properties."):
        schema["is_base"] = False
    return schema


SCHEMA: Row = {
    "name": "image",
    "properties": {field.name: _schema_of(field) for field in IMAGE.fields},
    "additionalProperties": {"type": "string"},
    "links": [{"rel": "self", "href": "{self}"}, {"rel": "enclosure", "href": "{file}"}, {"rel": "describedby", "href": "{schema}"}],
}
MEMBER_SCHEMA: Row = {
    "name": "member",
    "properties": {
        "created_at": {"type": "string", "description": "Date and time of image member creation"},
        "image_id": {"type": "string", "description": "An identifier for the image", "pattern": UUID},
        "member_id": {"type": "string", "description": "An identifier for the image member (tenantId)"},
        "schema": {"type": "string", "readOnly": True},
        "status": {"type": "string", "description": "The status of this image member", "enum": list(MEMBER_STATUSES)},
        "updated_at": {"type": "string", "description": "Date and time of last modification of image member"},
    },
}


def collection(name: str, item: Row, links: tuple[str, ...]) -> Row:
    """The schema of a list."""
    pages = {link: {"type": "string"} for link in links}
    described = {"rel": "describedby", "href": "{schema}"}
    properties = {name: {"type": "array", "items": item}, **pages, "schema": {"type": "string"}}
    return {"name": name, "properties": properties, "links": [*({"rel": link, "href": f"{{{link}}}"} for link in links), described]}


SCHEMAS: dict[str, Row] = {
    "image": SCHEMA,
    "images": collection("images", SCHEMA, ("first", "next")),
    "member": MEMBER_SCHEMA,
    "members": collection("members", MEMBER_SCHEMA, ()),
}

# -- members -----------------------------------------------------------------------------------------------------------------

MEMBER = Resource(
    "member",
    "members",
    [
        Field("member_id", Str(), show="member"),
        Field("image_id", Str(), show="image_id"),
        Field("status", Choice(MEMBER_STATUSES), show="status"),
        Field("created_at", show=when("created_at")),
        Field("updated_at", show=when("updated_at")),
        Field("schema", show=lambda row, ctx: "/v2/schemas/member"),
    ],
    words=WORDS,
    table="image_member",
)
