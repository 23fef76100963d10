"""Random changes to a living topology, each one request of the API, each told to the model once it has succeeded.

Not here: what follows from them.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conftest import Client
from tests.kernel.walk_model import OUTSIDE_CIDR, OUTSIDE_IP, Floating, Group, Net, Port, Router, Rule, World

PORTS = (80, 8080)  # what is asked by TCP and UDP
PROJECTS = (0, 1)
MOST_PORTS, MOST_NETS, MOST_ROUTERS, MOST_GROUPS = 6, 3, 2, 3  # of a project


def outer_address(router: dict[str, Any]) -> str | None:
    """A router's address on the outside network."""
    gateway = router["external_gateway_info"]
    return str(gateway["external_fixed_ips"][0]["ip_address"]) if gateway else None


class Impossible(Exception):
    """There is nothing now that could be changed so."""


class Steps:
    """`client` has a token for each project, named "0" and "1"."""

    def __init__(self, client: Client, public: str, seed: int) -> None:
        self.client, self.public = client, public
        self.random = random.Random(seed)
        self.world = World()
        self.said: list[str] = []  # in words, what was done

    async def ask(self, project: int, method: str, path: str, body: Any = None) -> Any:
        answer = await self.client(method, f"/network/v2.0/{path}", body, token=str(project))
        assert answer.status < 300, f"{method} {path} {body}: {answer.status} {answer.text!r}\n" + "\n".join(self.said)
        return answer.body

    async def put(self, project: int, kind: str, id: str, **changes: Any) -> None:
        await self.ask(project, "PUT", f"{kind}s/{id}", {kind: changes})

    def one(self, things: Any) -> Any:
        """Any of them; Impossible when there are none."""
        found = sorted(things, key=lambda thing: str(getattr(thing, "id", thing)))
        if not found:
            raise Impossible
        return self.random.choice(found)

    # -- the beginning -----------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Two projects of the same shape: networks with the same ranges, a router with a gateway, groups, ports."""
        for project in PROJECTS:
            for _ in range(2):
                await self.add_group(project)
                await self.add_net(project)
            await self.add_router(project)
            for net in [net for net in self.world.nets.values() if net.project == project]:
                await self.attach(project)
                for _ in range(2):
                    await self.add_port(project, net)
            for _ in range(4):
                with contextlib.suppress(Impossible):
                    await self.add_rule(project)
        self.said.append("-- that was the beginning")

    async def change(self) -> None:
        """One random change."""
        names = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
        for _ in range(50):
            step: Callable[..., Awaitable[None]] = getattr(self, self.random.choice(names))
            project = self.random.choice(PROJECTS)
            try:
                await step(project)
            except Impossible:
                continue
            self.said.append(f"{step.__name__}({project})")
            return

    # -- networks and routers ----------------------------------------------------------------------------------------------

    def nets(self, project: int) -> list[Net]:
        return [net for net in self.world.nets.values() if net.project == project]

    def routers(self, project: int) -> list[Router]:
        return [router for router in self.world.routers.values() if router.project == project]

    async def add_net(self, project: int) -> None:
        number = len(self.nets(project))
        if number >= MOST_NETS:
            raise Impossible
        cidr = f"10.0.{number}.0/24"
        network = (await self.ask(project, "POST", "networks", {"network": {"name": cidr}}))["network"]["id"]
        wanted = {"network_id": network, "ip_version": 4, "cidr": cidr}
        subnet = (await self.ask(project, "POST", "subnets", {"subnet": wanted}))["subnet"]["id"]
        self.world.nets[network] = Net(network, subnet, project, cidr)

    async def switch_net(self, project: int) -> None:
        net = self.one(self.nets(project))
        await self.put(project, "network", net.id, admin_state_up=not net.up)
        net.up = not net.up

    async def add_router(self, project: int) -> None:
        if len(self.routers(project)) >= MOST_ROUTERS:
            raise Impossible
        gateway = {"external_gateway_info": {"network_id": self.public}} if self.random.random() < 0.8 else {}
        made = (await self.ask(project, "POST", "routers", {"router": gateway}))["router"]
        self.world.routers[made["id"]] = Router(made["id"], project, address=outer_address(made))

    async def switch_router(self, project: int) -> None:
        router = self.one(self.routers(project))
        await self.put(project, "router", router.id, admin_state_up=not router.up)
        router.up = not router.up

    async def gateway(self, project: int) -> None:
        """Give a router a gateway, or take it when no floating IP needs it."""
        router = self.one(self.routers(project))
        if router.address is None:
            body = {"router": {"external_gateway_info": {"network_id": self.public}}}
        elif not self.needed(router.id):
            body = {"router": {"external_gateway_info": {}}}
        else:
            raise Impossible
        router.address = outer_address((await self.ask(project, "PUT", f"routers/{router.id}", body))["router"])

    def needed(self, router: str) -> bool:
        """Whether a floating IP leads through this router."""
        through = (self.world.nets[self.world.ports[f.port].net].router for f in self.world.floating.values() if f.port)
        return router in through

    async def attach(self, project: int) -> None:
        net = self.one(net for net in self.nets(project) if net.router is None)
        router = self.one(self.routers(project))
        await self.ask(project, "PUT", f"routers/{router.id}/add_router_interface", {"subnet_id": net.subnet})
        net.router = router.id

    async def detach(self, project: int) -> None:
        busy = {self.world.ports[floating.port].net for floating in self.world.floating.values() if floating.port}
        net = self.one(net for net in self.nets(project) if net.router and net.id not in busy)
        await self.ask(project, "PUT", f"routers/{net.router}/remove_router_interface", {"subnet_id": net.subnet})
        net.router = None

    # -- ports -------------------------------------------------------------------------------------------------------------

    def ports(self, project: int) -> list[Port]:
        return [port for port in self.world.ports.values() if self.world.project(port.id) == project]

    def some_groups(self, project: int) -> list[str]:
        ids = sorted(group.id for group in self.world.groups.values() if group.project == project)
        return self.random.sample(ids, self.random.choice((0, 1, 1, 1, 2)))

    async def add_port(self, project: int, net: Net | None = None) -> None:
        if len(self.ports(project)) >= MOST_PORTS:
            raise Impossible
        net = net or self.one(self.nets(project))
        net.used += 1
        ip = f"{net.cidr.rpartition('.')[0]}.{net.used}"
        groups = self.some_groups(project)
        body = {
            "network_id": net.id,
            "fixed_ips": [{"subnet_id": net.subnet, "ip_address": ip}],
            "security_groups": groups,
            "device_owner": "compute:nova",
            "device_id": str(uuid.UUID(int=self.random.getrandbits(128))),
        }
        made = (await self.ask(project, "POST", "ports", {"port": body}))["port"]
        self.world.ports[made["id"]] = Port(made["id"], net.id, ip, made["mac_address"], set(groups))

    async def remove_port(self, project: int) -> None:
        port = self.one(self.ports(project))
        await self.ask(project, "DELETE", f"ports/{port.id}")
        del self.world.ports[port.id]
        for floating in self.world.floating.values():
            floating.port = None if floating.port == port.id else floating.port

    async def regroup(self, project: int) -> None:
        port = self.one(port for port in self.ports(project) if port.secure)
        groups = self.some_groups(project)
        await self.put(project, "port", port.id, security_groups=groups)
        port.groups = set(groups)

    async def switch_security(self, project: int) -> None:
        port = self.one(self.ports(project))
        if port.secure:
            await self.put(project, "port", port.id, port_security_enabled=False, security_groups=[])
            port.secure, port.groups = False, set()
        else:
            groups = self.some_groups(project)
            await self.put(project, "port", port.id, port_security_enabled=True, security_groups=groups)
            port.secure, port.groups = True, set(groups)

    async def switch_port(self, project: int) -> None:
        port = self.one(self.ports(project))
        await self.put(project, "port", port.id, admin_state_up=not port.up)
        port.up = not port.up

    # -- groups ------------------------------------------------------------------------------------------------------------

    def groups(self, project: int) -> list[Group]:
        return [group for group in self.world.groups.values() if group.project == project]

    async def add_group(self, project: int) -> None:
        """A new group lets everything out, by two rules that can be taken away like any other."""
        if len(self.groups(project)) >= MOST_GROUPS:
            raise Impossible
        made = (await self.ask(project, "POST", "security-groups", {"security_group": {"name": "g"}}))["security_group"]
        rules = [Rule(rule["id"], "egress", ethertype=rule["ethertype"]) for rule in made["security_group_rules"]]
        assert {rule.ethertype for rule in rules} == {"IPv4", "IPv6"} and len(rules) == 2
        self.world.groups[made["id"]] = Group(made["id"], project, rules)

    async def add_rule(self, project: int) -> None:
        group = self.one(self.groups(project))
        direction = "ingress" if self.random.random() < 0.75 else "egress"
        rule = Rule("", direction, self.random.choice((None, "icmp", "tcp", "tcp", "udp")), peer=self.a_peer(project))
        if rule.protocol == "icmp":
            rule.low, rule.high = self.random.choice(((None, None), (None, None), (8, None), (8, 0), (0, 0)))
        elif rule.protocol:
            rule.low, rule.high = self.random.choice(((None, None), (80, 80), (8080, 8080), (1, 1000), (80, 8080), (81, 8079)))
        if any((one.direction, one.protocol, one.low, one.high, one.peer) == (rule.direction, rule.protocol, rule.low, rule.high, rule.peer)
               for one in group.rules if one.ethertype == "IPv4"):  # fmt: skip
            raise Impossible
        remote = "remote_group_id" if rule.peer in self.world.groups else "remote_ip_prefix"
        body = {
            "security_group_id": group.id, "direction": direction, "ethertype": "IPv4", "protocol": rule.protocol,
            "port_range_min": rule.low, "port_range_max": rule.high, remote: rule.peer,
        }  # fmt: skip
        made = await self.ask(project, "POST", "security-group-rules", {"security_group_rule": body})
        rule.id = made["security_group_rule"]["id"]
        group.rules.append(rule)

    def a_peer(self, project: int) -> str | None:
        choice = self.random.random()
        if choice < 0.3:
            return None
        if choice < 0.65:
            return str(self.one(self.groups(project)).id)
        addresses = [f"{port.ip}/32" for port in self.ports(project)]
        cidrs = [net.cidr for net in self.nets(project)]
        return str(self.one({*addresses, *cidrs, "10.0.0.0/8", "10.0.0.0/23", OUTSIDE_CIDR, f"{OUTSIDE_IP}/32", "172.16.0.0/12"}))

    async def remove_rule(self, project: int) -> None:
        group = self.one(group for group in self.groups(project) if group.rules)
        rule = self.one(group.rules)
        await self.ask(project, "DELETE", f"security-group-rules/{rule.id}")
        group.rules.remove(rule)

    # -- floating IPs ------------------------------------------------------------------------------------------------------

    def reachable(self, project: int) -> list[Port]:
        """Ports that a floating IP could lead to."""
        taken = {floating.port for floating in self.world.floating.values()}
        found = []
        for port in self.ports(project):
            router = self.world.nets[port.net].router
            if router and self.world.routers[router].address and port.id not in taken:
                found.append(port)
        return found

    async def add_floating(self, project: int) -> None:
        if len([one for one in self.world.floating.values() if one.project == project]) >= 3:
            raise Impossible
        port = self.one(self.reachable(project))
        body = {"floatingip": {"floating_network_id": self.public, "port_id": port.id}}
        made = (await self.ask(project, "POST", "floatingips", body))["floatingip"]
        self.world.floating[made["id"]] = Floating(made["id"], project, made["floating_ip_address"], port.id)

    async def move_floating(self, project: int) -> None:
        floating = self.one(one for one in self.world.floating.values() if one.project == project)
        port = self.one(self.reachable(project)) if floating.port is None or self.random.random() < 0.7 else None
        await self.put(project, "floatingip", floating.id, port_id=port.id if port else None)
        floating.port = port.id if port else None

    async def remove_floating(self, project: int) -> None:
        floating = self.one(one for one in self.world.floating.values() if one.project == project)
        await self.ask(project, "DELETE", f"floatingips/{floating.id}")
        del self.world.floating[floating.id]


WEIGHTS = {
    "add_port": 4, "remove_port": 2, "regroup": 4, "switch_security": 1, "switch_port": 1, "add_group": 1, "add_rule": 8, "remove_rule": 3,
    "add_net": 1, "switch_net": 1, "add_router": 1, "switch_router": 1, "gateway": 1, "attach": 3, "detach": 1, "add_floating": 3,
    "move_floating": 2, "remove_floating": 1,
}  # fmt: skip
