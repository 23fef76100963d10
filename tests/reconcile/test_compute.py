"""Rows of servers in, rows and the fake machine's state out."""

from __future__ import annotations

import asyncio
import json

import pytest

from pileus.compute.host import Step
from pileus.errors import HostError
from tests.reconcile.servers import IMAGE, NETWORK, World, world


@pytest.fixture
def cloud() -> World:
    return world()


async def running(cloud: World, **columns: object) -> str:
    id = cloud.server(**columns)  # type: ignore[arg-type]
    await cloud.settle(id)
    assert cloud.row(id)["vm_state"] == "active"
    return id


async def test_a_created_server_becomes_active(cloud: World) -> None:
    id = await running(cloud, ports=2)
    row = cloud.row(id)
    assert (row["task_state"], row["power_state"], row["launched_at"]) == (None, 1, cloud.clock.now())
    assert cloud.records(id) == [("create", "Success")]
    facts = await cloud.facts(id)
    assert list(facts.living) == [1]
    assert facts.disk == 1 << 30
    assert not facts.drive
    guest = cloud.host.part("guests")[id]["guest"]
    assert guest["nics"] == json.loads(row["own_ports"])
    assert guest["uid"] == row["host_uid"]


async def test_looking_again_changes_nothing(cloud: World) -> None:
    id = await running(cloud)
    before, steps = cloud.row(id), cloud.host.steps
    await cloud.settle(id)
    assert cloud.row(id) == before
    assert cloud.host.steps == steps


async def test_it_waits_for_its_port_and_makes_its_disk_meanwhile(cloud: World) -> None:
    id = cloud.server(port_status="DOWN")
    await cloud.settle(id)
    port = json.loads(cloud.row(id)["own_ports"])[0]
    facts = await cloud.facts(id)
    assert (facts.disk, dict(facts.living)) == (1 << 30, {})
    assert cloud.row(id)["task_state"] == "spawning"
    assert ("server", id) in cloud.loop.waiters["port", port]

    async def look(_: str) -> None:
        cloud.store.update("port", port, {"status": "ACTIVE"})

    cloud.loop.register("port", look)
    cloud.loop.wake("port", port)
    await cloud.loop.settle()
    assert cloud.row(id)["vm_state"] == "active"


async def test_a_port_that_is_switched_off_is_not_waited_for(cloud: World) -> None:
    id = cloud.server(port_status="DOWN")
    cloud.store.update("port", json.loads(cloud.row(id)["own_ports"])[0], {"admin_state_up": 0})
    await cloud.settle(id)
    assert cloud.row(id)["vm_state"] == "active"


async def test_a_port_that_cannot_be_made_is_a_fault_to_read(cloud: World) -> None:
    id = cloud.server(port_status="DOWN")
    port = json.loads(cloud.row(id)["own_ports"])[0]
    cloud.store.update("port", port, {"host_error": "there is no /dev/net/tun"})
    looked: list[str] = []

    async def look(id: str) -> None:
        looked.append(id)

    cloud.loop.register("port", look)
    await cloud.settle(id)
    assert json.loads(cloud.row(id)["fault"])["message"] == f"Port {port} could not be made: there is no /dev/net/tun"
    assert json.loads(cloud.row(id)["fault"])["created"].endswith("Z")
    assert looked == [port], "the port is tried again too"


async def test_a_start_wakes_only_what_is_not_as_it_should_be(cloud: World) -> None:
    ids = [await running(cloud) for _ in range(3)]
    cloud.guests.end(ids[1], -9)
    woken: list[str] = []
    cloud.cloud.wake_now = lambda kind, id: woken.append(id)
    await cloud.reconciler.resync()
    assert woken == [ids[1]]


async def test_it_waits_for_its_image(cloud: World) -> None:
    cloud.store.update("image", IMAGE, {"host_status": ""})
    id = cloud.server()
    await cloud.settle(id)
    assert ("server", id) in cloud.loop.waiters["image", IMAGE]
    assert cloud.host.steps == 0


@pytest.mark.parametrize("gone", [True, False])
async def test_an_image_that_cannot_be_had_is_a_fault_to_read(cloud: World, gone: bool) -> None:
    id = cloud.server()
    cloud.store.update("image", IMAGE, {"gone": 1} if gone else {"host_status": "error", "host_error": "The image is too strange."})
    await cloud.settle(id)
    row = cloud.row(id)
    fault = json.loads(row["fault"])
    assert (row["vm_state"], row["task_state"], fault["code"]) == ("error", None, 500)
    assert fault["message"] == (f"Image {IMAGE} has been deleted." if gone else "The image is too strange.")
    assert cloud.records(id) == [("create", "Error")]


async def test_a_disk_that_is_there_needs_no_image(cloud: World) -> None:
    id = await running(cloud)
    cloud.ask(id, "stop", power="off", task_state="powering-off")
    await cloud.settle(id)
    cloud.store.update("image", IMAGE, {"gone": 1})
    cloud.ask(id, "start", power="on", generation=2, task_state="powering-on")
    await cloud.settle(id)
    assert cloud.row(id)["vm_state"] == "active"


