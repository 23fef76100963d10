"""Field tables: images, members, tasks, metadata definitions; and the JSON Schemas that Glance serves of them."""

from pileus.image.resources.images import (
    DISK_FORMATS,
    FIXED,
    IMAGE,
    MOST,
    READ_ONLY,
    RESERVED,
    SETTABLE,
    VISIBILITIES,
    WORDS,
    listed,
    properties_of,
    shown,
)
from pileus.image.resources.members import MEMBER, MEMBER_STATUSES
from pileus.image.resources.schemas import SCHEMAS
from pileus.image.resources.words import read_only, schema_fault

__all__ = [
    "DISK_FORMATS",
    "FIXED",
    "IMAGE",
    "MEMBER",
    "MEMBER_STATUSES",
    "MOST",
    "READ_ONLY",
    "RESERVED",
    "SCHEMAS",
    "SETTABLE",
    "VISIBILITIES",
    "WORDS",
    "listed",
    "properties_of",
    "read_only",
    "schema_fault",
    "shown",
]
