"""What the host must be able to do for servers: the contract of the drivers, and the plan from what is there to what is wanted.

A moment is a level here: each boot is a generation, and the guest of generation n is called `server-<id>.<n>` by whoever runs it. So a
plan that is made again after a crash asks for nothing twice that changes data. Not here: rows (reconcile.py) and QEMU (drivers/qemu).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pileus.errors import HostError
from pileus.kit.loop import Key

Power = Literal["on", "off", "gone"]
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
NAME = re.compile(r"server-([0-9a-f-]{36})\.([0-9]+)\Z")
GIB = 1 << 30
SLOTS = 16  # network cards that a guest can have: its machine has so many places for them, reserved when it starts
# files in a server's folder that the driver of disks makes and the driver of guests hands over
DISK, BASE, KERNEL, INITRD = "disk.qcow2", "base", "kernel", "initrd"


class Unfit(HostError):
    """What is wanted cannot be had on this host however often it is tried; the message is for the server's owner."""


class Refused(HostError):
    """A running guest's machine does not take a network card."""

    def __init__(self, message: str, port: str) -> None:
        super().__init__(message)
        self.port = port


def name_of(id: str, generation: int) -> str:
    """What the guest of this generation is called on the host."""
    return f"server-{id}.{generation}"


def parse_name(name: str) -> tuple[str, int] | None:
    """The server and generation that a name on the host stands for; None when it is no guest's."""
    match = NAME.match(name)
    return (match[1], int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Disk:
    """The root disk, and what the machine is started from when it does not start from its disk."""

    image: str  # an image's id: the disk is an overlay over it
    gib: int  # 0: as large as the image
    kernel: str | None = None  # ids of the images that hold them
    initrd: str | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    port: str  # the port's id; its tap is there already
    mac: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Guest:
    """The machine as it is started."""

    name: str  # shown to whoever lists processes
    memory: int  # MiB
    vcpus: int
    nics: tuple[Nic, ...] = ()
    cmdline: str = ""  # for the kernel, when the disk names one
    uid: int | None = None  # its own user inside the datacenter; None: that of the cloud


@dataclass(frozen=True, slots=True)
class Want:
    """What a row asks for. `soft`: ask a guest that shall end, and give it time."""

    id: str
    power: Power
    generation: int
    disk: Disk | None = None  # None: not known (any more), which matters only while there is none
    guest: Guest | None = None
    drive: Mapping[str, bytes] | None = None  # the files of the config drive
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """A living guest. `start` is field 22 of /proc/pid/stat: with the pid it names one process for ever."""

    pid: int
    start: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the host has of a server."""

    folder: bool = False  # any file at all
    disk: int | None = None  # bytes as the guest sees them
    drive: bool = False
    living: Mapping[int, Process] = field(default_factory=dict)  # by generation
    ended: Mapping[int, int] = field(default_factory=dict)  # exit code, or minus the signal; until it is forgotten
    nics: frozenset[str] | None = None  # ports plugged into the one living guest; None: not known, or none can be plugged while it runs


NOTHING = Facts()
Verb = Literal["make_disk", "grow_disk", "write_drive", "start", "plug", "unplug", "ask", "stop", "forget", "remove"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    make_disk    disk                      the overlay, and the kernel and initrd beside it
    grow_disk    disk                      to disk.gib
    write_drive  drive                     the config drive
    start        generation guest disk     returns when the machine runs
    plug         generation nic            into the running machine
    unplug       generation port           ask the guest to let go of it, and wait a moment; harmless when asked again
    ask          generation                press its power button
    stop         generation                returns when its process is gone
    forget       generation                how it ended is known and need not be kept
    remove                                 every file
    """

    verb: Verb
    generation: int = 0
    disk: Disk | None = None
    guest: Guest | None = None
    drive: Mapping[str, bytes] | None = None
    nic: Nic | None = None
    port: str = ""


# -- the plan: small pure rules, in order ------------------------------------------------------------------------------------


def end_what_shall_not_run(want: Want, facts: Facts) -> Iterable[Step]:
    for generation in sorted(facts.living):
        if want.power == "on" and generation == want.generation:
            continue
        if want.soft and want.power != "gone":
            yield Step("ask", generation)
        else:
            yield Step("stop", generation)
            yield Step("forget", generation)


def forget_what_ended(want: Want, facts: Facts) -> Iterable[Step]:
    return (Step("forget", generation) for generation in sorted(facts.ended))


def remove_what_is_gone(want: Want, facts: Facts) -> Iterable[Step]:
    if want.power == "gone" and facts.folder:
        yield Step("remove")


def make_disk(want: Want, facts: Facts) -> Iterable[Step]:
    if want.power != "on" or want.disk is None:
        return
    if facts.disk is None:
        yield Step("make_disk", disk=want.disk)
    elif want.disk.gib * GIB > facts.disk and _disk_is_free(want, facts):
        yield Step("grow_disk", disk=want.disk)


def write_drive(want: Want, facts: Facts) -> Iterable[Step]:
    if want.power == "on" and want.drive is not None and not facts.drive:
        yield Step("write_drive", drive=want.drive)


def start(want: Want, facts: Facts) -> Iterable[Step]:
    if want.power == "on" and want.generation not in facts.living and _disk_is_free(want, facts):
        yield Step("start", want.generation, guest=want.guest, disk=want.disk)


def plug(want: Want, facts: Facts) -> Iterable[Step]:
    """Network cards of a machine that runs, and goes on running; those that leave first, since they make room."""
    if want.power != "on" or want.guest is None or facts.nics is None or list(facts.living) != [want.generation]:
        return
    for port in sorted(facts.nics - {nic.port for nic in want.guest.nics}):
        yield Step("unplug", want.generation, port=port)
    for nic in want.guest.nics:
        if nic.port not in facts.nics:
            yield Step("plug", want.generation, nic=nic)


def _disk_is_free(want: Want, facts: Facts) -> bool:
    """Whether no guest has the disk once the steps before have been taken: one that was only asked to end still has."""
    return not facts.living or (want.generation not in facts.living and not want.soft)


Rule = Callable[[Want, Facts], Iterable[Step]]
RULES: tuple[Rule, ...] = (end_what_shall_not_run, forget_what_ended, remove_what_is_gone, make_disk, write_drive, start, plug)


def plan(want: Want, facts: Facts) -> list[Step]:
    """The steps that are missing, in order; empty when the host is as wanted.

    An `ask` stays in it until the guest has ended, an `unplug` until the guest has let go.
    """
    return [step for rule in RULES for step in rule(want, facts)]


# -- the contract ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Features:
    """What this host can do. `accel` is None while that is still being found out."""

    accel: str | None
    consoles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stream:
    """A guest's serial line. Whoever has it closes the writer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Guests(Protocol):
    """Implemented by drivers/qemu (with drivers/disks for the files) and drivers/fake."""

    @property
    def features(self) -> Features: ...

    async def observe(self, id: str | None = None) -> dict[str, Facts]:
        """What there is, by server id; of one server, or of all. A server without a trace is not in it. Raises HostError."""
        ...

    async def apply(self, id: str, steps: Sequence[Step]) -> None:
        """Carry out the steps in order; each is harmless when it is done already.

        Raises HostError; Unfit when trying again is no use; Refused when a card could not be plugged in.
        """
        ...

    async def console(self, id: str) -> Stream:
        """The serial line of the living guest, for one client at a time. Raises HostError when there is none."""
        ...

    async def console_log(self, id: str, size: int) -> bytes:
        """The last `size` bytes that the guest wrote to its serial line; also of one that has ended. Empty when it wrote none."""
        ...

    def events(self) -> AsyncIterator[Key]:
        """("server", id) each time a guest has ended, beginning with those not forgotten. Ends with HostError when the host is lost."""
        ...

    def host_facts(self) -> Mapping[str, Any]:
        """The machine, for `Cloud.host`: hostname, vcpus, memory_mb, disk_gb, uid_count, nic_count, arch, cpu_model, cpu_vendor,
        cpu_features, hypervisor_type, hypervisor_version (7.2.22 as 7002022), overhead_mb (what each guest takes beside its own memory).
        compute/machine.py says what each is for.
        """
        ...
