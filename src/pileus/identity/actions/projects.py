"""Projects and their tree. A domain is a project's row with is_domain = 1, as in Keystone; domains.py has what is theirs alone."""

from __future__ import annotations

from typing import Any

from pileus.errors import BadRequest, Conflict, Forbidden
from pileus.identity.actions import (
    MANAGES_DOMAIN,
    SEES_ALL,
    SEES_DOMAIN,
    changing,
    immutable,
    in_domain,
    merged,
    missing,
    new_id,
    pack,
    set_tags,
    within,
)
from pileus.identity.actions.effective import Target, above, below, effective, targets_of
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row

DEFAULT_DOMAIN = "default"
DEEPEST = 5  # projects below each other, the first one's domain not counted: Keystone's max_project_tree_depth
TAGS_MAX = 80


def find_project(ctx: Context, id: str) -> Row:
    """Any project, whoever asks. Raises NotFound."""
    row = ctx.store.get("project", id)
    if row is None or row["is_domain"]:
        raise missing("project", id)
    return row


def find_domain(ctx: Context, id: str) -> Row:
    """Any domain. Raises NotFound."""
    row = ctx.store.get("project", id)
    if row is None or not row["is_domain"]:
        raise missing("domain", id)
    return row


def _domain_of(row: Row | None) -> str | None:
    return None if row is None else str(row["id"] if row["is_domain"] else row["domain_id"])


def may_see(ctx: Context, id: str, policy: str) -> Row:
    """A project (or a domain as one), for an admin, a reader of its domain, or whoever has a role in it."""
    row = ctx.store.get("project", id)
    if id != ctx.project_id and not SEES_ALL(ctx) and not (row and SEES_DOMAIN(ctx) and ctx.who.domain_id == _domain_of(row)):
        kind = "domain" if row and row["is_domain"] else "project"
        if row is None or not effective(ctx.store, ctx.user_id, Target(kind, id)):
            forbid(policy)
    if row is None:
        raise missing("project", id)
    return row


def _may_change(ctx: Context, id: str, policy: str) -> Row:
    """A project within the caller's reach. Raises Forbidden, or NotFound to those who may know."""
    row = ctx.store.get("project", id)
    within(ctx, _domain_of(row), policy)
    return find_project(ctx, id)


@allow(ANYONE, "identity:get_project")
def get_project(ctx: Context, id: str) -> Row:
    """A project, for an admin, a reader of its domain, or whoever has a role in it."""
    return may_see(ctx, id, "identity:get_project")


@allow(SEES_DOMAIN, "identity:list_projects")
def list_projects(ctx: Context, where: dict[str, Any]) -> list[Row]:
    """Projects that match; to a token of a domain those of the domain."""
    return ctx.store.find("project", {"is_domain": 0, **in_domain(ctx, where)}, order="name")


@allow(MANAGES_DOMAIN, "identity:create_project")
def create_project(ctx: Context, values: Row) -> Row:
    """A project in a domain (the caller's, or the default one), below another project or directly in the domain."""
    tags = values.pop("tags", [])
    values.pop("is_domain", None)
    parent = values.get("parent_id")
    over = ctx.store.get("project", parent) if parent else None
    domain = values.get("domain_id") or _domain_of(over) or ctx.who.domain_id or DEFAULT_DOMAIN
    within(ctx, domain, "identity:create_project")
    if parent and over is None:
        raise missing("project", parent)
    find_domain(ctx, domain)
    _fits_below(ctx, over, domain)
    row = {
        "id": new_id(),
        **pack({"description": "", "enabled": True, "options": {}, **values}),
        "domain_id": domain,
        "parent_id": parent or domain,
        "created_at": ctx.now(),
    }
    row["description"] = row["description"] or ""
    with changing(ctx, "project.created", row["id"]):
        unique(ctx, "project", row["name"], domain)
        ctx.store.insert("project", row)
        set_tags(ctx, row["id"], tags)
    return find_project(ctx, row["id"])


