"""Flavors: create, list, show, update, delete, extra specs, and which projects see a private one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from pileus.compute.versions import NO_ACCESS_TO_PUBLIC
from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.context import Cloud, Context
from pileus.kit.policy import ADMIN, ANYONE, allow
from pileus.kit.store import Row
from pileus.openstack.listing import Listing, fetch

# name, id, MiB, virtual CPUs, GiB: ours first, then DevStack's, which suites name, with DevStack's ids
SEED = (
    ("nano", "nano", 128, 1, 1),
    ("tiny", "tiny", 256, 1, 1),
    ("small", "small", 512, 1, 2),
    ("small2", "small2", 1024, 1, 4),
    ("m1.tiny", "1", 512, 1, 1),
    ("m1.small", "2", 2048, 1, 20),
    ("m1.medium", "3", 4096, 2, 40),
    ("m1.large", "4", 8192, 4, 80),
    ("m1.xlarge", "5", 16384, 8, 160),
    ("m1.nano", "42", 128, 1, 1),
    ("m1.micro", "84", 192, 1, 1),
    ("cirros256", "c1", 256, 1, 1),
)


def seed(cloud: Cloud) -> None:
    """Make the flavors of a fresh cloud; when there are any, an admin has them in hand and this is nothing."""
    if cloud.store.count("flavor"):
        return
    with cloud.store.transaction():
        for name, id, ram, vcpus, disk in SEED:
            row = {"id": id, "name": name, "ram": ram, "vcpus": vcpus, "disk": disk, "created_at": cloud.clock.now()}
            cloud.store.insert("flavor", row)


def _visible(ctx: Context, row: Row) -> bool:
    if row["is_public"] or ctx.is_admin:
        return True
    return ctx.store.first("flavor_access", {"flavor_id": row["id"], "project_id": ctx.project_id}) is not None


@allow(ANYONE, "os_compute_api:os-flavors:show")
def find_flavor(ctx: Context, id: str) -> Row:
    """A flavor that the caller may see. Raises NotFound."""
    row = ctx.store.get("flavor", id)
    if row is None or not _visible(ctx, row):
        raise NotFound(f"Flavor {id} could not be found.")
    return row


@allow(ANYONE, "os_compute_api:os-flavors:index")
def list_flavors(ctx: Context, listing: Listing, *, public: bool | None = True) -> tuple[list[Row], bool]:
    """A page of flavors. `public`: only these, only the others, or (None) both; who is no admin sees the public and those given to it."""
    if not ctx.is_admin:
        given = "is_public = 1 OR id IN (SELECT flavor_id FROM flavor_access WHERE project_id = ?)"
        listing.terms.append((given, (ctx.project_id,)))
    elif public is not None:
        listing.where["is_public"] = int(public)
    marker = None
    if listing.marker:
        marker = ctx.store.get("flavor", listing.marker)
        if marker is None:
            raise BadRequest(f"marker [{listing.marker}] not found")
    return fetch(ctx.store, "flavor", listing, marker)


@allow(ADMIN, "os_compute_api:os-flavor-manage:create")
def create_flavor(ctx: Context, values: Mapping[str, Any]) -> Row:
    """Raises Conflict when the name or the id is taken."""
    row = {**values, "id": values["id"] or str(uuid.uuid4()), "is_public": int(values["is_public"]), "created_at": ctx.now()}
    with ctx.store.transaction():
        if ctx.store.first("flavor", {"name": row["name"]}):
            raise Conflict(f"Flavor with name {row['name']} already exists.")
        if ctx.store.get("flavor", row["id"]):
            raise Conflict(f"Flavor with ID {row['id']} already exists.")
        ctx.store.insert("flavor", row)
        if not row["is_public"] and ctx.project_id:
            ctx.store.insert("flavor_access", {"flavor_id": row["id"], "project_id": ctx.project_id})
    return find_flavor(ctx, row["id"])


@allow(ADMIN, "os_compute_api:os-flavor-manage:update")
def update_flavor(ctx: Context, id: str, values: Mapping[str, Any]) -> Row:
    """Only the description can be changed: a flavor's size is what its name promises."""
    row = find_flavor(ctx, id)
    with ctx.store.transaction():
        _write(ctx, row, values)
    return find_flavor(ctx, id)


