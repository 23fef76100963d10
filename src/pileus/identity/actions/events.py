"""The audit log, as an admin reads it."""

from __future__ import annotations

from typing import Any

from pileus.identity import audit
from pileus.identity.actions import SEES_ALL
from pileus.kit.context import Context
from pileus.kit.policy import allow
from pileus.kit.store import Row


@allow(SEES_ALL, "identity:list_audit_events")
def list_audit_events(ctx: Context, where: dict[str, Any], *, since: int, before: int | None, limit: int) -> list[Row]:
    """Who did what, newest first."""
    return audit.search(ctx, where, since=since, before=before, limit=limit)
