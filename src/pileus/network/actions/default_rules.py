"""The rules that new security groups start with. An operator changes them; groups that are there keep theirs."""

from __future__ import annotations

from pileus.errors import Conflict
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.rules import check_meaning, says
from pileus.network.actions.scope import Page, columns, find, fresh, page
from pileus.network.actions.security_groups import PARENT
from pileus.openstack.listing import Listing

TABLE = "default_security_group_rule"


@allow(PROJECT_READER, "get_default_security_group_rule")
def find_default_rule(ctx: Context, id: str) -> Row:
    """A rule that new groups start with. Raises NotFound."""
    return find(ctx, TABLE, id)


@allow(PROJECT_READER, "get_default_security_group_rule")
def list_default_rules(ctx: Context, listing: Listing) -> Page:
    """The rules that new groups start with. Raises NotFound for a marker that is none of them."""
    return page(ctx, TABLE, listing)


@allow(ADMIN, "create_default_security_group_rule")
def create_default_rule(ctx: Context, values: Row) -> Row:
    """A rule for groups to come; a remote group of PARENT is the group itself. Raises as create_security_group_rule does."""
    check_meaning(values)
    if values["remote_group_id"] and values["remote_group_id"] != PARENT:
        find(ctx, "security_group", values["remote_group_id"])
    if values["remote_address_group_id"]:
        find(ctx, "address_group", values["remote_address_group_id"])
    with ctx.store.transaction():
        for rule in ctx.store.find(TABLE):
            uses = [name for name in ("used_in_default_sg", "used_in_non_default_sg") if rule[name] and values[name]]
            if uses and says(rule) == says(values):
                words = f"Default Security group rule already exists. Rule id is {rule['id']}."
                raise Conflict(words, type="DefaultSecurityGroupRuleExists")
        row = {**fresh(ctx), **columns(values, {})}
        ctx.store.insert(TABLE, row)
    return find(ctx, TABLE, row["id"])


@allow(ADMIN, "delete_default_security_group_rule")
def delete_default_rule(ctx: Context, id: str) -> None:
    """Take a rule from groups to come."""
    find(ctx, TABLE, id)
    with ctx.store.transaction():
        ctx.store.delete(TABLE, {"id": id})
