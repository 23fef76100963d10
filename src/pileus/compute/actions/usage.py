"""How long a project's servers have lived, and how large they were: os-simple-tenant-usage."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow, forbid
from pileus.kit.store import Row

HOUR = 3600 * 1_000_000
MAX_SERVERS = 1000  # of one answer


@allow(PROJECT_READER, "os_compute_api:os-simple-tenant-usage:show")
def show_usage(ctx: Context, project_id: str, start: int, stop: int, *, marker: str | None, limit: int | None) -> tuple[Row, list[Row]]:
    """A project's usage between two moments: the sums, and its servers' share."""
    if project_id != ctx.project_id and not ADMIN(ctx):
        forbid("os_compute_api:os-simple-tenant-usage:show")
    rows = _page(_living(ctx, start, stop, project_id), marker, limit)
    shares = [_share(ctx, row, start, stop) for row in rows]
    return _sum(project_id, shares, start, stop), shares


@allow(ADMIN, "os_compute_api:os-simple-tenant-usage:list")
def list_usage(ctx: Context, start: int, stop: int, *, marker: str | None, limit: int | None) -> list[tuple[Row, list[Row]]]:
    """Every project's usage."""
    by_project: dict[str, list[Row]] = {}
    for row in _page(_living(ctx, start, stop), marker, limit):
        by_project.setdefault(row["project_id"], []).append(_share(ctx, row, start, stop))
    return [(_sum(project, shares, start, stop), shares) for project, shares in sorted(by_project.items())]


def _living(ctx: Context, start: int, stop: int, project_id: str | None = None) -> list[Row]:
    return ctx.store.query(
        "SELECT * FROM server WHERE launched_at IS NOT NULL AND launched_at <= ?1 AND (terminated_at IS NULL OR terminated_at >= ?2)"
        " AND (?3 IS NULL OR project_id = ?3) ORDER BY project_id, id",
        stop,
        start,
        project_id,
    )


def _page(rows: list[Row], marker: str | None, limit: int | None) -> list[Row]:
    if marker:
        at = next((number for number, row in enumerate(rows) if row["id"] == marker), None)
        rows = rows[at + 1 :] if at is not None else []
    return rows[: limit or MAX_SERVERS]


def _share(ctx: Context, row: Row, start: int, stop: int) -> Row:
    """One server's part."""
    flavor = json.loads(row["flavor"])
    ended = row["terminated_at"]
    hours = max(0, min(stop, ended or stop) - max(start, row["launched_at"])) / HOUR
    return {
        "hours": hours,
        "flavor": flavor["name"],
        "instance_id": row["id"],
        "name": row["name"],
        "tenant_id": row["project_id"],
        "memory_mb": row["ram"],
        "local_gb": row["disk"] + flavor["ephemeral"],
        "vcpus": row["vcpus"],
        "started_at": iso(row["launched_at"], fraction=True, zone=""),
        "ended_at": iso(ended, fraction=True, zone=""),
        "state": "terminated" if ended else row["vm_state"],
        "uptime": max(0, (ended or ctx.now()) - row["launched_at"]) // 1_000_000,
    }


def _sum(project_id: str, shares: Iterable[Row], start: int, stop: int) -> Row:
    listed = list(shares)
    return {
        "tenant_id": project_id,
        "total_local_gb_usage": float(sum(share["local_gb"] * share["hours"] for share in listed)),
        "total_vcpus_usage": float(sum(share["vcpus"] * share["hours"] for share in listed)),
        "total_memory_mb_usage": float(sum(share["memory_mb"] * share["hours"] for share in listed)),
        "total_hours": float(sum(share["hours"] for share in listed)),
        "start": iso(start, fraction=True, zone=""),
        "stop": iso(stop, fraction=True, zone=""),
    }
