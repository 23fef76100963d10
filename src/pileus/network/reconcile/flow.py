"""Which open flows may stay: the judgement that a filter makes of a flow's first packet, made again by the rules as they are now.

So that a removed rule ends what it had let through, and nothing else. Not here: the filter, and how a flow is ended (the driver).
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from pileus.kit.store import Row, Store
from pileus.network.host import METADATA, Chains, Flow, Forwarding, GroupWant, Networks, RouterWant, Rule
from pileus.network.reconcile import rows
from pileus.network.types import mac_of

ICMP = (1, 58)
TURN = 200  # flows looked at before others may run
DHCP = ((17, 68, 67), (17, 546, 547))  # protocol, source port, target port


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
        if (flow.protocol, flow.source_port, flow.target_port) in DHCP:
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
        return any(self.matches(rule, flow, other, direction) for group in found for rule in self.rules(group["id"]))

    def matches(self, rule: Rule, flow: Flow, other: str, direction: str) -> bool:
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
            if not found and address.startswith("fe80:"):
                sql = f"SELECT p.* FROM port p WHERE p.network_id = ? AND p.mac_address = ? AND {bound}"  # noqa: S608
                found = self.store.query(sql, self.network_id, mac_of(address))
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
        claimed = [item for item in want.forwardings if _claims(item, flow)]
        if claimed and (claimed[0].fixed, claimed[0].target(flow.target_port)) != (flow.answer_source, flow.answer_port):
            return False
        turned = flow.answer_source != flow.target and flow.target != METADATA
        if turned and not claimed and inward.get(flow.target) != flow.answer_source:
            return False
        return flow.answer_target in (flow.source, want.snat, outward.get(flow.source))

    return [flow for flow in flows if not stands(flow)]


def _claims(item: Forwarding, flow: Flow) -> bool:
    return (item.address, item.protocol) == (flow.target, flow.protocol) and item.low <= flow.target_port <= item.high


# -- when it is asked ---------------------------------------------------------------------------------------------------------------


class Flows:
    """Ends the open flows that may not stay. Looking for them costs the kernel some 25 ms, so that it is done only when something
    allows less than when that was last done; at start nobody knows, and everything is held against everything."""

    def __init__(self, store: Store, driver: Networks) -> None:
        self._store, self._driver = store, driver
        self._held: dict[str, frozenset[object]] = {}  # by object, what it allowed when open flows were last held against it
        self._judged: set[str] = set()  # networks that have been since the start

    async def judge(self, network_id: str) -> None:
        """End the flows of a network that the rules, as they are now, would not let begin."""
        judge = Judge(self._store, network_id)
        await self._end("network", network_id, lambda found: not judge.allows(found))
        self._judged.add(network_id)

    async def judge_once(self, network_id: str) -> None:
        """The same, the first time that the network is looked at."""
        if network_id not in self._judged:
            await self.judge(network_id)

    async def cut(self, network_id: str, addresses: set[str]) -> None:
        """End the flows of addresses that are nobody's now."""
        await self._end("network", network_id, lambda found: found.source in addresses or found.target in addresses)

    def forget(self, id: str) -> None:
        """This object is no more."""
        self._judged.discard(id)
        for kind in ("group", "router"):
            self._held.pop(f"{kind} {id}", None)

    async def hold_group(self, want: GroupWant, networks: Iterable[str]) -> None:
        """Judge the networks in which a group is or was, when it allows less than before."""
        name, now = f"group {want.id}", _allowances(want)
        if self._allows_less(name, now):
            for network in networks:
                await self.judge(network)
            self._held[name] = now

    def take_for_judged(self, network_id: str) -> None:
        """A network that is being made has no flows yet."""
        self._judged.add(network_id)

    def take_for_held(self, want: GroupWant | RouterWant) -> None:
        """No flow is there that what this allows would not allow, as far as is known."""
        if isinstance(want, GroupWant):
            self._held[f"group {want.id}"] = _allowances(want)
        else:
            self._held[f"router {want.id}"] = _translations(want)

    async def hold_router(self, want: RouterWant) -> None:
        """End the flows of a router that it would translate otherwise now, when it has given up a translation."""
        name, now = f"router {want.id}", _translations(want)
        if self._allows_less(name, now):
            found = await self._driver.flows("router", want.id)
            await self._driver.cut("router", want.id, translated_wrongly(want, found))
            self._held[name] = now

    def _allows_less(self, name: str, now: frozenset[object]) -> bool:
        before = self._held.get(name)
        if before is None or not before <= now:
            return True
        self._held[name] = now
        return False

    async def _end(self, kind: Literal["network"], id: str, is_over: Callable[[Flow], bool]) -> None:
        over: list[Flow] = []
        for count, found in enumerate(await self._driver.flows(kind, id)):
            if is_over(found):
                over.append(found)
            if count % TURN == TURN - 1:
                await asyncio.sleep(0)
        await self._driver.cut(kind, id, over)


def _translations(want: RouterWant) -> frozenset[object]:
    return frozenset((*want.floating, *want.forwardings, want.snat))


def _allowances(want: GroupWant) -> frozenset[object]:
    """All that a group lets pass, piece by piece."""
    found: set[object] = set()
    for parts in want.parts.values():
        for part in parts:
            found.update(part.rules if isinstance(part, Chains) else ((part.group, prefix) for prefix in part.prefixes))
    return frozenset(found)
