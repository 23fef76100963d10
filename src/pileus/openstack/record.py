"""The record of what was asked of a resource, for every service alike: opened by actions, closed by reconcilers."""

from __future__ import annotations

from pileus.kit.context import Context
from pileus.kit.store import Store


def begin(ctx: Context, resource_id: str, action: str, *, project_id: str = "", user_id: str = "") -> None:
    """Open a record; call it in the transaction that writes the wish."""
    ctx.store.insert(
        "action_record",
        {
            "resource_id": resource_id,
            "action": action,
            "request_id": ctx.request_id,
            "user_id": user_id or ctx.user_id,
            "project_id": project_id or ctx.project_id,
            "started_at": ctx.now(),
            "updated_at": ctx.now(),
        },
    )


def finish(store: Store, resource_id: str, now: int, *, error: str | None = None, request_id: str = "") -> None:
    """Close every record of the resource that is still open, or the one of a request: what was asked has come about, or has failed for
    this reason."""
    store.execute(
        "UPDATE action_record SET finished_at = :now, updated_at = :now, result = :result, message = :error"
        " WHERE resource_id = :id AND finished_at IS NULL AND :request_id IN ('', request_id)",
        now=now,
        request_id=request_id,
        id=resource_id,
        result="Error" if error else "Success",
        error=error,
    )


def note(store: Store, resource_id: str, now: int, message: str) -> None:
    """Say where an open record stands (a place in a queue, a reason to wait)."""
    store.execute(
        "UPDATE action_record SET updated_at = ?, message = ? WHERE resource_id = ? AND finished_at IS NULL", now, message, resource_id
    )
