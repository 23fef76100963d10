"""Quotas, limits, usage; hypervisors, services, zones, hosts; groups and aggregates; proxies; extensions; Placement."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.compute import ONE, TWO, C, boot, client_of, group, image, message, network, settle
from tests.conftest import Answer, Client

P = "/placement"


@pytest.fixture
def nova() -> Client:
    return client_of()


# -- quotas --------------------------------------------------------------------------------------------------------------------

COUNTED = {"cores", "instances", "ram", "key_pairs", "metadata_items", "server_groups", "server_group_members"}
FILES = {"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}
NETWORK = {"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}


@pytest.mark.parametrize(("version", "more"), [("2.1", FILES | NETWORK), ("2.35", FILES | NETWORK), ("2.36", FILES), ("2.57", set())])
async def test_quota_sets_have_spans(nova: Client, version: str, more: set[str]) -> None:
    for at in ("", "/detail", "/defaults"):
        shown = (await nova("GET", f"{C}/os-quota-sets/{ONE}{at}", token="alice", version=version))["quota_set"]
        assert set(shown) == COUNTED | more | {"id"}


async def test_quotas_are_set_and_reset(nova: Client) -> None:
    path = f"{C}/os-quota-sets/{ONE}"
    shown = await nova("PUT", path, {"quota_set": {"instances": 2}})
    assert (shown["quota_set"]["instances"], "id" in shown["quota_set"]) == (2, False)
    assert (await nova("GET", path, token="alice"))["quota_set"]["instances"] == 2
    assert (await nova("GET", f"{C}/limits", token="alice"))["limits"]["absolute"]["maxTotalInstances"] == 2
    for _ in range(2):
        await boot(nova)
    detail = (await nova("GET", f"{path}/detail", token="alice"))["quota_set"]
    assert detail["instances"] == {"limit": 2, "in_use": 2, "reserved": 0}
    assert (detail["cores"]["in_use"], detail["ram"]["in_use"]) == (2, 256)
    low = await nova("PUT", path, {"quota_set": {"instances": 1}})
    assert message(low) == "Quota limit 1 for instances must be greater than or equal to already used and reserved 2."
    assert (await nova("PUT", path, {"quota_set": {"instances": 1, "force": True}})).status == 200
    bad = await nova("PUT", path, {"quota_set": {"instances": -2}})
    assert message(bad) == "Invalid input for field/attribute instances. Value: -2. -2 is less than the minimum of -1"
    assert (await nova("PUT", path, {"quota_set": {"bogus": 1}})).status == 400
    member = await nova("PUT", path, {"quota_set": {"instances": 3}}, token="alice")
    assert message(member) == "Policy doesn't allow os_compute_api:os-quota-sets:update to be performed."
    assert (await nova("GET", f"{C}/os-quota-sets/{TWO}", token="alice")).status == 403
    assert (await nova("DELETE", path)).status == 202
    assert (await nova("GET", path, token="alice"))["quota_set"]["instances"] == -1


async def test_the_class_is_the_default(nova: Client) -> None:
    path = f"{C}/os-quota-class-sets/default"
    assert (await nova("PUT", path, {"quota_class_set": {"instances": 7}}))["quota_class_set"]["instances"] == 7
    assert (await nova("GET", path))["quota_class_set"]["instances"] == 7
    assert (await nova("GET", f"{C}/os-quota-sets/{ONE}", token="alice"))["quota_set"]["instances"] == 7
    assert (await nova("GET", path, token="alice")).status == 403
    assert set((await nova("GET", path, version="2.50"))["quota_class_set"]) == COUNTED | FILES | {"id"}


async def test_limits(nova: Client) -> None:
    await boot(nova)
    for version, gone in (("2.35", set()), ("2.36", {"maxSecurityGroups"}), ("2.39", {"maxImageMeta"}), ("2.57", {"maxPersonality"})):
        absolute = (await nova("GET", f"{C}/limits", token="alice", version=version))["limits"]["absolute"]
        assert not gone & set(absolute)
        assert (absolute["totalInstancesUsed"], absolute["totalRAMUsed"], absolute["totalCoresUsed"]) == (1, 128, 1)
    assert (await nova("GET", f"{C}/limits?tenant_id={ONE}"))["limits"]["absolute"]["totalInstancesUsed"] == 1
    assert (await nova("GET", f"{C}/limits?tenant_id={ONE}", token="bob")).status == 403


async def test_usage(nova: Client) -> None:
    id = await boot(nova)
    hour = 3600 * 1_000_000
    start = nova.app.cloud.clock.now() - 2 * hour
    settle(nova, id, launched_at=start)
    ask = f"{C}/os-simple-tenant-usage/{ONE}?start=2020-01-01T00:00:00&end=2100-01-01T00:00:00"
    shown = (await nova("GET", ask, token="alice"))["tenant_usage"]
    (share,) = shown["server_usages"]
    assert (share["instance_id"], share["flavor"], share["state"], share["ended_at"]) == (id, "nano", "active", None)
    assert shown["total_memory_mb_usage"] == pytest.approx(shown["total_hours"] * 128)
    settle(nova, id, launched_at=start, terminated_at=start + hour, deleted_at=start + hour)
    shown = (await nova("GET", ask, token="alice"))["tenant_usage"]
    assert (shown["total_hours"], shown["server_usages"][0]["state"]) == (1.0, "terminated")
    every = await nova("GET", f"{C}/os-simple-tenant-usage?detailed=1&start=2020-01-01T00:00:00&end=2100-01-01T00:00:00")
    assert [each["tenant_id"] for each in every["tenant_usages"]] == [ONE]
    assert (await nova("GET", f"{C}/os-simple-tenant-usage", token="alice")).status == 403
    assert (await nova("GET", f"{C}/os-simple-tenant-usage/{ONE}", token="bob")).status == 403
    assert (
        message(await nova("GET", f"{C}/os-simple-tenant-usage/{ONE}?start=junk", token="alice")) == "Datetime is in invalid format: junk"
    )
    page = await nova("GET", f"{ask}&limit=1", token="alice", version="2.40")
    assert page["tenant_usage_links"][0]["rel"] == "next"


# -- the machine -----------------------------------------------------------------------------------------------------------------


async def test_hypervisors(nova: Client) -> None:
    id = await boot(nova)
    (brief,) = (await nova("GET", f"{C}/os-hypervisors"))["hypervisors"]
    assert brief == {"id": 1, "hypervisor_hostname": "host1", "state": "up", "status": "enabled"}
    (detail,) = (await nova("GET", f"{C}/os-hypervisors/detail"))["hypervisors"]
    assert (detail["vcpus"], detail["memory_mb"], detail["vcpus_used"], detail["memory_mb_used"]) == (2, 8192, 1, 128 + 512)
    assert (detail["free_ram_mb"], detail["running_vms"], isinstance(detail["cpu_info"], str)) == (8192 - 640, 1, True)
    assert isinstance((await nova("GET", f"{C}/os-hypervisors/detail", version="2.28"))["hypervisors"][0]["cpu_info"], dict)
    uuid = (await nova("GET", f"{C}/os-hypervisors", version="2.53"))["hypervisors"][0]["id"]
    assert (await nova("GET", f"{C}/os-hypervisors/1")).status == 200
    assert (await nova("GET", f"{C}/os-hypervisors/{uuid}", version="2.53")).status == 200
    assert (await nova("GET", f"{C}/os-hypervisors/1", version="2.53")).status == 400
    assert (await nova("GET", f"{C}/os-hypervisors/2")).status == 404
    with_servers = await nova("GET", f"{C}/os-hypervisors?with_servers=true&hypervisor_hostname_pattern=ost", version="2.53")
    assert [each["uuid"] for each in with_servers["hypervisors"][0]["servers"]] == [id]
    assert (await nova("GET", f"{C}/os-hypervisors?hypervisor_hostname_pattern=other", version="2.53")).status == 404
    assert (await nova("GET", f"{C}/os-hypervisors/host1/servers"))["hypervisors"][0]["servers"][0]["uuid"] == id
    assert (await nova("GET", f"{C}/os-hypervisors/statistics"))["hypervisor_statistics"]["count"] == 1
    assert (await nova("GET", f"{C}/os-hypervisors", token="alice")).status == 403


async def test_services_zones_hosts(nova: Client) -> None:
    services = (await nova("GET", f"{C}/os-services"))["services"]
    assert [each["binary"] for each in services] == ["nova-scheduler", "nova-conductor", "nova-compute"]
    one = (await nova("GET", f"{C}/os-services?binary=nova-compute", version="2.69"))["services"]
    assert [(each["host"], each["state"], each["forced_down"], len(each["id"])) for each in one] == [("host1", "up", False, 36)]
    assert (await nova("GET", f"{C}/os-services?host=other"))["services"] == []
    (zone,) = (await nova("GET", f"{C}/os-availability-zone", token="alice"))["availabilityZoneInfo"]
    assert (zone["zoneName"], zone["hosts"]) == ("nova", None)
    zones = (await nova("GET", f"{C}/os-availability-zone/detail"))["availabilityZoneInfo"]
    assert {each["zoneName"]: list(each["hosts"]["host1"]) for each in zones} == {
        "internal": ["nova-scheduler", "nova-conductor"],
        "nova": ["nova-compute"],
    }
    assert (await nova("GET", f"{C}/os-availability-zone/detail", token="alice")).status == 403
    await boot(nova)
    assert len((await nova("GET", f"{C}/os-hosts?zone=nova"))["hosts"]) == 1
    resources = [each["resource"] for each in (await nova("GET", f"{C}/os-hosts/host1"))["host"]]
    assert [(each["project"], each["memory_mb"]) for each in resources] == [
        ("(total)", 8192), ("(used_now)", 640), ("(used_max)", 128), (ONE, 128),
    ]  # fmt: skip
    for path, key in (("os-migrations", "migrations"), ("os-agents", "agents")):
        assert (await nova("GET", f"{C}/{path}")).body == {key: []}


# -- groups and aggregates -----------------------------------------------------------------------------------------------------


async def test_server_groups(nova: Client) -> None:
    path = f"{C}/os-server-groups"

    async def make(version: str, **fields: Any) -> Answer:
        return await nova("POST", path, {"server_group": {"name": "g", **fields}}, token="alice", version=version)

    old = await make("2.1", policies=["affinity"])
    assert set(old["server_group"]) == {"id", "name", "members", "policies", "metadata"}
    assert set((await make("2.13", policies=["affinity"]))["server_group"]) == {*old["server_group"], "project_id", "user_id"}
    assert (await make("2.14", policies=["soft-affinity"])).status == 400
    assert (await make("2.15", policies=["soft-affinity"])).status == 200
    new = (await make("2.64", policy="anti-affinity", rules={"max_server_per_host": 2}))["server_group"]
    assert (new["policy"], new["rules"], "policies" in new) == ("anti-affinity", {"max_server_per_host": 2}, False)
    rules = await make("2.64", policy="affinity", rules={"max_server_per_host": 2})
    assert message(rules) == "Only anti-affinity policy supports rules."
    assert len((await nova("GET", path, token="alice"))["server_groups"]) == 4
    assert (await nova("GET", path, token="bob"))["server_groups"] == []
    assert (await nova("GET", f"{path}/{new['id']}", token="bob")).status == 404
    assert (await nova("DELETE", f"{path}/{new['id']}", token="alice")).status == 204
    missing = await nova("GET", f"{path}/{new['id']}", token="alice")
    assert message(missing) == f"Instance group {new['id']} could not be found."


async def test_aggregates(nova: Client) -> None:
    path = f"{C}/os-aggregates"
    made = (await nova("POST", path, {"aggregate": {"name": "a", "availability_zone": "nova"}}, version="2.41"))["aggregate"]
    assert (made["name"], made["availability_zone"], "uuid" in made) == ("a", "nova", True)
    assert message(await nova("POST", path, {"aggregate": {"name": "a"}})) == "Aggregate a already exists."
    at = f"{path}/{made['id']}"
    assert (await nova("POST", f"{at}/action", {"add_host": {"host": "host1"}}))["aggregate"]["hosts"] == ["host1"]
    assert (await nova("POST", f"{at}/action", {"add_host": {"host": "host1"}})).status == 409
    assert (await nova("POST", f"{at}/action", {"add_host": {"host": "other"}})).status == 404
    meta = await nova("POST", f"{at}/action", {"set_metadata": {"metadata": {"x": "y"}}})
    assert meta["aggregate"]["metadata"] == {"availability_zone": "nova", "x": "y"}
    assert (await nova("DELETE", at)).status == 400
    assert (await nova("POST", f"{at}/action", {"remove_host": {"host": "host1"}}))["aggregate"]["hosts"] == []
    assert (await nova("PUT", at, {"aggregate": {"name": "b"}}))["aggregate"]["name"] == "b"
    assert (await nova("GET", path, token="alice")).status == 403
    assert (await nova("DELETE", at)).status == 200
    assert (await nova("GET", at)).status == 404


# -- proxies and extensions --------------------------------------------------------------------------------------------------------


async def test_networks_and_images_by_proxy(nova: Client) -> None:
    net = network(nova)
    listed = {each["label"]: each for each in (await nova("GET", f"{C}/os-networks", token="alice"))["networks"]}
    assert set(listed) == {"public", "net"}
    assert (listed["net"]["id"], len(listed["net"])) == (net, 11)
    everything = (await nova("GET", f"{C}/os-networks"))["networks"]
    assert len(everything[0]) == 32
    assert (await nova("GET", f"{C}/os-networks/{net}", token="alice"))["network"]["label"] == "net"
    assert (await nova("GET", f"{C}/os-networks/none", token="alice")).status == 404
    img = image(nova, name="cirros", properties='{"a": "b"}')
    (brief,) = (await nova("GET", f"{C}/images", token="alice"))["images"]
    assert (brief["id"], [link["rel"] for link in brief["links"]]) == (img, ["self", "bookmark", "alternate"])
    (detail,) = (await nova("GET", f"{C}/images/detail?name=cirros", token="alice"))["images"]
    assert (detail["status"], detail["progress"], detail["metadata"], detail["OS-EXT-IMG-SIZE:size"]) == (
        "ACTIVE",
        100,
        {"a": "b"},
        1 << 20,
    )
    assert (await nova("GET", f"{C}/images/{img}", token="alice"))["image"] == detail
    assert (await nova("GET", f"{C}/images/{img}/metadata/a", token="alice")).body == {"meta": {"a": "b"}}
    assert message(await nova("GET", f"{C}/images/none", token="alice")) == "Image not found."


async def test_security_groups_by_proxy(nova: Client) -> None:
    path = f"{C}/os-security-groups"
    made = await nova("POST", path, {"security_group": {"name": "g", "description": "d"}}, token="alice")
    id = made["security_group"]["id"]
    assert made["security_group"]["rules"] == []
    rule = {"parent_group_id": id, "ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "10.0.0.0/8"}
    answer = await nova("POST", f"{C}/os-security-group-rules", {"security_group_rule": rule}, token="alice")
    shown = answer["security_group_rule"]
    assert (shown["ip_protocol"], shown["from_port"], shown["ip_range"], shown["group"]) == ("tcp", 22, {"cidr": "10.0.0.0/8"}, {})
    inner = group(nova, "inner")
    rule = {"parent_group_id": id, "ip_protocol": "icmp", "from_port": -1, "to_port": -1, "group_id": inner}
    answer = await nova("POST", f"{C}/os-security-group-rules", {"security_group_rule": rule}, token="alice")
    for wrong, words in (({"cidr": "x"}, "Invalid cidr x."), ({"ip_protocol": "bogus"}, "Invalid IP protocol bogus.")):
        refused = await nova(
            "POST", f"{C}/os-security-group-rules", {"security_group_rule": {**rule, "group_id": None, **wrong}}, token="alice"
        )
        assert (refused.status, message(refused)) == (400, words)
    assert (answer["security_group_rule"]["group"]["name"], answer["security_group_rule"]["from_port"]) == ("inner", -1)
    assert {each["name"] for each in (await nova("GET", path, token="alice"))["security_groups"]} == {"default", "g", "inner"}
    assert len((await nova("GET", f"{path}/{id}", token="alice"))["security_group"]["rules"]) == 2
    assert (await nova("DELETE", f"{C}/os-security-group-rules/{shown['id']}", token="alice")).status == 202
    changed = await nova("PUT", f"{path}/{id}", {"security_group": {"name": "h", "description": "e"}}, token="alice")
    assert changed["security_group"]["name"] == "h"
    assert (await nova("DELETE", f"{path}/{id}", token="alice")).status == 202
    assert message(await nova("GET", f"{path}/{id}", token="alice")) == f"Security group {id} not found."


async def test_floating_ips_by_proxy(nova: Client) -> None:
    pools = await nova("GET", f"{C}/os-floating-ip-pools", token="alice")
    assert [pool["name"] for pool in pools["floating_ip_pools"]] == ["public"]
    made = await nova("POST", f"{C}/os-floating-ips", {"pool": "public"}, token="alice")
    shown = made["floating_ip"]
    assert (shown["pool"], shown["fixed_ip"], shown["instance_id"]) == ("public", None, None)
    assert (await nova("GET", f"{C}/os-floating-ips", token="alice"))["floating_ips"] == [shown]
    assert (await nova("GET", f"{C}/os-floating-ips", token="bob"))["floating_ips"] == []
    assert (await nova("POST", f"{C}/os-floating-ips", {"pool": "none"}, token="alice")).status == 404
    assert (await nova("DELETE", f"{C}/os-floating-ips/{shown['id']}", token="alice")).status == 202
    assert (await nova("GET", f"{C}/os-floating-ips/{shown['id']}", token="alice")).status == 404


async def test_extensions(nova: Client) -> None:
    found = (await nova("GET", f"{C}/extensions", token="alice"))["extensions"]
    assert {"os-keypairs", "OS-EXT-STS", "os-server-groups"} <= {each["alias"] for each in found}
    assert (await nova("GET", f"{C}/extensions/os-keypairs", token="alice"))["extension"]["name"] == "Keypairs"
    assert (await nova("GET", f"{C}/extensions/none", token="alice")).status == 404


# -- placement -------------------------------------------------------------------------------------------------------------------


async def ask(nova: Client, path: str, version: str = "1.28", token: str = "admin") -> Answer:
    return await nova("GET", P + path, token=token, headers={"OpenStack-API-Version": f"placement {version}"})


async def test_the_host_is_a_provider(nova: Client) -> None:
    id = await boot(nova)
    (provider,) = (await ask(nova, "/resource_providers", "1.0"))["resource_providers"]
    assert set(provider) == {"uuid", "name", "generation", "links"}
    at = f"/resource_providers/{provider['uuid']}"
    inventories = (await ask(nova, f"{at}/inventories"))["inventories"]
    assert {name: each["total"] for name, each in inventories.items()} == {"VCPU": 2, "MEMORY_MB": 8192, "DISK_GB": 100}
    assert (await ask(nova, f"{at}/usages"))["usages"] == {"VCPU": 1, "MEMORY_MB": 128, "DISK_GB": 1}
    assert (await ask(nova, f"{at}/allocations"))["allocations"] == {id: {"resources": {"VCPU": 1, "MEMORY_MB": 128, "DISK_GB": 1}}}
    assert "HW_CPU_X86_AVX" in (await ask(nova, f"{at}/traits"))["traits"]
    assert (await ask(nova, f"{at}/inventories/VCPU"))["total"] == 2
    allocation = (await ask(nova, f"/allocations/{id}")).body
    assert (allocation["project_id"], list(allocation["allocations"])) == (ONE, [provider["uuid"]])
    assert (await ask(nova, "/allocations/none"))["allocations"] == {}
    hypervisor = (await nova("GET", f"{C}/os-hypervisors", version="2.53"))["hypervisors"][0]["id"]
    assert hypervisor == provider["uuid"]


async def test_candidates_end_where_memory_does(nova: Client) -> None:
    fits = await ask(nova, "/allocation_candidates?resources=VCPU:1,MEMORY_MB:7680")
    assert len(fits["allocation_requests"]) == 1
    for query in ("resources=MEMORY_MB:7681", "resources=VCPU:33", "resources=VGPU:1", "resources=VCPU:1&required=HW_CPU_X86_VMX"):
        assert (await ask(nova, f"/allocation_candidates?{query}"))["allocation_requests"] == [], query
    assert len((await ask(nova, "/allocation_candidates?resources=VCPU:1&required=HW_CPU_X86_AVX"))["allocation_requests"]) == 1


async def test_placement_refuses_in_its_own_words(nova: Client) -> None:
    def detail(answer: Answer) -> tuple[int, str]:
        return answer.status, answer["errors"][0]["detail"]

    malformed = "The server could not comply with the request since it is either malformed or otherwise incorrect.\n\n "
    bogus = await ask(nova, "/allocation_candidates?resources=BOGUS:1")
    assert detail(bogus) == (400, f"{malformed}Invalid resource class in resources parameter: No such resource class BOGUS.  ")
    missing = await ask(nova, "/resource_providers/none")
    assert detail(missing) == (404, "The resource could not be found.\n\n No resource provider with uuid none found  ")
    member = await ask(nova, "/resource_providers", "1.0", "alice")
    assert detail(member) == (
        403,
        "Access was denied to this resource.\n\n Policy does not allow placement:resource_providers:list to be performed.  ",
    )
    assert "code" not in member["errors"][0]
    old = await ask(nova, "/resource_providers", "9.9")
    assert (old.status, old["errors"][0]["max_version"], old["errors"][0]["min_version"]) == (406, "1.39", "1.0")
    assert (await nova("GET", f"{P}/nothing", token=None)).status == 401
    assert (await nova("GET", f"{P}/", token=None))["versions"][0]["max_version"] == "1.39"
