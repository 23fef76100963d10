"""QEMU's command line for a guest: a pure function. Everything the guest may touch is a descriptor; the numbers are agreed here.

A guest's QEMU opens no path but its firmware's, and its kernel's and initrd's, which are read-only. Sources: qemu-system(1), and for the
measured choices (q35, qboot, EPYC under TCG) docs/internals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pileus.compute.host import SLOTS, Guest, Nic

BINARY = "qemu-system-x86_64"
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
FIRST_FD = 10
TCG_BUFFER = (64, 256)  # MiB of translated code: at least, at most; QEMU's own default grows to an eighth of the host's memory
FIRST_SLOT = 0x10  # number on the bus of the first port for network cards: behind what QEMU numbers itself
CARD = "nic-"  # what a card's name begins with; the rest is its port's id
OVERHEAD = 48  # MiB that a QEMU takes beside its guest's memory and that code


@dataclass(frozen=True)
class Boot:
    """How the machine starts when not from its disk: paths that QEMU reads, and the kernel's command line."""

    kernel: str
    initrd: str | None
    cmdline: str


@dataclass(frozen=True)
class Machine:
    """A guest, and what this host adds to it."""

    id: str
    guest: Guest
    accel: str  # kvm or tcg
    boot: Boot | None = None
    drive: bool = False  # a config drive is there
    qboot: bool = True  # this host has the small firmware


@dataclass(frozen=True)
class Line:
    """The command line, and under which number each thing is to be handed over: qmp, serial, log, disk, base, drive, tap<n>."""

    argv: list[str]
    fds: Mapping[str, int] = field(default_factory=dict)


def build(machine: Machine) -> Line:
    """The command line of a machine."""
    names = ["qmp", "serial", "log", "disk", "base", *(["drive"] if machine.drive else [])]
    names += [f"tap{n}" for n in range(len(machine.guest.nics))]
    fds = {name: FIRST_FD + n for n, name in enumerate(names)}
    argv = [
        BINARY,
        *_identity(machine),
        *_processor(machine),
        *_boot(machine),
        *_lines(fds),
        *_disks(machine, fds),
        *_nics(machine.guest.nics, fds),
        *("-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng"),
        *("-device", "virtio-balloon-pci,id=balloon,free-page-reporting=on"),
    ]
    return Line(argv, fds)


def tcg_buffer(memory: int) -> int:
    """MiB of translated code that a guest with so many MiB of memory may have. Half the memory: less, and it is translated over again."""
    least, most = TCG_BUFFER
    return max(least, min(memory // 2, most))


def _identity(machine: Machine) -> list[str]:
    # cloud-init knows an OpenStack server by this product name
    smbios = (
        "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,version=Pileus,family=Virtual Machine,"
        f"serial={machine.id},uuid={machine.id}"
    )
    name = machine.guest.name.replace(",", ",,") or machine.id
    options = ["-no-user-config", "-nodefaults", "-display", "none", "-vnc", "none", "-rtc", "base=utc"]
    return ["-name", f"guest={name},debug-threads=on", "-uuid", machine.id, "-smbios", smbios, "-sandbox", SANDBOX, *options]


def _processor(machine: Machine) -> list[str]:
    kvm = machine.accel == "kvm"
    return [
        *("-machine", "q35,usb=off,vmport=off,sata=off,smbus=off,dump-guest-core=off"),
        *("-accel", "kvm" if kvm else f"tcg,tb-size={tcg_buffer(machine.guest.memory)}"),
        *("-cpu", "host" if kvm else "EPYC"),  # the latter has RDRAND: without it a guest gathers entropy for a second before SSH
        *("-m", str(machine.guest.memory)),
        *("-smp", str(machine.guest.vcpus)),
    ]


def _boot(machine: Machine) -> list[str]:
    if machine.boot is None:
        return ["-device", "VGA,vgamem_mb=4"]
    firmware = ["-bios", "qboot.rom"] if machine.qboot else []
    initrd = ["-initrd", machine.boot.initrd] if machine.boot.initrd else []
    return [*firmware, "-kernel", machine.boot.kernel, *initrd, "-append", machine.boot.cmdline]


def _lines(fds: Mapping[str, int]) -> list[str]:
    return [
        *("-chardev", f"socket,id=qmp,fd={fds['qmp']},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *("-add-fd", f"fd={fds['log']},set=1"),
        *("-chardev", f"socket,id=serial,fd={fds['serial']},server=on,wait=off,logfile=/dev/fdset/1,logappend=on"),
        *("-serial", "chardev:serial"),
    ]


def _disks(machine: Machine, fds: Mapping[str, int]) -> list[str]:
    argv = [
        *("-add-fd", f"fd={fds['disk']},set=2", "-add-fd", f"fd={fds['base']},set=3"),
        *("-blockdev", "driver=file,node-name=base-file,filename=/dev/fdset/3,read-only=on"),
        # whatever its header may name behind it is not looked for
        *("-blockdev", '{"driver": "qcow2", "node-name": "base", "file": "base-file", "read-only": true, "backing": null}'),
        *("-blockdev", "driver=file,node-name=root-file,filename=/dev/fdset/2,discard=unmap"),
        *("-blockdev", "driver=qcow2,node-name=root,file=root-file,backing=base,discard=unmap"),
        *("-device", f"virtio-blk-pci,drive=root,id=root-disk,serial={machine.id[:20]},bootindex=1"),
    ]
    if machine.drive:
        argv += [
            *("-add-fd", f"fd={fds['drive']},set=4"),
            *("-blockdev", "driver=file,node-name=config-file,filename=/dev/fdset/4,read-only=on"),
            *("-blockdev", "driver=raw,node-name=config,file=config-file,read-only=on"),
            *("-device", "virtio-blk-pci,drive=config,id=config-drive"),
        ]
    return argv


def _nics(nics: Sequence[Nic], fds: Mapping[str, int]) -> list[str]:
    """Every card has a port of the bus of its own, which is what makes it possible to take it out, and put others in, while it runs."""
    argv: list[str] = []
    for n in range(SLOTS):
        first = ",multifunction=on" if n % 8 == 0 else ""
        argv += ["-device", f"pcie-root-port,id={slot(n)},bus=pcie.0,chassis={n + 1},addr={FIRST_SLOT + n // 8:#x}.{n % 8}{first}"]
    for n, nic in enumerate(nics):
        argv += ["-netdev", f"tap,id={netdev(nic.port)},fd={fds[f'tap{n}']}"]
        driver, *properties = card(nic, slot(n)).items()
        argv += ["-device", ",".join([driver[1], *(f"{key}={value}" for key, value in properties)])]
    return argv


def slot(n: int) -> str:
    return f"slot{n}"


def netdev(port: str) -> str:
    return f"net-{port}"


def card(nic: Nic, bus: str) -> dict[str, Any]:
    """The properties of a network card, also for the monitor's device_add."""
    return {
        "driver": "virtio-net-pci",
        "id": f"{CARD}{nic.port}",
        "netdev": netdev(nic.port),
        "bus": bus,
        "mac": nic.mac,
        "host_mtu": nic.mtu,
        "romfile": "",
    }
