"""Users and their passwords. A password reaches an action as a hash: hashing is done before, off the loop."""

from __future__ import annotations

import json
import re
from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden, Unauthorized
from pileus.identity import audit
from pileus.identity.actions import (
    MANAGES_DOMAIN,
    SEES_DOMAIN,
    changing,
    immutable,
    in_domain,
    merged,
    missing,
    new_id,
    not_above,
    pack,
    within,
)
from pileus.identity.actions.effective import targets_of
from pileus.identity.actions.projects import DEFAULT_DOMAIN, find_domain
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row

DAY = 86_400_000_000  # microseconds
# what a user takes along: table -> the column that names the user
BELONGINGS = (
    ("token", "user_id"),
    ("password", "user_id"),
    ("role_assignment", "actor_id"),
    ("user_group_member", "user_id"),
    ("application_credential", "user_id"),
    ("access_rule", "user_id"),
    ("credential", "user_id"),
    ("oauth_token", "user_id"),
    ("trust", "trustor_user_id"),
    ("trust", "trustee_user_id"),
)


def setting(ctx: Context, name: str) -> int:
    """One of the settings about passwords; 0: switched off, as all are unless the user chose otherwise."""
    return int(ctx.cloud.options.get(name, 0))


def find_user(ctx: Context, id: str) -> Row:
    """Any user, whoever asks. Raises NotFound."""
    row = ctx.store.get("user", id)
    if row is None:
        raise missing("user", id)
    return row


def named_user(ctx: Context, name: str, domain_id: str | None, domain_name: str | None) -> Row | None:
    """The user with this name in a domain given by id or by name."""
    if domain_id is None:
        domain = ctx.store.first("project", {"is_domain": 1, "name": domain_name or ""})
        if domain is None:
            return None
        domain_id = domain["id"]
    return ctx.store.first("user", {"name": name, "domain_id": domain_id})


@allow(ANYONE, "identity:get_user")
def get_user(ctx: Context, id: str) -> Row:
    """A user, for an admin, a reader of its domain, or that user."""
    row = ctx.store.get("user", id)
    if id != ctx.user_id:
        if not SEES_DOMAIN(ctx):
            forbid("identity:get_user")
        within(ctx, row["domain_id"] if row else None, "identity:get_user")
    return find_user(ctx, id)


@allow(SEES_DOMAIN, "identity:list_users")
def list_users(ctx: Context, where: dict[str, Any]) -> list[Row]:
    """Users that match; to a token of a domain those of the domain."""
    return ctx.store.find("user", in_domain(ctx, where), order="name")


@allow(MANAGES_DOMAIN, "identity:create_user")
def create_user(ctx: Context, values: Row, password_hash: str | None) -> Row:
    """A user in a domain. Without a password nobody can sign in as it."""
    values.pop("password", None)
    domain = values.pop("domain_id", None) or ctx.who.domain_id or DEFAULT_DOMAIN
    within(ctx, domain, "identity:create_user")
    find_domain(ctx, domain)
    _default_project(ctx, values)
    row = {
        "id": new_id(),
        **pack({"enabled": True, "options": {}, **values}),
        "domain_id": domain,
        **_password(ctx, password_hash, values.get("options", {})),
        "created_at": ctx.now(),
    }
    with changing(ctx, "user.created", row["id"]):
        _unique(ctx, row["name"], domain)
        ctx.store.insert("user", row)
        _remember(ctx, row["id"], password_hash)
    return find_user(ctx, row["id"])


def _default_project(ctx: Context, values: Row) -> None:
    project = ctx.store.get("project", values.get("default_project_id") or "")
    if project and project["is_domain"]:
        raise BadRequest(f"User's default project ID cannot be a domain: {project['id']}")


def _password(ctx: Context, hashed: str | None, options: dict[str, Any]) -> Row:
    """The columns of a new password: when it was set, and when it will have to be changed."""
    days = setting(ctx, "password_expires_days")
    ends = ctx.now() + days * DAY if days and hashed and not options.get("ignore_password_expiry") else None
    return {"password_hash": hashed, "password_created_at": ctx.now(), "password_expires_at": ends}


