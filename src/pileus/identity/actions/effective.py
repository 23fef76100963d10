"""Which roles follow from assignments: through groups, by inheritance down the tree of projects, and by implication.

Not here: who may give or take a role (assignments.py). Domain roles are never in a token; what they imply is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pileus.kit.store import Row, Store

SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a role holds. `type`: project, domain or system (whose id is `system`)."""

    type: str
    id: str


THE_SYSTEM = Target(SYSTEM, SYSTEM)


def implied(store: Store) -> dict[str, list[str]]:
    """role id -> the roles it implies directly."""
    found: dict[str, list[str]] = {}
    for row in store.find("implied_role"):
        found.setdefault(row["role_id"], []).append(row["implied_id"])
    return found


def with_implied(store: Store, role_ids: Iterable[str], more: dict[str, list[str]] | None = None) -> list[str]:
    """These roles and all that they imply, each once, in that order."""
    more = implied(store) if more is None else more
    out = dict.fromkeys(role_ids)
    todo = list(out)
    while todo:
        for id in more.get(todo.pop(0), ()):
            if id not in out:
                out[id] = None
                todo.append(id)
    return list(out)


def groups_of(store: Store, user_id: str) -> list[str]:
    return [row["group_id"] for row in store.find("user_group_member", {"user_id": user_id})]


def above(store: Store, id: str) -> list[Row]:
    """The projects above one, nearest first, and at last its domain."""
    return store.query(
        "WITH RECURSIVE up(id, depth) AS (SELECT parent_id, 1 FROM project WHERE id = ?"
        " UNION ALL SELECT p.parent_id, depth + 1 FROM up JOIN project p ON p.id = up.id)"
        " SELECT p.* FROM up JOIN project p ON p.id = up.id ORDER BY depth",
        id,
    )


def below(store: Store, id: str) -> list[Row]:
    """The projects below one, whatever their depth, those nearest first."""
    return store.query(
        "WITH RECURSIVE down(id, depth) AS (SELECT id, 1 FROM project WHERE parent_id = ? AND is_domain = 0"
        " UNION ALL SELECT p.id, depth + 1 FROM down JOIN project p ON p.parent_id = down.id)"
        " SELECT p.* FROM down JOIN project p ON p.id = down.id ORDER BY depth, p.name",
        id,
    )


def role_ids(store: Store, user_id: str, target: Target) -> list[str]:
    """The roles a user has on a target by its own assignments, its groups' and those inherited, without what they imply."""
    actors = [user_id, *groups_of(store, user_id)]
    found = store.find("role_assignment", {"actor_id": actors, "target_id": target.id, "target_type": target.type, "inherited": 0})
    if target.type == "project":
        found += store.find(
            "role_assignment", {"actor_id": actors, "target_id": [p["id"] for p in above(store, target.id)], "inherited": 1}
        )
    return list(dict.fromkeys(row["role_id"] for row in found))


def effective(store: Store, user_id: str, target: Target) -> list[Row]:
    """The roles a user has on a target, with what they imply, as a token shows them."""
    return named(store, role_ids(store, user_id, target))


def named(store: Store, ids: Iterable[str]) -> list[Row]:
    """Roles by id with what they imply, but for the domain roles among them."""
    every = with_implied(store, ids)
    rows = {row["id"]: row for row in store.find("role", {"id": every})}
    return [rows[id] for id in every if id in rows and rows[id]["domain_id"] is None]


def targets_of(store: Store, user_id: str) -> list[Target]:
    """Every project and domain a user has a role in, by whatever way."""
    actors = [user_id, *groups_of(store, user_id)]
    found: dict[Target, None] = {}
    for row in store.find("role_assignment", {"actor_id": actors}):
        for target in spread(store, row):
            found[target] = None
    return list(found)


def spread(store: Store, assignment: Row) -> list[Target]:
    """Where an assignment holds: an inherited one in the projects below, another where it was made."""
    if not assignment["inherited"]:
        return [Target(assignment["target_type"], assignment["target_id"])]
    return [Target("project", project["id"]) for project in below(store, assignment["target_id"])]


def expand(store: Store, rows: list[Row]) -> list[Row]:
    """Assignments as what follows from them: one row for each user, target and role, which says where it comes from.

    Added keys: `via_group` (the group whose member the user is), `prior_role_id` (the role that implies this one), `from_target` (where
    an inherited one was made).
    """
    more, domain_roles = implied(store), {row["id"] for row in store.query("SELECT id FROM role WHERE domain_id IS NOT NULL")}
    out: list[Row] = []
    for row in rows:
        for actor in _people(store, row):
            for target in spread(store, row):
                place: dict[str, Any] = {"target_type": target.type, "target_id": target.id}
                if row["inherited"]:
                    place["from_target"] = Target(row["target_type"], row["target_id"])
                for id in with_implied(store, [row["role_id"]], more):
                    if id not in domain_roles:
                        prior = {} if id == row["role_id"] else {"prior_role_id": row["role_id"]}
                        out.append({**row, **actor, **place, **prior, "role_id": id})
    return out


def _people(store: Store, row: Row) -> list[Row]:
    if row["actor_type"] == "user":
        return [{}]
    members = store.find("user_group_member", {"group_id": row["actor_id"]})
    return [{"actor_id": m["user_id"], "actor_type": "user", "via_group": row["actor_id"]} for m in members]
