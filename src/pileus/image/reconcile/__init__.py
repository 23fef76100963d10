"""How the host is brought in line with the rows: imports are carried out, bases are made, and files go that no row wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Literal

from pileus.errors import HostError
from pileus.image import actions
from pileus.image.host import Facts, Folder, Images, Step, Verb, Want
from pileus.image.inspect import DEFAULT
from pileus.image.reconcile.imports import DRIVERS, Imports
from pileus.kit.context import Cloud
from pileus.kit.loop import GiveUp, Key, Look, Loop, Retry
from pileus.kit.store import Row

KIND = "image"
TRIES = 4  # of a conversion that fails: a full disk may be emptied, a bad image stays bad
FILES_ONLY = ("aki", "ari")  # used as files: kernels and ramdisks
NO_DISKS = ("ovf", "ova", "docker", "compressed")  # containers that are kept and handed out, never opened


def want_of(id: str, row: Mapping[str, Any] | None) -> Want:
    """What a row asks of the host; no row, or one that is gone, asks for nothing."""
    if row is None or row["gone"] or row["status"] == "queued":
        return Want(id, "none", "none")
    if row["status"] == "saving" or (row["status"] == "uploading" and row["staged"] is None):
        return Want(id, "receiving", "none")
    if row["status"] in ("uploading", "importing"):
        return Want(id, "staged" if row["status"] == "uploading" else "importing", "none")
    driver = DRIVERS.get(row["disk_format"], "raw")
    if row["disk_format"] in FILES_ONLY or row["container_format"] in NO_DISKS:
        return Want(id, "keep", "none", driver)
    base: Literal["none", "link", "convert"] = "none" if not row["cached"] else "link" if driver == "qcow2" else "convert"
    return Want(id, "keep", base, driver, row["virtual_size"] or row["size"] or 0)


def plan(want: Want, facts: Facts) -> list[Step]:
    """The steps that are missing."""
    steps = [Step(verb) for verb in unwanted(want, facts)]
    if want.base == "none" and facts.base:
        steps.append(Step("drop_base"))
    if want.base != "none" and not facts.base and facts.upload:
        steps.append(Step(want.base, want.driver, want.virtual_size))
    return steps


def unwanted(want: Want, facts: Facts) -> list[Verb]:
    """What takes away the files that an image in this state has no use for. Those of an upload or import under way are its own business."""
    kept = {
        "receiving": "partial upload stage converted",
        "importing": "partial upload stage converted",
        "keep": "upload",
        "staged": "stage",
    }
    there = kept.get(want.upload, "").split()
    drops: dict[str, Verb] = {
        "partial": "drop_partial", "stage": "drop_stage", "converted": "drop_converted", "upload": "drop_upload",
    }  # fmt: skip
    return [verb for fact, verb in drops.items() if getattr(facts, fact) and fact not in there]


class Reconciler:
    """Looks at images: one at a time at a conversion, two at an import, side by side at everything else."""

    def __init__(self, cloud: Cloud, images: Images, loop: Loop | None = None, *, data: Path) -> None:
        self.cloud, self.images, self.loop = cloud, images, loop
        self._converting = asyncio.Semaphore(1)
        self._importing = asyncio.Semaphore(2)
        self._imports = Imports(cloud, images, Folder(data), DEFAULT, self._convert)

    def looks(self) -> dict[str, Look]:
        return {KIND: self.look}

    def give_ups(self) -> dict[str, GiveUp]:
        return {KIND: self.give_up}

    async def resync(self) -> None:
        """At start: wake every image whose host differs from its row."""
        for key in await self.differing():
            self.cloud.wake_now(*key)

    async def differing(self) -> list[Key]:
        """After a restart: uploads without a client are let go of; returns the images whose host differs from their row."""
        actions.release_uploads(self.cloud)
        seen = await self.images.observe()
        rows = {row["id"]: row for row in self.cloud.store.find("image", hidden=True)}
        return [(KIND, id) for id in sorted(rows.keys() | seen.keys()) if self._differs(id, rows.get(id), seen.get(id, Facts()))]

    def _differs(self, id: str, row: Row | None, facts: Facts) -> bool:
        if row is not None and (row["gone"] or row["status"] == "importing"):
            return True
        if row is not None and row["status"] in ("active", "deactivated") and row["cached"] and row["host_status"] != "ready":
            return True
        return bool(plan(want_of(id, row), facts))

    async def look(self, id: str) -> None:
        """Bring one image's files in line with its row."""
        await self._import(id)
        row = self.cloud.store.get("image", id, hidden=True)
        facts = (await self.images.observe(id)).get(id, Facts())
        want = want_of(id, row)
        try:
            for step in plan(want, facts):
                await (self._convert(id, step) if step.verb == "convert" else self.images.apply(id, step))
        except HostError as error:
            raise Retry(str(error), 1.0, tries=TRIES) from error
        after = (await self.images.observe(id)).get(id, Facts())
        self._absorb(id, want, after)

    async def _import(self, id: str) -> None:
        """Carry out the import under way, if there is one."""
        if not actions.task_of(self.cloud.store, id):
            return
        try:
            async with self._importing:
                await self._while_wanted(id, ("importing",), self._imports.carry_out(id))
        except HostError as error:
            raise Retry(str(error), 1.0, tries=TRIES) from error

    async def _convert(self, id: str, step: Step) -> None:
        """Queue for a conversion; it takes as long as the disk does."""
        async with self._converting:
            await self._while_wanted(id, ("active", "deactivated", "importing"), self._apply(id, step))

    async def _apply(self, id: str, step: Step) -> None:
        await self.images.apply(id, step)

    async def _while_wanted(self, id: str, statuses: tuple[str, ...], long: Coroutine[Any, Any, None]) -> None:
        """Long work ends early when the image is wished away, or into another state, meanwhile."""
        if self._unwanted(id, statuses):
            long.close()
            return
        work = asyncio.ensure_future(long)
        woken = self.loop.woken((KIND, id)) if self.loop else asyncio.Event()
        try:
            while not work.done() and not self._unwanted(id, statuses):
                woken.clear()
                await _first(work, woken.wait())
        finally:
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    def _unwanted(self, id: str, statuses: tuple[str, ...]) -> bool:
        row = self.cloud.store.get("image", id)
        return row is None or row["status"] not in statuses

    def _absorb(self, id: str, want: Want, facts: Facts) -> None:
        """Write down what is there. A row that is gone goes when its files have."""
        with self.cloud.store.transaction(durable=False):
            row = self.cloud.store.get("image", id, hidden=True)
            if row is None:
                return
            if row["gone"]:
                if facts == Facts():
                    self.cloud.store.delete("image", {"id": id})
                return
            if want.upload != "keep":
                return
            if not facts.upload:
                self._note(row, "error", "The image's file is missing from the data folder. Delete the image and upload it again.")
            elif not row["cached"]:
                self._note(row, "", None)  # taken out of the cache: nobody waits for it
            elif want.base == "none" or facts.base:
                self._note(row, "ready", None)

    def _note(self, row: Row, status: str, error: str | None) -> None:
        if (row["host_status"], row["host_error"]) != (status, error):
            since = {"based_at": self.cloud.clock.now()} if status == "ready" else {}
            self.cloud.store.update("image", row["id"], {"host_status": status, "host_error": error, **since})

    def give_up(self, key: Key, error: Exception) -> None:
        """What failed too often is written down; who waits for the image reads it there."""
        with self.cloud.store.transaction(durable=False):
            row = self.cloud.store.get("image", key[1], hidden=True)
            if row is not None and row["status"] == "importing":
                actions.fail_import(self.cloud, key[1], str(error))
                self.cloud.store.after_commit(lambda: self.cloud.wake_now(*key))
            elif row is not None and not row["gone"]:
                self._note(
                    row,
                    "error",
                    f"The image could not be prepared for guests: {error} Try again with `openstack image set --activate {key[1]}`.",
                )


async def _first(*work: Awaitable[Any]) -> None:
    """Wait for whichever comes first; what was only made for this wait is cancelled."""
    given = [item for item in work if isinstance(item, asyncio.Future)]
    made = [asyncio.ensure_future(item) for item in work if not isinstance(item, asyncio.Future)]
    try:
        await asyncio.wait([*given, *made], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in made:
            task.cancel()