async def test_stop_asks_first_and_pulls_the_plug_at_the_deadline(cloud: World) -> None:
    id = await running(cloud)
    cloud.guests.deaf = True
    cloud.ask(id, "stop", power="off", soft=1, deadline=cloud.clock.now() + 60_000_000, task_state="powering-off")
    await cloud.settle(id)
    assert list((await cloud.facts(id)).living) == [1]
    assert (cloud.row(id)["vm_state"], cloud.row(id)["task_state"]) == ("active", "powering-off")
    await cloud.pass_time(30)
    assert list((await cloud.facts(id)).living) == [1]
    assert [verb for _, verb in cloud.host.log].count("ask") == 2
    await cloud.pass_time(31)
    facts = await cloud.facts(id)
    assert not facts.living
    assert not facts.ended
    row = cloud.row(id)
    assert (row["vm_state"], row["task_state"], row["power_state"], row["soft"], row["deadline"]) == ("stopped", None, 4, 0, None)
    assert cloud.records(id) == [("create", "Success"), ("stop", "Success")]


async def test_a_guest_that_answers_its_power_button_is_not_killed(cloud: World) -> None:
    id = await running(cloud)
    cloud.ask(id, "stop", power="off", soft=1, deadline=cloud.clock.now() + 60_000_000, task_state="powering-off")
    await cloud.settle(id)
    await cloud.settle(id)
    assert cloud.row(id)["vm_state"] == "stopped"
    assert "stop" not in [verb for _, verb in cloud.host.log]


@pytest.mark.parametrize("soft", [0, 1])
async def test_a_reboot_is_the_next_guest_on_the_same_disk(cloud: World, soft: int) -> None:
    id = await running(cloud)
    launched = cloud.row(id)["launched_at"]
    deadline = cloud.clock.now() + 60_000_000 if soft else None
    cloud.ask(id, "reboot", generation=2, soft=soft, deadline=deadline, task_state="rebooting")
    await cloud.settle(id)
    await cloud.pass_time(1)
    facts = await cloud.facts(id)
    assert list(facts.living) == [2]
    row = cloud.row(id)
    assert (row["vm_state"], row["task_state"], row["launched_at"]) == ("active", None, launched)
    assert [verb for _, verb in cloud.host.log].count("make_disk") == 1


async def test_a_guest_that_powers_itself_off_is_stopped(cloud: World) -> None:
    id = await running(cloud)
    cloud.guests.end(id, 0)
    await cloud.settle(id)
    row = cloud.row(id)
    assert (row["power"], row["vm_state"], row["power_state"]) == ("off", "stopped", 4)
    assert not (await cloud.facts(id)).ended


@pytest.mark.parametrize("status", [-9, 1, None])
async def test_a_guest_that_was_killed_is_started_again(cloud: World, status: int | None) -> None:
    """None: nobody knows, as after a power cut."""
    id = await running(cloud)
    if status is None:
        cloud.host.part("guests")[id]["living"].clear()
    else:
        cloud.guests.end(id, status)
    await cloud.settle()
    assert list((await cloud.facts(id)).living) == [1]
    assert cloud.row(id)["vm_state"] == "active"


async def test_a_guest_that_does_nothing_but_die_is_given_up(cloud: World) -> None:
    id = await running(cloud)
    for _ in range(5):
        cloud.guests.end(id, -6)
        await cloud.settle(id)
        cloud.clock.turn(1)
    row = cloud.row(id)
    assert (row["vm_state"], row["power"]) == ("error", "off")
    assert json.loads(row["fault"])["message"] == "The guest ended 5 times within 10 minutes, the last time by signal 6."
    facts = await cloud.facts(id)
    assert not facts.living
    assert not facts.ended
    cloud.ask(id, "reboot", power="on", generation=2, task_state="rebooting_hard")
    await cloud.settle(id)
    assert (cloud.row(id)["vm_state"], cloud.row(id)["fault"]) == ("active", None)


async def test_the_watcher_wakes_the_server(cloud: World) -> None:
    id = await running(cloud)
    watching = asyncio.create_task(cloud.reconciler.watch())
    await asyncio.sleep(0)
    cloud.guests.end(id, 0)
    await asyncio.sleep(0)
    await cloud.loop.settle()
    watching.cancel()
    assert cloud.row(id)["vm_state"] == "stopped"


async def test_a_start_that_fails_is_tried_three_times(cloud: World) -> None:
    id = cloud.server()
    for _ in range(3):
        cloud.host.fail_at, cloud.host.failure = (
            (2 if not (await cloud.facts(id)).disk else 1),
            HostError("The guest could not be started: no."),
        )
        await (cloud.settle(id) if not cloud.loop.timers else cloud.pass_time(1))
    row = cloud.row(id)
    assert (row["vm_state"], row["power"], row["power_state"]) == ("error", "off", 4)
    fault = json.loads(row["fault"])
    assert fault["message"] == "The guest could not be started: no."
    assert cloud.records(id) == [("create", "Error")]


