"""How a server's guest is doing, as far as its row and ports tell. Counters of the guest itself are unknown here: they are null."""

from __future__ import annotations

from typing import Any

from pileus.compute.actions.servers import find_server
from pileus.compute.states import SERVER
from pileus.compute.versions import PLAIN_DIAGNOSTICS
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network import actions as network

POWER = {0: "pending", 1: "running", 3: "paused", 4: "shutdown", 6: "crashed", 7: "suspended"}
DRIVER = "libvirt"  # the API names five drivers; this is the one whose guests are QEMU processes
CARD_COUNTERS = ("rx_octets", "rx_errors", "rx_drop", "rx_packets", "rx_rate", "tx_octets", "tx_errors", "tx_drop", "tx_packets", "tx_rate")
DISK_COUNTERS = ("read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count")


@allow(ADMIN, "os_compute_api:os-server-diagnostics")
def show_diagnostics(ctx: Context, id: str) -> dict[str, Any]:
    """Raises NotFound, and Conflict when the server is not running."""
    row = find_server(ctx, id)
    SERVER.check(row, "get_diagnostics")
    if ctx.version < PLAIN_DIAGNOSTICS:
        return {"memory": row["ram"] * 1024}
    ports = network.ports_of_device(ctx.store, row["id"])
    return {
        "state": POWER.get(row["power_state"], "pending"),
        "driver": DRIVER,
        "hypervisor": str(ctx.cloud.host.get("accel") or "qemu"),
        "hypervisor_os": "linux",
        "uptime": max(0, ctx.now() - row["launched_at"]) // 1_000_000 if row["launched_at"] else None,
        "config_drive": bool(row["config_drive"]),
        "num_cpus": row["vcpus"],
        "num_nics": len(ports),
        "num_disks": 1,
        "disk_details": [dict.fromkeys(DISK_COUNTERS)],
        "cpu_details": [{"id": number, "time": None, "utilisation": None} for number in range(row["vcpus"])],
        "nic_details": [{"mac_address": port["mac_address"], **dict.fromkeys(CARD_COUNTERS)} for port in ports],
        "memory_details": {"maximum": row["ram"], "used": None},
    }


@allow(PROJECT_READER, "compute:server:topology:index")
def show_topology(ctx: Context, id: str) -> Row:
    """A guest's memory and CPUs are tied to no node of the host."""
    find_server(ctx, id)
    return {"nodes": [], "pagesize_kb": None}
