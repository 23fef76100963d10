"""Rows in, files and bases out: whatever fails or dies on the way, the next look ends where the row says."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import HostError
from pileus.image import actions
from pileus.image.host import Facts, Step, Want
from pileus.image.reconcile import TRIES, plan, want_of
from pileus.kit.context import internal
from pileus.kit.loop import Killed, Wait
from tests.reconcile.images import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# -- the plan ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("want", "facts", "verbs"),
    [
        (Want("i", "keep", "link", "qcow2"), Facts(upload=True), ["link"]),
        (Want("i", "keep", "convert", "vpc"), Facts(upload=True), ["convert"]),
        (Want("i", "keep", "convert"), Facts(upload=True, base=True), []),
        (Want("i", "keep", "convert"), Facts(), []),
        (Want("i", "keep", "none"), Facts(upload=True, base=True), ["drop_base"]),
        (Want("i", "keep", "link"), Facts(upload=True, partial=True, base=True), ["drop_partial"]),
        (Want("i", "receiving", "none"), Facts(upload=True, partial=True), []),
        (Want("i", "none", "none"), Facts(True, True, True), ["drop_partial", "drop_upload", "drop_base"]),
        (Want("i", "none", "none"), Facts(), []),
    ],
)
def test_plan(want: Want, facts: Facts, verbs: list[str]) -> None:
    assert [step.verb for step in plan(want, facts)] == verbs


def test_every_format_has_a_base_but_kernels_and_packages() -> None:
    def base(disk_format: str, container_format: str = "bare") -> tuple[str, str]:
        row = {
            "gone": 0,
            "status": "active",
            "size": 1,
            "virtual_size": 1,
            "cached": 1,
            "disk_format": disk_format,
            "container_format": container_format,
        }
        want = want_of("i", row)
        return want.base, want.driver

    assert base("qcow2") == ("link", "qcow2")
    assert base("raw") == base("iso") == base("ami", "ami") == ("convert", "raw")
    assert base("vhd") == ("convert", "vpc")
    assert base("ploop") == ("convert", "parallels")
    assert base("aki", "aki")[0] == base("ari", "ari")[0] == base("vmdk", "ova")[0] == base("qcow2", "compressed")[0] == "none"


# -- looks -------------------------------------------------------------------------------------------------------------------


async def test_an_active_image_gets_its_base_and_a_deleted_one_loses_all(machine: Machine) -> None:
    id = machine.image(disk_format="qcow2")
    machine.loop.wake("image", id)
    await machine.settle()
    assert await machine.facts(id) == Facts(upload=True, base=True)
    row = machine.row(id)
    assert row
    assert (row["host_status"], row["revision"]) == ("ready", 1)
    assert [verb for _, verb in machine.host.log] == ["link"]
    machine.loop.wake("image", id)
    await machine.settle()
    assert len(machine.host.log) == 1  # a second look has nothing to do
    machine.store.update("image", id, {"gone": 1})
    machine.loop.wake("image", id)
    await machine.settle()
    assert (await machine.facts(id), machine.row(id)) == (Facts(), None)


async def test_after_a_restart_uploads_without_a_client_are_let_go(machine: Machine) -> None:
    saving, active, orphan = machine.image("saving"), machine.image(), str(uuid.uuid4())
    machine.folder.upload(orphan).write_bytes(b"the row was lost")
    (machine.folder.bases / ".half").write_bytes(b"x")
    machine.boot()
    await machine.start()
    await machine.settle()
    row = machine.row(saving)
    assert row
    assert (row["status"], await machine.facts(saving)) == ("queued", Facts())
    assert await machine.facts(active) == Facts(upload=True, base=True)
    assert await machine.facts(orphan) == Facts()
    assert not list(machine.folder.bases.iterdir())
    machine.boot()
    assert await machine.worker.differing() == []  # and then nothing differs


async def test_a_missing_file_is_said_to_be_missing(machine: Machine) -> None:
    id = machine.image()
    machine.folder.upload(id).unlink()
    machine.loop.wake("image", id)
    await machine.settle()
    base = actions.base_of(machine.store, id)
    assert base.state == "failed"
    assert "missing from the data folder" in base.reason


async def test_what_fails_always_is_given_up_in_words_and_who_waits_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, told = [], []

    async def full(id: str, step: Step) -> None:
        tried.append(step.verb)
        raise HostError("no space left.")

    async def server(id: str) -> None:
        base = actions.base_of(machine.store, image)
        if base.state == "making":
            raise Wait("image", image)
        told.append((base.state, base.reason))

    monkeypatch.setattr(machine.images, "apply", full)
    machine.loop.register("server", server)
    image = machine.image()
    machine.loop.wake("server", "s")
    machine.loop.wake("image", image)
    await machine.settle()
    assert tried == ["convert"] * TRIES
    assert [state for state, _ in told] == ["failed"]
    assert told[0][1].startswith("The image could not be prepared for guests: no space left")
    monkeypatch.undo()
    ctx = internal(machine.cloud)
    actions.reactivate_image(ctx, image)  # what the message says
    await machine.settle()
    assert actions.base_of(machine.store, image).state == "ready"


async def test_a_conversion_ends_when_the_image_is_deleted_meanwhile(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    started, ended = asyncio.Event(), []
    apply = machine.images.apply

    async def slow(id: str, step: Step) -> None:
        if step.verb != "convert":
            return await apply(id, step)
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(id)

    monkeypatch.setattr(machine.images, "apply", slow)
    id = machine.image()
    machine.loop.wake("image", id)
    await started.wait()
    machine.loop.wake("image", id)  # somebody renamed it: that is no reason to stop
    await asyncio.sleep(0.01)
    assert ended == []
    machine.store.update("image", id, {"gone": 1})
    machine.loop.wake("image", id)
    await asyncio.wait_for(machine.settle(), 5)
    assert (ended, machine.row(id), await machine.facts(id)) == ([id], None, Facts())


async def test_one_conversion_at_a_time_and_links_do_not_queue(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, order = set(), [], []
    apply = machine.images.apply

    async def watched(id: str, step: Step) -> None:
        running.add((id, step.verb))
        most.append(sum(verb == "convert" for _, verb in running))
        await asyncio.sleep(0.02 if step.verb == "convert" else 0)
        await apply(id, step)
        running.discard((id, step.verb))
        order.append(step.verb)

    monkeypatch.setattr(machine.images, "apply", watched)
    for disk_format in ("raw", "vmdk", "vhdx", "qcow2"):
        machine.loop.wake("image", machine.image(disk_format=disk_format))
    await machine.settle()
    assert max(most) == 1
    assert order[0] == "link"


# -- failure at every step, then in random order -------------------------------------------------------------------------------


def wishes(machine: Machine) -> list[Callable[[], None]]:
    """What may happen to images, in an order that makes sense."""
    one, two, three = machine.image("saving"), machine.image(disk_format="qcow2"), machine.image(disk_format="vmdk")

    def uploaded() -> None:
        machine.folder.partial(one).unlink(missing_ok=True)
        machine.folder.upload(one).write_bytes(b"abc")
        machine.store.update("image", one, {"status": "active"})

    def set_(id: str, **changes: Any) -> Callable[[], None]:
        return lambda: void(machine.store.update("image", id, changes))

    return [
        uploaded,
        set_(two, status="deactivated"),
        set_(three, gone=1),
        set_(two, status="active"),
        set_(one, gone=1),
        set_(two, gone=1),
    ]


def void(_: object) -> None:
    return None


@pytest.mark.parametrize("kill", [False, True], ids=["fails", "dies"])
@pytest.mark.parametrize("at", range(1, 11))
async def test_failure_at_every_step(machine: Machine, at: int, kill: bool) -> None:
    """At step `at` the host fails, or the control plane dies and is started again; the end is the same."""
    steps = wishes(machine)
    ids = [row["id"] for row in machine.store.find("image")]
    machine.host.fail_at, machine.host.failure = at, Killed("planted") if kill else HostError("planted")
    met = False
    for step in steps:
        step()
        for id in ids:
            machine.loop.wake("image", id)
        try:
            await machine.settle()
        except Killed:
            met = True
            machine.boot()
            await machine.start()
            await machine.settle()
        for id in ids:
            row = machine.row(id)
            assert plan(want_of(id, row), await machine.facts(id)) == []
            assert row is None or row["gone"] == 0
    assert met or not kill or machine.host.fail_at is not None
    assert machine.store.count("image", hidden=True) == 0
    assert await machine.images.observe() == {}


async def test_wants_in_random_order(machine: Machine) -> None:
    dice = random.Random(7)
    ids = [machine.image(disk_format=dice.choice(("qcow2", "raw", "iso", "aki"))) for _ in range(6)]
    await machine.start()
    for turn in range(200):
        id = dice.choice(ids)
        if (row := machine.row(id)) is not None and not row["gone"]:
            wish = dice.choice(({"status": "deactivated"}, {"status": "active"}, {"gone": 1} if turn > 150 else {"name": "x"}))
            machine.store.update("image", id, wish)
        if dice.random() < 0.2:
            machine.host.fail_at, machine.host.failure = dice.randint(1, 3), HostError("planted")
        machine.loop.wake("image", id)
        if dice.random() < 0.1:
            await machine.loop.stop()
            machine.boot()
            await machine.start()
        await machine.settle()
        for each in ids:
            assert plan(want_of(each, machine.row(each)), await machine.facts(each)) == []