async def test_deletion_takes_everything(cloud: World) -> None:
    id = await running(cloud)
    cloud.ask(id, "delete", power="gone", task_state="deleting")
    await cloud.settle(id)
    row = cloud.row(id)
    assert (row["vm_state"], row["deleted_at"], row["terminated_at"]) == ("deleted", cloud.clock.now(), cloud.clock.now())
    assert await cloud.guests.observe() == {}
    assert cloud.store.find("port") == []  # wished away with the server
    assert cloud.records(id)[-1] == ("delete", "Success")


async def test_ports_are_given_back_only_when_the_guest_is_seen_gone(cloud: World) -> None:
    id = await running(cloud)
    cloud.ask(id, "delete", power="gone", task_state="deleting")
    cloud.host.fail_at, cloud.host.failure = 1, HostError("it does not end")
    await cloud.settle(id)
    assert len(cloud.store.find("port")) == 1
    assert cloud.row(id)["deleted_at"] is None
    await cloud.pass_time(2)
    assert cloud.store.find("port") == []


async def test_what_nobody_knows_is_removed_at_start(cloud: World) -> None:
    id = await running(cloud)
    cloud.store.delete("server", {"id": id})
    await cloud.settle()
    assert await cloud.guests.observe() == {}


async def test_a_running_guest_is_adopted(cloud: World) -> None:
    id = await running(cloud)
    before = (await cloud.facts(id)).living
    cloud.store.update("server", id, {"vm_state": "building", "task_state": "spawning", "launched_at": None})
    cloud.build()
    await cloud.settle()
    assert (await cloud.facts(id)).living == before
    assert cloud.row(id)["vm_state"] == "active"


async def test_a_wish_that_changes_while_a_guest_starts_is_not_lost(cloud: World) -> None:
    id = cloud.server()
    cloud.host.delay = 0.01
    cloud.loop.wake("server", id)
    await asyncio.sleep(0.015)
    cloud.ask(id, "delete", power="gone", task_state="deleting")
    cloud.loop.wake("server", id)
    lived = False
    while cloud.loop.tasks:
        if (await cloud.facts(id)).living:
            lived = True
            assert cloud.store.find("port"), "an address was free while a guest had it"
        await asyncio.sleep(0.001)
    assert lived
    assert cloud.row(id)["vm_state"] == "deleted"
    assert await cloud.guests.observe() == {}


async def test_a_server_that_is_unwished_in_the_queue_is_not_started(cloud: World) -> None:
    cloud.reconciler._boots = asyncio.Semaphore(1)
    first, second = cloud.server(), cloud.server()
    cloud.host.delay = 0.01
    for id in (first, second):
        cloud.loop.wake("server", id)
    await asyncio.sleep(0.015)
    cloud.ask(second, "delete", power="gone", task_state="deleting")
    cloud.loop.wake("server", second)
    await cloud.loop.settle()
    assert cloud.row(second)["vm_state"] == "deleted"
    assert (second, "start") not in cloud.host.log
    assert (first, "start") in cloud.host.log


async def test_boots_are_limited_and_the_place_in_the_queue_is_told(cloud: World) -> None:
    cloud.reconciler._boots = asyncio.Semaphore(1)
    ids = [cloud.server() for _ in range(3)]
    starting: set[str] = set()
    most = 0
    apply = cloud.guests.apply

    async def watched(id: str, steps: list[Step]) -> None:
        nonlocal most
        if steps[0].verb == "start":
            starting.add(id)
            most = max(most, len(starting))
            await asyncio.sleep(0.005)
        await apply(id, steps)
        starting.discard(id)

    cloud.guests.apply = watched  # type: ignore[method-assign, assignment]
    for id in ids:
        cloud.loop.wake("server", id)
    await asyncio.sleep(0.003)
    notes = {row["message"] for row in cloud.store.find("action_record") if row["message"]}
    await cloud.loop.settle()
    assert most == 1
    assert notes == {"waiting to start: 0 servers before this one", "waiting to start: 1 servers before this one"}
    assert {cloud.row(id)["vm_state"] for id in ids} == {"active"}


async def test_a_server_without_a_host_is_never_started(cloud: World) -> None:
    id = cloud.server(placed=0, vm_state="error", task_state=None)
    await cloud.settle(id)
    assert cloud.host.steps == 0
    cloud.ask(id, "delete", power="gone", task_state="deleting")
    await cloud.settle(id)
    assert cloud.row(id)["vm_state"] == "deleted"


async def test_the_config_drive_is_written_once(cloud: World) -> None:
    id = await running(cloud, config_drive=1, user_data="IyEvYmluL3NoCg==", metadata=json.dumps({"a": "b"}))
    drive = cloud.host.part("guests")[id]["drive"]
    assert drive["openstack/latest/user_data"] == len("#!/bin/sh\n")
    assert "ec2/latest/meta-data.json" in drive
    assert [verb for _, verb in cloud.host.log].count("write_drive") == 1


async def test_nics_come_in_the_order_of_their_ports(cloud: World) -> None:
    assert NETWORK
    id = await running(cloud, ports=4)
    ports = [row["id"] for row in cloud.store.find("port", order="created_at")]
    assert cloud.host.part("guests")[id]["guest"]["nics"] == ports
