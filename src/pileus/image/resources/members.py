"""Members: the projects that a shared image is shared with."""

from __future__ import annotations

from pileus.image.resources.words import UUID, Choice, words
from pileus.kit.resource import Field, Resource, when
from pileus.kit.store import Row
from pileus.openstack.types import Str

MEMBER_STATUSES = ("pending", "accepted", "rejected")
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
    words=words("member", lambda: MEMBER_SCHEMA),
    table="image_member",
)
