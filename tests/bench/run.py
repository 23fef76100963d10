"""Measures and prints. `python -m tests.bench.run [NAME...]` runs the groups that hold one of the names, all of them without.

Writes build/bench.json, a list of rows as row.py has them; rows of groups that were not run stay from the last time.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import boot, many_networks, requests, startup, throughput, topology
from tests.bench.row import Row

OUT = Path(__file__).resolve().parents[2] / "build/bench.json"
GROUPS: dict[str, Callable[[], Iterator[Row]]] = {
    "show_per_cpu_s list20_per_cpu_s list20_of_5000_per_cpu_s": requests.rows,
    "up_s down_s idle_pss_mb": startup.rows,
    "network_router_ready_ms": topology.rows,
    "throughput_port_port throughput_routed throughput_crowded": throughput.rows,
    "up_500_networks_s up_500_networks_adopted_s": many_networks.rows,
    "create_to_ping_vs_qemu nothing_to_ping_s": boot.rows,
}


def save(row: Row) -> None:
    """Put a row in its place in the file."""
    OUT.parent.mkdir(exist_ok=True)
    kept = {each["name"]: each for each in json.loads(OUT.read_text())} if OUT.exists() else {}
    kept[row.name] = row.as_json()
    OUT.write_text(json.dumps(list(kept.values()), indent=1) + "\n")


def main() -> int:
    wanted = sys.argv[1:]
    failed = False
    print(f"{'name':28} {'median':>10} {'floor':>10} {'ratio':>7} {'min':>10} {'max':>10}  n  unit", flush=True)
    for names, rows in GROUPS.items():
        if wanted and not any(name in names.split() for name in wanted):
            continue
        try:
            for row in rows():
                save(row)
                floor = f"{row.floor:10.2f}" if row.floor is not None else f"{'-':>10}"
                ratio = f"{row.ratio:7.2f}" if row.ratio is not None else f"{'-':>7}"
                print(f"{row.name:28} {row.value:10.2f} {floor} {ratio} {row.min:10.2f} {row.max:10.2f} {row.n:2}  {row.unit}", flush=True)
        except Exception:
            failed = True
            traceback.print_exc()
            print(f"not measured: {names}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
