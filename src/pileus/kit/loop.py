"""The reconciler: one worker per object, woken by writes, by what it waited for, and by the clock, that drives the host towards the row.

Level-triggered: a look never asks what happened. Not here: what a look does (each service's reconcile.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pileus.errors import HostError

log = logging.getLogger("pileus.loop")

Key = tuple[str, str]  # kind, id
Look = Callable[[str], Awaitable[float | None]]  # takes an id, returns seconds until the next look, or None
GiveUp = Callable[[Key, Exception], None]

LONGEST_DELAY = 60.0  # seconds between two tries of what keeps failing
TRIES = 3  # of an exception that nobody expected
HOST_TRIES = 6  # of a host that will not do what a driver asked: over 8 s


class Retry(Exception):
    """Not yet: look again after `delay` seconds, doubled each time. With `tries`, give up after so many; the kind says what that means."""

    def __init__(self, reason: str, delay: float = 0.5, *, tries: int | None = None) -> None:
        super().__init__(reason)
        self.delay, self.tries = delay, tries


class Wait(Exception):
    """This object needs another one first: look again when a look at (kind, id) has succeeded."""

    def __init__(self, kind: str, id: str, reason: str = "") -> None:
        super().__init__(reason or f"waiting for {kind} {id}")
        self.key: Key = (kind, id)


class Killed(BaseException):
    """The crash that tests plant: no handler may catch it."""


@dataclass
class Loop:
    """Workers of all kinds. `limits` bounds the looks of a kind that run side by side; `wakes` names what a finished look wakes."""

    kinds: dict[str, Look] = field(default_factory=dict)
    give_up: dict[str, GiveUp] = field(default_factory=dict)
    wakes: Mapping[str, Callable[[str], Iterable[Key]]] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    default_limit: int = 64
    tasks: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    timers: dict[Key, asyncio.TimerHandle] = field(default_factory=dict)
    again: set[Key] = field(default_factory=set)
    attempts: dict[Key, int] = field(default_factory=dict)
    reasons: dict[Key, str] = field(default_factory=dict)  # why an object is not there yet: what `status` shows
    waiters: dict[Key, set[Key]] = field(default_factory=lambda: defaultdict(set))
    alarms: dict[Key, asyncio.Event] = field(default_factory=dict)
    killed: Killed | None = None
    _slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _stopping: bool = False

    def register(self, kind: str, look: Look, give_up: GiveUp | None = None) -> None:
        self.kinds[kind] = look
        if give_up:
            self.give_up[kind] = give_up

    def wake(self, kind: str, id: str) -> None:
        """Ask for a look at an object, now: a wait for a retry is cut short; asking twice before the look starts is one look.

        Before the loop runs (an action at start-up) a wake is nothing: the first look at everything comes at start.
        """
        key = kind, id
        if kind not in self.kinds or self._stopping:
            return
        if timer := self.timers.pop(key, None):
            timer.cancel()
        if key in self.tasks:
            self.again.add(key)
            if alarm := self.alarms.get(key):
                alarm.set()
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return
        self.tasks[key] = running.create_task(self._work(key), name=f"reconcile {kind} {id}")

    def woken(self, key: Key) -> asyncio.Event:
        """Set when the object is woken during the look under way: awaited beside a long step, to see whether that is still wanted."""
        return self.alarms.setdefault(key, asyncio.Event())

    async def settle(self) -> None:
        """Wait until no look is under way (retries that wait for the clock are not looks). Raises what a test planted."""
        while self.tasks and not self.killed:
            await asyncio.wait(list(self.tasks.values()), return_when=asyncio.FIRST_COMPLETED)
        if self.killed:
            raise self.killed

    async def settled(self, seconds: float) -> None:
        """The same for somebody who cannot wait for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.settle()

    def pending(self, kind: str, id: str) -> str:
        """Why an object is not done yet, in words; empty when nobody is at it."""
        key = kind, id
        if key in self.reasons:
            return self.reasons[key]
        return "it is being looked at" if key in self.tasks else "it will be looked at again" if key in self.timers else ""

    async def stop(self) -> None:
        """End all workers where they stand; what is half done is found again by the next start."""
        self._stopping = True
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, key: Key) -> None:
        kind, id = key
        slots = self._slots.setdefault(kind, asyncio.Semaphore(self.limits.get(kind, self.default_limit)))
        delay: float | None = None
        try:
            async with slots:
                self.again.discard(key)  # what was asked for while queueing is answered by this look
                delay = await self._look(key)
        except Killed as killed:
            self.killed = killed
        finally:
            self.tasks.pop(key, None)
            self.alarms.pop(key, None)
        if self.killed or self._stopping:
            return
        if key in self.again:
            self.again.discard(key)
            self.wake(kind, id)
        elif delay is not None:
            self.timers[key] = asyncio.get_running_loop().call_later(delay, self.wake, kind, id)

    async def _look(self, key: Key) -> float | None:
        """One look; returns when to look again by the clock."""
        kind, id = key
        try:
            delay = await self.kinds[kind](id)
        except Wait as wait:
            self.waiters[wait.key].add(key)
            self.reasons[key] = str(wait)
            return None
        except Retry as retry:
            return self._again(key, retry, retry.delay, retry.tries)
        except HostError as error:
            log.warning("look at %s %s: %s", kind, id, error)
            return self._again(key, error, 0.25, HOST_TRIES)
        except Exception as error:
            log.exception("look at %s %s failed", kind, id)
            return self._again(key, error, 0.5, TRIES)
        self.attempts.pop(key, None)
        self.reasons.pop(key, None)
        self._pass_on(key)
        return delay

    def _again(self, key: Key, error: Exception, delay: float, tries: int | None) -> float | None:
        attempt = self.attempts[key] = self.attempts.get(key, 0) + 1
        self.reasons[key] = str(error)
        if tries is not None and attempt >= tries:
            self.attempts.pop(key, None)
            if give_up := self.give_up.get(key[0]):
                give_up(key, error)
                self._pass_on(key)  # who waits for this object reads of its failure
                return None
        return float(min(delay * 2 ** min(attempt - 1, 20), LONGEST_DELAY))

    def _pass_on(self, key: Key) -> None:
        for waiter in self.waiters.pop(key, ()):
            self.wake(*waiter)
        if also := self.wakes.get(key[0]):
            for other in also(key[1]):
                self.wake(*other)
