"""Aggregates: named sets of hosts with metadata (admin). With one host they choose nothing; they are kept and shown."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from pileus.compute.actions.create import ZONE
from pileus.compute.machine import hostname
from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, allow
from pileus.kit.store import Row


@allow(ADMIN, "os_compute_api:os-aggregates:index")
def list_aggregates(ctx: Context) -> list[Row]:
    return ctx.store.find("aggregate", order="id")


@allow(ADMIN, "os_compute_api:os-aggregates:show")
def find_aggregate(ctx: Context, id: str) -> Row:
    """Raises NotFound."""
    row = ctx.store.get("aggregate", id) if re.fullmatch(r"[0-9]{1,18}", id) else None
    if row is None:
        raise NotFound(f"Aggregate {id} could not be found.")
    return row


@allow(ADMIN, "os_compute_api:os-aggregates:create")
def create_aggregate(ctx: Context, name: str, zone: str | None) -> Row:
    """Raises Conflict when the name is taken."""
    metadata = {"availability_zone": zone} if zone else {}
    with ctx.store.transaction():
        _free(ctx, name)
        row = {"uuid": str(uuid.uuid4()), "name": name, "availability_zone": zone, "metadata": json.dumps(metadata)}
        ctx.store.insert("aggregate", {**row, "created_at": ctx.now()})
    found = ctx.store.first("aggregate", {"name": name})
    assert found is not None
    return found


def _free(ctx: Context, name: str) -> None:
    if ctx.store.first("aggregate", {"name": name}):
        raise Conflict(f"Aggregate {name} already exists.")


def _write(ctx: Context, row: Row, changes: Mapping[str, Any]) -> Row:
    ctx.store.update("aggregate", row["id"], {**changes, "updated_at": ctx.now()})
    return find_aggregate(ctx, str(row["id"]))


@allow(ADMIN, "os_compute_api:os-aggregates:update")
def update_aggregate(ctx: Context, id: str, values: Mapping[str, Any]) -> Row:
    """Name and zone. Raises Conflict."""
    row = find_aggregate(ctx, id)
    with ctx.store.transaction():
        if values.get("name", row["name"]) != row["name"]:
            _free(ctx, values["name"])
        changes = dict(values)
        if "availability_zone" in values:
            changes["metadata"] = _merged(row, {"availability_zone": values["availability_zone"]})
        return _write(ctx, row, changes)


def _merged(row: Row, given: Mapping[str, str | None]) -> str:
    """Metadata after a change; null takes a key away."""
    merged = {**json.loads(row["metadata"]), **given}
    return json.dumps({key: value for key, value in merged.items() if value is not None})


@allow(ADMIN, "os_compute_api:os-aggregates:set_metadata")
def set_metadata(ctx: Context, id: str, given: Mapping[str, str | None]) -> Row:
    row = find_aggregate(ctx, id)
    with ctx.store.transaction():
        zone = {"availability_zone": given["availability_zone"]} if "availability_zone" in given else {}
        return _write(ctx, row, {"metadata": _merged(row, given), **zone})


@allow(ADMIN, "os_compute_api:os-aggregates:add_host")
def add_host(ctx: Context, id: str, host: str) -> Row:
    """Raises NotFound for a host that is none, Conflict for one that is in."""
    row = find_aggregate(ctx, id)
    if host != hostname(ctx):
        raise NotFound(f"Compute host {host} could not be found.")
    hosts = json.loads(row["hosts"])
    if host in hosts:
        raise Conflict(f"Aggregate {id} already has host {host}.")
    if row["availability_zone"] not in (None, ZONE):
        raise Conflict(f"Cannot add host to aggregate {id}. Reason: the zone of host {host} is {ZONE}, as that of the servers on it.")
    with ctx.store.transaction():
        return _write(ctx, row, {"hosts": json.dumps([*hosts, host])})


@allow(ADMIN, "os_compute_api:os-aggregates:remove_host")
def remove_host(ctx: Context, id: str, host: str) -> Row:
    row = find_aggregate(ctx, id)
    hosts = json.loads(row["hosts"])
    if host not in hosts:
        raise NotFound(f"Aggregate {id} has no host {host}.")
    with ctx.store.transaction():
        return _write(ctx, row, {"hosts": json.dumps([each for each in hosts if each != host])})


@allow(ADMIN, "os_compute_api:os-aggregates:delete")
def delete_aggregate(ctx: Context, id: str) -> None:
    """Raises BadRequest while it has hosts."""
    row = find_aggregate(ctx, id)
    if json.loads(row["hosts"]):
        raise BadRequest(f"Cannot remove host from aggregate {id}. Reason: Host aggregate is not empty.")
    with ctx.store.transaction():
        ctx.store.delete("aggregate", {"id": row["id"]})
