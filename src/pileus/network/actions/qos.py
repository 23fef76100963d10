"""QoS policies and their rules: how fast a port, a floating IP or a router's gateway may be.

Which policy holds for what, and what a host is told of it: reconcile/quality.py.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import Conflict, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.rbac import share, stop_sharing, unshare
from pileus.network.actions.scope import Page, bump, change, columns, find, fresh, owned, owner, page
from pileus.network.resources.qos import KINDS
from pileus.openstack.listing import Listing

USERS = (("network", "network"), ("port", "port"), ("floatingip", "floating_ip"), ("router", "router"))  # Neutron's word, table


@allow(PROJECT_READER, "get_policy")
def find_qos_policy(ctx: Context, id: str) -> Row:
    """A policy of the caller's project, or a shared one; any for an admin. Raises NotFound."""
    return find(ctx, "qos_policy", id)


@allow(PROJECT_READER, "get_policy")
def list_qos_policies(ctx: Context, listing: Listing) -> Page:
    """The policies that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "qos_policy", listing)


@allow(ADMIN, "create_policy")
def create_qos_policy(ctx: Context, values: Row) -> Row:
    """A policy without rules. Raises Conflict for a second default one of the project."""
    project = owner(ctx, values)
    with ctx.store.transaction():
        if values.get("is_default"):
            _check_default(ctx, project)
        shared = values.pop("shared", False)
        row = {**fresh(ctx), "project_id": project, **columns(values, {})}
        ctx.store.insert("qos_policy", row)
        if shared:
            share(ctx, "qos_policy", row)
    return find(ctx, "qos_policy", row["id"])


def _check_default(ctx: Context, project: str) -> None:
    if ctx.store.first("qos_policy", {"project_id": project, "is_default": 1}):
        raise Conflict(f"A default QoS policy exists for project {project}.", type="QoSPolicyDefaultAlreadyExists")


@allow(ADMIN, "update_policy")
def update_qos_policy(ctx: Context, id: str, values: Row) -> Row:
    """Change a policy's name, and for whom it is. Raises Conflict as create_qos_policy does."""
    row = find(ctx, "qos_policy", id)
    owned(ctx, row, "update_policy")
    with ctx.store.transaction():
        if values.get("is_default") and not row["is_default"]:
            _check_default(ctx, row["project_id"])
        if "shared" in values:
            (share if values.pop("shared") else unshare)(ctx, "qos_policy", row)
        return change(ctx, "qos_policy", row, columns(values, {}))


@allow(ADMIN, "delete_policy")
def delete_qos_policy(ctx: Context, id: str) -> None:
    """Delete a policy and its rules. Raises Conflict while something has it."""
    row = find(ctx, "qos_policy", id)
    owned(ctx, row, "delete_policy")
    with ctx.store.transaction():
        for word, table in USERS:
            if user := ctx.store.first(table, {"qos_policy_id": id}):
                raise Conflict(f"QoS Policy {id} is used by {word} {user['id']}.", type="QosPolicyInUse")
        ctx.store.delete("tag", {"resource_id": id})
        stop_sharing(ctx, id)
        ctx.store.delete("qos_policy", {"id": id})


def checked_policy(ctx: Context, values: Row) -> None:
    """Hold the policy that some values name against what the caller may see; none becomes ''. Raises NotFound."""
    if "qos_policy_id" in values:
        if values["qos_policy_id"]:
            find(ctx, "qos_policy", values["qos_policy_id"])
        values["qos_policy_id"] = values["qos_policy_id"] or ""


def default_policy(ctx: Context, project: str) -> str | None:
    """The policy that a project's new networks have."""
    found = ctx.store.first("qos_policy", {"project_id": project, "is_default": 1})
    return found["id"] if found else None


# -- rules -----------------------------------------------------------------------------------------------------------------


def _rule(ctx: Context, policy_id: str, kind: str, id: str) -> Row:
    find(ctx, "qos_policy", policy_id)
    row = ctx.store.get("qos_rule", id)
    if row is None or (row["qos_policy_id"], row["type"]) != (policy_id, kind):
        raise NotFound(f"QoS rule {id} for policy {policy_id} could not be found.", type="QosRuleNotFound")
    return row


@allow(PROJECT_READER, "get_policy_rule")
def find_qos_rule(ctx: Context, policy_id: str, kind: str, id: str) -> Row:
    """A rule of a policy that the caller sees. Raises NotFound."""
    return _rule(ctx, policy_id, kind, id)


@allow(PROJECT_READER, "get_policy_rule")
def list_qos_rules(ctx: Context, policy_id: str, kind: str, listing: Listing) -> Page:
    """A policy's rules of one kind. Raises NotFound."""
    find(ctx, "qos_policy", policy_id)
    listing.where |= {"qos_policy_id": policy_id, "type": kind}
    return page(ctx, "qos_rule", listing)


