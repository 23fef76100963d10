"""The open task of an image: what an import was asked to do, and its end. For the reconciler and other actions; clients see tasks.py."""

from __future__ import annotations

import json
from typing import Any

from pileus.image.resources.tasks import OPEN_STATUSES
from pileus.kit.context import Cloud
from pileus.kit.store import Row, Store

TASK_HOURS = 48  # that a finished task is still shown
HOUR = 3600 * 1_000_000  # microseconds


def task_of(store: Store, image_id: str) -> Row | None:
    """The import that is under way for an image."""
    return store.first("image_task", {"image_id": image_id, "status": OPEN_STATUSES})


def method_of(task: Row) -> dict[str, Any]:
    """What a task's import was asked to do: `name`, and what belongs to it."""
    given = json.loads(task["input"])
    if task["type"] == "import":
        return {"name": "web-download", "uri": given["import_from"]}
    method: dict[str, Any] = given["import_req"]["method"]
    return method


def begin_task(cloud: Cloud, task: Row) -> None:
    """The work has begun."""
    with cloud.store.transaction(durable=False):
        cloud.store.update("image_task", task["id"], {"status": "processing", "updated_at": cloud.clock.now()})


def end_task(store: Store, image_id: str, now: int, status: str, message: str, result: Any = None) -> None:
    """Close an image's open task, if there is one."""
    if task := task_of(store, image_id):
        ended: Row = {"status": status, "message": message, "updated_at": now, "expires_at": now + TASK_HOURS * HOUR}
        if result is not None:
            ended["result"] = json.dumps(result)
        store.update("image_task", task["id"], ended)


def forget_tasks(store: Store, now: int) -> None:
    """Tasks whose time has come."""
    store.execute("DELETE FROM image_task WHERE expires_at < ?", now)
