"""Field tables of projects, domains, users, groups and roles."""

from __future__ import annotations

from pileus.identity.resources.types import BOOL, ID, NAME64, NAME255, OPTIONS, TAGS, TEXT, USER_OPTIONS, declare, links
from pileus.kit.resource import Field, flag, tags_of, unpacked, when
from pileus.openstack.types import Str

PROJECT = declare(
    "project",
    "projects",
    [
        Field("id", show="id"),
        Field("name", NAME64, show="name", create="required", update=True, filter=True),
        Field("domain_id", ID, show=lambda row, ctx: row["domain_id"], create=True, update=True, filter=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("parent_id", ID, show="parent_id", create=True, update=True, filter=True),
        Field("is_domain", BOOL, show=flag("is_domain"), create=True, update=True, column="is_domain", filter=True),
        Field("tags", TAGS, show=lambda row, ctx: row["tags"], create=True, update=True, relation=tags_of),
        Field("options", OPTIONS, show=unpacked("options"), create=True, update=True),
        Field("links", show=links("projects")),
    ],
)

DOMAIN = declare(
    "domain",
    "domains",
    [
        Field("id", show="id"),
        Field("name", NAME64, show="name", create="required", update=True, filter=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("tags", TAGS, show=lambda row, ctx: row["tags"], create=True, update=True, relation=tags_of),
        Field("options", OPTIONS, show=unpacked("options"), create=True, update=True),
        Field("explicit_domain_id", ID, create=True, doc="The id that the new domain is to have, for clouds that share users."),
        Field("links", show=links("domains")),
    ],
    table="project",
)

USER = declare(
    "user",
    "users",
    [
        Field("id", show="id"),
        Field("name", NAME255, show="name", create="required", update=True, filter=True),
        Field("domain_id", ID, show="domain_id", create=True, update=True, filter=True),
        Field("enabled", BOOL, show=flag("enabled"), create=True, update=True, column="enabled", filter=True),
        Field("password", Str(null=True), create=True, update=True),
        Field("default_project_id", ID, create=True, update=True),
        Field("description", TEXT, create=True, update=True),
        Field("email", Str(null=True), create=True, update=True),
        Field("password_expires_at", show=when("password_expires_at", fraction=True, zone="")),
        Field("options", USER_OPTIONS, show=unpacked("options"), create=True, update=True),
        Field("links", show=links("users")),
    ],
)
OPTIONAL = ("description", "email", "default_project_id")  # of a user: shown when set

GROUP = declare(
    "group",
    "groups",
    [
        Field("id", show="id"),
        Field("name", NAME64, show="name", create="required", update=True, filter=True),
        Field("domain_id", ID, show="domain_id", create=True, update=True, filter=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("links", show=links("groups")),
    ],
    table="user_group",
)

ROLE = declare(
    "role",
    "roles",
    [
        Field("id", show="id"),
        Field("name", NAME255, show="name", create="required", update=True, filter=True),
        Field("domain_id", ID, show="domain_id", create=True, update=True, filter=True),
        Field("description", TEXT, show="description", create=True, update=True),
        Field("options", OPTIONS, show=unpacked("options"), create=True, update=True),
        Field("links", show=links("roles")),
    ],
)
