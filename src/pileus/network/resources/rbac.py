"""Field table of RBAC policies."""

from __future__ import annotations

from pileus.kit.resource import Field, Resource
from pileus.network.types import WORDS, Id, ObjectType, Text

RBAC_POLICY = Resource(
    "rbac_policy",
    "rbac_policies",
    [
        Field("id", show="id", filter=True, sort=True),
        Field("tenant_id", Text(), show="project_id", create=True, column="tenant_id", filter="project_id", sort="project_id"),
        Field("project_id", Text(), show="project_id", create=True, filter=True, sort=True),
        Field("object_type", ObjectType(), show="object_type", create="required", filter=True, sort=True, alias="rbac-policies"),
        Field("object_id", Id(), show="object_id", create="required", filter=True, sort=True),
        Field(
            "target_tenant",
            Text(filled=True),
            show="target_project",
            create="required",
            update=True,
            filter=True,
            sort=True,
        ),
        Field("action", Text(), show="action", create="required", filter=True, sort=True),
    ],
    words=WORDS,
)