def _fits_below(ctx: Context, over: Row | None, domain: str) -> None:
    """Raises when no project can be made below this one in that domain."""
    if over is None or over["id"] == domain:
        return
    if _domain_of(over) != domain:
        raise BadRequest(
            f"Cannot create project, since it specifies its domain_id {domain}, but specifies a parent in a different domain"
            f" ({_domain_of(over)})."
        )
    line = [over, *above(ctx.store, over["id"])]
    if len(line) - 1 >= DEEPEST:
        raise Forbidden(f"Max hierarchy depth reached for {over['id']} branch.")
    if closed := next((row for row in line if not row["enabled"]), None):
        raise Forbidden(f"Cannot create project in a branch containing a disabled project: {closed['id']}")


def unique(ctx: Context, kind: str, name: str, domain: str | None, but: str = "") -> None:
    """Raises Conflict when there is another project, or domain, of this name."""
    twin = ctx.store.first("project", {"name": name, "domain_id": domain, "is_domain": int(kind == "domain")})
    if twin and twin["id"] != but:
        raise Conflict(
            f"Conflict occurred attempting to store {kind} - it is not permitted to have two {kind}s with either the same name or same id"
            f" in the same domain: name is {name}, {kind} id {twin['id']}."
            if kind == "project"
            else "Conflict occurred attempting to store project - it is not permitted to have two projects acting as domains in the same"
            f" domain: name is {name}."
        )


@allow(MANAGES_DOMAIN, "identity:update_project")
def update_project(ctx: Context, id: str, values: Row) -> Row:
    """Change a project; one that is disabled opens no door: its tokens die."""
    row = _may_change(ctx, id, "identity:update_project")
    for fixed in ("domain_id", "parent_id", "is_domain"):
        if fixed in values and values.pop(fixed) not in (row[fixed], bool(row[fixed])):
            raise Forbidden(f"Update of `{fixed}` is not allowed.")
    if values.get("enabled") is True and not row["enabled"] and any(not up["enabled"] for up in above(ctx.store, id)):
        raise Forbidden(f"Cannot enable project {id} since it has disabled parents")
    if values.get("enabled") is False and row["enabled"] and any(down["enabled"] for down in below(ctx.store, id)):
        raise Forbidden(f"Cannot disable project {id} since its subtree contains enabled projects.")
    return update(ctx, row, values, "project")


def update(ctx: Context, row: Row, values: Row, kind: str) -> Row:
    """Write the changes of a project or a domain."""
    immutable(row, kind, "update", values)
    changes = merged(row, values)
    tags = changes.pop("tags", None)
    if kind == "project" or "description" in changes:
        changes["description"] = changes.get("description", row["description"]) or ""
    with changing(ctx, f"{kind}.updated", row["id"]):
        if "name" in changes:
            unique(ctx, kind, changes["name"], row["domain_id"], row["id"])
        ctx.store.update("project", row["id"], pack({**changes, "updated_at": ctx.now(), "revision": row["revision"] + 1}))
        if tags is not None:
            set_tags(ctx, row["id"], tags)
        if changes.get("enabled") is False:
            close(ctx, row["id"], kind)
    after = ctx.store.get("project", row["id"])
    assert after is not None
    return after


def close(ctx: Context, id: str, kind: str) -> None:
    """End the tokens that are scoped to a project, or to a domain and all that lies in it."""
    if kind == "project":
        ctx.store.delete("token", {"project_id": id})
    else:
        ctx.store.execute(
            "DELETE FROM token WHERE domain_id = :id OR project_id IN (SELECT id FROM project WHERE domain_id = :id)"
            " OR user_id IN (SELECT id FROM user WHERE domain_id = :id)",
            id=id,
        )


@allow(MANAGES_DOMAIN, "identity:delete_project")
def delete_project(ctx: Context, id: str) -> None:
    """Delete a project with its assignments, tokens and delegations. What other services hold for it stays, as in Keystone."""
    row = _may_change(ctx, id, "identity:delete_project")
    immutable(row, "project", "delete")
    if ctx.store.first("project", {"parent_id": id}):
        raise Forbidden(
            f"Cannot delete the project {id} since it is not a leaf in the hierarchy. Use the cascade option if you want to delete a whole"
            " subtree."
        )
    with changing(ctx, "project.deleted", id):
        erase(ctx, id)


