"""Security groups: the default one of each project, and those that its members make.

Not here: rules (rules.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from pileus.errors import Conflict
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.quotas import spend
from pileus.network.actions.rbac import stop_sharing
from pileus.network.actions.scope import Page, absent, change, columns, find, fresh, owned, owner, page
from pileus.openstack.listing import Listing

DEFAULT = "default"
PARENT = "PARENT"  # as the remote group of a rule that new groups start with: the group itself
COPIED = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_address_group_id")


def default_security_group(ctx: Context, project_id: str) -> Row | None:
    """The project's default group, made at first sight, beyond quota; None for what belongs to no project."""
    if not project_id:
        return None
    found = ctx.store.first("security_group", {"project_id": project_id, "name": DEFAULT})
    if found:
        return found
    row = {**fresh(ctx), "project_id": project_id, "name": DEFAULT, "description": "Default security group"}
    with ctx.store.transaction():
        _insert(ctx, row, _first_rules(ctx, "used_in_default_sg"))
    return ctx.store.get("security_group", row["id"])


def _first_rules(ctx: Context, used: str) -> list[Row]:
    """What a new group lets through (actions/default_rules.py)."""
    return ctx.store.find("default_security_group_rule", {used: 1}, order="rowid")


def _insert(ctx: Context, row: Row, rules: Iterable[Row]) -> None:
    ctx.store.insert("security_group", row)
    for first in rules:
        rule = {**fresh(ctx), "security_group_id": row["id"], "project_id": row["project_id"], "revision": 0}
        rule["remote_group_id"] = row["id"] if first["remote_group_id"] == PARENT else first["remote_group_id"]
        ctx.store.insert("security_group_rule", {**rule, **{name: first[name] for name in COPIED}})
    ctx.wake("security_group", row["id"])


@allow(PROJECT_READER, "get_security_group")
def find_security_group(ctx: Context, id: str) -> Row:
    """A group of the caller's project; any for an admin. Raises NotFound."""
    default_security_group(ctx, ctx.project_id)
    return find(ctx, "security_group", id)


@allow(PROJECT_READER, "get_security_group")
def list_security_groups(ctx: Context, listing: Listing) -> Page:
    """The groups that the caller sees, also the default one of a project asked for. Raises NotFound for a marker that is none of them."""
    asked = listing.where.get("project_id")
    default_security_group(ctx, asked if ctx.is_admin and isinstance(asked, str) else ctx.project_id)
    return page(ctx, "security_group", listing)


def security_groups_by_name(ctx: Context, project_id: str, names: Iterable[str]) -> list[Row]:
    """The project's groups by name or id, in the order of `names`.

    Raises NotFound (`extra`: name) for one that is not there, Conflict for a name that several have.
    """
    default_security_group(ctx, project_id)
    groups = []
    for name in dict.fromkeys(names):
        found = ctx.store.find("security_group", {"project_id": project_id, "id": name}, limit=1)
        found = found or ctx.store.find("security_group", {"project_id": project_id, "name": name}, limit=2)
        if not found:
            raise absent("security_group", name)
        if len(found) > 1:
            words = f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
            raise Conflict(words, type="NoUniqueMatch")
        groups += found
    return groups


@allow(PROJECT_MEMBER, "create_security_group")
def create_security_group(ctx: Context, values: Row) -> Row:
    """A group with the rules that new groups start with: everything out, nothing in, unless an operator has others. Raises OverQuota."""
    project = owner(ctx, values)
    if str(values.get("name", "")).lower() == DEFAULT:
        raise _already()
    with ctx.store.transaction():
        default_security_group(ctx, project)
        spend(ctx, project, "security_group")
        stateful = values.pop("stateful", None)
        row = {**fresh(ctx), "project_id": project, "stateful": int(stateful is not False), **columns(values, {})}
        rules = _first_rules(ctx, "used_in_non_default_sg")
        spend(ctx, project, "security_group_rule", len(rules))
        _insert(ctx, row, rules)
    return find(ctx, "security_group", row["id"])


def _already() -> Conflict:
    return Conflict("Default security group already exists.", type="SecurityGroupDefaultAlreadyExists")


@allow(PROJECT_MEMBER, "update_security_group")
def update_security_group(ctx: Context, id: str, values: Row) -> Row:
    """Change a group. The default group keeps its name; a group in use keeps its way of following connections."""
    row = find(ctx, "security_group", id)
    owned(ctx, row, "update_security_group")
    if "name" in values:
        if row["name"] == DEFAULT:
            raise Conflict("Updating default security group not allowed.", type="SecurityGroupCannotUpdateDefault")
        if values["name"].lower() == DEFAULT:
            raise _already()
    if values.get("stateful") is None:
        values.pop("stateful", None)
    elif int(values["stateful"]) != row["stateful"]:
        _unused(ctx, id)
    with ctx.store.transaction():
        after = change(ctx, "security_group", row, columns(values, {}))
        ctx.wake("security_group", id)
    return after


def _unused(ctx: Context, id: str) -> None:
    if ctx.store.find("port_security_group", {"security_group_id": id}, limit=1):
        raise Conflict(f"Security Group {id} in use.", type="SecurityGroupInUse")


@allow(PROJECT_MEMBER, "delete_security_group")
def delete_security_group(ctx: Context, id: str) -> None:
    """Wish a group away, with its rules and with those of other groups that name it. Raises Conflict while a port is in it."""
    row = find(ctx, "security_group", id)
    owned(ctx, row, "delete_security_group")
    with ctx.store.transaction():
        _unused(ctx, id)
        if row["name"] == DEFAULT and not ctx.is_admin:
            raise Conflict("Insufficient rights for removing default security group.", type="SecurityGroupCannotRemoveDefault")
        for rule in ctx.store.find("security_group_rule", {"remote_group_id": id}):
            ctx.wake("security_group", rule["security_group_id"])
        ctx.store.delete("security_group_rule", {"remote_group_id": id})
        ctx.store.delete("security_group_rule", {"security_group_id": id})
        ctx.store.delete("tag", {"resource_id": id})
        stop_sharing(ctx, id)
        ctx.store.delete("network_log", {"resource_id": id})
        ctx.store.update("security_group", id, {"gone": 1})
        ctx.wake("security_group", id)
