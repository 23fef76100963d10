"""Guests of the fake host: no machine runs, but disks, processes, endings and the console log are kept as the real driver keeps them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pileus.compute.host import GIB, SLOTS, Facts, Features, Process, Refused, Step, Stream, Unfit
from pileus.drivers.fake.host import FakeHost
from pileus.errors import HostError
from pileus.kit.loop import Key

Record = dict[str, Any]
GREETING = "[    0.000000] Linux version 6.1.0-fake\n[    0.000001] Command line: {cmdline}\n{name} login: "


class FakeGuests:
    """Implements `Guests`. `deaf`: guests answer neither their power button nor the wish that they let go of a card."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.deaf = False
        self._records: dict[str, Record] = host.part("guests")
        self._watchers: set[asyncio.Queue[Key]] = set()

    @property
    def features(self) -> Features:
        return Features("fake", frozenset({"serial"}))

    def host_facts(self) -> dict[str, Any]:
        """A machine that is large enough for every exercise."""
        return {
            "hostname": "pileus",
            "vcpus": 64,
            "memory_mb": 262144,
            "overhead_mb": 0,
            "disk_gb": 10000,
            "uid_count": 65535,
            "nic_count": SLOTS,
            "arch": os.uname().machine,
            "cpu_model": "fake",
            "cpu_vendor": "fake",
            "cpu_features": [],
            "hypervisor_type": "fake",
            "hypervisor_version": 1000000,
        }

    async def observe(self, id: str | None = None) -> dict[str, Facts]:
        chosen = self._records if id is None else {id: self._records[id]} if id in self._records else {}
        return {one: _facts(record) for one, record in chosen.items()}

    async def apply(self, id: str, steps: Sequence[Step]) -> None:
        for step in steps:
            await self.host.step(id, step.verb)
            record = self._records.setdefault(id, {"folder": False, "living": {}, "ended": {}, "log": ""})
            getattr(self, f"_{step.verb}")(record, step, id)
            if record == {**record, "folder": False, "living": {}, "ended": {}}:
                del self._records[id]
            self.host.save()

    async def console(self, id: str) -> Stream:
        """A line that gives back what it is sent."""
        if not self._records.get(id, {}).get("living"):
            raise HostError(f"server {id} has no console: its guest does not run")
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near)
        echo_reader, echo_writer = await asyncio.open_connection(sock=far)

        async def echo() -> None:
            while data := await echo_reader.read(4096):
                echo_writer.write(data)
            echo_writer.close()

        task = asyncio.create_task(echo())
        task.add_done_callback(lambda _: None)
        self._echo = task  # the loop itself keeps only a weak reference
        return Stream(reader, writer)

    async def console_log(self, id: str, size: int) -> bytes:
        text: str = self._records.get(id, {}).get("log", "")
        return text.encode()[-size:]

    async def events(self) -> AsyncIterator[Key]:
        queue: asyncio.Queue[Key] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            for id, record in list(self._records.items()):
                if record["ended"]:
                    yield "server", id
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    # -- what a test, or a guest of its own accord, does ---------------------------------------------------------------------

    def end(self, id: str, status: int) -> None:
        """The guest ends: 0 as if it had powered itself off, minus a signal as if it had been killed."""
        record = self._records[id]
        generation, _ = record["living"].popitem()
        record["ended"][generation] = status
        self.host.save()
        for queue in self._watchers:
            queue.put_nowait(("server", id))

    def write(self, id: str, text: str) -> None:
        """The guest writes to its serial line."""
        self._records[id]["log"] += text
        self.host.save()

    # -- steps ---------------------------------------------------------------------------------------------------------------

    def _make_disk(self, record: Record, step: Step, id: str) -> None:
        assert step.disk is not None
        record["folder"] = True
        record.setdefault("disk", max(step.disk.gib, 1) * GIB)

    def _grow_disk(self, record: Record, step: Step, id: str) -> None:
        assert step.disk is not None
        if record["living"]:
            raise HostError(f"server {id}: the disk of a running guest is not grown from outside")
        record["disk"] = max(record["disk"], step.disk.gib * GIB)

    def _write_drive(self, record: Record, step: Step, id: str) -> None:
        assert step.drive is not None
        record["folder"] = True
        record["drive"] = {path: len(data) for path, data in step.drive.items()}

    def _start(self, record: Record, step: Step, id: str) -> None:
        if step.guest is None or "disk" not in record:
            raise Unfit(f"server {id} has no disk to start from")
        if str(step.generation) in record["living"]:
            return
        if record["living"] or str(step.generation) in record["ended"]:
            raise HostError(f"server {id}: another guest still has its name or its disk")
        pids = self.host.part("pids")
        pids["last"] = pids.get("last", 1000) + 1
        record["living"][str(step.generation)] = [pids["last"], self.host.steps]
        record["log"] += GREETING.format(cmdline=step.guest.cmdline, name=step.guest.name)
        record["guest"] = {"memory": step.guest.memory, "nics": [nic.port for nic in step.guest.nics], "uid": step.guest.uid}

    def _plug(self, record: Record, step: Step, id: str) -> None:
        assert step.nic is not None
        if str(step.generation) not in record["living"]:
            raise HostError(f"server {id} does not run")
        nics: list[str] = record["guest"]["nics"]
        if step.nic.port in nics:
            return
        if len(nics) >= SLOTS:
            raise Refused(f"all {SLOTS} places for network cards are taken", step.nic.port)
        nics.append(step.nic.port)

    def _unplug(self, record: Record, step: Step, id: str) -> None:
        if not self.deaf and str(step.generation) in record["living"]:
            record["guest"]["nics"] = [port for port in record["guest"]["nics"] if port != step.port]

    def _ask(self, record: Record, step: Step, id: str) -> None:
        if not self.deaf and str(step.generation) in record["living"]:
            self.end(id, 0)

    def _stop(self, record: Record, step: Step, id: str) -> None:
        if record["living"].pop(str(step.generation), None):
            record["ended"][str(step.generation)] = 0

    def _forget(self, record: Record, step: Step, id: str) -> None:
        record["ended"].pop(str(step.generation), None)

    def _remove(self, record: Record, step: Step, id: str) -> None:
        if record["living"]:
            raise HostError(f"server {id}: its guest still runs")
        for name in ("disk", "drive", "guest"):
            record.pop(name, None)
        record.update(folder=False, log="")


def _facts(record: Record) -> Facts:
    living = {int(generation): Process(*process) for generation, process in record["living"].items()}
    return Facts(
        folder=record["folder"],
        disk=record.get("disk"),
        drive="drive" in record,
        living=living,
        ended={int(generation): status for generation, status in record["ended"].items()},
        nics=frozenset(record["guest"]["nics"]) if len(living) == 1 else None,
    )
