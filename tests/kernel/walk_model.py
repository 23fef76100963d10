"""What should reach what: a model of the walks' topologies, from what was asked of the API. It shares no code with the product.

`World` is filled by walk_steps.py as its requests succeed; `World.answers` says who answers a packet, by the rules of OpenStack's networks:
a network is one wire, a router joins subnets, groups let in and out, floating IPs stand for ports. Not here: packets.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

OUTSIDE, OUTSIDE_IP, OUTSIDE_CIDR = "outside", "192.168.37.254", "192.168.37.0/24"
ROUTER = "router"  # who answers pings of a gateway's address


@dataclass
class Rule:
    """`peer`: a prefix, a group's key, or None for everybody. `low`, `high`: ports, or type and code of ICMP."""

    id: str
    direction: str
    protocol: str | None = None
    low: int | None = None
    high: int | None = None
    peer: str | None = None
    ethertype: str = "IPv4"

    def speaks_of(self, protocol: str, port: int) -> bool:
        if self.ethertype != "IPv4" or self.protocol not in (None, protocol):
            return False
        if self.protocol == "icmp":  # an echo request is type 8, code 0
            return self.low in (None, 8) and self.high in (None, 0)
        return self.low is None or self.high is None or self.low <= port <= self.high


@dataclass
class Group:
    id: str
    project: int
    rules: list[Rule] = field(default_factory=list)


@dataclass
class Net:
    """A network with its one subnet, of which the first address is the gateway's."""

    id: str
    subnet: str
    project: int
    cidr: str
    up: bool = True
    router: str | None = None
    used: int = 9  # the last byte of the newest address

    @property
    def gateway(self) -> str:
        return str(ipaddress.ip_network(self.cidr)[1])


@dataclass
class Router:
    id: str
    project: int
    up: bool = True
    address: str | None = None  # on the outside network


@dataclass
class Port:
    id: str
    net: str
    ip: str
    mac: str
    groups: set[str] = field(default_factory=set)
    secure: bool = True
    up: bool = True


@dataclass
class Floating:
    id: str
    project: int
    address: str
    port: str | None = None


@dataclass
class World:
    nets: dict[str, Net] = field(default_factory=dict)
    routers: dict[str, Router] = field(default_factory=dict)
    ports: dict[str, Port] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    floating: dict[str, Floating] = field(default_factory=dict)

    def project(self, port: str) -> int:
        return self.nets[self.ports[port].net].project

    def outer(self, port: str) -> str | None:
        """The floating IP of a port."""
        return next((floating.address for floating in self.floating.values() if floating.port == port), None)

    # -- security groups ---------------------------------------------------------------------------------------------------

    def members(self, group: str) -> set[str]:
        return {port.ip for port in self.ports.values() if group in port.groups}

    def is_peer(self, rule: Rule, address: str) -> bool:
        if rule.peer is None:
            return True
        if rule.peer in self.groups:
            return address in self.members(rule.peer)
        return ipaddress.ip_address(address) in ipaddress.ip_network(rule.peer)

    def allowed(self, port: Port, direction: str, peer: str, protocol: str, number: int) -> bool:
        """Whether a port's groups let the first packet of a flow pass."""
        if not port.secure:
            return True
        rules = (rule for group in port.groups for rule in self.groups[group].rules if rule.direction == direction)
        return any(rule.speaks_of(protocol, number) and self.is_peer(rule, peer) for rule in rules)

    # -- the way -----------------------------------------------------------------------------------------------------------

    def answers(self, source: str, target: str, protocol: str, number: int) -> str | None:
        """Who answers a packet to this address: a port's id, OUTSIDE, ROUTER, or None. `source`: a port's id or OUTSIDE."""
        if source == OUTSIDE:
            return self._to_floating(target, OUTSIDE_IP, protocol, number)
        port = self.ports[source]
        net = self.nets[port.net]
        if not (port.up and net.up and self.allowed(port, "egress", target, protocol, number)):
            return None
        router = self.routers[net.router] if net.router and self.routers[net.router].up else None
        if target == net.gateway:
            return ROUTER if router and protocol == "icmp" else None
        if ipaddress.ip_address(target) in ipaddress.ip_network(net.cidr):
            return self._arrive(net, target, port.ip, protocol, number)
        return self._routed(router, port, target, protocol, number) if router else None

    def _routed(self, router: Router, port: Port, target: str, protocol: str, number: int) -> str | None:
        for net in self.nets.values():
            if net.router == router.id and ipaddress.ip_address(target) in ipaddress.ip_network(net.cidr):
                return self._arrive(net, target, port.ip, protocol, number)
        if router.address is None:
            return None
        if target == OUTSIDE_IP:
            return OUTSIDE
        return self._to_floating(target, self.outer(port.id) or router.address, protocol, number)

    def _to_floating(self, target: str, source: str, protocol: str, number: int) -> str | None:
        for floating in self.floating.values():
            if floating.address == target and floating.port:
                port = self.ports[floating.port]
                net = self.nets[port.net]
                if net.router and self.routers[net.router].up:
                    return self._arrive(net, port.ip, source, protocol, number)
        return None

    def _arrive(self, net: Net, target: str, source: str, protocol: str, number: int) -> str | None:
        """At the network that the address is on."""
        for port in self.ports.values():
            if port.net == net.id and port.ip == target:
                good = port.up and net.up and self.allowed(port, "ingress", source, protocol, number)
                return port.id if good else None
        return None
