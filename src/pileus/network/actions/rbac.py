"""RBAC policies: who besides its owner may use a network, a pool, a scope or a group.

`shared` and `router:external` of a network are policies for everybody, written and taken away here too.
Not here: what a project sees by them (scope.py).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from pileus.errors import Conflict
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.quotas import spend
from pileus.network.actions.scope import Page, bump, change, deny, find, fresh, owned, owner, page
from pileus.network.resources.rbac import RBAC_POLICY
from pileus.network.resources.sharing import EVERYBODY
from pileus.network.types import invalid_input
from pileus.openstack.listing import Listing

SHARED, EXTERNAL = "access_as_shared", "access_as_external"


@dataclass(frozen=True, slots=True)
class Shareable:
    """A kind of thing: what may be allowed, and which projects use one (SQL over its id, `:id`)."""

    actions: tuple[str, ...]
    users: str


SHAREABLE = {
    "network": Shareable(
        (EXTERNAL, SHARED),
        "SELECT project_id FROM port WHERE network_id = :id AND gone = 0 AND device_owner NOT LIKE 'network:%'"
        " UNION SELECT project_id FROM subnet WHERE network_id = :id",
    ),
    "subnetpool": Shareable((SHARED,), "SELECT project_id FROM subnet WHERE subnetpool_id = :id"),
    "address_scope": Shareable((SHARED,), "SELECT project_id FROM subnetpool WHERE address_scope_id = :id"),
    "address_group": Shareable((SHARED,), "SELECT project_id FROM security_group_rule WHERE remote_address_group_id = :id"),
    "qos_policy": Shareable(
        (SHARED,),
        "SELECT project_id FROM port WHERE qos_policy_id = :id AND gone = 0"
        " UNION SELECT project_id FROM network WHERE qos_policy_id = :id AND gone = 0"
        " UNION SELECT project_id FROM floating_ip WHERE qos_policy_id = :id"
        " UNION SELECT project_id FROM router WHERE qos_policy_id = :id AND gone = 0",
    ),
    "security_group": Shareable(
        (SHARED,),
        "SELECT p.project_id FROM port p JOIN port_security_group b ON b.port_id = p.id WHERE b.security_group_id = :id AND p.gone = 0"
        " UNION SELECT project_id FROM security_group_rule WHERE remote_group_id = :id",
    ),
}
DEPENDENT = "There are routers attached to this network that depend on this policy for access."
ROUTED = "SELECT DISTINCT project_id FROM router WHERE gateway_network_id = :id AND gone = 0"  # projects whose routers lead there


# -- for the verbs of what is shared ---------------------------------------------------------------------------------------


def share(ctx: Context, object_type: str, thing: Row, action: str = SHARED, target: str = EVERYBODY) -> None:
    """Let a project, or everybody, use a thing; harmless when it may already."""
    if not ctx.store.first("rbac_policy", {"object_id": thing["id"], "action": action, "target_project": target}):
        row = {**fresh(ctx), "project_id": thing["project_id"], "object_type": object_type, "object_id": thing["id"]}
        ctx.store.insert("rbac_policy", {**row, "action": action, "target_project": target})


def unshare(ctx: Context, object_type: str, thing: Row) -> None:
    """Take a thing back from everybody. Raises Conflict while others use it by that alone."""
    check_users(ctx, object_type, thing, EVERYBODY)
    ctx.store.delete("rbac_policy", {"object_id": thing["id"], "action": SHARED, "target_project": EVERYBODY})


def stop_sharing(ctx: Context, id: str, action: str | None = None) -> None:
    """What is deleted is shared with nobody; `action`: take only policies of that kind away."""
    ctx.store.delete("rbac_policy", {"object_id": id, **({"action": action} if action else {})})


def check_users(ctx: Context, object_type: str, thing: Row, target: str, new: Set[str] = frozenset()) -> None:
    """Refuse to take a thing from a project (or from everybody) that uses it by no other policy."""
    policies = ctx.store.find("rbac_policy", {"object_id": thing["id"], "action": SHARED})
    whole = (
        object_type != "network" and target == EVERYBODY
    )  # then the owner's use counts too, and who comes instead does not: as in Neutron
    others = {policy["target_project"] for policy in policies} - {target} | (frozenset() if whole else new)
    if EVERYBODY in others:
        return
    users = {row["project_id"] for row in ctx.store.query(SHAREABLE[object_type].users, id=thing["id"])} - {""}
    users -= set() if whole else {thing["project_id"]}
    users = users - others if target == EVERYBODY else users & {target}
    if not users:
        return
    if object_type == "network":
        words = f"Unable to reconfigure sharing settings for network {thing['id']}. Multiple projects are using it."
        raise Conflict(words, type="InvalidSharedSetting")
    raise _in_use(thing["id"], f"project_id={target}")


def _in_use(id: str, details: str) -> Conflict:
    words = f"RBAC policy on object {id} cannot be removed because other objects depend on it.\nDetails: {details}"
    return Conflict(words, type="RbacPolicyInUse")


# -- the verbs -------------------------------------------------------------------------------------------------------------


@allow(PROJECT_READER, "get_rbac_policy")
def find_rbac_policy(ctx: Context, id: str) -> Row:
    """A policy of the caller's project; any for an admin. Raises NotFound."""
    return find(ctx, "rbac_policy", id)


