"""The machine that guests run on, as hypervisor lists and the capacity check see it, and which of QEMU's files it has."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pileus.compute.host import SLOTS
from pileus.drivers.qemu.argv import BINARY, OVERHEAD, TCG_BUFFER

FIRMWARE = ("/usr/share/qemu", "/usr/share/seabios", "/usr/share/qemu-firmware", "/usr/local/share/qemu", "/usr/lib/ipxe/qemu")
GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
VERSION = re.compile(r"version (\d+)\.(\d+)\.(\d+)")


def has_firmware(name: str) -> bool:
    return any((Path(folder) / name).exists() for folder in FIRMWARE)


def facts(guests: Iterable[int], data: Path, uid_count: int) -> dict[str, Any]:
    """What `Guests.host_facts` promises. `guests`: pids of those that run now; their memory counts as free for guests."""
    cpu = _cpu()
    return {
        "hostname": platform.node() or "pileus",
        "vcpus": len(os.sched_getaffinity(0)),
        "memory_mb": memory_mb(guests),
        "overhead_mb": OVERHEAD + TCG_BUFFER[0],  # as if all ran under TCG; what runs on KVM takes less
        "disk_gb": shutil.disk_usage(data).total >> 30,
        "uid_count": uid_count,
        "nic_count": SLOTS,
        "arch": platform.machine(),
        "cpu_model": cpu.get("model name", ""),
        "cpu_vendor": cpu.get("vendor_id", ""),
        "cpu_features": cpu.get("flags", "").split(),
        "hypervisor_type": "QEMU",
        "hypervisor_version": version(),
    }


def memory_mb(guests: Iterable[int]) -> int:
    """Memory that guests may have together, in MiB: what is available now, and what those that run have already."""
    table = Path("/proc/meminfo").read_text()
    found = {line.partition(":")[0]: int(line.split()[1]) << 10 for line in table.splitlines()}
    free = found.get("MemAvailable", found["MemTotal"])
    for file in GROUP_LIMITS:
        try:
            limit = int(Path(file).read_text())
        except (OSError, ValueError):  # no such control group, or "max"
            continue
        free = min(free, limit)
    return (free + sum(map(_resident, guests))) >> 20


def _resident(pid: int) -> int:
    """Bytes of memory that a process has; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def version() -> int:
    """QEMU's version as libvirt counts it: 7.2.22 is 7002022; 0 when there is none."""
    try:
        said = subprocess.run([BINARY, "--version"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = VERSION.search(said)
    return int(match[1]) * 1_000_000 + int(match[2]) * 1000 + int(match[3]) if match else 0


def _cpu() -> dict[str, str]:
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
