"""Rules of security groups: each lets something through. What may be said in one, and which two say the same."""

from __future__ import annotations

import ipaddress
from typing import Any

from pileus.errors import BadRequest, Conflict
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow, forbid
from pileus.kit.store import Row
from pileus.network.actions.quotas import spend
from pileus.network.actions.scope import Page, bump, columns, find, fresh, hidden, owner, page
from pileus.network.actions.security_groups import default_security_group
from pileus.network.types.rules import ICMP, IPV6_ONLY, WITH_PORTS, number_of
from pileus.openstack.listing import Listing

PORTED = frozenset(filter(None, (number_of(name) for name in WITH_PORTS)))
REMOTES = ("remote_group_id", "remote_address_group_id")
SAME = ("direction", "ethertype", "port_range_min", "port_range_max", *REMOTES)  # what makes two rules one, as it is


@allow(PROJECT_READER, "get_security_group_rule")
def find_security_group_rule(ctx: Context, id: str) -> Row:
    """A rule of a group of the caller's. Raises NotFound."""
    return find(ctx, "security_group_rule", id)


@allow(PROJECT_READER, "get_security_group_rule")
def list_security_group_rules(ctx: Context, listing: Listing) -> Page:
    """The rules that the caller sees. Raises NotFound for a marker that is none of them."""
    default_security_group(ctx, ctx.project_id)
    return page(ctx, "security_group_rule", listing)


@allow(PROJECT_MEMBER, "create_security_group_rule")
def create_security_group_rule(ctx: Context, values: Row) -> Row:
    """Let something through. Raises BadRequest for what makes no sense, Conflict for what is let through already, OverQuota."""
    project = owner(ctx, values)
    check_meaning(values)
    group = find(ctx, "security_group", values["security_group_id"])
    if not ctx.is_admin and group["project_id"] != ctx.project_id:
        forbid("create_security_group_rule")
    if values["remote_group_id"]:
        find(ctx, "security_group", values["remote_group_id"])
    if values["remote_address_group_id"]:
        find(ctx, "address_group", values["remote_address_group_id"])
    with ctx.store.transaction():
        spend(ctx, project, "security_group_rule")
        for rule in ctx.store.find("security_group_rule", {"security_group_id": group["id"]}):
            if says(rule) == says(values):
                raise Conflict(f"Security group rule already exists. Rule id is {rule['id']}.", type="SecurityGroupRuleExists")
        row = {**fresh(ctx), "project_id": project, "revision": 0, **columns(values, {})}
        ctx.store.insert("security_group_rule", row)
        bump(ctx, "security_group", group["id"])
        ctx.wake("security_group", group["id"])
    return find(ctx, "security_group_rule", row["id"])


def check_meaning(values: Row) -> None:
    """Refuse a rule that makes no sense; all ports are no ports. Raises BadRequest."""
    _check_remote(values)
    _check_ports(values)
    _check_ethertype(values)
    if values["port_range_min"] == 1 and values["port_range_max"] == 65535 and number_of(values["protocol"]) in PORTED:
        values["port_range_min"] = values["port_range_max"] = None


def says(rule: Row) -> tuple[Any, ...]:
    """What a rule comes down to: any address is no address, `tcp` is 6."""
    prefix = rule["remote_ip_prefix"]
    number = number_of(rule["protocol"])
    if rule["ethertype"] == "IPv6" and number == 1:
        number = 58
    anywhere = prefix is None or ipaddress.ip_interface(prefix).network.prefixlen == 0
    return (*(rule[name] for name in SAME), number, None if anywhere else prefix)


def _check_remote(values: Row) -> None:
    remotes = [values[name] for name in ("remote_ip_prefix", "remote_group_id", "remote_address_group_id") if values[name]]
    if len(remotes) > 1:
        words = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
        raise BadRequest(words, type="SecurityGroupMultipleRemoteEntites")


def _check_ports(values: Row) -> None:
    low, high, protocol = values["port_range_min"], values["port_range_max"], values["protocol"]
    if low is None and high is None:
        return
    if not protocol:
        raise BadRequest("Must also specify protocol if port range is given.", type="SecurityGroupProtocolRequiredWithPorts")
    number = number_of(protocol)
    if number in PORTED:
        if 0 in (low, high):
            raise BadRequest("Invalid value for port 0", type="SecurityGroupInvalidPortValue")
        if low is None or high is None or low > high:
            words = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
            raise BadRequest(words, type="SecurityGroupInvalidPortRange")
    elif number in ICMP:
        for name, what in (("port_range_min", "type"), ("port_range_max", "code")):
            if values[name] is not None and values[name] > 255:
                words = f"Invalid value for ICMP {what} ({name}) {values[name]}. It must be 0 to 255."
                raise BadRequest(words, type="SecurityGroupInvalidIcmpValue")
        if low is None:
            words = f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing."
            raise BadRequest(words, type="SecurityGroupMissingIcmpType")
    else:
        ported = ", ".join(name.upper() for name in sorted(WITH_PORTS))
        words = f"Ports cannot be specified for protocol {number}. Ports are only supported for {ported}."
        raise BadRequest(words, type="SecurityGroupInvalidProtocolForPort")


def _check_ethertype(values: Row) -> None:
    ethertype, prefix, protocol = values["ethertype"], values["remote_ip_prefix"], values["protocol"]
    if prefix and ethertype != f"IPv{ipaddress.ip_interface(prefix).version}":
        words = f"Conflicting value ethertype {ethertype} for CIDR {prefix}"
        raise BadRequest(words, type="SecurityGroupRuleParameterConflict")
    if ethertype == "IPv4" and number_of(protocol) in IPV6_ONLY:
        words = f"Invalid ethertype {ethertype} for protocol {protocol}."
        raise BadRequest(words, type="SecurityGroupEthertypeConflictWithProtocol")


@allow(PROJECT_MEMBER, "delete_security_group_rule")
def delete_security_group_rule(ctx: Context, id: str) -> None:
    """Let it through no longer: open connections end too."""
    row = find(ctx, "security_group_rule", id)
    group = find(ctx, "security_group", row["security_group_id"])
    if not ctx.is_admin and ctx.project_id not in (row["project_id"], group["project_id"]):
        raise hidden("delete_security_group_rule")
    with ctx.store.transaction():
        ctx.store.delete("security_group_rule", {"id": id})
        bump(ctx, "security_group", group["id"])
        ctx.wake("security_group", group["id"])
