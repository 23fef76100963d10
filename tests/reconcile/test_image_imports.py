"""Imports as levels: wherever the control plane dies, the next one ends where the rows say, with the bytes that were meant."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import HostError
from pileus.image import actions
from pileus.image.host import Facts
from pileus.image.reconcile import imports
from pileus.kit.loop import Killed
from tests.reconcile.images import Machine
from tests.unit.test_inspect_hostile import qcow2
from tests.web_source import Source, serving

DATA = bytes(qcow2())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as found:
        found.files["/disk"] = DATA
        yield found


def importing(machine: Machine, method: dict[str, Any], *, staged: bytes | None = None, disk_format: str = "qcow2") -> str:
    """The rows that an import's request has left, and what was staged before it."""
    id = str(uuid.uuid4())
    row = {"id": id, "project_id": "p", "status": "importing", "disk_format": disk_format, "container_format": "bare"}
    machine.store.insert("image", {**row, "staged": len(staged) if staged is not None else None, "created_at": 1})
    task = {"id": str(uuid.uuid4()), "project_id": "p", "image_id": id, "type": "api_image_import", "status": "pending"}
    given = json.dumps({"import_req": {"method": method}})
    machine.store.insert("image_task", {**task, "input": given, "created_at": 1, "updated_at": 1})
    if staged is not None:
        machine.folder.stage(id).write_bytes(staged)
    return id


def begin(machine: Machine, method: str, source: Source, **options: Any) -> tuple[str, bytes]:
    """An import by some method, and the bytes that are to come of it."""
    machine.cloud.options = {"image_sources": (source.host,), "region": "RegionOne", **options}
    if method == "web-download":
        return importing(machine, {"name": method, "uri": source.url("/disk")}), DATA
    if method == "glance-download":
        other = machine.image(disk_format="qcow2", visibility="public")
        machine.folder.upload(other).write_bytes(DATA)
        place = {"glance_image_id": other, "glance_region": "RegionOne", "glance_service_interface": "public"}
        return importing(machine, {"name": method, **place}), DATA
    return importing(machine, {"name": method}, staged=DATA), DATA


def restart(machine: Machine) -> None:
    options = machine.cloud.options
    machine.boot()
    machine.cloud.options = options


POINTS = ["fetch", "publish", "examine", "digest", "_link"]
METHODS = ["glance-direct", "web-download", "glance-download"]


def plant(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, *, after: bool) -> list[str]:
    """Die once, before or after the call of a function; returns what has been reached."""
    real, met = getattr(holder, name), []

    def dying(*args: Any, **kwargs: Any) -> Any:
        if met:
            return real(*args, **kwargs)
        met.append(name)
        if asyncio.iscoroutinefunction(real):
            return _die_later(real(*args, **kwargs), after)
        if after:
            real(*args, **kwargs)
        raise Killed(name)

    monkeypatch.setattr(holder, name, dying)
    return met


async def _die_later(call: Any, after: bool) -> None:
    if after:
        await call
    else:
        call.close()
    raise Killed("planted")


async def arriving(machine: Machine, id: str) -> None:
    while not machine.folder.partial(id).exists():  # noqa: ASYNC110 - a thread makes it
        await asyncio.sleep(0.01)


async def carry_on(machine: Machine, id: str) -> None:
    machine.loop.wake("image", id)
    try:
        await machine.settle()
    except Killed:
        restart(machine)
        await machine.start()
        await machine.settle()


