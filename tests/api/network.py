"""A cloud for the tests of the network API: its dialect over a fresh store, and four callers whose tokens are their names.

alice is a member of project one, ray reads in it, bob is a member of project two, admin is the cloud's. No passwords: those are identity's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from pileus.app import App, migrations
from pileus.kit.clock import Clock
from pileus.kit.context import Cloud, Credentials
from pileus.kit.store import Store
from pileus.kit.web import Web
from pileus.network import api as network_api
from pileus.network.seed import seed
from tests.conftest import Answer, Client

N = "/network/v2.0"
ONE, TWO = "1" * 32, "2" * 32
MEMBER, READER = frozenset({"member", "reader"}), frozenset({"reader"})
ADMIN = MEMBER | {"admin", "manager"}


@dataclass
class Rows:
    """Of a cloud what the API needs: no drivers, no loop."""

    cloud: Cloud
    web: Web
    store: Store


def new_client() -> Client:
    """The client that the tests' fixture `net` is: rows only, no host."""
    store = Store(":memory:", migrations(), synchronous="off")
    cloud = Cloud(store, Clock(), lambda kind, id: None)
    admins = "a" * 32
    store.insert(
        "project", {"id": admins, "name": "admin", "domain_id": "default", "parent_id": "default", "created_at": cloud.clock.now()}
    )
    seed(cloud)
    people = {
        name: Credentials(user_id=name, project_id=where, roles=roles)
        for name, where, roles in (("admin", admins, ADMIN), ("alice", ONE, MEMBER), ("ray", ONE, READER), ("bob", TWO, MEMBER))
    }
    return Client(cast("App", Rows(cloud, Web([network_api.dialect(cloud, people.get)]), store)))


def error(answer: Answer) -> tuple[int, str, str]:
    """Status, type and message of a refusal."""
    assert answer.status >= 400, answer.text
    return answer.status, answer["NeutronError"]["type"], answer["NeutronError"]["message"]


def singular(what: str) -> str:
    return what.removesuffix("ies") + "y" if what.endswith("ies") else what.removesuffix("s")


PATHS = {name: f"metering/{name.replace('_', '-')}" for name in ("metering_labels", "metering_label_rules")} | {
    "service_profiles": "service_profiles"
}


def path_of(what: str) -> str:
    """Below /v2.0: `security-groups` for `security_groups`."""
    return PATHS.get(what, what.replace("_", "-"))


async def make(net: Client, what: str, token: str = "alice", **values: Any) -> dict[str, Any]:
    """Create one of a collection, `security_groups` for `security-groups`."""
    key = singular(what)
    answer = await net("POST", f"{N}/{path_of(what)}", {key: values}, token=token)
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer[key]
    return made


async def show(net: Client, what: str, id: str, token: str = "alice") -> dict[str, Any]:
    answer = await net("GET", f"{N}/{path_of(what)}/{id}", token=token)
    assert answer.status == 200, answer.text
    shown: dict[str, Any] = answer[singular(what)]
    return shown


async def subnet(net: Client, cidr: str = "10.0.0.0/24", token: str = "alice", network: str = "", **values: Any) -> dict[str, Any]:
    """A subnet on a network, by default one of its own."""
    network = network or (await make(net, "networks", token))["id"]
    version = 6 if ":" in cidr else 4
    return await make(net, "subnets", token, network_id=network, cidr=cidr, ip_version=version, **values)


async def public(net: Client) -> str:
    """The id of the external network."""
    found = await net("GET", f"{N}/networks?name=public", token="admin")
    return str(found["networks"][0]["id"])
