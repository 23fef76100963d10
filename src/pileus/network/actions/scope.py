"""Whose a thing is, who sees it and who may change it; and what every write does to times and revisions.

Not here: what the verbs mean (one module per noun beside this one) and roles (kit/policy.py, on each action).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from pileus.errors import NotFound
from pileus.kit.context import Context
from pileus.kit.policy import forbid
from pileus.kit.resource import Resource
from pileus.kit.store import Row
from pileus.network.types import malformed
from pileus.openstack.listing import Listing, fetch

Page = tuple[list[Row], bool]  # rows, and whether there are more

# what Neutron says of a thing that is not there, or not the caller's: the name of its exception and the words
ABSENT = {
    "network": ("NetworkNotFound", "Network {} could not be found."),
    "subnet": ("SubnetNotFound", "Subnet {} could not be found."),
    "port": ("PortNotFound", "Port {} could not be found."),
    "router": ("RouterNotFound", "Router {} could not be found"),
    "floating_ip": ("FloatingIPNotFound", "Floating IP {} could not be found"),
    "security_group": ("SecurityGroupNotFound", "Security group {} does not exist"),
    "security_group_rule": ("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    "rbac_policy": ("RbacPolicyNotFound", "RBAC policy of type unknown with ID {} not found"),
    "subnetpool": ("SubnetPoolNotFound", "Subnet pool {} could not be found."),
    "address_scope": ("AddressScopeNotFound", "Address scope {} could not be found"),
    "address_group": ("AddressGroupNotFound", "Address group {} could not be found."),
    "trunk": ("TrunkNotFound", "Trunk {} could not be found."),
    "network_log": ("LogResourceNotFound", "Log resource {} could not be found."),
    "qos_policy": ("QosPolicyNotFound", "QoS policy {} could not be found."),
    "qos_rule": ("QosRuleNotFound", "QoS rule {} could not be found."),
    "segment": ("SegmentNotFound", "Segment {} could not be found."),
    "metering_label": ("MeteringLabelNotFound", "Metering label {} does not exist."),
    "metering_label_rule": ("MeteringLabelRuleNotFound", "Metering label rule {} does not exist."),
    "network_flavor": ("FlavorNotFound", "Flavor {} could not be found."),
    "service_profile": ("ServiceProfileNotFound", "Service Profile {} could not be found."),
    "default_security_group_rule": ("DefaultSecurityGroupRuleNotFound", "Default Security Group rule {} does not exist."),
    "availability_zone": ("AvailabilityZoneNotFound", "AvailabilityZone {} could not be found."),
}


def _shareable(object_type: str, *, action: str = "") -> str:
    """A project's own, and what an RBAC policy (of a kind) lets it see."""
    theirs = "SELECT object_id FROM rbac_policy WHERE target_project IN (:p, '*') AND object_type"
    kind = f" AND action = '{action}'" if action else ""
    return f"project_id = :p OR id IN ({theirs} = '{object_type}'{kind})"


def _of_usable_network() -> str:
    """What is on networks of a project's own, and on those shared with it; that a network is an outside shows nothing of what is on it."""
    usable = _shareable("network", action="access_as_shared")
    return f"project_id = :p OR network_id IN (SELECT id FROM network WHERE gone = 0 AND ({usable}))"  # noqa: S608


# what besides its own a project sees of a table; `:p` is the project
MINE = {
    "network": _shareable("network"),
    "subnet": _of_usable_network(),
    "port": "project_id = :p OR network_id IN (SELECT id FROM network WHERE gone = 0 AND project_id = :p)",
    "router": "project_id = :p",
    "trunk": "project_id = :p",
    "network_log": "project_id = :p",
    "qos_policy": _shareable("qos_policy"),
    "qos_rule": f"project_id = :p OR qos_policy_id IN (SELECT id FROM qos_policy WHERE {_shareable('qos_policy')})",  # noqa: S608
    "floating_ip": "project_id = :p",
    "security_group": _shareable("security_group"),
    "security_group_rule": "project_id = :p OR security_group_id IN (SELECT id FROM security_group WHERE gone = 0 AND project_id = :p)",
    "rbac_policy": "project_id = :p",
    "address_group": _shareable("address_group"),
    "address_scope": _shareable("address_scope"),
    "subnetpool": _shareable("subnetpool"),
    "segment": "0",
    "metering_label": "project_id = :p OR shared = 1",
    "metering_label_rule": "metering_label_id IN (SELECT id FROM metering_label WHERE project_id = :p OR shared = 1)",
    "network_flavor": "1",
    "service_profile": "0",
    "default_security_group_rule": "1",
}


def absent(table: str, id: Any) -> NotFound:
    kind, words = ABSENT[table]
    return NotFound(words.format(id), type=kind)


