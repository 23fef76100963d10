"""Verbs of servers, the states that forbid them, locks, deletion, and the record of it all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.compute import C, act, boot, client_of, group, loads, message, network, ports, row, settle, show, vanish
from tests.conftest import Client


@pytest.fixture
def nova() -> Client:
    return client_of()


async def test_stop_and_start(nova: Client) -> None:
    id = await boot(nova)
    assert (await act(nova, id, "os-stop")).status == 202
    now = row(nova, id)
    assert (now["vm_state"], now["task_state"], now["power"], now["soft"]) == ("active", "powering-off", "off", 1)
    assert 0 <= now["deadline"] - now["updated_at"] <= 60_000_000
    again = await act(nova, id, "os-stop")
    assert (again.status, message(again)) == (409, f"Cannot 'stop' instance {id} while it is in task_state powering-off")
    settle(nova, id, vm_state="stopped", power_state=4)
    assert (await show(nova, id))["status"] == "SHUTOFF"
    assert (await act(nova, id, "os-start")).status == 202
    now = row(nova, id)
    assert (now["task_state"], now["power"], now["soft"], now["deadline"], now["generation"]) == ("powering-on", "on", 0, None, 2)


async def test_reboot(nova: Client) -> None:
    id = await boot(nova)
    for kind in ("SOFT", "soft", "Soft"):
        assert (await act(nova, id, "reboot", {"type": kind})).status == 202
        now = row(nova, id)
        assert (now["task_state"], now["soft"], now["power"]) == ("rebooting", 1, "on")
        settle(nova, id)
    assert row(nova, id)["generation"] == 4
    assert (await act(nova, id, "reboot", {"type": "HARD"})).status == 202
    now = row(nova, id)
    assert (now["task_state"], now["soft"], now["deadline"], now["generation"]) == ("rebooting_hard", 0, None, 5)
    assert (await act(nova, id, "reboot", {"type": "HARD"})).status == 202, "a hard reboot may be asked for again"
    settle(nova, id, vm_state="stopped")
    soft = await act(nova, id, "reboot", {"type": "SOFT"})
    assert message(soft) == f"Cannot 'reboot' instance {id} while it is in vm_state stopped"
    assert (await act(nova, id, "reboot", {"type": "HARD"})).status == 202
    settle(nova, id, vm_state="building")
    hard = await act(nova, id, "reboot", {"type": "HARD"})
    assert (hard.status, message(hard)) == (409, f"Cannot 'reboot' instance {id} while it is in vm_state building")


# what Nova says of a server that is active
REFUSED: list[tuple[str, Any, int, str]] = [
    ("os-start", None, 409, "Cannot 'start' instance {id} while it is in vm_state active"),
    ("bogus", None, 400, "There is no such action: bogus"),
    ("reboot", {"type": "MEDIUM"}, 400, "Invalid input for field/attribute type. Value: MEDIUM. 'MEDIUM' is not one of ['HARD', 'Hard',"),
    ("reboot", {}, 400, "Invalid input for field/attribute reboot. Value: {{}}. 'type' is a required property"),
    ("confirmResize", None, 409, "Cannot 'confirmResize' instance {id} while it is in vm_state active"),
    ("revertResize", None, 409, "Cannot 'revertResize' instance {id} while it is in vm_state active"),
    ("resize", {"flavorRef": "999"}, 400, "Flavor 999 could not be found."),
    ("resize", {"flavorRef": "nano"}, 400, "When resizing, instances must change flavor!"),
    ("resize", {"flavorRef": "tiny"}, 501, "This version of Pileus cannot resize a server."),
    ("unpause", None, 409, "Cannot 'unpause' instance {id} while it is in vm_state active"),
    ("resume", None, 409, "Cannot 'resume' instance {id} while it is in vm_state active"),
    ("unrescue", None, 409, "Cannot 'unrescue' instance {id} while it is in vm_state active"),
    ("unshelve", None, 409, "Cannot 'unshelve' instance {id} while it is in vm_state active"),
    ("restore", None, 409, "Cannot 'restore' instance {id} while it is in vm_state active"),
    ("pause", None, 501, "This version of Pileus cannot pause a server."),
    ("createImage", {}, 400, "Invalid input for field/attribute createImage. Value: {{}}. 'name' is a required property"),
    ("createImage", {"name": "x"}, 501, "This version of Pileus cannot createImage a server."),
    ("os-getConsoleOutput", {"length": "x"}, 400, "Invalid input for field/attribute length. Value: x. 'x' does not match '^-?[0-9]+$'"),
    ("os-getVNCConsole", {"type": "novnc"}, 400, "Unavailable console type novnc."),
    ("addFloatingIp", {"address": "1.2.3.4"}, 404, "floating IP not found"),
    ("addSecurityGroup", {"name": "none"}, 404, "Security group none is not found for project " + "1" * 32),
    ("removeSecurityGroup", {"name": "none"}, 404, "Security group none is not found for project " + "1" * 32),
    ("os-resetState", {"state": "active"}, 403, "Policy doesn't allow os_compute_api:os-admin-actions:reset_state to be performed."),
    ("migrate", None, 403, "Policy doesn't allow os_compute_api:os-migrate-server:migrate to be performed."),
    (
        "os-migrateLive",
        {"host": None, "block_migration": "auto", "disk_over_commit": False},
        400,
        "Invalid input for field/attribute block_migration. Value: auto. 'auto' is not one of [True, 'True', 'TRUE', 'true', '1',",
    ),
]


@pytest.mark.parametrize(("verb", "value", "status", "words"), REFUSED)
async def test_refusals(nova: Client, verb: str, value: Any, status: int, words: str) -> None:
    id = await boot(nova)
    before = row(nova, id)
    answer = await act(nova, id, verb, value)
    expected = words.format(id=id)
    assert (answer.status, message(answer)[: len(expected)]) == (status, expected)
    assert row(nova, id) == before


async def test_bodies_that_are_no_action(nova: Client) -> None:
    id = await boot(nova)
    for body in ({}, {"os-stop": None, "os-start": None}, "{bad"):
        answer = await nova("POST", f"{C}/servers/{id}/action", body, token="alice")
        assert (answer.status, message(answer)) == (400, "Malformed request body")


async def test_verbs_have_spans(nova: Client) -> None:
    id = await boot(nova)
    for verb, last in (("os-getVNCConsole", 5), ("addFloatingIp", 43)):
        value = {"type": "novnc"} if verb.startswith("os") else {"address": "1.2.3.4"}
        assert "no such action" not in message(await act(nova, id, verb, value, version=f"2.{last}"))
        assert message(await act(nova, id, verb, value, version=f"2.{last + 1}")) == f"There is no such action: {verb}"
    remote = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    answer = await nova("POST", f"{C}/servers/{id}/remote-consoles", remote, token="alice", version="2.6")
    assert message(answer) == "Unavailable console type novnc."


async def test_a_reader_runs_no_verb(nova: Client) -> None:
    id = await boot(nova)
    for verb in ("os-stop", "lock", "forceDelete", "os-getConsoleOutput"):
        assert (await act(nova, id, verb, token="ray")).status in (400, 403)
    assert (await nova("DELETE", f"{C}/servers/{id}", token="ray")).status == 403
    assert (await nova("PUT", f"{C}/servers/{id}", {"server": {"name": "x"}}, token="ray")).status == 403
    assert row(nova, id)["power"] == "on"


async def test_console_output(nova: Client) -> None:
    id = await boot(nova, name="talker")
    for value, output in (
        ({}, "talker None"),
        ({"length": 5}, "talker 5"),
        ({"length": "7"}, "talker 7"),
        ({"length": None}, "talker None"),
    ):
        answer = await act(nova, id, "os-getConsoleOutput", value)
        assert (answer.status, answer["output"]) == (200, output)
    assert (await act(nova, "none", "os-getConsoleOutput", {})).status == 404


# -- locks -------------------------------------------------------------------------------------------------------------------


async def test_a_lock_stops_its_owner_and_not_the_admin(nova: Client) -> None:
    id = await boot(nova)
    assert (await act(nova, id, "lock", {"locked_reason": "mine"}, version="2.73")).status == 202
    assert ((await show(nova, id, version="2.73"))["locked"], (await show(nova, id, version="2.73"))["locked_reason"]) == (True, "mine")
    for answer in (
        await act(nova, id, "os-stop"),
        await act(nova, id, "reboot", {"type": "HARD"}),
        await nova("DELETE", f"{C}/servers/{id}", token="alice"),
        await nova("POST", f"{C}/servers/{id}/metadata", {"metadata": {"a": "b"}}, token="alice"),
    ):
        assert (answer.status, message(answer)) == (409, f"Instance {id} is locked")
    renamed = await nova("PUT", f"{C}/servers/{id}", {"server": {"name": "v2"}}, token="alice")
    assert renamed.status == 200
    assert (await act(nova, id, "os-stop", token="admin")).status == 202
    assert (await act(nova, id, "unlock")).status == 202
    assert row(nova, id)["locked"] == 0
    assert "was unexpected" in message(await act(nova, id, "lock", {"other": "x"}, version="2.73"))
    assert (await act(nova, id, "lock", {"locked_reason": "x"}, version="2.72")).status == 202
    assert row(nova, id)["locked_reason"] is None


async def test_reset_state(nova: Client) -> None:
    id = await boot(nova)
    assert (await act(nova, id, "os-resetState", {"state": "error"}, "admin")).status == 202
    assert (await show(nova, id))["status"] == "ERROR"
    assert (await act(nova, id, "os-resetState", {"state": "active"}, "admin")).status == 202
    assert (await show(nova, id))["status"] == "ACTIVE"
    assert (await act(nova, id, "os-resetState", {"state": "gone"}, "admin")).status == 400


# -- security groups ---------------------------------------------------------------------------------------------------------


async def test_security_groups_come_and_go(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net}])
    group(nova, "g1")
    assert (await act(nova, id, "addSecurityGroup", {"name": "g1"})).status == 202
    assert (await act(nova, id, "addSecurityGroup", {"name": "g1"})).status == 202
    assert (await show(nova, id))["security_groups"] == [{"name": "default"}, {"name": "g1"}]
    listed = await nova("GET", f"{C}/servers/{id}/os-security-groups", token="alice")
    assert [each["name"] for each in listed["security_groups"]] == ["default", "g1"]
    rules = listed["security_groups"][0]["rules"]
    assert [(rule["ip_protocol"], rule["group"]["name"]) for rule in rules] == [(None, "default")] * 2
    assert (await act(nova, id, "removeSecurityGroup", {"name": "g1"})).status == 202
    assert (await show(nova, id))["security_groups"] == [{"name": "default"}]
    assert (await act(nova, id, "removeSecurityGroup", {"name": "g1"})).status == 400


# -- deletion ----------------------------------------------------------------------------------------------------------------


async def test_deletion_is_a_wish_and_then_history(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net}])
    (port,) = ports(nova, id)
    for _ in range(2):
        assert (await nova("DELETE", f"{C}/servers/{id}", token="alice")).status == 204
    now = row(nova, id)
    assert (now["task_state"], now["power"], now["deleted_at"]) == ("deleting", "gone", None)
    assert (await show(nova, id))["OS-EXT-STS:task_state"] == "deleting"
    assert "task_state deleting" in message(await act(nova, id, "os-stop"))
    records = await nova("GET", f"{C}/servers/{id}/os-instance-actions", token="alice")
    assert [each["action"] for each in records["instanceActions"]] == ["delete", "create"]
    vanish(nova, id)
    vanish(nova, id)
    answer = await nova("GET", f"{C}/servers/{id}", token="alice")
    assert (answer.status, message(answer)) == (404, f"Instance {id} could not be found.")
    assert (await nova("DELETE", f"{C}/servers/{id}", token="alice")).status == 404
    assert nova.app.store.get("port", port["id"]) is None
    assert row(nova, id)["vm_state"] == "deleted"


async def test_force_delete(nova: Client) -> None:
    id = await boot(nova)
    assert (await act(nova, id, "forceDelete")).status == 202
    assert row(nova, id)["power"] == "gone"


async def test_a_port_that_was_there_before_is_unbound(nova: Client) -> None:
    from pileus.network import actions
    from pileus.network.resources import PORT
    from tests.api.compute import context

    ctx = context(nova)
    made = actions.create_port(ctx, PORT.decode({"port": {"network_id": network(nova)}}, "create", ctx))
    id = await boot(nova, networks=[{"port": made["id"]}])
    await nova("DELETE", f"{C}/servers/{id}", token="alice")
    vanish(nova, id)
    port = nova.app.store.get("port", made["id"])
    assert port is not None
    assert (port["device_id"], port["device_owner"], port["binding_host"]) == ("", "", "")


# -- records -----------------------------------------------------------------------------------------------------------------


async def test_the_record(nova: Client) -> None:
    id = await boot(nova)
    stopped = await act(nova, id, "os-stop")
    settle(nova, id, vm_state="stopped")
    await act(nova, id, "lock")
    path = f"{C}/servers/{id}/os-instance-actions"
    listed = (await nova("GET", path, token="alice", version="2.79"))["instanceActions"]
    assert [each["action"] for each in listed] == ["lock", "stop", "create"]
    keys = {"action", "instance_uuid", "request_id", "user_id", "project_id", "start_time", "message"}
    assert set(listed[0]) == keys | {"updated_at"}
    assert set((await nova("GET", path, token="alice", version="2.57"))["instanceActions"][0]) == keys
    page = await nova("GET", f"{path}?limit=1", token="alice", version="2.58")
    assert [each["action"] for each in page["instanceActions"]] == ["lock"]
    assert page["links"][0]["rel"] == "next"
    rest = await nova("GET", f"{path}?marker={listed[0]['request_id']}", token="alice", version="2.58")
    assert [each["action"] for each in rest["instanceActions"]] == ["stop", "create"]
    request = stopped.headers["x-openstack-request-id"]
    event = {"event", "start_time", "finish_time", "result"}
    for token, version, more in (
        ("alice", "2.50", None),
        ("alice", "2.51", set()),
        ("alice", "2.62", {"hostId"}),
        ("admin", "2.1", {"traceback"}),
        ("admin", "2.62", {"traceback", "hostId", "host"}),
    ):
        shown = (await nova("GET", f"{path}/{request}", token=token, version=version))["instanceAction"]
        assert shown["action"] == "stop"
        if more is None:
            assert "events" not in shown
        else:
            assert set(shown["events"][0]) == event | more
            assert shown["events"][0]["event"] == "compute_stop_instance"
    missing = await nova("GET", f"{path}/req-none", token="alice")
    assert (missing.status, message(missing)) == (404, f"Action for request_id req-none on instance {id} not found")


async def test_the_record_of_a_deleted_server_from_2_21_on(nova: Client) -> None:
    id = await boot(nova)
    await nova("DELETE", f"{C}/servers/{id}", token="alice")
    vanish(nova, id)
    path = f"{C}/servers/{id}/os-instance-actions"
    assert (await nova("GET", path, token="alice", version="2.20")).status == 404
    listed = await nova("GET", path, token="alice", version="2.21")
    assert [each["action"] for each in listed["instanceActions"]] == ["delete", "create"]
    assert (await nova("GET", path, token="bob", version="2.21")).status == 404


async def test_a_fault_that_a_user_can_read(nova: Client) -> None:
    id = await boot(nova)
    settle(nova, id, vm_state="error", fault='{"code": 500, "message": "boom", "details": "inside", "created": "2026-01-01T00:00:00Z"}')
    shown = await show(nova, id)
    assert shown["fault"] == {"code": 500, "message": "boom", "created": "2026-01-01T00:00:00Z"}
    assert (await show(nova, id, "admin"))["fault"]["details"] == "inside"
    settle(nova, id)
    assert "fault" not in await show(nova, id)
    assert loads(row(nova, id)["fault"])["message"] == "boom"
