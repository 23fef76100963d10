"""Network cards of servers that run: wishes in, the fake machine's cards and the rows out."""

from __future__ import annotations

import json

import pytest

from pileus.compute.host import SLOTS
from tests.reconcile.servers import World, world


@pytest.fixture
def cloud() -> World:
    return world()


async def running(cloud: World, *, ports: int = 1) -> str:
    id = cloud.server(ports=ports)
    await cloud.settle(id)
    assert cloud.row(id)["vm_state"] == "active"
    return id


def own(cloud: World, id: str) -> list[str]:
    found: list[str] = json.loads(cloud.row(id)["own_ports"])
    return found


async def nics(cloud: World, id: str) -> set[str]:
    return set((await cloud.facts(id)).nics or ())


def last(cloud: World, id: str) -> tuple[str, str | None, str | None]:
    record = cloud.store.find("action_record", {"resource_id": id}, order="id DESC", limit=1)[0]
    return record["action"], record["result"], record["message"]


async def test_a_card_is_plugged_into_the_guest_that_runs(cloud: World) -> None:
    id = await running(cloud)
    before = (await cloud.facts(id)).living
    port = cloud.attach(id)
    await cloud.settle(id)
    assert await nics(cloud, id) == {*own(cloud, id)}
    assert port in own(cloud, id)
    assert (await cloud.facts(id)).living == before, "the guest goes on"
    assert cloud.store.find("interface") == []
    assert last(cloud, id) == ("attach_interface", "Success", None)


async def test_it_waits_for_its_port_and_the_others_do_not(cloud: World) -> None:
    id = await running(cloud)
    late, soon = cloud.attach(id, "DOWN"), cloud.attach(id)
    await cloud.settle(id)
    assert late not in await nics(cloud, id)
    assert soon in await nics(cloud, id)

    async def look(_: str) -> None:
        cloud.store.update("port", late, {"status": "ACTIVE"})

    cloud.loop.register("port", look)
    cloud.loop.wake("port", late)
    await cloud.loop.settle()
    assert late in await nics(cloud, id)
    assert cloud.store.find("interface") == []


async def test_a_port_that_cannot_be_made_is_given_back(cloud: World) -> None:
    id = await running(cloud)
    port = cloud.attach(id, "DOWN")
    cloud.store.update("port", port, {"host_error": "there is no /dev/net/tun"})
    await cloud.settle(id)
    row = cloud.row(id)
    assert (row["vm_state"], row["task_state"], row["fault"]) == ("active", None, None), "the server is none the worse for it"
    assert port not in own(cloud, id)
    assert cloud.store.get("port", port) is None
    action, result, message = last(cloud, id)
    assert (action, result) == ("attach_interface", "Error")
    assert message
    assert "there is no /dev/net/tun" in message


async def test_a_machine_that_is_full_refuses(cloud: World) -> None:
    id = await running(cloud, ports=SLOTS)
    port = cloud.attach(id)
    await cloud.settle(id)
    assert port not in own(cloud, id)
    assert len(await nics(cloud, id)) == SLOTS
    assert last(cloud, id)[:2] == ("attach_interface", "Error")
    cloud.detach(id, own(cloud, id)[0])
    again = cloud.attach(id)
    await cloud.settle(id)
    assert again in await nics(cloud, id), "what leaves makes room first"


async def test_a_card_is_taken_out_and_its_port_with_it(cloud: World) -> None:
    id = await running(cloud, ports=2)
    first, second = own(cloud, id)
    cloud.detach(id, first)
    await cloud.settle(id)
    assert await nics(cloud, id) == {second} == set(own(cloud, id))
    assert cloud.store.get("port", first) is None
    assert last(cloud, id) == ("detach_interface", "Success", None)


async def test_a_port_that_was_there_before_stays(cloud: World) -> None:
    id = await running(cloud)
    port = own(cloud, id)[0]
    cloud.store.update("server", id, {"own_ports": "[]", "device_tags": json.dumps({port: "lan"})})
    cloud.detach(id, port)
    await cloud.settle(id)
    row = cloud.store.get("port", port)
    assert row
    assert (row["device_id"], row["device_owner"], row["binding_host"]) == ("", "", "")
    assert cloud.row(id)["device_tags"] == "{}"


