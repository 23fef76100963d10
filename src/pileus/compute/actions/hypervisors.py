"""The one host, as Nova speaks of hypervisors, hosts, services and zones. Nothing here has a row: it is read from the machine's facts.

Not here: aggregates, which do have rows (aggregates.py).
"""

from __future__ import annotations

from typing import Any

from pileus.compute.actions.create import ZONE
from pileus.compute.machine import Used, fact, host_uuid, hostname, memory_mb, named_uuid, reserved_mb, used
from pileus.compute.versions import UUIDS
from pileus.errors import BadRequest, NotFound
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, ANYONE, allow
from pileus.kit.store import Row

INTERNAL = "internal"  # the zone of what runs no guests
SERVICES = (("nova-scheduler", INTERNAL), ("nova-conductor", INTERNAL), ("nova-compute", ZONE))  # duties of the one control plane


def size(ctx: Context) -> tuple[int, int, int]:
    """Virtual CPUs, MiB and GiB of the machine; 0 where it is not known."""
    ram = memory_mb(ctx)
    return int(fact(ctx, "vcpus", 0)), ram, int(fact(ctx, "disk_gb", 0))


def figures(ctx: Context) -> Row:
    """What the machine has and what is taken, by Nova's names."""
    taken = used(ctx.store)
    vcpus, ram, disk = size(ctx)
    ram_used = taken.ram + reserved_mb(ctx)
    return {
        "vcpus": vcpus,
        "memory_mb": ram,
        "local_gb": disk,
        "vcpus_used": taken.vcpus,
        "memory_mb_used": ram_used,
        "local_gb_used": taken.disk,
        "free_ram_mb": ram - ram_used,
        "free_disk_gb": disk - taken.disk,
        "current_workload": ctx.store.query(
            "SELECT count(*) AS n FROM server WHERE deleted_at IS NULL AND placed = 1 AND task_state IS NOT NULL"
        )[0]["n"],
        "running_vms": taken.running,
        "disk_available_least": disk - taken.disk,
    }


def cpu_info(ctx: Context) -> dict[str, Any]:
    vcpus = int(fact(ctx, "vcpus", 1))
    return {
        "arch": fact(ctx, "arch", "x86_64"),
        "model": fact(ctx, "cpu_model", "unknown"),
        "vendor": fact(ctx, "cpu_vendor", "unknown"),
        "features": sorted(fact(ctx, "cpu_features", ())),
        "topology": {"cells": 1, "sockets": 1, "cores": vcpus, "threads": 1},
    }


# -- hypervisors -------------------------------------------------------------------------------------------------------------


@allow(ADMIN, "os_compute_api:os-hypervisors:list")
def check_list(ctx: Context, pattern: str | None = None) -> bool:
    """Whether the host's name has this in it. Raises NotFound when it has not."""
    if pattern is not None and pattern.strip("%").lower() not in hostname(ctx).lower():
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    return True


@allow(ADMIN, "os_compute_api:os-hypervisors:show")
def check_one(ctx: Context, id: str) -> None:
    """Raises NotFound, and BadRequest for what is no uuid where uuids are used."""
    if ctx.version >= UUIDS and len(id) != 36:
        raise BadRequest(f"Invalid uuid {id}")
    if id != (host_uuid(ctx) if ctx.version >= UUIDS else "1"):
        raise NotFound(f"Compute host {id} could not be found.")


@allow(ADMIN, "os_compute_api:os-hypervisors:statistics")
def statistics(ctx: Context) -> Row:
    """The sum over all hypervisors."""
    return {"count": 1, **figures(ctx)}


@allow(ADMIN, "os_compute_api:os-hypervisors:servers")
def servers_here(ctx: Context) -> list[Row]:
    """The servers of the host, by name and uuid."""
    rows = ctx.store.find("server", {"placed": 1}, order="created_at, id")
    return [{"name": f"server-{row['id']}", "uuid": row["id"]} for row in rows]


# -- services and zones --------------------------------------------------------------------------------------------------------


@allow(ADMIN, "os_compute_api:os-services:list")
def list_services(ctx: Context, binary: str | None = None, host: str | None = None) -> list[Row]:
    """The control plane's duties, by the names of Nova's processes."""
    now = iso(ctx.now(), fraction=True, zone="")
    shown = []
    for number, (name, zone) in enumerate(SERVICES, 1):
        if binary not in (None, name) or host not in (None, hostname(ctx)):
            continue
        id: Any = service_uuid(ctx, name) if ctx.version >= UUIDS else number
        about = {"binary": name, "host": hostname(ctx), "id": id, "zone": zone, "status": "enabled", "state": "up"}
        shown.append({**about, "updated_at": now, "disabled_reason": None})
    return shown


def service_uuid(ctx: Context, binary: str) -> str:
    return named_uuid(f"service {binary} {hostname(ctx)}")


@allow(ANYONE, "os_compute_api:os-availability-zone:list")
def list_zones(ctx: Context) -> list[Row]:
    return [{"zoneName": ZONE, "zoneState": {"available": True}, "hosts": None}]


@allow(ADMIN, "os_compute_api:os-availability-zone:detail")
def detail_zones(ctx: Context) -> list[Row]:
    """Each zone with its hosts and their services."""
    now = iso(ctx.now(), fraction=True, zone="")
    alive = {"available": True, "active": True, "updated_at": now}
    zones: dict[str, dict[str, Row]] = {}
    for name, zone in SERVICES:
        zones.setdefault(zone, {})[name] = alive
    return [{"zoneName": zone, "zoneState": {"available": True}, "hosts": {hostname(ctx): found}} for zone, found in zones.items()]


# -- hosts, as they were called until 2.42 -----------------------------------------------------------------------------------------


@allow(ADMIN, "os_compute_api:os-hosts:list")
def list_hosts(ctx: Context, zone: str | None = None) -> list[Row]:
    found = [{"host_name": hostname(ctx), "service": name.removeprefix("nova-"), "zone": at} for name, at in SERVICES]
    return [row for row in found if zone in (None, row["zone"])]


@allow(ADMIN, "os_compute_api:os-hosts:show")
def describe_host(ctx: Context, name: str) -> list[Row]:
    """The host's size, what is taken, and what each project takes. Raises NotFound."""
    if name != hostname(ctx):
        raise NotFound(f"Compute host {name} could not be found.")
    vcpus, ram, disk = size(ctx)
    taken: Used = used(ctx.store)

    def entry(project: str, cpu: int, memory: int, gib: int) -> Row:
        return {"resource": {"host": name, "project": project, "cpu": cpu, "memory_mb": memory, "disk_gb": gib}}

    shown = [
        entry("(total)", vcpus, ram, disk),
        entry("(used_now)", taken.vcpus, taken.ram + reserved_mb(ctx), taken.disk),
        entry("(used_max)", taken.vcpus, taken.ram, taken.disk),
    ]
    sums = ctx.store.query(
        "SELECT project_id, sum(vcpus) AS vcpus, sum(ram) AS ram, sum(disk) AS disk FROM server"
        " WHERE deleted_at IS NULL AND placed = 1 GROUP BY project_id ORDER BY project_id"
    )
    return shown + [entry(row["project_id"], row["vcpus"], row["ram"], row["disk"]) for row in sums]
