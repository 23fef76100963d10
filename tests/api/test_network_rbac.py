"""RBAC policies: who sees and uses what is shared, and what keeps a policy alive."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.network.actions.rbac import SHAREABLE
from pileus.network.types import ObjectType
from tests.api.network import ONE, TWO, N, error, make, new_client, public, subnet
from tests.conftest import Answer, Client

SHARED, EXTERNAL = "access_as_shared", "access_as_external"


@pytest.fixture
def net() -> Client:
    return new_client()


async def policy(net: Client, thing: str, target: str, token: str = "alice", kind: str = "network", action: str = SHARED) -> Answer:
    values = {"object_type": kind, "object_id": thing, "target_tenant": target, "action": action}
    return await net("POST", f"{N}/rbac-policies", {"rbac_policy": values}, token=token)


async def delete(net: Client, answer: Answer, token: str = "alice") -> Answer:
    return await net("DELETE", f"{N}/rbac-policies/{answer['rbac_policy']['id']}", token=token)


async def test_a_network_for_one_other_project(net: Client) -> None:
    made = await subnet(net)
    at = f"{N}/networks/{made['network_id']}"
    assert (await net("GET", at, token="bob")).status == 404
    answer = await policy(net, made["network_id"], TWO)
    assert answer.status == 201
    assert answer["rbac_policy"] == {
        "id": answer["rbac_policy"]["id"],
        "object_type": "network",
        "object_id": made["network_id"],
        "target_tenant": TWO,
        "action": SHARED,
        "project_id": ONE,
        "tenant_id": ONE,
    }
    assert (await net("GET", at, token="bob"))["network"]["shared"] is True
    assert (await net("GET", at, token="alice"))["network"]["shared"] is False
    assert [s["id"] for s in (await net("GET", f"{N}/subnets?network_id={made['network_id']}", token="bob"))["subnets"]] == [made["id"]]
    assert [n["id"] for n in (await net("GET", f"{N}/networks?shared=True", token="bob"))["networks"]] == [made["network_id"]]
    assert (await net("GET", f"{N}/networks?shared=True", token="alice"))["networks"] == []
    assert error(await net("DELETE", at, token="bob"))[:2] == (404, "HTTPNotFound")
    port = await make(net, "ports", "bob", network_id=made["network_id"], fixed_ips=[{"subnet_id": made["id"]}])
    used = await delete(net, answer)
    assert error(used)[:2] == (409, "RbacPolicyInUse")
    assert f"RBAC policy on object {made['network_id']} cannot be removed because other objects depend on it." in error(used)[2]
    changed = await net("PUT", f"{N}/rbac-policies/{answer['rbac_policy']['id']}", {"rbac_policy": {"target_tenant": "x"}}, token="alice")
    assert error(changed)[:2] == (409, "RbacPolicyInUse")
    await net("DELETE", f"{N}/ports/{port['id']}", token="bob")
    assert (await delete(net, answer)).status == 204
    assert (await net("GET", at, token="bob")).status == 404


async def test_shared_and_external_are_policies(net: Client) -> None:
    made = await make(net, "networks", "admin", shared=True)
    found = (await net("GET", f"{N}/rbac-policies?object_id={made['id']}", token="admin"))["rbac_policies"]
    assert [(p["action"], p["target_tenant"]) for p in found] == [(SHARED, "*")]
    assert (await net("DELETE", f"{N}/rbac-policies/{found[0]['id']}", token="admin")).status == 204
    assert (await net("GET", f"{N}/networks/{made['id']}", token="admin"))["network"]["shared"] is False
    assert (await net("GET", f"{N}/networks/{made['id']}", token="bob")).status == 404
    await net("PUT", f"{N}/networks/{made['id']}", {"network": {"shared": True}})
    assert (await net("GET", f"{N}/networks/{made['id']}", token="bob"))["network"]["shared"] is True
    public_policies = (await net("GET", f"{N}/rbac-policies?object_id={await public(net)}", token="admin"))["rbac_policies"]
    kept = await net("DELETE", f"{N}/rbac-policies/{public_policies[0]['id']}", token="admin")
    assert error(kept)[:2] == (409, "RbacPolicyInUse")
    assert "Default external networks must be shared to everyone." in error(kept)[2]


async def test_an_outside_for_some(net: Client) -> None:
    outside = (await make(net, "networks", "admin", **{"router:external": True}))["id"]
    await subnet(net, "172.16.0.0/24", "admin", outside, enable_dhcp=False)
    found = (await net("GET", f"{N}/rbac-policies?object_id={outside}", token="admin"))["rbac_policies"]
    assert [(p["action"], p["target_tenant"]) for p in found] == [(EXTERNAL, "*")]
    router = await make(net, "routers", external_gateway_info={"network_id": outside})
    at = f"{N}/rbac-policies/{found[0]['id']}"
    assert error(await net("DELETE", at, token="admin"))[:2] == (409, "RbacPolicyInUse")
    assert (await net("PUT", at, {"rbac_policy": {"target_tenant": ONE}})).status == 200
    assert (await net("GET", f"{N}/networks/{outside}", token="alice"))["network"]["router:external"] is True
    assert (await net("GET", f"{N}/networks/{outside}", token="bob")).status == 404
    await net("DELETE", f"{N}/routers/{router['id']}", token="alice")
    revision = (await net("GET", f"{N}/networks/{outside}"))["network"]["revision_number"]
    assert (await net("DELETE", at, token="admin")).status == 204
    shown = (await net("GET", f"{N}/networks/{outside}"))["network"]
    assert (shown["router:external"], shown["revision_number"]) == (False, revision + 1)
    assert (await net("GET", f"{N}/networks/{outside}", token="alice")).status == 404
    assert (await policy(net, outside, ONE, "admin", action=EXTERNAL)).status == 201
    assert (await net("GET", f"{N}/networks/{outside}", token="alice"))["network"]["router:external"] is True


async def test_one_policy_of_two_is_enough(net: Client) -> None:
    made = await subnet(net, token="admin")
    everybody, bobs = await policy(net, made["network_id"], "*", "admin"), await policy(net, made["network_id"], TWO, "admin")
    await make(net, "ports", "bob", network_id=made["network_id"])
    assert (await delete(net, everybody, "admin")).status == 204
    assert error(await delete(net, bobs, "admin"))[1] == "RbacPolicyInUse"
    answer = await net("PUT", f"{N}/rbac-policies/{bobs['rbac_policy']['id']}", {"rbac_policy": {"target_tenant": "*"}})
    assert answer["rbac_policy"]["target_tenant"] == "*"
    assert (await net("GET", f"{N}/networks/{made['network_id']}", token="alice"))["network"]["shared"] is True


async def test_groups(net: Client) -> None:
    group = await make(net, "security_groups", name="g")
    addresses = await make(net, "address_groups", addresses=["10.0.0.0/8"])
    for kind, thing in (("security_group", group), ("address_group", addresses)):
        assert (await policy(net, thing["id"], TWO, kind=kind)).status == 201
        shown = await net("GET", f"{N}/{kind.replace('_', '-')}s/{thing['id']}", token="bob")
        assert shown[kind]["shared"] is True
    made = await subnet(net, token="bob")
    await make(net, "ports", "bob", network_id=made["network_id"], security_groups=[group["id"]])
    own = await make(net, "security_groups", "bob", name="mine")
    await make(
        net, "security_group_rules", "bob", security_group_id=own["id"], direction="ingress", remote_address_group_id=addresses["id"]
    )
    for policies in (await net("GET", f"{N}/rbac-policies", token="alice"))["rbac_policies"]:
        answer = await net("DELETE", f"{N}/rbac-policies/{policies['id']}", token="alice")
        assert error(answer)[:2] == (409, "RbacPolicyInUse")
    rule = {"security_group_id": group["id"], "direction": "egress"}
    answer = await net("POST", f"{N}/security-group-rules", {"security_group_rule": rule}, token="bob")
    assert error(answer)[:2] == (403, "PolicyNotAuthorized")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"object_type": "router"}, (400, "InvalidInput", "Invalid input for operation: 'router' is not a valid RBAC object type.")),
        (
            {"action": "look"},
            (
                400,
                "InvalidActionForType",
                "Invalid input for operation: Invalid action 'look' for object type 'network'. Valid actions: "
                "access_as_external, access_as_shared.",
            ),
        ),
        ({"target_tenant": ""}, (400, "HTTPBadRequest", None)),
        ({"object_id": "x"}, (400, "HTTPBadRequest", None)),
        ({"object_id": "0" * 32}, (404, "NetworkNotFound", None)),
        (
            {"target_tenant": "*"},
            (
                403,
                "PolicyNotAuthorized",
                "(rule:create_rbac_policy and rule:create_rbac_policy:target_tenant) is disallowed by policy",
            ),
        ),
    ],
)
async def test_refused(net: Client, values: dict[str, Any], expected: tuple[int, str, str | None]) -> None:
    made = await make(net, "networks")
    asked = {"object_type": "network", "object_id": made["id"], "target_tenant": TWO, "action": SHARED, **values}
    answer = await net("POST", f"{N}/rbac-policies", {"rbac_policy": asked}, token="alice")
    assert error(answer)[:2] == expected[:2]
    assert expected[2] is None or error(answer)[2] == expected[2]


async def test_who_may_and_how_many(net: Client) -> None:
    made = await make(net, "networks", "admin", shared=True)
    words = "Invalid input for operation: Only admins can manipulate policies on networks they do not own."
    assert error(await policy(net, made["id"], TWO, "bob")) == (400, "InvalidInput", words)
    own = await make(net, "networks")
    first = await policy(net, own["id"], TWO)
    assert error(await policy(net, own["id"], TWO))[:2] == (409, "DuplicateRbacPolicy")
    assert error(await policy(net, own["id"], "x", "ray"))[:2] == (403, "PolicyNotAuthorized")
    id = first["rbac_policy"]["id"]
    unknown = await net("GET", f"{N}/rbac-policies/{id}", token="bob")
    assert error(unknown) == (404, "RbacPolicyNotFound", f"RBAC policy of type unknown with ID {id} not found")
    await net("PUT", f"{N}/quotas/{ONE}", {"quota": {"rbac_policy": 1}})
    assert error(await policy(net, own["id"], "x"))[:2] == (409, "OverQuota")
    details = await net("GET", f"{N}/quotas/{ONE}/details", token="alice")
    assert details["quota"]["rbac_policy"] == {"limit": 1, "used": 1, "reserved": 0}
    assert (await net("DELETE", f"{N}/networks/{own['id']}", token="alice")).status == 204
    assert (await net("GET", f"{N}/rbac-policies", token="alice"))["rbac_policies"] == []


async def test_a_pool_is_shared_only_with_those_who_may_use_its_scope(net: Client) -> None:
    scope = await make(net, "address_scopes", ip_version=4)
    pool = await make(net, "subnetpools", name="p", prefixes="10.0.0.0/8", address_scope_id=scope["id"])
    assert error(await policy(net, pool["id"], TWO, kind="subnetpool"))[:2] == (400, "InvalidInput")
    assert (await policy(net, scope["id"], TWO, kind="address_scope")).status == 201
    assert (await policy(net, pool["id"], TWO, kind="subnetpool")).status == 201


async def test_every_kind_that_can_be_shared_can_be_named(net: Client) -> None:
    for kind in SHAREABLE:
        assert error(await policy(net, "0" * 32, TWO, kind=kind))[0] == 404, kind
    assert set(SHAREABLE) == set(ObjectType.VALUES)


async def test_a_qos_policy(net: Client) -> None:
    made = await net("POST", f"{N}/qos/policies", {"policy": {"name": "p"}})
    id = made["policy"]["id"]
    assert (await net("GET", f"{N}/qos/policies/{id}", token="bob")).status == 404
    shared = await policy(net, id, TWO, "admin", kind="qos_policy")
    assert (await net("GET", f"{N}/qos/policies/{id}", token="bob"))["policy"]["shared"] is True
    network = await make(net, "networks", "bob", qos_policy_id=id)
    assert error(await delete(net, shared, "admin"))[:2] == (409, "RbacPolicyInUse")
    await net("DELETE", f"{N}/networks/{network['id']}", token="bob")
    assert (await delete(net, shared, "admin")).status == 204
