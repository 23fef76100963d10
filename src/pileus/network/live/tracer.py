"""Answers the questions that a walk (network/trace) has to the host, one after the other, and runs it again until it needs none.

Also `mend`: has the reconciler look at an object anew, after what hides behind a seal was made visible. Not here: the walk itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from pileus.errors import BadRequest, HostError
from pileus.kit.context import Cloud, Context
from pileus.kit.policy import PROJECT_MEMBER, allow, require
from pileus.network.actions.scope import find, owned
from pileus.network.host import Knock, Networks, PortWant, Want
from pileus.network.reconcile.plan import plan_group, plan_network, plan_port, plan_router
from pileus.network.trace.report import Report
from pileus.network.trace.trace import Wish, trace
from pileus.network.trace.world import GuestSight, Lease, Missing, Question, World, want_of

QUESTIONS_MOST = 400  # of one walk
PATIENCE = 3.0  # seconds in which what the control plane is at is waited for
PAUSE = 0.2
MEND_PATIENCE = 10.0
AT_ONCE = 2  # walks: a knock holds a thread of the driver's for up to a second
KINDS = {"network": "network", "port": "port", "router": "router", "security-group": "security_group"}


class Servers(Protocol):
    """What the walk has to know of servers, which are not this service's."""

    def find(self, ctx: Context, word: str) -> list[tuple[str, str]]:
        """(id, name) of the servers that the caller may see by this id or name."""

    async def look(self, id: str) -> GuestSight | None:
        """A server as it is now; None when there is none of this id."""


class Work(Protocol):
    """What the loop tells of looks that are not done."""

    def pending(self, kind: str, id: str) -> str:
        """Why an object's look is not done; empty when it is."""

    async def settled(self, seconds: float) -> None:
        """Wait until no look is under way, for so long."""


Resolver = Callable[[str, str], Awaitable[tuple[str, tuple[str, ...]]]]  # a network's id and a name, to what its DNS says


class Tracer:
    """`leases`: what DHCP last told a port."""

    def __init__(
        self, cloud: Cloud, driver: Networks, servers: Servers, work: Work, resolve: Resolver, leases: Callable[[str], Lease | None]
    ) -> None:
        self.cloud, self.driver = cloud, driver
        self._servers, self._work, self._resolve, self._leases = servers, work, resolve, leases
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def trace(self, ctx: Context, wish: Wish) -> Report:
        """Follow a packet. What the host shows in passing, while the control plane is at work, is looked at again."""
        require(ctx, follow)
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        looked = 0
        while True:
            async with self._turns:
                report = await self._once(ctx, wish)
            looked += 1
            passing = report.verdict.cause == "in-flight" or (report.verdict.cause == "drift" and looked == 1)
            if not passing or loop.time() > until:
                return report
            await asyncio.sleep(PAUSE)

    async def _once(self, ctx: Context, wish: Wish) -> Report:
        answers: dict[Question, Any] = {}
        for _ in range(QUESTIONS_MOST):
            try:
                return follow(ctx, self._world(ctx, answers), self._servers, wish)
            except Missing as missing:
                answers[missing.question] = await self._answer(missing.question)
        raise HostError(f"more than {QUESTIONS_MOST} questions about one packet")

    def _world(self, ctx: Context, answers: dict[Question, Any]) -> World:
        project = None if ctx.is_admin else ctx.project_id
        return World(self.cloud.store, project, answers, self._leases, self._work.pending)

    async def _answer(self, question: Question) -> Any:
        store = self.cloud.store
        match question:
            case "observe", str(kind), str(id):
                return await self.driver.observe(want_of(store, kind, id))
            case "flaws", str(kind), str(id):
                return await self.driver.flaws(want_of(store, kind, id))
            case "knock", str(id), Knock() as knock:
                want = want_of(store, "port", id)
                assert isinstance(want, PortWant)
                return await self.driver.knock(want, knock)
            case "guest", str(id):
                return await self._servers.look(id)
            case ("wire",):
                return await self.driver.wire()
            case "name", str(network_id), str(name):
                return await self._resolve(network_id, name)
        raise TypeError(f"nobody answers {question!r}")

    # -- mending ----------------------------------------------------------------------------------------------------------

    async def mend(self, ctx: Context, kind: str, id: str) -> dict[str, Any]:
        """Compare an object with the host, thoroughly, and have what differs built anew; tells what it was and what is left."""
        require(ctx, mend)
        if kind == "wire":
            return await self._mend_wire(ctx)
        if kind not in KINDS:
            raise BadRequest(f"Nothing of the kind {kind!r} can be mended; there are {', '.join([*KINDS, 'wire'])}.")
        table = KINDS[kind]
        mend(ctx, table, id)
        want = want_of(self.cloud.store, table, id)
        found = await self._differences(want)
        await self.driver.restore(want)
        self.cloud.wake_now(table, id)
        await self._work.settled(MEND_PATIENCE)
        return {"kind": kind, "id": id, "found": found, "left": await self._differences(want_of(self.cloud.store, table, id))}

    async def _mend_wire(self, ctx: Context) -> dict[str, Any]:
        if not ctx.is_admin:
            raise BadRequest("The wire outside belongs to nobody's project: only an admin may mend it.")
        found = [] if (await self.driver.wire()).up else ["the wire is down"]
        await self.driver.prepare()
        left = [] if (await self.driver.wire()).up else ["the wire is down"]
        return {"kind": "wire", "id": None, "found": found, "left": left}

    async def _differences(self, want: Want) -> list[str]:
        facts: Any = await self.driver.observe(want)
        plans: dict[str, Any] = {"NetworkWant": plan_network, "PortWant": plan_port, "GroupWant": plan_group, "RouterWant": plan_router}
        steps = [step.verb for step in plans[type(want).__name__](want, facts)]
        return [*dict.fromkeys(steps), *(await self.driver.flaws(want) if facts else [])]


@allow(PROJECT_MEMBER, "pileus:traces:create")
def follow(ctx: Context, world: World, servers: Servers, wish: Wish) -> Report:
    """Follow a packet between what the caller may see."""
    return trace(world, lambda word: servers.find(ctx, word), wish)


@allow(PROJECT_MEMBER, "pileus:mends:create")
def mend(ctx: Context, table: str, id: str) -> None:
    """Have an object of the caller's own built anew where the host differs. Raises NotFound, Forbidden."""
    owned(ctx, find(ctx, table, id), "pileus:mends:create")


def encoded(report: Report) -> dict[str, Any]:
    """A report as JSON has it."""
    told: dict[str, Any] = msgspec.to_builtins(report)
    return told