def find(ctx: Context, table: str, id: str) -> Row:
    """The row, if the caller may see it. Raises NotFound."""
    row = ctx.store.get(table, id)
    if row is None or not (ctx.is_admin or row["project_id"] == ctx.project_id or _shared(ctx, table, id)):
        raise absent(table, id)
    return row


def _shared(ctx: Context, table: str, id: str) -> bool:
    rule, bound = of_caller(ctx, table)
    return bool(ctx.store.query(f"SELECT 1 FROM {table} WHERE id = ? AND ({rule})", id, *bound))  # noqa: S608 - names are ours


def is_shared_with_caller(ctx: Context, id: str) -> bool:
    """Whether an RBAC policy shares a thing with the caller's project, or with all."""
    targets = {"object_id": id, "action": "access_as_shared", "target_project": [ctx.project_id, "*"]}
    return ctx.store.first("rbac_policy", targets) is not None


def of_caller(ctx: Context, table: str) -> tuple[str, tuple[str, ...]]:
    """A listing's term for what the caller's project may use of a table: its own, and what is shared with it."""
    rule = MINE[table].replace(":p", "?")
    return rule, (ctx.project_id,) * rule.count("?")


def page(ctx: Context, table: str, listing: Listing) -> Page:
    """One page of what the caller may see. Raises NotFound when the marker is not of it."""
    marker = find(ctx, table, listing.marker) if listing.marker and listing.limit else None
    if not ctx.is_admin:
        listing.terms.append(of_caller(ctx, table))
    return fetch(ctx.store, table, listing, marker)


def owned(ctx: Context, row: Row, policy: str) -> None:
    """Refuse to change what the caller sees but does not own. It is not there then: only of what is one's own one hears of a rule."""
    if not ctx.is_admin and row["project_id"] != ctx.project_id:
        raise hidden(policy)


def hidden(policy: str) -> NotFound:
    """What somebody else's thing is for whoever may not change it; `extra` has the policy that says so."""
    return NotFound("The resource could not be found.", type="HTTPNotFound", policy=policy)


def owner(ctx: Context, values: Row) -> str:
    """The project a new thing is for: the caller's, or any for an admin. Takes both spellings out of `values`."""
    given = [values.pop(key) for key in ("project_id", "tenant_id") if key in values]
    if len(set(given)) > 1:
        raise malformed("'project_id' and 'tenant_id' do not match")
    project = given[0] if given else ctx.project_id
    if given and not ctx.is_admin and project != ctx.project_id:
        reason = "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges"
        raise malformed(reason)
    return str(project)


def restrict(ctx: Context, resource: Resource, verb: Literal["create", "update"], values: Row, names: Iterable[str]) -> None:
    """Refuse a client that is no admin the fields `names`, unless it says what would be anyway."""
    if ctx.is_admin:
        return
    fields = {f.name: f for f in resource.fields}

    def usual(name: str) -> bool:
        default = fields[name].default
        return verb == "create" and values[fields[name].key] == (default() if callable(default) else default)

    given = [name for name in names if fields[name].key in values and not usual(name)]
    if given:
        deny(resource, verb, given)


def deny(resource: Resource, verb: str, names: Iterable[str]) -> None:
    """Refuse some fields of a request, in Neutron's words."""
    action = f"{verb}_{resource.key}"
    rules = " and ".join(f"rule:{rule}" for rule in (action, *(f"{action}:{name}" for name in names)))
    forbid(f"({rules})")


def columns(values: Row, packers: Mapping[str, Callable[[Any], Any]]) -> Row:
    """Decoded values as columns: booleans as 0/1, a description of null as none, the rest through its packer."""
    out: Row = {}
    for name, value in values.items():
        if name in packers:
            out[name] = packers[name](value)
        elif isinstance(value, bool):
            out[name] = int(value)
        else:
            out[name] = "" if value is None and name in ("name", "description") else value
    return out


def fresh(ctx: Context) -> Row:
    """The columns every new row has."""
    now = ctx.now()
    return {"id": str(uuid.uuid4()), "created_at": now, "updated_at": now}


def change(ctx: Context, table: str, row: Row, changes: Row) -> Row:
    """Write an API change of a row; returns it as it is now."""
    touched = {**changes, "updated_at": ctx.now(), "revision": row["revision"] + 1}
    ctx.store.update(table, row["id"], touched)
    return {**row, **touched}


def bump(ctx: Context, table: str, id: str) -> None:
    """A part of the thing changed: so did the thing."""
    ctx.store.execute(f"UPDATE {table} SET revision = revision + 1, updated_at = ? WHERE id = ?", ctx.now(), id)  # noqa: S608 - names are ours


def host_name(ctx: Context) -> str:
    """What this machine is called, where Neutron names the host that something is bound to."""
    return str(ctx.cloud.host.get("hostname") or "pileus")
