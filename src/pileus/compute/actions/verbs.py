"""Verbs of a server: start, stop, reboot, lock, reset. One function each. Those of later slices are in later.py."""

from __future__ import annotations

from typing import Any

from pileus.compute.actions.servers import find_server, log, touch, unlocked
from pileus.compute.states import ACTIVE, ERROR, HARD, SERVER
from pileus.errors import BadRequest, Conflict
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_MEMBER, allow
from pileus.kit.states import States
from pileus.kit.store import Row
from pileus.openstack import record

GRACE = 60  # seconds a guest has to shut down by itself before the plug is pulled, as Nova's shutdown_timeout


def _deadline(ctx: Context) -> int:
    return ctx.now() + int(ctx.cloud.options.get("shutdown_timeout", GRACE)) * 1_000_000


def _begin(ctx: Context, row: Row, verb: str, changes: dict[str, Any], table: States = SERVER) -> None:
    """Check the state, open the record, write the wish, wake."""
    with ctx.store.transaction():
        begun = table.begin(row, verb)
        if not row["placed"]:
            raise Conflict(f"Instance {row['id']} is not ready")
        record.begin(ctx, row["id"], verb)
        touch(ctx, row, {**begun, **changes})
        ctx.wake("server", row["id"])


@allow(PROJECT_MEMBER, "os_compute_api:servers:start")
def start_server(ctx: Context, id: str) -> None:
    row = unlocked(ctx, find_server(ctx, id))
    _begin(ctx, row, "start", {"power": "on", "soft": 0, "deadline": None, "generation": row["generation"] + 1})


@allow(PROJECT_MEMBER, "os_compute_api:servers:stop")
def stop_server(ctx: Context, id: str) -> None:
    """Ask the guest to shut down; after GRACE seconds the plug is pulled."""
    row = unlocked(ctx, find_server(ctx, id))
    _begin(ctx, row, "stop", {"power": "off", "soft": 1, "deadline": _deadline(ctx)})


@allow(PROJECT_MEMBER, "os_compute_api:servers:reboot")
def reboot_server(ctx: Context, id: str, *, hard: bool) -> None:
    """A new guest on the same disk. Soft: the old one is asked first, as by `stop_server`."""
    row = unlocked(ctx, find_server(ctx, id))
    try_first = {"soft": 0, "deadline": None} if hard else {"soft": 1, "deadline": _deadline(ctx)}
    _begin(ctx, row, "reboot", {"power": "on", "generation": row["generation"] + 1, **try_first}, HARD if hard else SERVER)


@allow(PROJECT_MEMBER, "os_compute_api:os-lock-server:lock")
def lock_server(ctx: Context, id: str, reason: str | None = None) -> None:
    row = find_server(ctx, id)
    with ctx.store.transaction():
        log(ctx, row, "lock")
        touch(ctx, row, {"locked": 1, "locked_reason": reason})


@allow(PROJECT_MEMBER, "os_compute_api:os-lock-server:unlock")
def unlock_server(ctx: Context, id: str) -> None:
    row = find_server(ctx, id)
    with ctx.store.transaction():
        log(ctx, row, "unlock")
        touch(ctx, row, {"locked": 0, "locked_reason": None})


@allow(ADMIN, "os_compute_api:os-admin-actions:reset_state")
def reset_state(ctx: Context, id: str, state: str) -> None:
    """Declare a server active or in error; what the host has is looked at next, and has the last word."""
    row = find_server(ctx, id)
    with ctx.store.transaction():
        changes = {
            "vm_state": ACTIVE if state == "active" else ERROR,
            "task_state": None,
            "fault": None if state == "active" else row["fault"],
        }
        touch(ctx, row, changes)
        ctx.wake("server", row["id"])


@allow(PROJECT_MEMBER, "os_compute_api:os-remote-consoles")
def remote_console(ctx: Context, id: str, type: str) -> None:
    """A screen or serial line over the web: no kind of it is served by this version. Raises BadRequest."""
    find_server(ctx, id)
    raise BadRequest(f"Unavailable console type {type}.")