@allow(PROJECT_READER, "get_rbac_policy")
def list_rbac_policies(ctx: Context, listing: Listing) -> Page:
    """The policies that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "rbac_policy", listing)


def _check_target(ctx: Context, verb: str, target: str) -> None:
    if target == EVERYBODY and not ctx.is_admin:
        deny(RBAC_POLICY, verb, ["target_tenant"])


@allow(PROJECT_MEMBER, "create_rbac_policy")
def create_rbac_policy(ctx: Context, values: Row) -> Row:
    """Let another project, or with `*` all of them, use a thing of the caller's.

    Raises BadRequest for a thing that is not the caller's, Conflict for a policy that is there already, OverQuota.
    """
    project = owner(ctx, values)
    _check_target(ctx, "create", values["target_project"])
    kind, action = values["object_type"], values["action"]
    if action not in SHAREABLE[kind].actions:
        valid = ", ".join(SHAREABLE[kind].actions)
        words = f"Invalid action '{action}' for object type '{kind}'. Valid actions: {valid}"
        raise invalid_input(words, "InvalidActionForType")
    thing = find(ctx, kind, values["object_id"])
    if not ctx.is_admin and thing["project_id"] != ctx.project_id:
        raise invalid_input(f"Only admins can manipulate policies on {'networks' if kind == 'network' else 'objects'} they do not own")
    if kind == "subnetpool":
        _check_scope(ctx, thing, values["target_project"])
    with ctx.store.transaction():
        spend(ctx, project, "rbac_policy")
        row = {**fresh(ctx), "project_id": project, **values}
        if ctx.store.first("rbac_policy", {key: row[key] for key in ("object_id", "action", "target_project")}):
            raise Conflict("An RBAC policy already exists with those values.", type="DuplicateRbacPolicy")
        ctx.store.insert("rbac_policy", row)
        _keep_columns(ctx, row)
        bump(ctx, kind, thing["id"])
    return find(ctx, "rbac_policy", row["id"])


def _check_scope(ctx: Context, pool: Row, target: str) -> None:
    """Refuse to share a pool with a project that may not use the scope it is in."""
    scope = ctx.store.get("address_scope", pool["address_scope_id"]) if pool["address_scope_id"] else None
    if scope is None or scope["project_id"] == target:
        return
    open_to = {policy["target_project"] for policy in ctx.store.find("rbac_policy", {"object_id": scope["id"], "action": SHARED})}
    if not open_to & {target, EVERYBODY}:
        words = f"subnetpool {pool['id']} cannot be shared with {target}: address scope {scope['id']} is not shared with it"
        raise invalid_input(words)


def _keep_columns(ctx: Context, row: Row) -> None:
    """A network says of itself what its policies for everybody, and those of an outside, come to."""
    if row["object_type"] != "network":
        return
    everybody = {"object_id": row["object_id"], "action": SHARED, "target_project": EVERYBODY}
    changes = {"shared": int(ctx.store.first("rbac_policy", everybody) is not None)}
    if row["action"] == EXTERNAL:
        outside = {"object_id": row["object_id"], "action": EXTERNAL}
        changes["external"] = int(ctx.store.first("rbac_policy", outside) is not None)
    ctx.store.update("network", row["object_id"], changes)


@allow(PROJECT_MEMBER, "update_rbac_policy")
def update_rbac_policy(ctx: Context, id: str, values: Row) -> Row:
    """Let another project use the thing instead. Raises Conflict while the one that may use it does."""
    row = find(ctx, "rbac_policy", id)
    owned(ctx, row, "update_rbac_policy")
    target = str(values.get("target_project", row["target_project"]))
    _check_target(ctx, "update", target)
    with ctx.store.transaction():
        if target not in (row["target_project"], EVERYBODY):
            _check_unused(ctx, row, {target})
        twin = ctx.store.first("rbac_policy", {"object_id": row["object_id"], "action": row["action"], "target_project": target})
        if twin and twin["id"] != id:
            raise Conflict("An RBAC policy already exists with those values.", type="DuplicateRbacPolicy")
        after = change(ctx, "rbac_policy", row, {"target_project": target})
        _keep_columns(ctx, after)
        bump(ctx, row["object_type"], row["object_id"])
    return after


@allow(PROJECT_MEMBER, "delete_rbac_policy")
def delete_rbac_policy(ctx: Context, id: str) -> None:
    """Let the project use the thing no longer. Raises Conflict while it does."""
    row = find(ctx, "rbac_policy", id)
    owned(ctx, row, "delete_rbac_policy")
    with ctx.store.transaction():
        _check_unused(ctx, row)
        ctx.store.delete("rbac_policy", {"id": id})
        _keep_columns(ctx, row)
        bump(ctx, row["object_type"], row["object_id"])


def _check_unused(ctx: Context, row: Row, new: Set[str] = frozenset()) -> None:
    """Refuse to end a policy that somebody's things stand on; `new`: who may use the thing from now on."""
    thing = ctx.store.get(row["object_type"], row["object_id"])
    if thing is None:
        return
    if row["action"] == SHARED:
        try:
            check_users(ctx, row["object_type"], thing, row["target_project"], new)
        except Conflict as refusal:
            if refusal.type == "RbacPolicyInUse":
                raise
            raise _in_use(thing["id"], refusal.message) from None
        return
    if thing["is_default"] and row["target_project"] == EVERYBODY:
        raise _in_use(thing["id"], "Default external networks must be shared to everyone.")
    policies = ctx.store.find("rbac_policy", {"object_id": thing["id"]})
    others = {policy["target_project"] for policy in policies if policy["id"] != row["id"]} | new
    last = not new and not any(policy["action"] == EXTERNAL and policy["id"] != row["id"] for policy in policies)
    if last and ctx.store.first("router", {"gateway_network_id": thing["id"]}):
        raise _in_use(thing["id"], DEPENDENT)
    routed = {router["project_id"] for router in ctx.store.query(ROUTED, id=thing["id"])} - {thing["project_id"]}
    routed = routed - others if row["target_project"] == EVERYBODY else routed & {row["target_project"]}
    if routed and EVERYBODY not in others:
        raise _in_use(thing["id"], DEPENDENT)
