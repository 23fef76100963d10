"""The control plane is killed at every step of every verb and built anew over the same rows and machine: it comes to the same end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.compute.host import Facts
from pileus.errors import HostError
from pileus.kit.loop import Killed
from tests.reconcile.servers import World, world

Verb = tuple[str, Callable[[World, str], dict[str, Any]]]


def later(cloud: World) -> int:
    return cloud.clock.now() + 60_000_000


PATIENT = 3600  # seconds: longer than anything here takes


def attach(cloud: World, id: str) -> dict[str, Any]:
    cloud.attach(id, seconds=PATIENT)
    return {}


def replace_card(cloud: World, id: str) -> dict[str, Any]:
    first = json.loads(cloud.row(id)["own_ports"])[0]
    cloud.attach(id, seconds=PATIENT)
    cloud.detach(id, first, seconds=PATIENT)
    return {}


VERBS: dict[str, Callable[[World, str], dict[str, Any]]] = {
    "create": lambda cloud, id: {},
    "stop": lambda cloud, id: {"power": "off", "soft": 1, "deadline": later(cloud), "task_state": "powering-off"},
    "stop hard": lambda cloud, id: {"power": "off", "task_state": "powering-off"},
    "reboot": lambda cloud, id: {"generation": 2, "soft": 1, "deadline": later(cloud), "task_state": "rebooting"},
    "reboot hard": lambda cloud, id: {"generation": 2, "soft": 0, "task_state": "rebooting_hard"},
    "resize": lambda cloud, id: {"generation": 2, "disk": 3, "task_state": "rebooting_hard"},
    "delete": lambda cloud, id: {"power": "gone", "task_state": "deleting"},
    "attach and detach": lambda cloud, id: replace_card(cloud, id),
    "attach and delete": lambda cloud, id: {"power": "gone", "task_state": "deleting"} | attach(cloud, id),
    "attach and reboot": lambda cloud, id: {"generation": 2, "task_state": "rebooting_hard"} | replace_card(cloud, id),
}
ENDS = {
    "create": ("active", [1], 1),
    "stop": ("stopped", [], 1),
    "stop hard": ("stopped", [], 1),
    "reboot": ("active", [2], 1),
    "reboot hard": ("active", [2], 1),
    "resize": ("active", [2], 3),
    "delete": ("deleted", [], None),
    "attach and detach": ("active", [1], 1),
    "attach and delete": ("deleted", [], None),
    "attach and reboot": ("active", [2], 1),
}


async def asked(verb: str) -> tuple[World, str]:
    """A cloud whose one server has just been asked for something."""
    cloud = world()
    id = cloud.server(config_drive=1)
    if verb != "create":
        await cloud.settle(id)
        if changes := VERBS[verb](cloud, id):
            cloud.ask(id, verb, **changes)
    return cloud, id


async def carry_on(cloud: World, id: str) -> None:
    await cloud.settle()
    for _ in range(6):
        await cloud.pass_time(61)


async def check_end(cloud: World, id: str, verb: str) -> None:
    state, living, gib = ENDS[verb]
    row, facts = cloud.row(id), await cloud.facts(id)
    assert (row["vm_state"], row["task_state"], list(facts.living), dict(facts.ended)) == (state, None, living, {})
    assert facts.disk == (None if gib is None else gib << 30)
    assert {result for _, result in cloud.records(id)} == {"Success"}
    assert cloud.host.part("guests").keys() == ({id} if gib else set())
    check_cards(cloud, id, facts)


def check_cards(cloud: World, id: str, facts: Facts) -> None:
    """No wish is left, the guest has what its rows say, and what was given back is on its way out."""
    assert cloud.store.find("interface") == []
    kept = {port["id"] for port in cloud.store.find("port")}
    assert kept == set(json.loads(cloud.row(id)["own_ports"]))
    if facts.living:
        assert facts.nics == kept


async def steps_of(verb: str) -> int:
    cloud, id = await asked(verb)
    before = cloud.host.steps
    await carry_on(cloud, id)
    await check_end(cloud, id, verb)
    return cloud.host.steps - before


@pytest.mark.parametrize("failure", [Killed(), HostError("not now")], ids=["killed", "refused"])
@pytest.mark.parametrize("verb", VERBS)
async def test_every_step_may_be_the_last(verb: str, failure: BaseException) -> None:
    steps = await steps_of(verb)
    assert steps
    for step in range(1, steps + 1):
        cloud, id = await asked(verb)
        cloud.host.fail_at, cloud.host.failure = step, failure
        try:
            await carry_on(cloud, id)
        except Killed:
            cloud.build()
            await carry_on(cloud, id)
        assert cloud.host.fail_at is None, f"step {step} was never reached"
        await check_end(cloud, id, verb)


@pytest.mark.parametrize("verb", VERBS)
async def test_every_step_may_be_the_last_thing_that_was_done(verb: str) -> None:
    """The kill comes after the step was carried out, before anybody could write it down."""
    steps = await steps_of(verb)
    for step in range(1, steps + 1):
        cloud, id = await asked(verb)
        apply, left = cloud.guests.apply, step

        async def killing(id: str, batch: Any, apply: Any = apply) -> None:
            nonlocal left
            for one in batch:
                await apply(id, [one])
                left -= 1
                if left == 0:
                    raise Killed

        cloud.guests.apply = killing  # type: ignore[method-assign]
        with pytest.raises(Killed):
            await carry_on(cloud, id)
        cloud.build()
        await carry_on(cloud, id)
        await check_end(cloud, id, verb)


CHANGES: dict[str, Callable[[World, str], Any]] = {
    "on": lambda cloud, id: cloud.ask(
        id, "start", power="on", generation=cloud.row(id)["generation"] + 1, soft=0, task_state="powering-on"
    ),
    "off": lambda cloud, id: cloud.ask(id, "stop", power="off", soft=0, task_state="powering-off"),
    "soft": lambda cloud, id: cloud.ask(id, "stop", power="off", soft=1, deadline=later(cloud), task_state="powering-off"),
    "reboot": lambda cloud, id: cloud.ask(
        id, "reboot", power="on", generation=cloud.row(id)["generation"] + 1, soft=1, deadline=later(cloud), task_state="rebooting"
    ),
    "killed": lambda cloud, id: end(cloud, id, -9),
    "ended": lambda cloud, id: end(cloud, id, 0),
    "power cut": lambda cloud, id: cloud.host.part("guests").get(id, {"living": {}, "ended": {}}).update(living={}, ended={}),
    "deaf": lambda cloud, id: setattr(cloud.guests, "deaf", not cloud.guests.deaf),
    "rebuild": lambda cloud, id: cloud.build(),
    "break": lambda cloud, id: setattr(cloud.host, "fail_at", 2) or setattr(cloud.host, "failure", HostError("not now")),
    "kill": lambda cloud, id: setattr(cloud.host, "fail_at", 2) or setattr(cloud.host, "failure", Killed()),
    "time": lambda cloud, id: cloud.clock.turn(700),
    "attach": lambda cloud, id: cloud.row(id)["power"] == "on" and cloud.attach(id),
    "detach": lambda cloud, id: detach_one(cloud, id),
}


def detach_one(cloud: World, id: str) -> None:
    own = json.loads(cloud.row(id)["own_ports"])
    if own and cloud.row(id)["power"] == "on":
        cloud.detach(id, own[-1])


def end(cloud: World, id: str, status: int) -> None:
    if cloud.host.part("guests").get(id, {}).get("living"):
        cloud.guests.end(id, status)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.booleans()), max_size=12), st.sampled_from(["on", "off", "gone"]))
async def test_wishes_in_any_order_come_to_the_last_one(changes: list[tuple[str, bool]], last: str) -> None:
    """Whatever was wished and whatever happened in between, with or without a look each time: the last wish is what there is."""
    cloud = world()
    id = cloud.server()

    async def look() -> None:
        try:
            await cloud.settle(id)
        except Killed:
            cloud.build()

    for name, looked in changes:
        CHANGES[name](cloud, id)
        if looked:
            await look()
    cloud.host.fail_at = None
    cloud.clock.turn(700)
    if last == "gone":
        cloud.ask(id, "delete", power="gone", soft=0, task_state="deleting")
    else:
        CHANGES[last](cloud, id)
    cloud.build()
    await carry_on(cloud, id)
    row, facts = cloud.row(id), await cloud.facts(id)
    assert row["vm_state"] == {"on": "active", "off": "stopped", "gone": "deleted"}[last]
    assert list(facts.living) == ([row["generation"]] if last == "on" else [])
    assert not facts.ended
    assert row["task_state"] is None
    assert facts.folder == (last != "gone" and facts.disk is not None)
    check_cards(cloud, id, facts)
