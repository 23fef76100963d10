"""What a user writes on a server: metadata and tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pileus.compute.actions.quotas import check_metadata
from pileus.compute.actions.servers import find_server, touch, unlocked
from pileus.compute.states import SERVER
from pileus.errors import BadRequest, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row

TAGS_MAX = 50


@allow(PROJECT_READER, "os_compute_api:server-metadata:index")
def list_metadata(ctx: Context, id: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(find_server(ctx, id)["metadata"])
    return found


@allow(PROJECT_READER, "os_compute_api:server-metadata:show")
def find_metadata(ctx: Context, id: str, key: str) -> str:
    """One value. Raises NotFound."""
    found: dict[str, str] = json.loads(find_server(ctx, id)["metadata"])
    if key not in found:
        raise NotFound("Metadata item was not found")
    return found[key]


@allow(PROJECT_MEMBER, "os_compute_api:server-metadata:update")
def update_metadata(ctx: Context, id: str, given: Mapping[str, str], *, replace: bool = False) -> dict[str, str]:
    """Add to, or replace, a server's metadata; returns all of it. Raises OverQuota."""
    row = unlocked(ctx, find_server(ctx, id))
    with ctx.store.transaction():
        SERVER.check(row, "update metadata")
        merged = dict(given) if replace else {**json.loads(row["metadata"]), **given}
        check_metadata(ctx, row["project_id"], merged)
        touch(ctx, row, {"metadata": json.dumps(merged)})
    return merged


@allow(PROJECT_MEMBER, "os_compute_api:server-metadata:delete")
def delete_metadata(ctx: Context, id: str, key: str) -> None:
    row = unlocked(ctx, find_server(ctx, id))
    found: dict[str, str] = json.loads(row["metadata"])
    if key not in found:
        raise NotFound("Metadata item was not found")
    with ctx.store.transaction():
        SERVER.check(row, "delete metadata")
        del found[key]
        touch(ctx, row, {"metadata": json.dumps(found)})


# -- tags ------------------------------------------------------------------------------------------------------------------


@allow(PROJECT_READER, "os_compute_api:os-server-tags:index")
def list_tags(ctx: Context, id: str) -> list[str]:
    return _tags(ctx, find_server(ctx, id))


@allow(PROJECT_READER, "os_compute_api:os-server-tags:show")
def check_tag(ctx: Context, id: str, tag: str) -> None:
    """Raises NotFound."""
    if tag not in _tags(ctx, row := find_server(ctx, id)):
        raise NotFound(f"Server {row['id']} has no tag '{tag}'")


@allow(PROJECT_MEMBER, "os_compute_api:os-server-tags:update_all")
def replace_tags(ctx: Context, id: str, tags: Sequence[str]) -> list[str]:
    row = find_server(ctx, id)
    with ctx.store.transaction():
        SERVER.check(row, "update tags")
        if len(tags) > TAGS_MAX:
            raise BadRequest(f"The number of tags exceeded the per-server limit {TAGS_MAX}")
        ctx.store.delete("tag", {"resource_id": row["id"]})
        write_tags(ctx, row["id"], tags)
        touch(ctx, row, {})
    return _tags(ctx, row)


@allow(PROJECT_MEMBER, "os_compute_api:os-server-tags:update")
def add_tag(ctx: Context, id: str, tag: str) -> bool:
    """Whether the tag is new."""
    row = find_server(ctx, id)
    with ctx.store.transaction():
        SERVER.check(row, "update tags")
        tags = _tags(ctx, row)
        if tag in tags:
            return False
        if len(tags) >= TAGS_MAX:
            raise BadRequest(f"The number of tags exceeded the per-server limit {TAGS_MAX}")
        write_tags(ctx, row["id"], [tag])
        touch(ctx, row, {})
    return True


@allow(PROJECT_MEMBER, "os_compute_api:os-server-tags:delete")
def remove_tag(ctx: Context, id: str, tag: str) -> None:
    row = find_server(ctx, id)
    with ctx.store.transaction():
        SERVER.check(row, "update tags")
        if not ctx.store.delete("tag", {"resource_id": row["id"], "tag": tag}):
            raise NotFound(f"Server {row['id']} has no tag '{tag}'")
        touch(ctx, row, {})


def write_tags(ctx: Context, server_id: str, tags: Sequence[str]) -> None:
    for tag in dict.fromkeys(tags):
        ctx.store.insert("tag", {"resource_id": server_id, "tag": tag})


def _tags(ctx: Context, row: Row) -> list[str]:
    return [each["tag"] for each in ctx.store.find("tag", {"resource_id": row["id"]}, order="tag")]
