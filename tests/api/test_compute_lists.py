"""Lists of servers: scope, filters, sort keys, pages, changes, deleted ones."""

from __future__ import annotations

import pytest

from pileus.kit.clock import iso
from tests.api.compute import ONE, C, boot, client_of, message, names, network, settle, vanish
from tests.conftest import Client


@pytest.fixture
def nova() -> Client:
    return client_of()


async def test_a_project_sees_its_own_and_the_admin_all(nova: Client) -> None:
    await boot(nova, name="hers")
    his = await boot(nova, "bob", name="his")
    assert await names(nova) == ["hers"]
    assert await names(nova, token="ray") == ["hers"]
    assert await names(nova, token="admin") == []
    assert set(await names(nova, "all_tenants=1", "admin")) == {"hers", "his"}
    assert await names(nova, f"all_tenants=1&project_id={ONE}", "admin") == ["hers"]
    refused = await nova("GET", f"{C}/servers?all_tenants=1", token="alice")
    assert message(refused) == "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed."
    refused = await nova("GET", f"{C}/servers/detail?all_tenants=1", token="alice")
    assert message(refused) == "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed."
    assert await names(nova, "all_tenants=0") == ["hers"]
    stranger = await nova("GET", f"{C}/servers/{his}", token="alice")
    assert (stranger.status, message(stranger)) == (404, f"Instance {his} could not be found.")
    assert (await nova("GET", f"{C}/servers/{his}", token="admin")).status == 200


async def test_pages(nova: Client) -> None:
    ids = [await boot(nova, name=f"s{n}") for n in range(5)]
    first = await nova("GET", f"{C}/servers?limit=2", token="alice")
    assert [s["name"] for s in first["servers"]] == ["s4", "s3"]
    (link,) = first["servers_links"]
    assert link["rel"] == "next"
    assert link["href"].endswith(f"{C}/servers?limit=2&marker={ids[3]}")
    assert await names(nova, f"limit=2&marker={ids[3]}") == ["s2", "s1"]
    full = await nova("GET", f"{C}/servers?limit=5", token="alice")
    assert "servers_links" in full.body
    assert "servers_links" not in (await nova("GET", f"{C}/servers?limit=6", token="alice")).body
    assert "servers_links" not in (await nova("GET", f"{C}/servers", token="alice")).body
    bad = await nova("GET", f"{C}/servers?limit=-1", token="alice")
    assert message(bad) == "Invalid input for query parameters limit. Value: -1. '-1' does not match '^[0-9]*$'"
    for marker in ("none", await boot(nova, "bob")):
        lost = await nova("GET", f"{C}/servers?marker={marker}", token="alice")
        assert (lost.status, message(lost)) == (400, f"marker [{marker}] not found")


async def test_sort_keys(nova: Client) -> None:
    for name in ("b", "c", "a"):
        await boot(nova, name=name)
    assert await names(nova, "sort_key=display_name&sort_dir=asc") == ["a", "b", "c"]
    assert await names(nova, "sort_key=display_name") == ["c", "b", "a"]
    assert await names(nova, "sort_key=vm_state&sort_key=display_name&sort_dir=asc&sort_dir=desc") == ["c", "b", "a"]
    bad = await nova("GET", f"{C}/servers?sort_key=bogus", token="alice")
    assert message(bad).startswith(
        "Invalid input for query parameters sort_key. Value: bogus. 'bogus' is not one of ['access_ip_v4', 'access_ip_v6',"
    )


async def test_filters(nova: Client) -> None:
    net = network(nova)
    one = await boot(nova, name="web-instance-1", networks=[{"uuid": net, "fixed_ip": "10.0.0.11"}])
    two = await boot(nova, name="db-instance-22", flavorRef="tiny", networks=[{"uuid": net, "fixed_ip": "10.0.0.211"}])
    settle(nova, two, vm_state="stopped", power_state=4)
    shown = (await nova("GET", f"{C}/servers/{one}", token="alice"))["server"]
    for query, found in {
        "name=web": ["web-instance-1"],
        "name=instance": ["db-instance-22", "web-instance-1"],
        "name=^web": ["web-instance-1"],
        r"name=^.*\-instance\-[0-9]%2B$": ["db-instance-22", "web-instance-1"],
        "name=nothing": [],
        "status=ACTIVE": ["web-instance-1"],
        "status=shutoff": ["db-instance-22"],
        "status=ACTIVE&status=SHUTOFF": ["db-instance-22", "web-instance-1"],
        "status=BOGUS": [],
        "flavor=tiny": ["db-instance-22"],
        f"image={shown['image']['id']}": ["web-instance-1"],
        "ip=10.0.0.11": ["web-instance-1"],
        "ip=^10.0.0.2": ["db-instance-22"],
        "ip=10.0.0.": ["db-instance-22", "web-instance-1"],
        "ip=10%25": [],
        "bogus=1": ["db-instance-22", "web-instance-1"],
        "vm_state=stopped": ["db-instance-22", "web-instance-1"],
    }.items():
        assert await names(nova, query) == found, query
    assert await names(nova, "all_tenants=1&vm_state=stopped", "admin") == ["db-instance-22"]
    assert await names(nova, "all_tenants=1&host=host1", "admin") == ["db-instance-22", "web-instance-1"]
    assert await names(nova, "all_tenants=1&host=other", "admin") == []