def erase(ctx: Context, id: str) -> None:
    """Take a project, or a domain, out of the tables with what belongs to it alone; in the caller's transaction."""
    store = ctx.store
    store.delete("token", {"project_id": id})
    store.delete("role_assignment", {"target_id": id})
    store.delete("tag", {"resource_id": id})
    for table in ("application_credential", "trust", "credential", "oauth_token", "project_limit", "endpoint_project"):
        store.delete(table, {"project_id": id})
    store.delete("project", {"id": id})
    store.execute("UPDATE user SET default_project_id = NULL WHERE default_project_id = ?", id)


# -- the tree --------------------------------------------------------------------------------------------------------------


def parents(ctx: Context, row: Row) -> dict[str, Any] | None:
    """`parents_as_ids`: the projects above, nested, up to the domain."""
    found: dict[str, Any] | None = None
    for up in reversed(above(ctx.store, row["id"])):
        found = {up["id"]: found}
    return found


def subtree(ctx: Context, row: Row) -> dict[str, Any] | None:
    """`subtree_as_ids`: the projects below, nested."""
    inside: dict[str, list[str]] = {}
    for down in below(ctx.store, row["id"]):
        inside.setdefault(down["parent_id"], []).append(down["id"])

    def nested(id: str) -> dict[str, Any] | None:
        return {child: nested(child) for child in inside[id]} if id in inside else None

    return nested(row["id"])


def known(ctx: Context, rows: list[Row]) -> list[Row]:
    """Of these projects those that the caller has a role in: what the lists of parents and of the subtree show."""
    mine = {target.id for target in targets_of(ctx.store, ctx.user_id)}
    return [row for row in rows if row["id"] in mine and not row["is_domain"]]


# -- tags ------------------------------------------------------------------------------------------------------------------


def _tags(ctx: Context, id: str) -> list[str]:
    return [row["tag"] for row in ctx.store.find("tag", {"resource_id": id}, order="tag")]


@allow(ANYONE, "identity:list_project_tags")
def list_tags(ctx: Context, id: str) -> list[str]:
    """A project's tags, for whoever may see it."""
    may_see(ctx, id, "identity:list_project_tags")
    return _tags(ctx, id)


@allow(ANYONE, "identity:get_project_tag")
def check_tag(ctx: Context, id: str, tag: str) -> None:
    """Raises NotFound unless the project has the tag."""
    may_see(ctx, id, "identity:get_project_tag")
    if tag not in _tags(ctx, id):
        raise missing("project tag", tag)


@allow(MANAGES_DOMAIN, "identity:update_project_tags")
def replace_tags(ctx: Context, id: str, tags: list[str]) -> list[str]:
    """Exactly these tags."""
    row = _may_change(ctx, id, "identity:update_project_tags")
    immutable(row, "project", "update")
    with changing(ctx, "project.updated", id):
        set_tags(ctx, id, tags)
    return _tags(ctx, id)


@allow(MANAGES_DOMAIN, "identity:create_project_tag")
def add_tag(ctx: Context, id: str, tag: str) -> None:
    """One more tag; twice is once."""
    row = _may_change(ctx, id, "identity:create_project_tag")
    immutable(row, "project", "update")
    tags = _tags(ctx, id)
    if tag not in tags and len(tags) >= TAGS_MAX:
        raise BadRequest(f"A project has at most {TAGS_MAX} tags.")
    with changing(ctx, "project.updated", id):
        set_tags(ctx, id, [*tags, tag])


@allow(MANAGES_DOMAIN, "identity:delete_project_tag")
def delete_tag(ctx: Context, id: str, tag: str) -> None:
    """One tag less."""
    row = _may_change(ctx, id, "identity:delete_project_tag")
    immutable(row, "project", "update")
    if tag not in _tags(ctx, id):
        raise missing("project tag", tag)
    with changing(ctx, "project.updated", id):
        ctx.store.delete("tag", {"resource_id": id, "tag": tag})


@allow(MANAGES_DOMAIN, "identity:delete_project_tags")
def delete_tags(ctx: Context, id: str) -> None:
    """No tags."""
    replace_tags(ctx, id, [])
