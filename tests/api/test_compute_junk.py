"""Whatever is sent, the answer is a refusal in words or a success, never the server's own failure."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pileus.compute import placement
from pileus.compute.api import ROUTES
from pileus.compute.api.server_verbs import TABLE
from tests.api.compute import C, boot, client_of, create, network
from tests.conftest import Client

HUGE = 10**30
VALUES: list[Any] = [None, True, 0, -1, HUGE, 1.5, "", "x", "²", "\x00", "a" * 5000, [], [None], {}, {"": {}}, {"a": {"b": [1]}}]
KEYS = {
    "/servers": "server", "/flavors": "flavor", "/os-keypairs": "keypair", "os-extra_specs": "extra_specs", "metadata": "metadata",
    "tags": "tags", "os-server-groups": "server_group", "os-aggregates": "aggregate", "os-quota-sets/{id}": "quota_set",
    "os-quota-class-sets/{id}": "quota_class_set", "os-security-groups": "security_group", "os-security-group-rules": "security_group_rule",
    "remote-consoles": "remote_console", "os-interface": "interfaceAttachment", "os-volume_attachments": "volumeAttachment",
}  # fmt: skip
VERSIONS = ("2.1", "2.47", "2.79")


@pytest.fixture
def nova() -> Client:
    return client_of()


def paths(method: str) -> list[str]:
    return sorted({route.path for route in ROUTES if route.method == method and route.path.startswith("/v2.1/")})


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_bodies(nova: Client, method: str) -> None:
    id = await boot(nova)
    for path, value in itertools.product(paths(method), VALUES):
        key = next((key for end, key in KEYS.items() if path.endswith(end)), "x")
        at = "/compute" + path.replace("{id}", id).replace("{key}", "k")
        for body in (value, {key: value}, {key: {"name": value}}):
            answer = await nova(method, at, body, version="2.79")
            assert answer.status < 500 or answer.status == 501, (method, path, body, answer.text)


async def test_fields_of_a_server(nova: Client) -> None:
    net = network(nova)
    fields = ["networks", "metadata", "security_groups", "block_device_mapping_v2", "key_name", "tags", "config_drive", "min_count"]
    fields += ["user_data", "availability_zone", "imageRef", "flavorRef", "OS-DCF:diskConfig", "accessIPv4", "description", "host", "name"]
    for field, value in itertools.product(fields, [*VALUES, [{"uuid": net, "fixed_ip": "::1"}], [{"port": ""}], [{"uuid": ""}]]):
        version = "2.79" if field in ("tags", "description", "host") else "2.36"
        more = {"networks": "none"} if version == "2.79" else {}
        answer = await create(nova, "admin", version, **{**more, field: value})
        assert answer.status < 500, (field, value, answer.text)


async def test_actions(nova: Client) -> None:
    id = await boot(nova)
    for verb, value, version in itertools.product([*TABLE, "os-getConsoleOutput"], [*VALUES, {"type": "SOFT"}, {"name": "x"}], VERSIONS):
        answer = await nova("POST", f"{C}/servers/{id}/action", {verb: value}, version=version)
        assert answer.status < 500 or answer.status == 501, (verb, value, answer.text)
        nova.app.store.update("server", id, {"vm_state": "active", "task_state": None, "power": "on"})


async def test_queries(nova: Client) -> None:
    id = await boot(nova)
    names: tuple[str, ...] = (
        "limit",
        "marker",
        "sort_key",
        "sort_dir",
        "name",
        "ip",
        "changes-since",
        "changes-before",
        "all_tenants",
        "deleted",
        "status",
    )
    names = (*names, "flavor", "tags", "locked", "minRam", "is_public", "start", "end", "with_servers", "offset", "host", "power_state")
    values = (str(HUGE), "-1", "%00", "%C2%B2", "x", "", "9999-12-31T23:59:59Z", "%FF")
    turn = itertools.cycle(values)  # every value on the lists that take most; elsewhere one for each name, in turn
    for path, name in itertools.product(paths("GET"), names):
        at = "/compute" + path.replace("{id}", id).replace("{key}", "k")
        for value in values if path in ("/v2.1/servers", "/v2.1/flavors", "/v2.1/os-simple-tenant-usage") else [next(turn)]:
            answer = await nova("GET", f"{at}?{name}={value}", version="2.30")
            assert answer.status < 500, (path, name, value, answer.text)


async def test_placement(nova: Client) -> None:
    for route in placement.ROUTES:
        at = "/placement" + route.path.replace("{id}", "x").replace("{key}", "y")
        for query in ("resources=x", "resources=VCPU:²", f"resources=VCPU:{HUGE}", "name=in:", "name=x", "required=,", "project_id="):
            answer = await nova("GET", f"{at}?{query}", headers={"OpenStack-API-Version": "placement 1.39"})
            assert answer.status < 500, (route.path, query, answer.text)
