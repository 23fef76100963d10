"""What identity's verbs mean, and who may call them, by noun.

`EPOCH` is bumped by whatever changes what a token says; the cache of tokens in `identity/live.py` compares it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

from pileus.errors import Forbidden, NotFound
from pileus.identity import audit
from pileus.kit.context import Context
from pileus.kit.policy import Rule, forbid
from pileus.kit.store import Row

EPOCH = "identity"


def _sees_all(ctx: Context) -> bool:
    return ctx.is_admin or (ctx.who.system and "reader" in ctx.roles)


ADMIN = Rule("role admin", lambda ctx: ctx.is_admin)
SEES_ALL = Rule("role admin, or reader of the system", _sees_all)
# a token that is scoped to a domain reaches what lies in that domain, and no further: `within` sees to it
SEES_DOMAIN = Rule(
    "role admin, reader of the system, or reader of the domain it lies in",
    lambda ctx: _sees_all(ctx) or (ctx.who.domain_id is not None and "reader" in ctx.roles),
)
MANAGES_DOMAIN = Rule(
    "role admin, or manager of the domain it lies in",
    lambda ctx: ctx.is_admin or (ctx.who.domain_id is not None and "manager" in ctx.roles),
)
SERVES = Rule("role admin or service", lambda ctx: ctx.is_admin or "service" in ctx.roles)


def within(ctx: Context, domain_id: str | None, policy: str) -> None:
    """Refuse a caller whose rights end at the border of another domain. `domain_id`: where the thing lies, None: it is nowhere."""
    if not _sees_all(ctx) and (domain_id is None or ctx.who.domain_id != domain_id):
        forbid(policy)


def not_above(ctx: Context, policy: str, *actor_ids: str) -> None:
    """Refuse a domain's manager who would reach for the rights of an admin: by a new password of one, or a place in a group of admins."""
    if ctx.is_admin:
        return
    admin = ctx.store.first("role", {"name": "admin", "domain_id": None})
    groups = [row["group_id"] for row in ctx.store.find("user_group_member", {"user_id": actor_ids})]
    if admin and ctx.store.find("role_assignment", {"actor_id": [*actor_ids, *groups], "role_id": admin["id"]}, limit=1):
        forbid(policy)


def in_domain(ctx: Context, where: dict[str, Any], column: str = "domain_id") -> dict[str, Any]:
    """A list's filter, narrowed to the domain that the token is scoped to."""
    mine = ctx.who.domain_id
    if mine is None:
        return where
    asked = where.get(column, mine)
    return {**where, column: mine if asked == mine else []}


def new_id() -> str:
    """32 hex digits, as Keystone's ids are."""
    return uuid.uuid4().hex


def new_audit_id() -> str:
    return secrets.token_urlsafe(16)


def missing(kind: str, id: str) -> NotFound:
    return NotFound(f"Could not find {kind}: {id}.")


@contextlib.contextmanager
def changing(ctx: Context, event: str, target_id: str) -> Iterator[None]:
    """One transaction that leaves a line in the audit log, and after which every token is looked at anew.

    `event` is `noun.verb`, as in Keystone's notifications: `project.created`.
    """
    with ctx.store.transaction():
        yield
        audit.record(ctx, event, target_id)
        ctx.bump(EPOCH)


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
