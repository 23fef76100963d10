"""The image, as Glance shows and takes it. The JSON Schema that Glance serves is made from this table too.

Not here: what may be done when (states) and by whom (actions). Glance has no microversions that change a body: every field is in all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pileus.image.resources.words import NULL_INT, UUID, Choice, Shown, words
from pileus.image.states import STATUSES
from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource, Type, flag, tags_of, when
from pileus.kit.store import Row
from pileus.openstack.types import Bool, Int, List, Str

DISK_FORMATS = (None, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
CONTAINER_FORMATS = (None, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
VISIBILITIES = ("community", "public", "private", "shared")
MOST = 2**31 - 1
WORDS = words("image", lambda: SCHEMA)


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
