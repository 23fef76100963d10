"""What tenants do with the APIs, as steps that can be asked for again: each first looks whether it has been carried out.

A story is one tenant's network from its first call to its last; several are told at once, their steps in random order. Whoever tells it
may lose an answer at any moment, as when the control plane is killed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Call = Callable[..., Any]
SECONDS = 60.0  # until the cloud has done what was asked before


@dataclass(frozen=True)
class Step:
    """`done` looks whether it was carried out; `ready` whether it can be asked for now."""

    words: str
    done: Callable[[Call], bool]
    act: Callable[[Call], object]
    ready: Callable[[Call], bool] = lambda call: True

    def carry_out(self, call: Call) -> None:
        """Look, wait, ask. What it raises when the cloud is gone says nothing of whether it was carried out."""
        until = time.monotonic() + SECONDS
        while not self.done(call):
            if self.ready(call):
                self.act(call)
                return
            assert time.monotonic() < until, f"not possible within {SECONDS} s: {self.words}"
            time.sleep(0.01)


def shuffled(stories: list[list[Step]], luck: random.Random) -> Iterator[Step]:
    """Steps of all stories, each story's in their order."""
    left = [list(story) for story in stories]
    while left := [story for story in left if story]:
        yield luck.choice(left).pop(0)


class Tenant:
    """Tenant `n`: its things are called <kind><n>, its range is 10.<n>.0.0/24."""

    def __init__(self, n: int, luck: random.Random) -> None:
        self.n, self.luck = n, luck
        self.verbs: dict[str, int] = {}

    def name(self, kind: str) -> str:
        return f"{kind}{self.n}"

    # -- looking -------------------------------------------------------------------------------------------------------------

    def all(self, call: Call, noun: str, **where: Any) -> list[dict[str, Any]]:
        query = "&".join(f"{key}={value}" for key, value in where.items())
        found: list[dict[str, Any]] = call("GET", f"/network/v2.0/{noun}?{query}")[noun.replace("-", "_")]
        return found

    def one(self, call: Call, noun: str, kind: str) -> dict[str, Any] | None:
        found = self.all(call, noun, name=self.name(kind))
        assert len(found) <= 1, f"{len(found)} {noun} are called {self.name(kind)}"
        return found[0] if found else None

    def id(self, call: Call, noun: str, kind: str) -> str:
        found = self.one(call, noun, kind)
        assert found, f"{self.name(kind)} is not there"
        return str(found["id"])

    def server(self, call: Call) -> dict[str, Any] | None:
        found = call("GET", f"/compute/v2.1/servers/detail?name=^server{self.n}")["servers"]
        assert len(found) <= 1, f"{len(found)} servers of tenant {self.n}"
        assert not found or found[0]["status"] != "ERROR", found[0].get("fault")
        return dict(found[0]) if found else None

    def port(self, call: Call) -> dict[str, Any]:
        server = self.server(call)
        assert server
        return self.all(call, "ports", device_id=server["id"])[0]

    def at_rest(self, call: Call) -> bool:
        server = self.server(call)
        return server is None or (server["OS-EXT-STS:task_state"] is None and server["status"] in ("ACTIVE", "SHUTOFF"))

    # -- steps ---------------------------------------------------------------------------------------------------------------

    def make(self, noun: str, kind: str, **body: Any) -> Step:
        singular = {"security-groups": "security_group"}.get(noun, noun.removesuffix("s"))

        def act(call: Call) -> None:
            filled = {key: value(call) if callable(value) else value for key, value in body.items()}
            call("POST", f"/network/v2.0/{noun}", {singular: {"name": self.name(kind), **filled}})

        return Step(f"make {self.name(kind)}", lambda call: self.one(call, noun, kind) is not None, act)

    def unmake(self, noun: str, kind: str) -> Step:
        def act(call: Call) -> None:
            call("DELETE", f"/network/v2.0/{noun}/{self.id(call, noun, kind)}")

        return Step(f"delete {self.name(kind)}", lambda call: self.one(call, noun, kind) is None, act)

    def interface(self, verb: str) -> Step:
        def there(call: Call) -> bool:
            return bool(self.all(call, "ports", device_id=self.id(call, "routers", "router"), device_owner="network:router_interface"))

        def act(call: Call) -> None:
            router, subnet = self.id(call, "routers", "router"), self.id(call, "subnets", "subnet")
            call("PUT", f"/network/v2.0/routers/{router}/{verb}_router_interface", {"subnet_id": subnet})

        return Step(f"{verb} interface {self.n}", lambda call: there(call) == (verb == "add"), act)

    def rule(self, tcp_port: int, there: bool = True) -> Step:
        def found(call: Call) -> list[dict[str, Any]]:
            group = self.id(call, "security-groups", "group")
            return self.all(call, "security-group-rules", security_group_id=group, port_range_min=tcp_port)

        def act(call: Call) -> None:
            if not there:
                call("DELETE", f"/network/v2.0/security-group-rules/{found(call)[0]['id']}")
                return
            rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": tcp_port, "port_range_max": tcp_port}
            group = self.id(call, "security-groups", "group")
            call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": {"security_group_id": group, **rule}})

        return Step(f"{'' if there else 'un'}rule {self.n} {tcp_port}", lambda call: bool(found(call)) == there, act)

    def create(self, image: str) -> Step:
        def act(call: Call) -> None:
            flavors = {flavor["name"]: flavor["id"] for flavor in call("GET", "/compute/v2.1/flavors")["flavors"]}
            images = {found["name"]: found["id"] for found in call("GET", "/image/v2/images")["images"]}
            nic = {"uuid": self.id(call, "networks", "network"), "fixed_ip": f"10.{self.n}.0.8"}
            body = {"name": self.name("server"), "imageRef": images[image], "flavorRef": flavors["nano"], "networks": [nic]}
            call("POST", "/compute/v2.1/servers", {"server": {**body, "security_groups": [{"name": self.name("group")}]}})

        return Step(f"create {self.name('server')}", lambda call: self.server(call) is not None, act)

    def verb(self, verb: str, body: dict[str, Any]) -> Step:
        """A server's verb; how often it has been asked for is told by the server's own action records."""
        times = self.verbs[verb] = self.verbs.get(verb, 0) + 1

        def done(call: Call) -> bool:
            server = self.server(call)
            assert server
            actions = call("GET", f"/compute/v2.1/servers/{server['id']}/os-instance-actions")["instanceActions"]
            return len([action for action in actions if action["action"] == verb]) >= times

        def act(call: Call) -> None:
            server = self.server(call)
            assert server
            call("POST", f"/compute/v2.1/servers/{server['id']}/action", body)

        return Step(f"{verb} {self.name('server')}", done, act, self.at_rest)

    def rename(self) -> Step:
        def done(call: Call) -> bool:
            server = self.server(call)
            return server is not None and server["name"].endswith("-renamed")

        def act(call: Call) -> None:
            server = self.server(call)
            assert server
            call("PUT", f"/compute/v2.1/servers/{server['id']}", {"server": {"name": self.name("server") + "-renamed"}})

        return Step(f"rename {self.name('server')}", done, act)

    def delete(self) -> Step:
        def act(call: Call) -> None:
            server = self.server(call)
            if server and server["OS-EXT-STS:task_state"] != "deleting":
                call("DELETE", f"/compute/v2.1/servers/{server['id']}")

        return Step(f"delete {self.name('server')}", lambda call: self.server(call) is None, act)

    def gone(self) -> Step:
        """No step of its own: wait until the server is gone."""
        return Step(f"wait for {self.name('server')}", lambda call: self.server(call) is None, lambda call: None, lambda call: False)

    def floating(self) -> Step:
        address = f"192.168.37.{100 + self.n}"

        def act(call: Call) -> None:
            public = self.all(call, "networks", name="public")[0]["id"]
            call("POST", "/network/v2.0/floatingips", {"floatingip": {"floating_network_id": public, "floating_ip_address": address}})

        return Step(f"floating IP {address}", lambda call: bool(self.all(call, "floatingips", floating_ip_address=address)), act)

    def associate(self, there: bool = True) -> Step:
        def found(call: Call) -> dict[str, Any]:
            return self.all(call, "floatingips", floating_ip_address=f"192.168.37.{100 + self.n}")[0]

        def act(call: Call) -> None:
            port = self.port(call)["id"] if there else None
            call("PUT", f"/network/v2.0/floatingips/{found(call)['id']}", {"floatingip": {"port_id": port}})

        return Step(f"{'' if there else 'dis'}associate {self.n}", lambda call: (found(call)["port_id"] is not None) == there, act)

    # -- stories -------------------------------------------------------------------------------------------------------------

    def story(self, image: str) -> list[Step]:
        """From nothing to a server that has been through some of the verbs; every other tenant then takes some of it away again."""
        public = f"192.168.37.{50 + self.n}"

        def gateway(call: Call) -> dict[str, Any]:
            network = self.all(call, "networks", name="public")[0]["id"]
            return {"network_id": network, "external_fixed_ips": [{"ip_address": public}]}

        steps = [
            self.make("networks", "network"),
            self.make(
                "subnets",
                "subnet",
                network_id=lambda call: self.id(call, "networks", "network"),
                ip_version=4,
                cidr=f"10.{self.n}.0.0/24",
            ),
            self.make("routers", "router", external_gateway_info=gateway),
            self.interface("add"),
            self.make("security-groups", "group"),
            self.rule(80),
            self.rule(22),
            self.create(image),
        ]
        verbs: list[Callable[[], list[Step]]] = [
            lambda: [self.floating(), self.associate()],
            lambda: [self.verb("stop", {"os-stop": None}), self.verb("start", {"os-start": None})],
            lambda: [self.verb("reboot", {"reboot": {"type": "HARD"}})],
            lambda: [self.rename()],
            lambda: [self.rule(22, False)],
        ]
        self.luck.shuffle(verbs)
        steps += [step for some in verbs[: self.luck.randint(3, 5)] for step in some()]
        steps.append(self.verb("stop", {"os-stop": None}))
        if self.n % 2:
            steps += [self.delete(), self.gone(), self.interface("remove"), self.unmake("routers", "router")]
            steps += [self.unmake("networks", "network"), self.unmake("security-groups", "group")]
        return steps
