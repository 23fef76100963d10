"""The audit log: who did what to identities, and who was refused. One row for each, in the transaction of what it tells of.

Not here: reads, and what other services do; theirs is in each server's list of actions and in the control plane's log.
"""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.store import Row

PRUNE = 256  # how many rows too many there may be before the oldest go: deleting costs more than writing


def record(ctx: Context, event: str, target_id: str, *, user_id: str = "", failed: str | None = None) -> None:
    """A line of the log. `event` is `noun.verb`; `failed`: why it was refused; `user_id`: who asked, where no token says it."""
    store = ctx.store
    store.insert(
        "audit_event",
        {
            "created_at": ctx.now(),
            "event_type": f"identity.{event}",
            "outcome": "failure" if failed is not None else "success",
            "reason": failed,
            "user_id": user_id or ctx.user_id,
            "project_id": ctx.project_id,
            "target_type": event.partition(".")[0],
            "target_id": target_id,
            "request_id": ctx.request_id,
        },
    )
    last = store.query("SELECT max(id) AS id FROM audit_event")[0]["id"]
    if last % PRUNE == 0:
        keep = int(ctx.cloud.options.get("audit_events", 50_000))
        store.execute("DELETE FROM audit_event WHERE id <= ?", last - keep)


def search(ctx: Context, where: dict[str, Any], *, since: int = 0, before: int | None = None, limit: int = 100) -> list[Row]:
    """Lines that match, newest first. `before`: only those with a smaller id, to read on; `since`: microseconds UTC."""
    terms = [f"{column} = :{column}" for column in where]
    if before is not None:
        terms.append("id < :before")
    sql = f"SELECT * FROM audit_event WHERE created_at >= :since {''.join(f' AND {t}' for t in terms)} ORDER BY id DESC LIMIT :limit"  # noqa: S608 - columns are ours
    values: dict[str, Any] = {**where, "since": since, "limit": limit}
    if before is not None:
        values["before"] = before
    return ctx.store.query(sql, **values)
