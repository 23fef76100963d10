"""Who has which role where: given, taken, listed."""

from __future__ import annotations

from dataclasses import dataclass

from pileus.errors import BadRequest, Forbidden, NotFound
from pileus.identity.actions import MANAGES_DOMAIN, SEES_DOMAIN, changing, missing, within
from pileus.identity.actions.effective import SYSTEM, THE_SYSTEM, Target, below, effective, expand, groups_of, implied, spread, with_implied
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row

MANAGEABLE = ("manager", "member", "reader")  # the roles that a domain's manager may give and take, as in Keystone

__all__ = ["SYSTEM", "THE_SYSTEM", "Actor", "Target", "effective", "implied", "with_implied"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who has a role. `type`: user or group."""

    type: str
    id: str


def _check(ctx: Context, actor: Actor, target: Target, policy: str, role_id: str | None = None) -> Row | None:
    """All that an assignment names is there and within the caller's reach. Returns the role."""
    person = ctx.store.get("user" if actor.type == "user" else "user_group", actor.id)
    place = ctx.store.get("project", target.id) if target.type != SYSTEM else None
    if place is not None and bool(place["is_domain"]) != (target.type == "domain"):
        place = None
    role = ctx.store.get("role", role_id) if role_id else None
    within(ctx, person["domain_id"] if person else None, policy)
    within(ctx, place["id" if place["is_domain"] else "domain_id"] if place else None, policy)
    if person is None:
        raise missing(actor.type, actor.id)
    if target.type != SYSTEM and place is None:
        raise missing(target.type, target.id)
    if role_id is not None and role is None:
        raise missing("role", role_id)
    if role and role["domain_id"] and target.type == SYSTEM:
        raise BadRequest(f"Cannot assign the domain role {role['id']} on the system.")
    return role


def _manageable(ctx: Context, role: Row | None, policy: str) -> None:
    if not ctx.is_admin and (role is None or role["name"] not in MANAGEABLE):
        forbid(policy)


def _row(actor: Actor, target: Target, role_id: str, inherited: bool) -> Row:
    return {
        "actor_id": actor.id,
        "actor_type": actor.type,
        "target_id": target.id,
        "target_type": target.type,
        "role_id": role_id,
        "inherited": int(inherited),
    }


@allow(MANAGES_DOMAIN, "identity:create_grant")
def grant(ctx: Context, actor: Actor, target: Target, role_id: str, *, inherited: bool = False) -> None:
    """Give a user or a group a role on a target, or (inherited) in the projects below it; giving it twice is once."""
    role = _check(ctx, actor, target, "identity:create_grant", role_id)
    _manageable(ctx, role, "identity:create_grant")
    if role and role["domain_id"] and target.type == "domain" and role["domain_id"] != target.id:
        raise Forbidden(f"The role {role_id} belongs to another domain than {target.id}: it cannot be assigned there.")
    row = _row(actor, target, role_id, inherited)
    if ctx.store.find("role_assignment", row):
        return
    with changing(ctx, "role_assignment.created", role_id):
        ctx.store.insert("role_assignment", row)


@allow(MANAGES_DOMAIN, "identity:revoke_grant")
def revoke(ctx: Context, actor: Actor, target: Target, role_id: str, *, inherited: bool = False) -> None:
    """Take a role away; tokens that it opened die with it, and application credentials that were made by it."""
    role = _check(ctx, actor, target, "identity:revoke_grant", role_id)
    _manageable(ctx, role, "identity:revoke_grant")
    rows = ctx.store.find("role_assignment", _row(actor, target, role_id, inherited))
    if not rows:
        raise no_assignment(role_id, actor, target)
    with changing(ctx, "role_assignment.deleted", role_id):
        ctx.store.delete("role_assignment", rows[0])
        close(ctx, rows[0])


def no_assignment(role_id: str, actor: Actor, target: Target) -> NotFound:
    return NotFound(
        f"Could not find role assignment with role: {role_id}, user or group: {actor.id}, project, domain, or system: {target.id}."
    )


def close(ctx: Context, assignment: Row) -> None:
    """End the tokens that an assignment opened, and the application credentials of users who have lost their roles by its going."""
    store = ctx.store
    users = (
        [assignment["actor_id"]]
        if assignment["actor_type"] == "user"
        else [row["user_id"] for row in store.find("user_group_member", {"group_id": assignment["actor_id"]})]
    )
    for target in spread(store, assignment):
        column, value = {"project": ("project_id", target.id), "domain": ("domain_id", target.id)}.get(target.type, ("system", 1))
        store.delete("token", {"user_id": users, column: value})
        if target.type == "project":
            store.delete("application_credential", {"user_id": users, "project_id": target.id})


@allow(SEES_DOMAIN, "identity:check_grant")
def check_grant(ctx: Context, actor: Actor, target: Target, role_id: str, *, inherited: bool = False) -> None:
    """Raises NotFound unless the actor has the role there by assignment."""
    _check(ctx, actor, target, "identity:check_grant", role_id)
    if not ctx.store.find("role_assignment", _row(actor, target, role_id, inherited)):
        raise no_assignment(role_id, actor, target)


@allow(SEES_DOMAIN, "identity:list_grants")
def list_grants(ctx: Context, actor: Actor, target: Target, *, inherited: bool = False) -> list[Row]:
    """The roles an actor has on a target by assignment."""
    _check(ctx, actor, target, "identity:list_grants")
    where = {"actor_id": actor.id, "target_id": target.id, "inherited": int(inherited)}
    ids = [row["role_id"] for row in ctx.store.find("role_assignment", where)]
    return ctx.store.find("role", {"id": ids}, order="name")


# -- all of them -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which assignments are asked for; None: whatever it is."""

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool | None = None
    effective: bool = False
    subtree: bool = False

    def check(self) -> None:
        """Raises BadRequest for questions that mean nothing."""
        if self.subtree and not self.project_id:
            raise BadRequest("scope.project.id must be specified if include_subtree is also specified")
        if (self.domain_id and self.project_id) or (self.system and (self.domain_id or self.project_id)):
            raise BadRequest("Specify a domain, a project or the system, not several")
        if self.user_id and self.group_id:
            raise BadRequest("Specify a user or group, not both")
        if self.effective and self.group_id:
            raise BadRequest("Combining effective and group filter will always result in an empty list.")
        if self.effective and self.domain_id and self.inherited:
            raise BadRequest("Combining effective, domain and inherited filters will always result in an empty list.")

    def fits(self, row: Row, projects: set[str] | None) -> bool:
        """Whether an assignment, or what follows from one, is asked for."""
        kind, target = row["target_type"], row["target_id"]
        came = bool(row["inherited"])
        return (
            (self.user_id is None or (row["actor_type"] == "user" and row["actor_id"] == self.user_id))
            and (self.group_id is None or (row["actor_type"] == "group" and row["actor_id"] == self.group_id))
            and (self.role_id is None or row["role_id"] == self.role_id)
            and (projects is None or (kind == "project" and target in projects))
            and (self.domain_id is None or (kind == "domain" and target == self.domain_id))
            and (not self.system or kind == SYSTEM)
            and (self.inherited is None or came == self.inherited)
        )


@allow(ANYONE, "identity:list_role_assignments")
def list_assignments(ctx: Context, wanted: Wanted) -> list[Row]:
    """Assignments that match, or (effective) what follows from them; to a domain's reader those in the domain."""
    wanted.check()
    _may_list(ctx, wanted)
    projects: set[str] | None = None
    if wanted.project_id:
        projects = {wanted.project_id}
        if wanted.subtree:
            projects |= {row["id"] for row in below(ctx.store, wanted.project_id)}
    actors: Row = {}
    if wanted.user_id or wanted.group_id:
        actors = {"actor_id": [wanted.user_id, *groups_of(ctx.store, wanted.user_id)] if wanted.user_id else wanted.group_id}
    rows = ctx.store.find("role_assignment", actors, order="actor_id, target_id, role_id")
    if wanted.effective:
        rows = expand(ctx.store, rows)
    rows = [row for row in rows if wanted.fits(row, projects)]
    if mine := ctx.who.domain_id:
        inside = {mine, *(row["id"] for row in ctx.store.find("project", {"domain_id": mine}))}
        rows = [row for row in rows if row["target_id"] in inside]
    return rows


def _may_list(ctx: Context, wanted: Wanted) -> None:
    if SEES_DOMAIN(ctx):
        return
    if wanted.subtree and wanted.project_id == ctx.project_id and "manager" in ctx.roles:
        return
    forbid("identity:list_role_assignments_for_tree" if wanted.subtree else "identity:list_role_assignments")
