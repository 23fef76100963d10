"""The reconciler's loop: one worker per object, wakes that merge, retries that grow, waits that end, giving up."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from pileus.kit.loop import Killed, Loop, Retry, Wait


async def test_wakes_before_a_look_are_one_look_and_one_during_it_is_one_more() -> None:
    looks: Counter[str] = Counter()
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def look(id: str) -> None:
        looks[id] += 1
        if looks[id] == 1:
            entered.set()
            await go_on.wait()

    loop = Loop({"thing": look})
    for _ in range(5):
        loop.wake("thing", "1")
    await entered.wait()
    for _ in range(5):
        loop.wake("thing", "1")
    go_on.set()
    await loop.settle()
    assert looks == {"1": 2}


async def test_one_worker_per_object_and_a_limit_per_kind() -> None:
    running: set[str] = set()
    most = 0

    async def look(id: str) -> None:
        nonlocal most
        assert id not in running
        running.add(id)
        most = max(most, len(running))
        await asyncio.sleep(0.001)
        running.discard(id)

    loop = Loop({"thing": look}, limits={"thing": 3})
    for i in range(20):
        loop.wake("thing", str(i % 10))
    await loop.settle()
    assert most == 3


async def test_a_retry_waits_longer_each_time_and_a_wake_cuts_it_short() -> None:
    tries = 0

    async def look(id: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Retry("not yet", delay=100)

    loop = Loop({"thing": look})
    loop.wake("thing", "1")
    await loop.settle()
    now = asyncio.get_running_loop().time()
    first = loop.timers["thing", "1"].when() - now
    assert loop.reasons["thing", "1"] == "not yet"
    loop.wake("thing", "1")
    await loop.settle()
    assert first == pytest.approx(60, abs=1)  # the longest delay there is
    loop.wake("thing", "1")
    loop.wake("thing", "1")
    await loop.settle()
    loop.wake("thing", "1")
    await loop.settle()
    assert not loop.reasons
    await loop.stop()


async def test_who_waits_is_looked_at_when_the_other_is_there() -> None:
    order: list[str] = []
    ready = False

    async def server(id: str) -> None:
        order.append("server")
        if not ready:
            raise Wait("port", "p")

    async def port(id: str) -> None:
        nonlocal ready
        order.append("port")
        ready = True

    loop = Loop({"server": server, "port": port})
    loop.wake("server", "s")
    await loop.settle()
    loop.wake("port", "p")
    await loop.settle()
    assert order == ["server", "port", "server"]


async def test_a_finished_look_wakes_what_depends_on_it() -> None:
    seen: list[tuple[str, str]] = []

    async def group(id: str) -> None:
        seen.append(("group", id))

    async def port(id: str) -> None:
        seen.append(("port", id))

    loop = Loop({"group": group, "port": port}, wakes={"group": lambda id: [("port", "a"), ("port", "b")]})
    loop.wake("group", "g")
    await loop.settle()
    assert sorted(seen) == [("group", "g"), ("port", "a"), ("port", "b")]


@pytest.mark.parametrize("error", [ValueError("nobody expected this"), Retry("never", 0.0, tries=3)])
async def test_what_keeps_failing_is_given_up_once(error: Exception) -> None:
    given_up: list[str] = []
    tries = 0

    async def look(id: str) -> None:
        nonlocal tries
        tries += 1
        raise error

    loop = Loop()
    loop.register("thing", look, lambda key, why: given_up.append(str(why)))
    loop.wake("thing", "1")
    for _ in range(10):
        await loop.settle()
        if ("thing", "1") not in loop.timers:
            break
        loop.wake("thing", "1")
    assert (tries, given_up) == (3, [str(error)])
    await loop.stop()


async def test_a_planted_crash_reaches_the_test() -> None:
    async def look(id: str) -> None:
        try:
            raise Killed
        except Exception:
            pytest.fail("a crash was caught")

    loop = Loop({"thing": look})
    loop.wake("thing", "1")
    with pytest.raises(Killed):
        await loop.settle()


async def test_a_stopped_loop_starts_nothing() -> None:
    looks = 0

    async def look(id: str) -> float:
        nonlocal looks
        looks += 1
        return 0.0

    loop = Loop({"thing": look})
    loop.wake("thing", "1")
    await asyncio.sleep(0.01)
    await loop.stop()
    before = looks
    loop.wake("thing", "1")
    await asyncio.sleep(0.01)
    assert looks == before > 0