async def test_a_guest_that_does_not_let_go_keeps_the_card(cloud: World) -> None:
    id = await running(cloud)
    (port,) = own(cloud, id)
    cloud.guests.deaf = True
    cloud.detach(id, port)
    await cloud.settle(id)
    assert await nics(cloud, id) == {port}
    asked = [verb for _, verb in cloud.host.log].count("unplug")
    await cloud.pass_time(5)
    assert [verb for _, verb in cloud.host.log].count("unplug") > asked, "it is asked again"
    await cloud.pass_time(60)
    assert own(cloud, id) == [port]
    assert cloud.store.find("interface") == []
    assert last(cloud, id)[:2] == ("detach_interface", "Error")
    cloud.guests.deaf = False
    await cloud.settle(id)
    assert await nics(cloud, id) == {port}, "nobody wants it out any more"


async def test_a_guest_that_lets_go_late_is_enough(cloud: World) -> None:
    id = await running(cloud)
    (port,) = own(cloud, id)
    cloud.guests.deaf = True
    cloud.detach(id, port)
    await cloud.settle(id)
    cloud.guests.deaf = False
    await cloud.pass_time(5)
    assert own(cloud, id) == []
    assert last(cloud, id) == ("detach_interface", "Success", None)


async def test_a_machine_without_places_keeps_what_it_has(cloud: World) -> None:
    """One that was started by a version that reserved none."""
    id = await running(cloud)
    observe = cloud.guests.observe

    async def unknown(one: str | None = None) -> object:
        found = await observe(one)
        return {key: type(facts)(facts.folder, facts.disk, facts.drive, facts.living, facts.ended) for key, facts in found.items()}

    cloud.guests.observe = unknown  # type: ignore[method-assign, assignment]
    port = cloud.attach(id)
    await cloud.settle(id)
    assert port in own(cloud, id)
    await cloud.pass_time(61)
    assert port not in own(cloud, id), "it is given back when it has not come in time"
    assert last(cloud, id)[:2] == ("attach_interface", "Error")
    assert cloud.row(id)["vm_state"] == "active"


async def test_a_port_that_is_deleted_leaves_the_guest(cloud: World) -> None:
    id = await running(cloud, ports=2)
    first, second = own(cloud, id)
    cloud.store.update("port", first, {"gone": 1})
    await cloud.settle(id)
    assert await nics(cloud, id) == {second}


async def test_a_port_that_only_names_a_server_is_not_plugged_in(cloud: World) -> None:
    """Anybody may write any device_id into a port; what binds one is an action of compute's."""
    id = await running(cloud)
    stranger = cloud.port(id)
    cloud.store.update("port", stranger, {"binding_host": ""})
    await cloud.settle(id)
    assert stranger not in await nics(cloud, id)
    cloud.ask(id, "reboot", generation=2, task_state="rebooting_hard")
    await cloud.settle(id)
    assert stranger not in await nics(cloud, id)


async def test_the_same_cards_are_there_after_every_start(cloud: World) -> None:
    id = await running(cloud, ports=2)
    cloud.detach(id, own(cloud, id)[0])
    cloud.attach(id)
    await cloud.settle(id)
    expected = own(cloud, id)
    cloud.ask(id, "reboot", generation=2, task_state="rebooting_hard")
    await cloud.settle(id)
    assert cloud.host.part("guests")[id]["guest"]["nics"] == expected
    cloud.ask(id, "stop", power="off", task_state="powering-off")
    await cloud.settle(id)
    cloud.ask(id, "start", power="on", generation=3, task_state="powering-on")
    await cloud.settle(id)
    assert cloud.host.part("guests")[id]["guest"]["nics"] == expected


async def test_ids_that_are_none_touch_nothing(cloud: World) -> None:
    before = cloud.host.steps
    await cloud.settle("../../etc")
    assert cloud.host.steps == before