@allow(PROJECT_READER, "get_alias_rule")
def find_qos_policy_of_rule(ctx: Context, kind: str, id: str) -> str:
    """The policy of a rule that is named without it. Raises NotFound."""
    row = ctx.store.get("qos_rule", id)
    if row is None or row["type"] != kind:
        raise NotFound(f"QoS rule {id} for policy None could not be found.", type="QosRuleNotFound")
    return str(find(ctx, "qos_policy", row["qos_policy_id"])["id"])


@allow(ADMIN, "create_policy_rule")
def create_qos_rule(ctx: Context, policy_id: str, kind: str, values: Row) -> Row:
    """Add a rule to a policy; it holds at once wherever the policy does.

    Raises Conflict for a second one of its kind and direction, and for a minimum above a maximum.
    """
    policy = find(ctx, "qos_policy", policy_id)
    owned(ctx, policy, "create_policy_rule")
    values = columns(values, {})
    with ctx.store.transaction():
        _check(ctx, policy_id, kind, values)
        row = {**fresh(ctx), **values, "qos_policy_id": policy_id, "project_id": policy["project_id"], "type": kind}
        ctx.store.insert("qos_rule", row)
        _touch(ctx, policy_id)
    return _rule(ctx, policy_id, kind, row["id"])


@allow(ADMIN, "update_policy_rule")
def update_qos_rule(ctx: Context, policy_id: str, kind: str, id: str, values: Row) -> Row:
    """Change a rule. Raises Conflict as create_qos_rule does."""
    row = _rule(ctx, policy_id, kind, id)
    owned(ctx, row, "update_policy_rule")
    with ctx.store.transaction():
        _check(ctx, policy_id, kind, {**row, **values})
        after = change(ctx, "qos_rule", row, columns(values, {}))
        _touch(ctx, policy_id)
    return after


@allow(ADMIN, "delete_policy_rule")
def delete_qos_rule(ctx: Context, policy_id: str, kind: str, id: str) -> None:
    """Take a rule away."""
    row = _rule(ctx, policy_id, kind, id)
    owned(ctx, row, "delete_policy_rule")
    with ctx.store.transaction():
        ctx.store.delete("qos_rule", {"id": id})
        _touch(ctx, policy_id)


def _check(ctx: Context, policy_id: str, kind: str, values: Row) -> None:
    for rule in ctx.store.find("qos_rule", {"qos_policy_id": policy_id}, order="rowid"):
        if rule["id"] == values.get("id"):
            continue
        ways = {rule["direction"], values.get("direction")}
        if rule["type"] == kind and (len(ways) == 1 or "any" in ways):
            words = f"Rule {kind} conflicts with rule {rule['id']} which already exists in QoS Policy {policy_id}."
            raise Conflict(words, type="QoSRulesConflict")
        for mine, other in (("max_kbps", "min_kbps"), ("min_kbps", "max_kbps"), ("max_kpps", "min_kpps"), ("min_kpps", "max_kpps")):
            new, old = values.get(mine), rule[other]
            if new is not None and old is not None and len(ways) == 1 and (old > new if mine.startswith("max") else old < new):
                raise Conflict(
                    f"Unable to add the rule with value {new} to the policy {policy_id} as the existing rule of type"
                    f" {rule['type']} has value {old}.",
                    type="QoSRuleParameterConflict",
                )


def _touch(ctx: Context, policy_id: str) -> None:
    """The policy has changed: so has the speed of all that have it."""
    bump(ctx, "qos_policy", policy_id)
    users = {table: ctx.store.find(table, {"qos_policy_id": policy_id}) for _, table in USERS}
    for network in users["network"]:
        for port in ctx.store.find("port", {"network_id": network["id"]}):
            ctx.wake("port", port["id"])
    for port in users["port"]:
        ctx.wake("port", port["id"])
    for floating in users["floating_ip"]:
        if floating["router_id"]:
            ctx.wake("router", floating["router_id"])
    for router in users["router"]:
        ctx.wake("router", router["id"])


# -- kinds -----------------------------------------------------------------------------------------------------------------

_WHOLE = {"parameter_type": "range", "parameter_values": {"start": 0, "end": 2147483647}}


@allow(PROJECT_READER, "get_rule_type")
def list_qos_rule_types(ctx: Context) -> list[dict[str, Any]]:
    """The kinds of rules there are."""
    return [{"type": kind} for kind in KINDS]


@allow(ADMIN, "get_rule_type")
def find_qos_rule_type(ctx: Context, kind: str) -> dict[str, Any]:
    """What a kind of rule takes, by the one driver there is. Raises NotFound."""
    if kind not in KINDS:
        raise NotFound(f"Rule type {kind} could not be found.", type="QosRuleTypeNotFound")
    parameters = []
    for field in KINDS[kind].fields:
        if field.create:
            chosen = field.type.schema().get("enum")
            kinds = {"parameter_type": "choices", "parameter_values": chosen} if chosen else _WHOLE
            parameters.append({"parameter_name": field.name, **kinds})
    return {"type": kind, "drivers": [{"name": "linuxbridge", "supported_parameters": parameters}]}
