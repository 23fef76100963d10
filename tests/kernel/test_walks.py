"""Random walks: topologies that change at random by requests of the API, and after each few changes every pair is asked with packets.

Two projects have the same ranges. What answers must be what the independent model says, and no frame of one project may come to a guest of
the other. A failure prints its seed and all that was done; PILEUS_WALK_SEED repeats it, PILEUS_WALKS says how many there are.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pileus.app import App, build, linux_drivers
from pileus.config import Paths, Settings
from pileus.drivers.datacenter import Datacenter
from pileus.drivers.linuxnet import rules
from tests.conftest import PASSWORD, Client
from tests.kernel.walk_guests import Guests
from tests.kernel.walk_questions import differences, due, questions
from tests.kernel.walk_steps import PROJECTS, Steps

pytestmark = pytest.mark.kernel
SEED = int(os.environ.get("PILEUS_WALK_SEED", "1"))
WORLD = 25  # walks in one topology, before another begins
CHANGES = 4  # between two rounds of questions


class Walk:
    """One topology in a cloud in this process, over the real network drivers."""

    def __init__(self, app: App, datacenter: Datacenter, steps: Steps) -> None:
        self.app, self.steps = app, steps
        self.guests = Guests(datacenter, app.drivers.networks.open_tap)  # type: ignore[attr-defined]
        self.asked = self.answered = 0

    async def settle(self) -> None:
        end = time.monotonic() + 60
        await self.app.loop.settle()
        while self.app.loop.reasons and time.monotonic() < end:  # a chain is looked at again when nothing refers to it any more
            await asyncio.sleep(0.1)
            await self.app.loop.settle()
        assert not self.app.loop.reasons, self.story([str(reason) for reason in self.app.loop.reasons.items()])
        await asyncio.to_thread(self.guests.follow, self.steps.world)

    async def step(self) -> list[str]:
        """Some changes, then all questions; what is answered otherwise than the model says."""
        for _ in range(self.steps.random.randint(1, CHANGES)):
            await self.steps.change()
        return await self.compare()

    async def compare(self) -> list[str]:
        await self.settle()
        world = self.steps.world
        wanted = due(world, questions(world))
        self.asked += len(wanted)
        self.answered += sum(answer is not None for answer in wanted.values())
        return await asyncio.to_thread(differences, self.guests, wanted)

    def story(self, found: list[str]) -> str:
        return "\n".join(["what was done:", *self.steps.said, "what differs:", *found[:40]])


def walks(datacenter: Datacenter, seed: int, scene: Callable[[Walk], Awaitable[None]]) -> None:
    """A scene in a fresh cloud."""

    async def main() -> None:
        settings = Settings(drivers="linux", synchronous="off", outbound="none")
        drivers = linux_drivers(settings, datacenter, Path("/nonexistent"))
        app = build(settings, Paths.resolve(), PASSWORD, drivers=drivers, data=datacenter.root, memory=True)
        await app.start()
        client = Client(app)
        await client.sign_in("admin", PASSWORD, {"project": {"name": "admin", "domain": {"id": "default"}}}, save="admin")
        for project in PROJECTS:
            await client.member(f"project{project}", f"user{project}", save=str(project))
        public = (await client("GET", "/network/v2.0/networks?router:external=true"))["networks"][0]["id"]
        walk = Walk(app, datacenter, Steps(client, public, seed))
        try:
            await walk.steps.begin()
            await scene(walk)
        finally:
            walk.guests.close()
            await app.stop()

    uvloop.run(main())


def many(count: int, seed: int) -> Callable[[Datacenter], tuple[int, int, int]]:
    """So many walks in one topology; returns how much was asked, answered and heard."""

    def call(datacenter: Datacenter) -> tuple[int, int, int]:
        signal.alarm(60 + 20 * count)
        total = (0, 0, 0)

        async def scene(walk: Walk) -> None:
            nonlocal total
            for _ in range(count):
                found = await walk.step()
                assert not found, walk.story(found)
                assert not walk.guests.strange, walk.story(walk.guests.strange)
            total = walk.asked, walk.answered, walk.guests.heard

        walks(datacenter, seed, scene)
        return total

    return call


def run(inside: Any, count: int, seed: int) -> None:
    began = time.monotonic()
    print(f"seed {seed}")
    asked, answered, heard = inside(many(count, seed))
    print(f"{count} walks in {time.monotonic() - began:.1f} s: {asked} questions, {answered} answered, {heard} frames heard")
    assert 0.02 < answered / asked < 0.9, "a topology in which all or nothing is reachable shows nothing"
    assert heard > answered, "who counts the other project's packets hears its own"


def test_some_walks(inside: Any) -> None:
    run(inside, int(os.environ.get("PILEUS_WALKS", "20")), SEED)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_many_walks(inside: Any, number: int) -> None:
    run(inside, WORLD, 1000 * SEED + number)


# -- these tests can fail ------------------------------------------------------------------------------------------------------


async def until_different(walk: Walk) -> None:
    for _ in range(10):
        if await walk.step():
            return
    raise AssertionError("nobody noticed")


def with_a_flipped_rule(datacenter: Datacenter) -> None:
    """The model takes one group's ingress rule for an egress rule."""

    async def scene(walk: Walk) -> None:
        assert await walk.compare() == []
        port = next(port for port in walk.steps.world.ports.values() if port.groups)
        for rule in walk.steps.world.groups[min(port.groups)].rules:
            rule.direction = {"ingress": "egress", "egress": "ingress"}[rule.direction]
        await until_different(walk)

    walks(datacenter, SEED, scene)


def with_a_chain_off(datacenter: Datacenter) -> None:
    """The product lets everything in."""
    real = rules._judgement
    rules._judgement = lambda want, way: ["accept"] if way == "in" else real(want, way)  # type: ignore[assignment]
    walks(datacenter, SEED, until_different)


@pytest.mark.parametrize("mutant", [with_a_flipped_rule, with_a_chain_off])
def test_a_difference_is_noticed(inside: Any, mutant: Callable[[Datacenter], None]) -> None:
    inside(mutant)