@pytest.mark.parametrize("pattern", ["(a%2B)%2B$", "a*b*", "^a*b*c*", "[", "x" * 300 + "$"])
async def test_patterns_that_could_hold_the_loop_are_refused(nova: Client, pattern: str) -> None:
    answer = await nova("GET", f"{C}/servers?name={pattern}", token="alice")
    assert answer.status == 400
    assert message(answer).startswith("The name filter")


async def test_the_states_in_between_have_words_of_their_own(nova: Client) -> None:
    id = await boot(nova)
    for columns, word in (
        ({"task_state": "rebooting"}, "REBOOT"),
        ({"task_state": "rebooting_hard"}, "HARD_REBOOT"),
        ({"task_state": "powering-off"}, "ACTIVE"),
        ({"vm_state": "building", "task_state": "spawning"}, "BUILD"),
        ({"vm_state": "error"}, "ERROR"),
    ):
        settle(nova, id, **columns)
        assert (await nova("GET", f"{C}/servers/{id}", token="alice"))["server"]["status"] == word
        assert await names(nova, f"status={word}") == ["vm"]
    settle(nova, id, task_state="rebooting")
    assert await names(nova, "status=ACTIVE") == []


async def test_deleted_servers(nova: Client) -> None:
    await boot(nova, name="kept")
    gone = await boot(nova, name="gone")
    moment = nova.app.cloud.clock.now()
    assert (await nova("DELETE", f"{C}/servers/{gone}", token="alice")).status == 204
    vanish(nova, gone)
    assert await names(nova) == ["kept"]
    assert await names(nova, "deleted=true&all_tenants=1", "admin") == ["gone"]
    assert await names(nova, "deleted=false&all_tenants=1", "admin") == ["kept"]
    assert await names(nova, "deleted=true") == ["kept"]
    assert await names(nova, f"changes-since={iso(moment)}") == ["gone", "kept"]
    assert await names(nova, "changes-since=2100-01-01T00:00:00Z") == []
    detail = await nova("GET", f"{C}/servers/detail?deleted=true&all_tenants=1")
    (shown,) = detail["servers"]
    assert (shown["status"], shown["OS-EXT-STS:vm_state"], shown["addresses"]) == ("DELETED", "deleted", {})
    assert shown["OS-SRV-USG:terminated_at"] is not None
    assert await names(nova, "status=DELETED&all_tenants=1", "admin") == ["gone"]
    refused = await nova("GET", f"{C}/servers?status=DELETED", token="alice")
    assert (refused.status, message(refused)) == (403, "Only administrators may list deleted instances")
    bad = await nova("GET", f"{C}/servers?changes-since=junk", token="alice")
    assert message(bad) == "Invalid input for query parameters changes-since. Value: junk. 'junk' is not a 'date-time'"


async def test_changes_before_comes_with_2_66(nova: Client) -> None:
    await boot(nova)
    assert await names(nova, "changes-before=2000-01-01T00:00:00Z", version="2.65") == ["vm"]
    assert await names(nova, "changes-before=2000-01-01T00:00:00Z", version="2.66") == []


async def test_tags_filter(nova: Client) -> None:
    await boot(nova, name="ab", version="2.52", networks="none", tags=["a", "b"])
    await boot(nova, name="b", version="2.52", networks="none", tags=["b"])
    await boot(nova, name="none")
    for query, found in {
        "tags=a,b": ["ab"],
        "tags-any=a,b": ["b", "ab"],
        "not-tags=a,b": ["none", "b"],
        "not-tags-any=a,b": ["none"],
        "tags=b&not-tags-any=a": ["b"],
    }.items():
        assert await names(nova, query, version="2.26") == found, query
    assert await names(nova, "tags=a,b", version="2.25") == ["none", "b", "ab"]


async def test_locked_filter(nova: Client) -> None:
    id = await boot(nova, name="locked")
    await boot(nova, name="free")
    await nova("POST", f"{C}/servers/{id}/action", {"lock": None}, token="alice")
    assert await names(nova, "locked=true", version="2.73") == ["locked"]
    assert await names(nova, "locked=false", version="2.73") == ["free"]
    assert await names(nova, "locked=true", version="2.72") == ["free", "locked"]


async def test_a_list_takes_one_query_per_relation(nova: Client) -> None:
    net = network(nova)
    for _ in range(3):
        await boot(nova, networks=[{"uuid": net}])
    asked: list[str] = []
    nova.app.store._db.set_trace_callback(asked.append)
    await nova("GET", f"{C}/servers/detail", token="alice", version="2.79")
    assert len(asked) == 4, asked
    nova.app.store._db.set_trace_callback(None)
