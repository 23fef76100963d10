"""What identity's verbs mean, and who may call them, by noun.

`EPOCH` is bumped by whatever changes what a token says; the cache of tokens in `identity/live.py` compares it.
"""

from __future__ import annotations

import json
import secrets
import uuid
from typing import Any

from pileus.errors import Forbidden, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import Rule
from pileus.kit.store import Row

EPOCH = "identity"

ADMIN = Rule("role admin", lambda ctx: ctx.is_admin)
SEES_ALL = Rule("role admin, or reader of the system", lambda ctx: ctx.is_admin or (ctx.who.system and "reader" in ctx.roles))


def new_id() -> str:
    """32 hex digits, as Keystone's ids are."""
    return uuid.uuid4().hex


def new_audit_id() -> str:
    return secrets.token_urlsafe(16)


def missing(kind: str, id: str) -> NotFound:
    return NotFound(f"Could not find {kind}: {id}.")


def pack(values: Row) -> Row:
    """Decoded values as columns: booleans as 0/1, objects as JSON text; what is not a column is dropped by the caller first."""
    out: Row = {}
    for name, value in values.items():
        if isinstance(value, bool):
            out[name] = int(value)
        elif isinstance(value, dict | list):
            out[name] = json.dumps(value)
        else:
            out[name] = value
    return out


def set_tags(ctx: Context, id: str, tags: list[str]) -> None:
    """Exactly these tags, no others."""
    ctx.store.delete("tag", {"resource_id": id})
    for tag in dict.fromkeys(tags):
        ctx.store.insert("tag", {"resource_id": id, "tag": tag})


def merged(row: Row, values: Row) -> Row:
    """The changes of an update: `extra` and `options` are merged into what is there (a null takes a key away)."""
    changes = dict(values)
    for name in ("extra", "options"):
        if name in changes:
            both: dict[str, Any] = {**json.loads(row[name]), **changes[name]}
            changes[name] = {key: value for key, value in both.items() if value is not None}
    return changes


def immutable(row: Row, kind: str, verb: str, changes: Row | None = None) -> None:
    """Refuse to change what carries the option `immutable`, unless the change lifts it."""
    if json.loads(row["options"]).get("immutable") and not (changes and changes.get("options", {}).get("immutable") is False):
        raise Forbidden(f"Cannot {verb} immutable {kind} {row['id']}. Set its option 'immutable' to false first.")