@allow(ADMIN, "os_compute_api:os-flavor-manage:delete")
def delete_flavor(ctx: Context, id: str) -> None:
    """Servers keep their copies."""
    row = find_flavor(ctx, id)
    with ctx.store.transaction():
        ctx.store.delete("flavor", {"id": row["id"]})


def _write(ctx: Context, row: Row, changes: Mapping[str, Any]) -> None:
    ctx.store.update("flavor", row["id"], {**changes, "updated_at": ctx.now(), "revision": row["revision"] + 1})


# -- extra specs -----------------------------------------------------------------------------------------------------------


@allow(ANYONE, "os_compute_api:os-flavor-extra-specs:index")
def list_specs(ctx: Context, id: str) -> dict[str, str]:
    specs: dict[str, str] = json.loads(find_flavor(ctx, id)["extra_specs"])
    return specs


@allow(ANYONE, "os_compute_api:os-flavor-extra-specs:show")
def find_spec(ctx: Context, id: str, key: str) -> str:
    specs = list_specs(ctx, id)
    if key not in specs:
        raise NotFound(f"Flavor {id} has no extra specs with key {key}.")
    return specs[key]


@allow(ADMIN, "os_compute_api:os-flavor-extra-specs:create")
def update_specs(ctx: Context, id: str, given: Mapping[str, str]) -> None:
    row = find_flavor(ctx, id)
    with ctx.store.transaction():
        _write(ctx, row, {"extra_specs": json.dumps({**json.loads(row["extra_specs"]), **given})})


@allow(ADMIN, "os_compute_api:os-flavor-extra-specs:delete")
def delete_spec(ctx: Context, id: str, key: str) -> None:
    find_spec(ctx, id, key)
    row = find_flavor(ctx, id)
    with ctx.store.transaction():
        specs = json.loads(row["extra_specs"])
        del specs[key]
        _write(ctx, row, {"extra_specs": json.dumps(specs)})


# -- access ----------------------------------------------------------------------------------------------------------------


@allow(ADMIN, "os_compute_api:os-flavor-access")
def list_access(ctx: Context, id: str) -> list[str]:
    """The projects that see a private flavor. Raises NotFound for a public one."""
    row = find_flavor(ctx, id)
    if row["is_public"]:
        raise NotFound("Access list not available for public flavors.")
    return [each["project_id"] for each in ctx.store.find("flavor_access", {"flavor_id": row["id"]}, order="project_id")]


@allow(ADMIN, "os_compute_api:os-flavor-access:add_tenant_access")
def add_access(ctx: Context, id: str, project_id: str) -> list[str]:
    row = find_flavor(ctx, id)
    if row["is_public"] and ctx.version >= NO_ACCESS_TO_PUBLIC:
        raise Conflict("Can not add access to a public flavor.")
    with ctx.store.transaction():
        if ctx.store.first("flavor_access", {"flavor_id": row["id"], "project_id": project_id}):
            raise Conflict(f"Flavor access already exists for flavor {id} and project {project_id} combination.")
        ctx.store.insert("flavor_access", {"flavor_id": row["id"], "project_id": project_id})
    return [each["project_id"] for each in ctx.store.find("flavor_access", {"flavor_id": row["id"]}, order="project_id")]


@allow(ADMIN, "os_compute_api:os-flavor-access:remove_tenant_access")
def remove_access(ctx: Context, id: str, project_id: str) -> list[str]:
    row = find_flavor(ctx, id)
    with ctx.store.transaction():
        if not ctx.store.delete("flavor_access", {"flavor_id": row["id"], "project_id": project_id}):
            raise NotFound(f"Flavor access not found for {id} / {project_id} combination.")
    return [each["project_id"] for each in ctx.store.find("flavor_access", {"flavor_id": row["id"]}, order="project_id")]