def check_whole(machine: Machine, id: str, data: bytes | None) -> None:
    row = machine.row(id)
    assert row
    assert (row["status"], row["staged"], row["host_status"]) == ("active", None, "ready")
    kept = machine.folder.upload(id).read_bytes()
    assert row["checksum"] == hashlib.md5(kept).hexdigest()
    assert data is None or kept == data
    assert machine.folder.upload(id).stat().st_mode & 0o777 == 0o444
    assert [(task["status"], task["message"]) for task in machine.store.find("image_task")] == [("success", "")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", [*POINTS, "begin_task", "finish_import"])
@pytest.mark.parametrize("method", METHODS)
async def test_death_at_every_point(
    machine: Machine,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    point: str,
    after: bool,
) -> None:
    id, data = begin(machine, method, source)
    holder: Any = actions if point in ("begin_task", "finish_import") else imports
    met = plant(monkeypatch, holder, point, after=after)
    await carry_on(machine, id)
    assert met == [point] or point in ("fetch", "publish")  # only one method fetches
    check_whole(machine, id, data)
    assert await machine.facts(id) == Facts(upload=True, base=True)


@pytest.mark.parametrize("kill", [False, True], ids=["fails", "dies"])
@pytest.mark.parametrize("at", range(1, 5))
async def test_failure_at_every_step_of_a_conversion(machine: Machine, source: Source, at: int, kill: bool) -> None:
    id, _ = begin(machine, "web-download", source, image_conversion="raw")
    machine.host.fail_at, machine.host.failure = at, Killed("planted") if kill else HostError("planted")
    await carry_on(machine, id)
    check_whole(machine, id, None)
    row = machine.row(id)
    assert row
    assert (row["disk_format"], row["size"], row["virtual_size"]) == ("raw", 64 << 20, 64 << 20)
    assert await machine.facts(id) == Facts(upload=True, base=True)


async def test_a_machine_that_never_will_ends_the_import_in_words(
    machine: Machine,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: Any) -> None:
        raise HostError("the disk is on fire")

    id, _ = begin(machine, "glance-direct", source, image_conversion="raw")
    monkeypatch.setattr(machine.images, "apply", never)
    machine.loop.wake("image", id)
    for _ in range(20):
        await machine.settle()
    monkeypatch.undo()
    machine.loop.wake("image", id)
    await machine.settle()
    row, [task] = machine.row(id), machine.store.find("image_task")
    assert row
    assert (row["status"], task["status"], "on fire" in task["message"]) == ("queued", "failure", True)
    assert await machine.facts(id) == Facts()


async def test_a_download_ends_when_the_image_is_deleted_meanwhile(machine: Machine, source: Source) -> None:
    source.files["/disk"], source.slow = bytes(20 << 20), 0.05
    id, _ = begin(machine, "web-download", source)
    machine.loop.wake("image", id)
    await arriving(machine, id)
    machine.store.update("image", id, {"gone": 1})
    machine.loop.wake("image", id)
    await asyncio.wait_for(machine.settle(), 5)
    assert (machine.row(id), await machine.facts(id)) == (None, Facts())


async def test_a_control_plane_that_stops_in_the_middle_leaves_it_to_the_next(machine: Machine, source: Source) -> None:
    source.files["/disk"] = data = DATA + bytes(4 << 20)
    source.slow = 0.05
    id, _ = begin(machine, "web-download", source)
    machine.loop.wake("image", id)
    await arriving(machine, id)
    await machine.loop.stop()
    source.slow = 0
    restart(machine)
    await machine.start()
    await machine.settle()
    check_whole(machine, id, data)


@pytest.mark.parametrize("staged", [None, 3])
async def test_after_a_restart_half_staged_data_is_let_go_and_whole_is_kept(machine: Machine, staged: int | None) -> None:
    id = machine.image("uploading", staged=staged)
    (machine.folder.stage if staged else machine.folder.partial)(id).write_bytes(b"abc")
    machine.boot()
    await machine.start()
    await machine.settle()
    row = machine.row(id)
    assert row
    assert row["status"] == ("uploading" if staged else "queued")
    assert await machine.facts(id) == (Facts(stage=True) if staged else Facts())


async def test_two_imports_at_a_time(machine: Machine, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = set(), []
    real: Callable[..., Any] = imports.examine

    async def watched(images: Any, path: Any, *rest: Any) -> Any:
        running.add(path)
        most.append(len(running))
        await asyncio.sleep(0.02)
        found = await real(images, path, *rest)
        running.discard(path)
        return found

    monkeypatch.setattr(imports, "examine", watched)
    ids = [begin(machine, "glance-direct", source)[0] for _ in range(5)]
    for id in ids:
        machine.loop.wake("image", id)
    await machine.settle()
    assert max(most) == 2
    assert {row["status"] for row in machine.store.find("image")} == {"active"}