def _remember(ctx: Context, id: str, hashed: str | None) -> None:
    """Keep a password's hash for as long as it may not be used again."""
    kept = setting(ctx, "unique_last_password_count")
    if kept and hashed:
        ctx.store.insert("password", {"user_id": id, "hash": hashed, "created_at": ctx.now()})
        newest = "SELECT rowid FROM password WHERE user_id = :id ORDER BY created_at DESC, rowid DESC LIMIT :kept"
        ctx.store.execute(f"DELETE FROM password WHERE user_id = :id AND rowid NOT IN ({newest})", id=id, kept=kept)  # noqa: S608


def _unique(ctx: Context, name: str, domain: str, but: str = "") -> None:
    twin = ctx.store.first("user", {"name": name, "domain_id": domain})
    if twin and twin["id"] != but:
        raise Conflict(f"Conflict occurred attempting to store user - Duplicate entry found with name {name} at domain ID {domain}.")


@allow(MANAGES_DOMAIN, "identity:update_user")
def update_user(ctx: Context, id: str, values: Row, password_hash: str | None = None) -> Row:
    """Change a user. A new password, or being disabled, ends the user's tokens."""
    row = ctx.store.get("user", id)
    within(ctx, row["domain_id"] if row else None, "identity:update_user")
    not_above(ctx, "identity:update_user", id)
    row = find_user(ctx, id)
    immutable(row, "user", "update", values)
    _default_project(ctx, values)
    changes = merged(row, values)
    changed_password = "password" in changes
    changes.pop("password", None)
    if "domain_id" in changes and changes["domain_id"] != row["domain_id"]:
        raise BadRequest("Cannot change Domain ID")
    if changed_password:
        changes |= _password(ctx, password_hash, changes.get("options") or json.loads(row["options"]))
    if changes.get("enabled") is True:
        changes |= {"failed_count": 0, "last_active_at": None}
    with changing(ctx, "user.updated", id):
        if "name" in changes:
            _unique(ctx, changes["name"], row["domain_id"], id)
        ctx.store.update("user", id, pack({**changes, "updated_at": ctx.now(), "revision": row["revision"] + 1}))
        if changed_password:
            _remember(ctx, id, password_hash)
        if changed_password or changes.get("enabled") is False:
            ctx.store.delete("token", {"user_id": id})
    return find_user(ctx, id)


@allow(MANAGES_DOMAIN, "identity:delete_user")
def delete_user(ctx: Context, id: str) -> None:
    """Delete a user with its assignments, tokens and all that it has delegated or kept here."""
    row = ctx.store.get("user", id)
    within(ctx, row["domain_id"] if row else None, "identity:delete_user")
    not_above(ctx, "identity:delete_user", id)
    immutable(find_user(ctx, id), "user", "delete")
    with changing(ctx, "user.deleted", id):
        erase_user(ctx, id)


def erase_user(ctx: Context, id: str) -> None:
    """Take a user and its belongings out of the tables; in the caller's transaction."""
    for table, column in BELONGINGS:
        ctx.store.delete(table, {column: id})
    ctx.store.delete("user", {"id": id})


@allow(ANYONE, "identity:list_user_projects")
def list_user_projects(ctx: Context, id: str, *, domains: bool = False) -> list[Row]:
    """The enabled projects (or domains) a user has a role in, its groups' roles and inherited ones included."""
    if id != ctx.user_id:
        if not SEES_DOMAIN(ctx):
            forbid("identity:list_user_projects")
        row = ctx.store.get("user", id)
        within(ctx, row["domain_id"] if row else None, "identity:list_user_projects")
        find_user(ctx, id)
    ids = {target.id for target in targets_of(ctx.store, id)}
    rows = ctx.store.find("project", {"is_domain": int(domains), "enabled": 1, "id": ids}, order="name")
    if domains:
        return rows
    open_domains = {row["id"] for row in ctx.store.find("project", {"is_domain": 1, "enabled": 1})}
    return [row for row in rows if row["domain_id"] in open_domains]


