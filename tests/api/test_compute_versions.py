"""Discovery, negotiation, and what every microversion adds to and takes from a server, a flavor, a key pair and the rest."""

from __future__ import annotations

import pytest

from tests.api.compute import C, boot, client_of, message, show
from tests.conftest import Client

BASE = {
    "id", "name", "status", "tenant_id", "user_id", "metadata", "hostId", "image", "flavor", "created", "updated", "addresses",
    "accessIPv4", "accessIPv6", "links", "OS-DCF:diskConfig", "progress", "OS-EXT-AZ:availability_zone", "config_drive", "key_name",
    "OS-SRV-USG:launched_at", "OS-SRV-USG:terminated_at", "OS-EXT-STS:task_state", "OS-EXT-STS:vm_state", "OS-EXT-STS:power_state",
    "os-extended-volumes:volumes_attached",
}  # fmt: skip
ADMIN = {"OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:instance_name", "OS-EXT-SRV-ATTR:hypervisor_hostname"}
ADMIN_2_3 = {f"OS-EXT-SRV-ATTR:{name}" for name in ("reservation_id", "launch_index", "hostname", "kernel_id", "ramdisk_id")} | {
    "OS-EXT-SRV-ATTR:root_device_name",
    "OS-EXT-SRV-ATTR:user_data",
}
ADDED = [
    ((2, 9), {"locked"}),
    ((2, 19), {"description"}),
    ((2, 26), {"tags"}),
    ((2, 63), {"trusted_image_certificates"}),
    ((2, 71), {"server_groups"}),
    ((2, 73), {"locked_reason"}),
]


@pytest.fixture
def nova() -> Client:
    return client_of()


def expected(minor: int, *, admin: bool) -> set[str]:
    keys = set(BASE)
    for since, names in ADDED:
        keys |= names if (2, minor) >= since else set()
    if admin:
        keys |= ADMIN | (ADMIN_2_3 if minor >= 3 else set()) | ({"host_status"} if minor >= 16 else set())
    return keys


@pytest.mark.parametrize("minor", [1, 2, 3, 8, 9, 15, 16, 18, 19, 25, 26, 46, 47, 62, 63, 70, 71, 72, 73, 75, 79])
async def test_a_server_has_the_fields_of_its_version_and_no_others(nova: Client, minor: int) -> None:
    id = await boot(nova)
    version = f"2.{minor}"
    assert set(await show(nova, id, "admin", version)) == expected(minor, admin=True)
    shown = await show(nova, id, "alice", version)
    assert set(shown) == expected(minor, admin=False)
    assert set(shown["flavor"]) == (
        {"id", "links"} if minor < 47 else {"vcpus", "ram", "disk", "ephemeral", "swap", "original_name", "extra_specs"}
    )
    listed = await nova("GET", f"{C}/servers/detail", token="alice", version=version)
    assert set(listed["servers"][0]) == expected(minor, admin=False) - {"server_groups"}


@pytest.mark.parametrize(("minor", "whole"), [(1, False), (74, False), (75, True)])
async def test_an_update_answers_with_everything_from_2_75_on(nova: Client, minor: int, whole: bool) -> None:
    id = await boot(nova)
    answer = await nova("PUT", f"{C}/servers/{id}", {"server": {"name": "new"}}, token="admin", version=f"2.{minor}")
    assert answer.status == 200
    shown = set(answer["server"])
    assert ("OS-EXT-STS:vm_state" in shown, "key_name" in shown, "OS-EXT-SRV-ATTR:host" in shown) == (whole,) * 3
    assert answer["server"]["name"] == "new"


async def test_discovery(nova: Client) -> None:
    root = await nova("GET", "/compute/", token=None)
    assert [(v["id"], v["status"], v["version"], v["min_version"]) for v in root["versions"]] == [
        ("v2.0", "SUPPORTED", "", ""),
        ("v2.1", "CURRENT", "2.79", "2.1"),
    ]
    for path in ("/compute/v2.1", "/compute/v2.1/"):
        answer = await nova("GET", path, token=None)
        assert answer.status == 200
        assert answer["version"]["version"] == "2.79"
        assert answer.headers["x-openstack-nova-api-version"] == "2.1"
    other = await nova("GET", "/compute/nothing", token=None)
    assert other.status == 300
    assert [choice["id"] for choice in other["choices"]] == ["v2.0", "v2.1"]
    assert other["choices"][1]["links"][0]["href"].endswith("/compute/v2.1/nothing")


async def test_who_has_no_token_is_told_so_before_anything_else(nova: Client) -> None:
    for path in (f"{C}/servers", f"{C}/nothing"):
        answer = await nova("GET", path, token=None)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].endswith('/identity/v3"')
    assert (await nova("GET", f"{C}/nothing")).status == 404


async def test_versions_that_are_not_served(nova: Client) -> None:
    for version in ("2.80", "2.999", "1.5", "3.0"):
        answer = await nova("GET", f"{C}/servers", version=version)
        assert answer.status == 406
        assert message(answer) == f"Version {version} is not supported by the API. Minimum is 2.1 and maximum is 2.79."
        assert answer.headers["x-openstack-nova-api-version"] == version
    bad = await nova("GET", f"{C}/servers", version="junk")
    assert (bad.status, message(bad)) == (400, "API Version String junk is of invalid format. Must be of format MajorNum.MinorNum.")
    latest = await nova("GET", f"{C}/servers", version="latest")
    assert latest.headers["openstack-api-version"] == "compute 2.79"
    older = await nova("GET", f"{C}/servers", headers={"X-OpenStack-Nova-API-Version": "2.30"})
    assert older.headers["x-openstack-nova-api-version"] == "2.30"


async def test_the_api_without_microversions_does_not_look_at_them(nova: Client) -> None:
    id = await boot(nova)
    answer = await nova("GET", f"/compute/v2/servers/{id}", token="alice", version="2.79")
    assert answer.status == 200
    assert set(answer["server"]) == expected(1, admin=False)


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        ("/os-networks", 1, 35),
        ("/os-floating-ips", 1, 35),
        ("/os-security-groups", 1, 35),
        ("/images", 1, 35),
        ("/os-hosts", 1, 42),
        ("/os-hypervisors/host1/search", 1, 52),
    ],
)
async def test_routes_have_spans_too(nova: Client, path: str, first: int, last: int) -> None:
    assert (await nova("GET", C + path, version=f"2.{first}")).status == 200
    assert (await nova("GET", C + path, version=f"2.{last}")).status == 200
    assert (await nova("GET", C + path, version=f"2.{last + 1}")).status == 404


@pytest.mark.parametrize(
    ("minor", "status", "words"), [(74, 200, ""), (75, 400, "Additional properties are not allowed ('bogus' was unexpected)")]
)
async def test_unknown_query_parameters_are_refused_from_2_75_on(nova: Client, minor: int, status: int, words: str) -> None:
    for path in ("/servers", "/servers/detail", "/flavors", "/os-keypairs", "/os-services"):
        answer = await nova("GET", f"{C}{path}?bogus=1", version=f"2.{minor}")
        assert answer.status == status
        if words:
            assert message(answer) == words
