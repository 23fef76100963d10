"""Tasks: imports under way and done, as `/v2/tasks` and `/v2/images/{id}/tasks` show them."""

from __future__ import annotations

from pileus.image.resources.words import UUID, Choice, words
from pileus.kit.context import Context
from pileus.kit.resource import Field, Resource, constant, unpacked, when
from pileus.kit.store import Row
from pileus.openstack.types import Obj, Str

TYPES = ("api_image_import", "import", "export", "clone", "location_import")
TASK_STATUSES = ("pending", "processing", "success", "failure")
OPEN_STATUSES = TASK_STATUSES[:2]


def _self(row: Row, ctx: Context) -> str:
    return f"/v2/tasks/{row['id']}"


TASK = Resource(
    "task",
    "tasks",
    [
        Field("id", Str(pattern=UUID), show="id", doc="An identifier for the task"),
        Field("type", Choice(TYPES), show="type", create="required", doc="The type of task represented by this content"),
        Field("status", Choice(TASK_STATUSES), show="status", doc="The current status of this task"),
        Field("owner", Str(), show="project_id", doc="An identifier for the owner of this task"),
        Field("expires_at", Str(), show=when("expires_at"), doc="Datetime when this resource would be subject to removal"),
        Field("created_at", Str(), show=when("created_at"), doc="Datetime when this resource was created"),
        Field("updated_at", Str(), show=when("updated_at"), doc="Datetime when this resource was updated"),
        Field("input", Obj({}, open=True), show=unpacked("input"), create="required", doc="The parameters required by task, JSON blob"),
        Field("result", show=unpacked("result"), doc="The result of current task, JSON blob"),
        Field(
            "message", Str(), show="message", doc="Human-readable informative message only included when appropriate (usually on failure)"
        ),
        Field("image_id", Str(), show="image_id", doc="Image associated with the task"),
        Field("request_id", Str(), show="request_id", doc="Human-readable informative request-id"),
        Field("user_id", Str(), show="user_id", doc="User associated with the task"),
        Field("self", Str(), show=_self, doc="Where the task is found."),
        Field("schema", Str(), show=constant("/v2/schemas/task"), doc="Where its JSON Schema is."),
    ],
    words=words("task", lambda: TASK_SCHEMA),
    table="image_task",
    open=True,
)
DETAILS = ("input", "result", "message")  # not in lists
OF_AN_IMAGE = ("self", "schema")  # not where the tasks of one image are listed; `deleted` and `deleted_at` are there besides

TASK_SCHEMA: Row = {
    "name": "task",
    "properties": {field.name: {**field.type.schema(), **({"description": field.doc} if field.doc else {})} for field in TASK.fields},
}
PARTIAL_SCHEMA: Row = {
    "name": "task",
    "properties": {name: part for name, part in TASK_SCHEMA["properties"].items() if name not in DETAILS},
}
