"""A cloud for the tests of the compute API: its dialect and Placement's over a fresh store, and four callers whose tokens are their names.

alice is a member of project one, ray reads in it, bob is a member of project two, admin is the cloud's. No reconciler runs: `settle` writes
what one would have seen. Networks come from the network service's actions, images are rows.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, cast

from pileus.app import App, migrations
from pileus.compute import api as compute_api
from pileus.compute import placement
from pileus.compute.actions import seed
from pileus.compute.actions.servers import finish_delete
from pileus.kit.clock import Clock
from pileus.kit.context import Cloud, Context, Credentials, internal
from pileus.kit.loop import Loop
from pileus.kit.store import Row, Store
from pileus.kit.web import Web
from pileus.network.actions import networks, security_groups, subnets
from pileus.network.resources import NETWORK, SUBNET
from pileus.network.seed import seed as seed_network
from tests.conftest import Answer, Client

C = "/compute/v2.1"
ZERO, ONE, TWO = "0" * 32, "1" * 32, "2" * 32
MEMBER, READER = frozenset({"member", "reader"}), frozenset({"reader"})
ADMIN = MEMBER | {"admin", "manager"}
HOST: dict[str, Any] = {
    "hostname": "host1",
    "memory_mb": 8192,
    "vcpus": 2,
    "disk_gb": 100,
    "uid_count": 100,
    "nic_count": 4,
    "cpu_features": ("sse2", "avx"),
}


class Console:
    """Says which server was asked for, and how many lines."""

    async def console_log(self, server: Row, lines: int | None) -> str:
        return f"{server['name']} {lines}"


PEOPLE = {
    name: Credentials(user_id=name * 4, project_id=where, roles=roles)
    for name, where, roles in (("admin", ZERO, ADMIN), ("alice", ONE, MEMBER), ("ray", ONE, READER), ("bob", TWO, MEMBER))
}


def client_of(**host: Any) -> Client:
    """The client that the tests' fixture `nova` is; `host` changes what is known of the machine. No passwords: those take time."""
    store = Store(":memory:", migrations(), synchronous="off")
    cloud = Cloud(store, Clock(), lambda kind, id: None, host={**HOST, **host})
    for project in ({"id": "default", "name": "Default", "is_domain": 1}, {"id": ZERO, "name": "admin", "domain_id": "default"}):
        store.insert("project", {**project, "created_at": 1})
    seed_network(cloud)
    seed(cloud)
    web = Web([compute_api.dialect(cloud, PEOPLE.get, console=Console()), placement.dialect(cloud, PEOPLE.get)])
    return Client(App(cloud, Loop(), web, store, cast(Any, None)))


def context(nova: Client, name: str = "alice") -> Context:
    return Context(nova.app.cloud, PEOPLE[name])


def message(answer: Answer) -> str:
    """The words of a refusal."""
    assert answer.status >= 400, answer.text
    (fault,) = answer.body.values()
    assert fault["code"] == answer.status
    return str(fault["message"])


def network(nova: Client, name: str = "alice", cidr: str = "10.0.0.0/24", **values: Any) -> str:
    """A network with a subnet; its id."""
    ctx = context(nova, name)
    made = networks.create_network(ctx, NETWORK.decode({"network": {"name": "net", **values}}, "create", ctx))
    asked = {"network_id": made["id"], "ip_version": 4, "cidr": cidr}
    subnets.create_subnet(ctx, SUBNET.decode({"subnet": asked}, "create", ctx))
    return str(made["id"])


def group(nova: Client, name: str, caller: str = "alice") -> str:
    made = security_groups.create_security_group(context(nova, caller), {"name": name, "description": ""})
    return str(made["id"])


def image(nova: Client, **columns: Any) -> str:
    """An active public image of one MiB; its id."""
    row: Row = {"id": str(uuid.uuid4()), "project_id": ONE, "name": "img", "status": "active", "visibility": "public", "disk_format": "raw"}
    row |= {"container_format": "bare", "size": 1 << 20, "virtual_size": 1 << 20, "host_status": "ready", "created_at": 1}
    nova.app.store.insert("image", {**row, **columns})
    return str(row["id"])


async def create(nova: Client, token: str = "alice", version: str | None = None, hints: Any = None, **fields: Any) -> Answer:
    """Ask for a server: nano, no networks unless said; a field of None is left out."""
    server: dict[str, Any] = {"name": "vm", "flavorRef": "nano", **fields}
    if "imageRef" not in server:
        server["imageRef"] = image(nova)
    body: dict[str, Any] = {"server": {key: value for key, value in server.items() if value is not None}}
    if hints is not None:
        body["os:scheduler_hints"] = hints
    return await nova("POST", f"{C}/servers", body, token=token, version=version)


async def boot(nova: Client, token: str = "alice", version: str | None = None, **fields: Any) -> str:
    """A server that has become active; its id."""
    answer = await create(nova, token, version, **fields)
    assert answer.status == 202, answer.text
    id = str(answer["server"]["id"])
    settle(nova, id)
    return id


def settle(nova: Client, id: str, **columns: Any) -> None:
    """What the reconciler writes when a guest runs, or whatever is said instead."""
    now = nova.app.cloud.clock.now()
    seen = {"vm_state": "active", "task_state": None, "power_state": 1, "launched_at": now}
    nova.app.store.update("server", id, {**seen, **columns})
    nova.app.store.execute("UPDATE action_record SET finished_at = ?, result = 'Success' WHERE resource_id = ?", now, id)


def row(nova: Client, id: str) -> Row:
    found = nova.app.store.get("server", id, hidden=True)
    assert found is not None
    return found


def vanish(nova: Client, id: str) -> None:
    """What the reconciler does when a guest that is wished away is gone."""
    finish_delete(internal(nova.app.cloud), row(nova, id))


async def act(nova: Client, id: str, verb: str, value: Any = None, token: str = "alice", version: str | None = None) -> Answer:
    return await nova("POST", f"{C}/servers/{id}/action", {verb: value}, token=token, version=version)


async def show(nova: Client, id: str, token: str = "alice", version: str | None = None) -> dict[str, Any]:
    answer = await nova("GET", f"{C}/servers/{id}", token=token, version=version)
    assert answer.status == 200, answer.text
    shown: dict[str, Any] = answer["server"]
    return shown


async def names(nova: Client, query: str = "", token: str = "alice", version: str | None = None) -> list[str]:
    """The names that a list of servers gives."""
    answer = await nova("GET", f"{C}/servers?{query}", token=token, version=version)
    assert answer.status == 200, answer.text
    return [server["name"] for server in answer["servers"]]


def ports(nova: Client, id: str) -> list[Row]:
    return nova.app.store.find("port", {"device_id": id})


def loads(text: str) -> Any:
    return json.loads(text)
