"""Servers brought in line: the row says what is wanted, the host what there is, `plan` (host.py) what is missing.

Also what facts change in the row: a guest that has powered itself off is stopped; one that was killed is started again. Not here: what a
verb means (actions), whether there is room (the create action), and what a guest asks for while it waits (live).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
from collections import deque
from collections.abc import Mapping
from typing import Any

from pileus.compute import states
from pileus.compute.actions.servers import finish_delete
from pileus.compute.host import ID, NOTHING, Disk, Facts, Guest, Guests, Power, Refused, Step, Unfit, Want, plan
from pileus.compute.live.content import describe, drive_files
from pileus.compute.reconcile import cards
from pileus.errors import HostError
from pileus.image.actions import base_of
from pileus.kit.clock import iso
from pileus.kit.context import INTERNAL, Cloud, Context
from pileus.kit.loop import GiveUp, Key, Look, Retry, Wait
from pileus.kit.store import Row
from pileus.openstack import record

log = logging.getLogger("pileus.compute")

KIND = "server"
NOSTATE, RUNNING, SHUTDOWN = 0, 1, 4  # nova/objects/fields.py, InstancePowerState
CMDLINE = "root=/dev/vda console=tty0 console=ttyS0 no_timer_check"  # as Nova starts a kernel whose image names no command line
ASK_AGAIN = 5.0  # seconds: a guest that is still booting does not hear its power button
START_TRIES = 3
ENDS, ENDS_WITHIN = 5, 600  # a guest that was killed or died so often within so many seconds is not started again


class Reconciler:
    """Looks at servers. At most max(2, cores) guests are being started at a time."""

    def __init__(self, cloud: Cloud, guests: Guests) -> None:
        self.cloud, self.guests = cloud, guests
        self._boots = asyncio.Semaphore(max(2, os.cpu_count() or 1))
        self._queueing = 0
        self._ends: dict[str, deque[int]] = {}

    def looks(self) -> dict[str, Look]:
        return {KIND: self.look}

    def give_ups(self) -> dict[str, GiveUp]:
        return {KIND: self.give_up}

    async def resync(self) -> None:
        """At start: wake every server that is not as it should be, and what the host has of servers that nobody knows."""
        observed = await self.guests.observe()
        for row in self.cloud.store.find("server"):
            facts = observed.pop(row["id"], NOTHING)
            if _settled(row, facts) is None or _changes(row, facts, self._now()) or facts.ended or self._cards_differ(row, facts):
                self.cloud.wake_now(KIND, row["id"])
        for id in observed:
            self.cloud.wake_now(KIND, id)

    def _cards_differ(self, row: Row, facts: Facts) -> bool:
        has = facts.nics is None or facts.nics == {nic.port for nic in cards.wanted(self.cloud.store, row["id"])}
        return not has or self.cloud.store.first("interface", {"server_id": row["id"]}) is not None

    async def watch(self) -> None:
        """Wake a server whenever its guest has ended. Runs as long as the cloud does; raises HostError when the host is lost."""
        async for kind, id in self.guests.events():
            self.cloud.wake_now(kind, id)

    async def look(self, id: str) -> float | None:
        if not ID.match(id):
            return None  # whoever writes a port's device_id may write anything
        facts = await self._observe(id)
        row = self.cloud.store.get("server", id, hidden=True)
        if row is None or row["deleted_at"] is not None:
            await self._carry_out(id, None, plan(Want(id, "gone", 0), facts))
            return None
        row = self._absorb(row, facts)
        cards.finish(self.cloud, row, facts)
        steps = plan(self._want(row), facts)
        moves = [step for step in steps if step.verb in ("plug", "unplug")]
        try:
            await self._carry_out(id, row, [step for step in steps if step not in moves])
            await self._move_cards(id, moves)
        except Unfit as error:
            self.give_up((KIND, id), error)
            return 0.0
        if steps:
            facts = await self._observe(id)
        return self._note(id, facts, steps)

    # -- facts into the row --------------------------------------------------------------------------------------------------

    async def _observe(self, id: str) -> Facts:
        try:
            return (await self.guests.observe(id)).get(id, NOTHING)
        except HostError as error:
            raise Retry(str(error)) from error  # the wish is not to blame: look again as long as it takes

    def _absorb(self, row: Row, facts: Facts) -> Row:
        """What the facts change in the wish, before anything is planned."""
        changes = absorb(row, facts)
        if changes:
            with self.cloud.store.transaction(durable=False):
                self.cloud.store.update("server", row["id"], changes)
        if row["power"] == "on" and facts.ended.get(row["generation"], 0) != 0:
            self._count_end(row, facts.ended[row["generation"]])
        return {**row, **changes}

    def _count_end(self, row: Row, status: int) -> None:
        """Note that a guest died; raises Retry, given up at once, when it does little else."""
        ends = self._ends.setdefault(row["id"], deque(maxlen=ENDS))
        ends.append(self._now())
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        log.warning("the guest of server %s ended %s and is started again", row["id"], how)
        if len(ends) == ENDS and ends[-1] - ends[0] < ENDS_WITHIN * 1_000_000:
            del self._ends[row["id"]]
            raise Retry(f"The guest ended {ENDS} times within {ENDS_WITHIN // 60} minutes, the last time {how}.", tries=1)

    def _note(self, id: str, facts: Facts, steps: list[Step]) -> float | None:
        """Write what was seen, measured by the row as it is now: the wish may have changed meanwhile (then another look is coming)."""
        row = self.cloud.store.get("server", id, hidden=True)
        if row is None or row["deleted_at"] is not None:
            return None
        if row["power"] == "gone":
            if facts == NOTHING:
                finish_delete(Context(self.cloud, INTERNAL), row)
                self._ends.pop(id, None)
                return None
            return self._next_look(row, facts) if steps else None
        cards.finish(self.cloud, row, facts)
        changes = _changes(row, facts, self._now())
        if changes:
            with self.cloud.store.transaction(durable=False):
                self.cloud.store.update("server", id, changes)
                if changes.get("task_state", "") is None or changes.get("vm_state"):
                    record.finish(self.cloud.store, id, self._now())
        return self._next_look(row, facts) if steps or self.cloud.store.first("interface", {"server_id": id}) else None

    def _next_look(self, row: Row, facts: Facts) -> float | None:
        """When to look again after steps were taken: a guest that was asked has until the deadline; what else is missing is done now."""
        missing = plan(self._want(row), facts)
        wishes = self.cloud.store.find("interface", {"server_id": row["id"]})
        if any(step.verb not in ("ask", "unplug") for step in missing):
            return 0.0
        if not missing and not wishes:
            return None
        ends = [wish["deadline"] for wish in wishes]
        if any(step.verb == "ask" for step in missing):
            ends.append(row["deadline"] or 0)
        return float(min(ASK_AGAIN, *(max((end - self._now()) / 1_000_000, 0.0) for end in ends)))

    def give_up(self, key: Key, error: Exception) -> None:
        """The server is in error, with a fault its owner can read; nothing of it is to run. It can be deleted, or rebooted hard."""
        id, now = key[1], self._now()
        row = self.cloud.store.get("server", id, hidden=True)
        if row is None or row["deleted_at"] is not None:
            return
        message = str(error) if isinstance(error, HostError | Retry) else "The control plane met an unexpected error; its log has it."
        fault = {"code": 500, "message": message.splitlines()[0][:255], "details": repr(error.__cause__ or error), "created": iso(now)}
        changes: dict[str, Any] = {"vm_state": states.ERROR, "task_state": None, "fault": json.dumps(fault)}
        if row["power"] != "gone":
            changes.update(power="off", soft=0, deadline=None)
        with self.cloud.store.transaction(durable=False):
            self.cloud.store.update("server", id, changes)
            record.finish(self.cloud.store, id, now, error=fault["message"])  # type: ignore[arg-type]
        log.error("server %s: %s", id, error)
        if row["power"] != "gone":
            self.cloud.wake_now(KIND, id)

    # -- the row into steps --------------------------------------------------------------------------------------------------

    def _want(self, row: Row) -> Want:
        power: Power = row["power"]
        if power == "on" and not row["placed"]:
            power = "off"
        soft = bool(row["soft"]) and row["deadline"] is not None and self._now() < row["deadline"]
        if power != "on":
            return Want(row["id"], power, row["generation"], soft=soft)
        return Want(
            row["id"],
            power,
            row["generation"],
            disk=disk_of(row),
            guest=Guest(row["name"], row["ram"], row["vcpus"], cards.wanted(self.cloud.store, row["id"]), cmdline_of(row), row["host_uid"]),
            drive=drive_files(describe(self.cloud.store, row)) if row["config_drive"] else None,
            soft=soft,
        )

    async def _carry_out(self, id: str, row: Row | None, steps: list[Step]) -> None:
        """Apply the steps up to the first that needs another object first, in one batch; a start in one of its own."""
        batch: list[Step] = []
        last: Step | None = None  # a start, or what cannot be done yet
        for step in steps:
            if step.verb == "start" or (row is not None and self._hindrance(row, step)):
                last = step
                break
            batch.append(step)
        try:
            if batch:
                await self.guests.apply(id, batch)
            if last is None or row is None:
                return
            if hindrance := self._hindrance(row, last):  # asked again: it may have come while the others were carried out
                raise hindrance
            if last.verb == "start":
                await self._start(row, last)
        except Unfit:
            raise
        except HostError as error:
            raise Retry(str(error), 1.0, tries=START_TRIES) from error

    async def _move_cards(self, id: str, steps: list[Step]) -> None:
        """Network cards into the running guest and out of it, each by itself: what keeps one keeps no other, and no server from running."""
        waits: list[Wait] = []
        for step in steps:
            port = self.cloud.store.get("port", step.nic.port) if step.nic else None
            hindrance = self._port_hindrance(port) if port else None
            if isinstance(hindrance, Wait):
                waits.append(hindrance)
            elif hindrance and step.nic:
                self._refused(step.nic.port, hindrance)
            else:
                try:
                    await self.guests.apply(id, [step])
                except Refused as error:
                    self._refused(error.port, error)
                except HostError as error:
                    raise Retry(str(error)) from error
        if waits:
            raise waits[0]

    def _refused(self, port: str, error: Exception) -> None:
        """A card that was asked for is given back; one that left against our wish, and does not come again, is tried again."""
        wish = self.cloud.store.first("interface", {"port_id": port, "verb": "attach"})
        if wish is None:
            raise Retry(str(error), ASK_AGAIN) from error
        cards.fail(self.cloud, wish, str(error))

    def _hindrance(self, row: Row, step: Step) -> Exception | None:
        """What a step has to wait for, or why it can never be done."""
        if step.verb == "make_disk" and step.disk:
            for image in filter(None, (step.disk.image, step.disk.kernel, step.disk.initrd)):
                base = base_of(self.cloud.store, image)
                if base.state == "making":
                    self.cloud.wake_now("image", image)  # it may have been taken out of the cache
                    return Wait("image", image)
                if base.state != "ready":
                    return Unfit(base.reason)
        elif step.verb == "start":
            if step.disk is None:
                return Unfit("This server names no image to start from.")
            for port in cards.ports(self.cloud.store, row["id"]):
                if hindrance := self._port_hindrance(port):
                    return hindrance
        return None

    def _port_hindrance(self, port: Row) -> Wait | Unfit | None:
        network = self.cloud.store.get("network", port["network_id"], hidden=True)
        switched_on = port["admin_state_up"] and network and network["admin_state_up"]
        if not switched_on or port["status"] == "ACTIVE":  # one that is switched off never is, and has a tap none the less
            return None
        if port["host_error"]:  # the next try of the server is one of the port as well
            self.cloud.wake_now("port", port["id"])
            return Unfit(f"Port {port['id']} could not be made: {port['host_error']}")
        return Wait("port", port["id"])

    async def _start(self, row: Row, step: Step) -> None:
        """Start the guest when its turn comes, if that is still what is wanted then."""
        assert step.guest is not None
        if self._boots.locked():
            with self.cloud.store.transaction(durable=False):
                record.note(self.cloud.store, row["id"], self._now(), f"waiting to start: {self._queueing} servers before this one")
        self._queueing += 1
        try:
            await self._boots.acquire()
        finally:
            self._queueing -= 1
        try:
            now = self.cloud.store.get("server", row["id"])
            if now is None or (now["power"], now["generation"]) != ("on", step.generation):
                return  # whoever changed the wish has asked for another look
            guest = dataclasses.replace(step.guest, nics=cards.wanted(self.cloud.store, row["id"]))
            await self.guests.apply(row["id"], [dataclasses.replace(step, guest=guest)])
        finally:
            self._boots.release()

    def _now(self) -> int:
        return self.cloud.clock.now()


# -- pure --------------------------------------------------------------------------------------------------------------------


def absorb(row: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """What facts change in a wish: a guest that ended well while it was wanted has been powered off from within."""
    if row["power"] == "on" and facts.ended.get(row["generation"]) == 0:
        return {"power": "off", "soft": 0, "deadline": None}
    return {}


def _settled(row: Mapping[str, Any], facts: Facts) -> str | None:
    """The stable state that row and facts agree on, or None while they do not."""
    if row["power"] == "on":
        return states.ACTIVE if list(facts.living) == [row["generation"]] else None
    if row["power"] == "off":
        return None if facts.living else states.STOPPED
    return None


def _changes(row: Mapping[str, Any], facts: Facts, now: int) -> dict[str, Any]:
    """The observed columns as they should read, as far as they do not."""
    power_state = RUNNING if facts.living else SHUTDOWN if facts.folder else NOSTATE
    seen: dict[str, Any] = {"power_state": power_state}
    state = _settled(row, facts)
    if state is not None and (row["vm_state"] != states.ERROR or row["task_state"] is not None):
        seen.update(vm_state=state, task_state=None, fault=None, soft=0, deadline=None)
        if state == states.ACTIVE and row["launched_at"] is None:
            seen["launched_at"] = now
    return {column: value for column, value in seen.items() if row[column] != value}


def disk_of(row: Mapping[str, Any]) -> Disk | None:
    """The disk that a server's row asks for; None when it names no image."""
    if not row["image_id"]:
        return None
    properties = json.loads(row["image"]).get("properties", {})
    return Disk(row["image_id"], row["disk"], properties.get("kernel_id") or None, properties.get("ramdisk_id") or None)


def cmdline_of(row: Mapping[str, Any]) -> str:
    """What the kernel is told, when the image names one."""
    properties = json.loads(row["image"]).get("properties", {})
    return str(properties.get("os_command_line") or CMDLINE)
