"""The one machine that servers run on, as far as the API speaks of it: its name, its size, what is taken.

Reads what drivers said of it at start (`Cloud.host`) and the servers' rows. Not here: looking at the machine (drivers).
Keys of `Cloud.host`: hostname, vcpus, memory_mb (for all guests together), disk_gb, uid_count (guests' own users; 0: none), nic_count
(network cards of one guest), host_ip, arch, cpu_model, cpu_vendor, cpu_features, hypervisor_type, hypervisor_version (7.2.22 as 7002022).
What is absent is not known, or has no bound.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from pileus.kit.context import Context
from pileus.kit.store import Store

RESERVED_MB = 512  # memory that guests never get, as Nova's reserved_host_memory_mb
VCPU_RATIO = 16.0  # virtual CPUs promised for each real one, as Nova's cpu_allocation_ratio
UNBOUNDED = 2**31 - 1
_NAMES = uuid.UUID("6f0c1b1e-5d0c-4b57-9a3e-0d1c4f5e7a21")  # ids of what has no row are derived from names in this space


@dataclass(frozen=True, slots=True)
class Used:
    """What servers take, deleted and unplaced ones aside."""

    servers: int
    running: int
    vcpus: int
    ram: int  # MiB
    disk: int  # GiB


def hostname(ctx: Context) -> str:
    return str(ctx.cloud.host.get("hostname") or "pileus")


def fact(ctx: Context, name: str, default: Any) -> Any:
    """What is known of the machine, or the default."""
    value = ctx.cloud.host.get(name)
    return default if value is None else value


def nic_count(ctx: Context) -> int:
    """Network cards that a server can have."""
    return int(fact(ctx, "nic_count", UNBOUNDED))


def memory_mb(ctx: Context) -> int:
    """Memory for guests and reserve together."""
    return int(fact(ctx, "memory_mb", UNBOUNDED))


def reserved_mb(ctx: Context) -> int:
    return int(ctx.cloud.options.get("memory_reserve_mb", RESERVED_MB))


def used(store: Store) -> Used:
    row = store.query(
        "SELECT count(*) AS servers, coalesce(sum(vm_state IN ('active', 'building')), 0) AS running, coalesce(sum(vcpus), 0) AS vcpus,"
        " coalesce(sum(ram), 0) AS ram, coalesce(sum(disk), 0) AS disk FROM server WHERE deleted_at IS NULL AND placed = 1"
    )[0]
    return Used(**row)


def named_uuid(name: str) -> str:
    """A stable id for what has no row: the host, its services."""
    return str(uuid.uuid5(_NAMES, name))


def host_uuid(ctx: Context) -> str:
    """The hypervisor's id from 2.53 on, which is its resource provider's too."""
    return named_uuid(f"host {hostname(ctx)}")