# -- passwords -------------------------------------------------------------------------------------------------------------


def fits_rules(ctx: Context, password: str | None) -> None:
    """Raises BadRequest for a new password that the cloud's pattern refuses."""
    pattern = str(ctx.cloud.options.get("password_regex", ""))
    if pattern and password is not None and not re.search(pattern, password):
        raise BadRequest(f"The password does not match the requirements: it has to match {pattern!r}.")


def may_change_password(ctx: Context, row: Row) -> list[str]:
    """What a user's own new password must not be: the hashes it is compared with. Raises when it may not be changed now."""
    if json.loads(row["options"]).get("lock_password"):
        raise Forbidden("The password of this user is locked: an admin has to change it.")
    days = setting(ctx, "minimum_password_age")
    age = ctx.now() - (row["password_created_at"] or row["created_at"])
    if days and age < days * DAY:
        left = days - age // DAY
        raise BadRequest(
            "You cannot change your password at this time due to the minimum password age. Once you change your password, it must be used"
            f" for {days} day(s) before it can be changed. Please try again in {left} day(s) or contact your administrator to reset your"
            " password."
        )
    if not setting(ctx, "unique_last_password_count"):
        return []
    return list(dict.fromkeys([row["password_hash"], *(p["hash"] for p in ctx.store.find("password", {"user_id": row["id"]}))]))


def used_before(ctx: Context) -> BadRequest:
    return BadRequest(
        "The new password cannot be identical to a previous password. The total number which includes the new password must be unique is"
        f" {setting(ctx, 'password_history')}."
    )


@allow(ANYONE, "identity:change_password")
def change_password(ctx: Context, id: str, password_hash: str) -> None:
    """A user's own new password; the caller has checked the old one. All the user's tokens end."""
    row = find_user(ctx, id)
    with changing(ctx, "user.password_changed", id):
        ctx.store.update("user", id, {**_password(ctx, password_hash, json.loads(row["options"])), "updated_at": ctx.now()})
        _remember(ctx, id, password_hash)
        ctx.store.delete("token", {"user_id": id})


def locked(ctx: Context, row: Row) -> bool:
    """Whether a user has given so many wrong passwords that not even the right one is taken for a while."""
    attempts = setting(ctx, "lockout_failure_attempts")
    if not attempts or json.loads(row["options"]).get("ignore_lockout_failure_attempts"):
        return False
    return bool(row["failed_count"] >= attempts and ctx.now() - row["failed_at"] < setting(ctx, "lockout_duration") * 1_000_000)


def refused(ctx: Context, row: Row | None, name: str) -> None:
    """Note a sign-in that did not succeed; of no use where the name is nobody's, but for the log."""
    with ctx.store.transaction(durable=False):
        if row is not None:
            over = row["failed_at"] is not None and ctx.now() - row["failed_at"] >= setting(ctx, "lockout_duration") * 1_000_000
            count = 1 if over else row["failed_count"] + 1
            ctx.store.update("user", row["id"], {"failed_count": count, "failed_at": ctx.now()})
        who = row["id"] if row else ""
        audit.record(ctx, "user.authenticated", who or name[:255], user_id=who, failed="Unauthorized")


def proved(ctx: Context, row: Row) -> None:
    """The right password was given: raises Unauthorized when it does not open the door all the same."""
    options, now = json.loads(row["options"]), ctx.now()
    if row["password_expires_at"] is not None and row["password_expires_at"] <= now and not options.get("ignore_password_expiry"):
        raise Unauthorized(f"The password is expired and needs to be changed for user: {row['id']}.")
    days = setting(ctx, "disable_user_account_days_inactive")
    last = row["last_active_at"] or row["created_at"]
    if days and now - last > days * DAY and not options.get("ignore_user_inactivity"):
        raise Unauthorized("")
    if row["failed_count"] or days:
        with ctx.store.transaction(durable=False):
            ctx.store.update("user", row["id"], {"failed_count": 0, "last_active_at": now})
