"""Which open flows may stay: the judgement that a filter makes of a flow's first packet, made again by the rules as they are now.

So that a removed rule ends what it had let through, and nothing else. Pure but for reading rows. The filter itself is the driver's.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from pileus.kit.store import Row, Store
from pileus.network.host import METADATA, Flow, RouterWant, Rule
from pileus.network.reconcile import rows

ICMP = (1, 58)
DHCP = (17, 68, 67)  # protocol, source port, target port


@dataclass
class Judge:
    """Judges the flows of one network. It reads rows as they are when it first needs them: use a new one each time."""

    store: Store
    network_id: str
    _owners: dict[str, list[Row]] = field(default_factory=dict)
    _rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    _members: dict[str, list[ipaddress.IPv4Network | ipaddress.IPv6Network]] = field(default_factory=dict)

    def allows(self, flow: Flow) -> bool:
        """Whether a flow may go on: both ends that are ports on this network must allow it."""
        if (flow.protocol, flow.source_port, flow.target_port) == DHCP:
            return True
        return self._end(flow, flow.source, flow.target, "egress") and self._end(flow, flow.target, flow.source, "ingress")

    def _end(self, flow: Flow, own: str, other: str, direction: str) -> bool:
        owners = self.owners(own)
        if not owners:
            return not self._is_vacant(own)
        return any(self._port(port, flow, other, direction) for port in owners)

    def _port(self, port: Row, flow: Flow, other: str, direction: str) -> bool:
        if not port["port_security_enabled"]:
            return True
        found = self.store.query(
            "SELECT g.id, g.stateful FROM port_security_group b JOIN security_group g ON g.id = b.security_group_id"
            " WHERE b.port_id = ? AND g.gone = 0",
            port["id"],
        )
        if not all(group["stateful"] for group in found):
            return True  # each packet is judged by itself anyway
        return any(self._matches(rule, flow, other, direction) for group in found for rule in self.rules(group["id"]))

    def _matches(self, rule: Rule, flow: Flow, other: str, direction: str) -> bool:
        address = ipaddress.ip_address(other)
        if rule.direction != direction or rule.version != address.version:
            return False
        if rule.protocol >= 0 and rule.protocol != flow.protocol:
            return False
        if rule.prefix and address not in ipaddress.ip_network(rule.prefix):
            return False
        if rule.group and not any(address in prefix for prefix in self.members(rule.group) if prefix.version == address.version):
            return False
        return _ports_match(rule, flow)

    def owners(self, address: str) -> list[Row]:
        """The guests' ports on this network that may speak with an address."""
        if address not in self._owners:
            bound = rows.BOUND
            found = self.store.query(
                f"SELECT p.* FROM fixed_ip f JOIN port p ON p.id = f.port_id WHERE f.network_id = ? AND f.ip_address = ? AND {bound}",  # noqa: S608
                self.network_id,
                address,
            )
            if not found:
                sql = f"SELECT p.* FROM port p WHERE p.network_id = ? AND p.allowed_address_pairs <> '[]' AND {bound}"  # noqa: S608
                found = [port for port in self.store.query(sql, self.network_id) if _has_pair(port, address)]
            self._owners[address] = found
        return self._owners[address]

    def _is_vacant(self, address: str) -> bool:
        """Whether an address is a port's that no device has."""
        sql = "SELECT 1 FROM fixed_ip f JOIN port p ON p.id = f.port_id WHERE f.network_id = ? AND f.ip_address = ?"
        return bool(self.store.query(f"{sql} AND (p.device_id = '' OR p.gone = 1)", self.network_id, address))

    def rules(self, group: str) -> tuple[Rule, ...]:
        if group not in self._rules:
            self._rules[group] = rows.rules_of(self.store, group)
        return self._rules[group]

    def members(self, group: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        if group not in self._members:
            self._members[group] = [ipaddress.ip_network(prefix, strict=False) for prefix in rows.members_of(self.store, group)]
        return self._members[group]


def _has_pair(port: Row, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return any(ip in ipaddress.ip_network(pair["ip_address"], strict=False) for pair in json.loads(port["allowed_address_pairs"]))


def _ports_match(rule: Rule, flow: Flow) -> bool:
    if rule.low < 0 and rule.high < 0:
        return True
    if flow.protocol in ICMP:
        kind, code = divmod(flow.target_port, 256)
        return rule.low in (-1, kind) and rule.high in (-1, code)
    return rule.low <= flow.target_port <= max(rule.low, rule.high)


def translated_wrongly(want: RouterWant, flows: Iterable[Flow]) -> list[Flow]:
    """Of a router's flows those whose addresses would be translated otherwise today."""
    inward = {item.address: item.fixed for item in want.floating}
    outward = {item.fixed: item.address for item in want.floating}

    def stands(flow: Flow) -> bool:
        if flow.answer_source != flow.target and flow.target != METADATA and inward.get(flow.target) != flow.answer_source:
            return False
        return flow.answer_target in (flow.source, want.snat, outward.get(flow.source))

    return [flow for flow in flows if not stands(flow)]
