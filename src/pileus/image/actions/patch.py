"""One operation of a JSON patch, applied to a draft of an image. Reading the request's two media types is the API's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pileus.errors import Conflict, Fault, Forbidden
from pileus.image.resources import FIXED, RESERVED, SETTABLE, WORDS
from pileus.kit.resource import Mismatch
from pileus.kit.store import Row

CONFLICT = "There was a conflict when trying to complete your request."
QUEUED_ONLY = ("disk_format", "container_format")


@dataclass(frozen=True)
class Change:
    """`op` on the attribute `path` (the first token of a JSON pointer). `strict`: "add" of what is there is an error (draft 4)."""

    op: Literal["add", "replace", "remove"]
    path: str
    value: Any = None
    strict: bool = False


def apply(draft: Row, change: Change) -> None:
    """Change the draft: columns by name, `tags` a list, `properties` a dict. Raises Forbidden, Conflict, BadRequest."""
    name = change.path
    if name == "locations":
        raise Forbidden("It's not allowed to change locations: images are stored where this cloud wants them.")
    if name in FIXED:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED:
        raise Forbidden(f"Attribute '{name}' is reserved.")
    field = SETTABLE.get(name)
    if field is None or field.key.startswith("properties."):
        _change_property(draft, change)
        return
    if change.op == "remove":
        raise Forbidden(f"Property {name} may not be removed.")
    if change.op == "add" and change.strict and draft[field.key] is not None:
        raise _conflict(f"Property {name} already present.")
    if name in QUEUED_ONLY and draft["status"] != "queued":
        raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")
    draft[_column(name)] = _parsed(name, change.value)


def _change_property(draft: Row, change: Change) -> None:
    properties, name = draft["properties"], change.path
    if change.op != "add" and name not in properties:
        raise _conflict(f"Property {name} does not exist.")
    if change.op == "remove":
        del properties[name]
        return
    if change.op == "add" and change.strict and name in properties:
        raise _conflict(f"Property {name} already present.")
    properties[name] = _parsed(name, change.value) if name in SETTABLE else change.value


def _column(name: str) -> str:
    """`owner` is the row's project_id; flags are shown by a function, and live under their own name."""
    return SETTABLE[name].key


def _parsed(name: str, value: Any) -> Any:
    try:
        return SETTABLE[name].type.parse(value)
    except Mismatch as mismatch:
        raise WORDS.mismatch(name, mismatch) from None


def _conflict(message: str) -> Fault:
    return Conflict(message, before=CONFLICT)
