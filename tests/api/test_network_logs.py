"""Logs of security groups: for admins, of what is there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, subnet
from tests.conftest import Client

NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def net() -> Client:
    return new_client()


async def log(net: Client, token: str = "admin", **values: Any) -> Any:
    return await net("POST", f"{N}/log/logs", {"log": {"resource_type": "security_group", **values}}, token=token)


async def test_a_log(net: Client) -> None:
    assert (await net("GET", f"{N}/log/loggable-resources"))["loggable_resources"] == [{"type": "security_group"}]
    made = (await log(net, name="l"))["log"]
    assert {key: made[key] for key in ("event", "enabled", "resource_id", "target_id", "resource_type")} == {
        "event": "ALL", "enabled": True, "resource_id": None, "target_id": None, "resource_type": "security_group",
    }  # fmt: skip
    changed = await net("PUT", f"{N}/log/logs/{made['id']}", {"log": {"enabled": False}})
    assert (changed["log"]["enabled"], changed["log"]["revision_number"]) == (False, 1)
    assert (await net("PUT", f"{N}/log/logs/{made['id']}", {"log": {"event": "DROP"}})).status == 400
    assert (await net("DELETE", f"{N}/log/logs/{made['id']}")).status == 204
    assert error(await net("GET", f"{N}/log/logs/{made['id']}"))[2] == f"Log resource {made['id']} could not be found."


async def test_what_cannot_be_logged(net: Client) -> None:
    made = await subnet(net)
    port = (await make(net, "ports", network_id=made["network_id"]))["id"]
    group = (await make(net, "security_groups", name="g"))["id"]
    for values, expected in (
        ({"resource_type": "firewall_v2"}, (400, "InvalidLogResourceType")),
        ({"event": "SOME"}, (400, "HTTPBadRequest")),
        ({"resource_id": NOWHERE}, (404, "ResourceNotFound")),
        ({"target_id": NOWHERE}, (404, "TargetResourceNotFound")),
        ({"resource_id": group, "target_id": port}, (400, "InvalidResourceConstraint")),
    ):
        assert error(await log(net, **values))[:2] == expected, values
    assert (await log(net, token="alice")).status == 403
    assert (await net("GET", f"{N}/log/logs", token="alice")).status == 403


async def test_a_log_goes_with_what_it_is_about(net: Client) -> None:
    made = await subnet(net)
    port = (await make(net, "ports", network_id=made["network_id"]))["id"]
    group = (await make(net, "security_groups", name="g"))["id"]
    for values in ({"target_id": port}, {"resource_id": group}):
        assert (await log(net, **values)).status == 201
    assert (await net("DELETE", f"{N}/ports/{port}")).status == 204
    assert (await net("DELETE", f"{N}/security-groups/{group}")).status == 204
    assert (await net("GET", f"{N}/log/logs"))["logs"] == []
