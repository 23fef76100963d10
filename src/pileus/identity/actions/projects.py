"""Projects and domains. A domain is a project's row with is_domain = 1, as in Keystone."""

from __future__ import annotations

from typing import Any

from pileus.errors import Conflict, Forbidden
from pileus.identity.actions import ADMIN, EPOCH, SEES_ALL, immutable, merged, missing, new_id, pack, set_tags
from pileus.kit.context import Context
from pileus.kit.policy import ANYONE, allow, forbid
from pileus.kit.store import Row

DEFAULT_DOMAIN = "default"


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


@allow(ANYONE, "identity:get_project")
def get_project(ctx: Context, id: str) -> Row:
    """A project, for an admin or for whoever has a role in it."""
    if not SEES_ALL(ctx) and not ctx.store.find("role_assignment", {"actor_id": ctx.user_id, "target_id": id}, limit=1):
        forbid("identity:get_project")
    return find_project(ctx, id)


@allow(SEES_ALL, "identity:list_projects")
def list_projects(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return ctx.store.find("project", {"is_domain": 0, **where}, order="name")


@allow(ADMIN, "identity:create_project")
def create_project(ctx: Context, values: Row) -> Row:
    """A project in a domain (the caller's, or the default one), below another project or directly in the domain."""
    if values.pop("is_domain", False):
        return create_domain(ctx, values)
    tags = values.pop("tags", [])
    parent = values.get("parent_id")
    above = ctx.store.get("project", parent) if parent else None
    if parent and above is None:
        raise missing("project", parent)
    domain = values.get("domain_id") or (_domain_of(above) if above else None) or ctx.who.domain_id or DEFAULT_DOMAIN
    find_domain(ctx, domain)
    row = {
        "id": new_id(),
        **pack({"description": "", "enabled": True, "options": {}, **values}),
        "domain_id": domain,
        "parent_id": parent or domain,
        "created_at": ctx.now(),
    }
    row["description"] = row["description"] or ""
    with ctx.store.transaction():
        _unique(ctx, "project", row["name"], domain)
        ctx.store.insert("project", row)
        set_tags(ctx, row["id"], tags)
    return find_project(ctx, row["id"])


def _domain_of(row: Row) -> str:
    return str(row["id"] if row["is_domain"] else row["domain_id"])


def _unique(ctx: Context, kind: str, name: str, domain: str | None, but: str = "") -> None:
    twin = ctx.store.first("project", {"name": name, "domain_id": domain, "is_domain": int(kind == "domain")})
    if twin and twin["id"] != but:
        raise Conflict(
            f"Conflict occurred attempting to store {kind} - it is not permitted to have two {kind}s with either the same name or same id"
            f" in the same domain: name is {name}, {kind} id {twin['id']}."
            if kind == "project"
            else "Conflict occurred attempting to store project - it is not permitted to have two projects acting as domains in the same"
            f" domain: name is {name}."
        )


@allow(ADMIN, "identity:update_project")
def update_project(ctx: Context, id: str, values: Row) -> Row:
    """Change a project; one that is disabled opens no door: its tokens die."""
    row = find_project(ctx, id)
    for fixed in ("domain_id", "parent_id", "is_domain"):
        if fixed in values and values.pop(fixed) not in (row[fixed], bool(row[fixed])):
            raise Forbidden(f"Update of `{fixed}` is not allowed.")
    return _update(ctx, row, values, "project")


def _update(ctx: Context, row: Row, values: Row, kind: str) -> Row:
    immutable(row, kind, "update", values)
    changes = merged(row, values)
    tags = changes.pop("tags", None)
    if kind == "project" or "description" in changes:
        changes["description"] = changes.get("description", row["description"]) or ""
    with ctx.store.transaction():
        if "name" in changes:
            _unique(ctx, kind, changes["name"], row["domain_id"], row["id"])
        ctx.store.update("project", row["id"], pack({**changes, "updated_at": ctx.now(), "revision": row["revision"] + 1}))
        if tags is not None:
            set_tags(ctx, row["id"], tags)
        if changes.get("enabled") is False:
            _close(ctx, row["id"], kind)
    after = ctx.store.get("project", row["id"])
    assert after is not None
    return after


def _close(ctx: Context, id: str, kind: str) -> None:
    """End the tokens that are scoped to a project, or to a domain and all that lies in it."""
    if kind == "project":
        ctx.store.delete("token", {"project_id": id})
    else:
        ctx.store.execute(
            "DELETE FROM token WHERE domain_id = :id OR project_id IN (SELECT id FROM project WHERE domain_id = :id)"
            " OR user_id IN (SELECT id FROM user WHERE domain_id = :id)",
            id=id,
        )
    ctx.bump(EPOCH)


@allow(ADMIN, "identity:delete_project")
def delete_project(ctx: Context, id: str) -> None:
    """Delete a project with its assignments and tokens. What other services hold for it stays, as in Keystone."""
    row = find_project(ctx, id)
    immutable(row, "project", "delete")
    if below := ctx.store.first("project", {"parent_id": id}):
        raise Forbidden(
            f"Cannot delete project {id} since it is not a leaf in the hierarchy: {below['name']} is below it. Delete that first."
        )
    with ctx.store.transaction():
        _close(ctx, id, "project")
        _erase(ctx, id)


def _erase(ctx: Context, id: str) -> None:
    ctx.store.delete("role_assignment", {"target_id": id})
    ctx.store.delete("tag", {"resource_id": id})
    ctx.store.delete("project", {"id": id})
    ctx.store.execute("UPDATE user SET default_project_id = NULL WHERE default_project_id = ?", id)


# -- domains ---------------------------------------------------------------------------------------------------------------


@allow(ANYONE, "identity:get_domain")
def get_domain(ctx: Context, id: str) -> Row:
    """A domain, for an admin or for whoever belongs to it."""
    if not SEES_ALL(ctx) and id not in (ctx.who.user_domain_id, ctx.who.domain_id, ctx.who.project_domain_id):
        forbid("identity:get_domain")
    return find_domain(ctx, id)


@allow(SEES_ALL, "identity:list_domains")
def list_domains(ctx: Context, where: dict[str, Any]) -> list[Row]:
    return ctx.store.find("project", {"is_domain": 1, **where}, order="name")


@allow(ADMIN, "identity:create_domain")
def create_domain(ctx: Context, values: Row) -> Row:
    tags = values.pop("tags", [])
    for absent in ("domain_id", "parent_id", "is_domain"):
        values.pop(absent, None)
    row = {
        "id": new_id(),
        **pack({"description": "", "enabled": True, "options": {}, **values}),
        "is_domain": 1,
        "created_at": ctx.now(),
    }
    row["description"] = row["description"] or ""
    with ctx.store.transaction():
        _unique(ctx, "domain", row["name"], None)
        ctx.store.insert("project", row)
        set_tags(ctx, row["id"], tags)
    return find_domain(ctx, row["id"])


@allow(ADMIN, "identity:update_domain")
def update_domain(ctx: Context, id: str, values: Row) -> Row:
    return _update(ctx, find_domain(ctx, id), values, "domain")


@allow(ADMIN, "identity:delete_domain")
def delete_domain(ctx: Context, id: str) -> None:
    """Delete a disabled domain with all users and projects in it."""
    row = find_domain(ctx, id)
    if row["enabled"]:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    with ctx.store.transaction():
        _close(ctx, id, "domain")
        for user in ctx.store.find("user", {"domain_id": id}):
            ctx.store.delete("role_assignment", {"actor_id": user["id"]})
            ctx.store.delete("user", {"id": user["id"]})
        for project in ctx.store.find("project", {"domain_id": id}):
            _erase(ctx, project["id"])
        _erase(ctx, id)


def parents(ctx: Context, row: Row) -> dict[str, Any] | None:
    """`parents_as_ids`: the projects above, nested, up to the domain."""
    if row["parent_id"] is None:
        return None
    above = ctx.store.get("project", row["parent_id"])
    return {row["parent_id"]: parents(ctx, above) if above else None}
