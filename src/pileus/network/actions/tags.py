"""Tags of whatever has them."""

from __future__ import annotations

from typing import Any

from pileus.errors import NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.resource import Mismatch
from pileus.kit.store import Row
from pileus.network.actions.scope import bump, find, owned
from pileus.network.types import ListOf, Text, invalid_input

TAGGED = {  # collection -> table
    "networks": "network",
    "subnets": "subnet",
    "ports": "port",
    "routers": "router",
    "floatingips": "floating_ip",
    "security-groups": "security_group",
    "address-groups": "address_group",
    "trunks": "trunk",
    "policies": "qos_policy",
    "qos/policies": "qos_policy",
    "address-scopes": "address_scope",
    "subnetpools": "subnetpool",
}
TAG = Text(max=255)


def _row(ctx: Context, collection: str, id: str) -> Row:
    """The tagged thing, if the caller sees it. Raises NotFound."""
    try:
        return find(ctx, TAGGED[collection], id)
    except NotFound:
        raise NotFound(f"Resource {collection.replace('-', '_')} {id} could not be found.", type="TagResourceNotFound") from None


def _checked(kind: Any, value: Any) -> Any:
    try:
        return kind.parse(value)
    except Mismatch as mismatch:
        raise invalid_input(mismatch.reason) from None


def _missing(tag: str) -> NotFound:
    return NotFound(f"Tag {tag} could not be found.", type="TagNotFound")


@allow(PROJECT_READER, "get_tags")
def list_tags(ctx: Context, collection: str, id: str) -> list[str]:
    """The tags of a thing, sorted."""
    row = _row(ctx, collection, id)
    return [tag["tag"] for tag in ctx.store.find("tag", {"resource_id": row["id"]}, order="tag")]


@allow(PROJECT_READER, "get_tags")
def check_tag(ctx: Context, collection: str, id: str, tag: str) -> None:
    """Raises NotFound unless the thing has the tag."""
    row = _row(ctx, collection, id)
    if not ctx.store.find("tag", {"resource_id": row["id"], "tag": tag}, limit=1):
        raise _missing(tag)


@allow(PROJECT_MEMBER, "update_tags")
def replace_tags(ctx: Context, collection: str, id: str, body: Any) -> list[str]:
    """Let these be all the tags of a thing; `body` is what the client sent."""
    if not isinstance(body, dict) or "tags" not in body:
        raise invalid_input("Invalid tags body")
    tags = _checked(ListOf(TAG), body["tags"])
    row = _row(ctx, collection, id)
    owned(ctx, row, "update_tags")
    with ctx.store.transaction():
        ctx.store.delete("tag", {"resource_id": id})
        for tag in tags:
            ctx.store.insert("tag", {"resource_id": id, "tag": tag})
        bump(ctx, TAGGED[collection], id)
    return sorted(tags)


@allow(PROJECT_MEMBER, "update_tags")
def add_tag(ctx: Context, collection: str, id: str, tag: str) -> None:
    """Tag a thing; twice is once."""
    _checked(TAG, tag)
    row = _row(ctx, collection, id)
    owned(ctx, row, "update_tags")
    with ctx.store.transaction():
        if not ctx.store.find("tag", {"resource_id": id, "tag": tag}, limit=1):
            ctx.store.insert("tag", {"resource_id": id, "tag": tag})
            bump(ctx, TAGGED[collection], id)


@allow(PROJECT_MEMBER, "delete_tags")
def delete_tag(ctx: Context, collection: str, id: str, tag: str) -> None:
    """Take a tag off. Raises NotFound when it is not there."""
    row = _row(ctx, collection, id)
    owned(ctx, row, "delete_tags")
    with ctx.store.transaction():
        if not ctx.store.delete("tag", {"resource_id": id, "tag": tag}):
            raise _missing(tag)
        bump(ctx, TAGGED[collection], id)


@allow(PROJECT_MEMBER, "delete_tags")
def delete_tags(ctx: Context, collection: str, id: str) -> None:
    """Take all tags off."""
    row = _row(ctx, collection, id)
    owned(ctx, row, "delete_tags")
    with ctx.store.transaction():
        if ctx.store.delete("tag", {"resource_id": id}):
            bump(ctx, TAGGED[collection], id)
