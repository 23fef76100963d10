"""KVM or TCG: found out by running a guest for a moment, since /dev/kvm can be there, open, and still not run one (or run one at a
thousandth of the speed, where the host's own hypervisor lets KVM emulate every instruction).

The probe guest (source: files/probe.s) goes to long mode with paging, takes 20 timer interrupts and counts down from fifty million: some
20 ms where KVM works. Not here: what a machine then looks like (argv.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from pileus.drivers.qemu.argv import BINARY, SANDBOX

log = logging.getLogger("pileus.qemu")

DEVICE = Path("/dev/kvm")
BOOT = Path("/proc/sys/kernel/random/boot_id")  # a host that starts again may have got another hypervisor or other firmware settings
SECONDS = 3.0  # until a guest that does not end has not run
DONE = 0x2A << 1 | 1  # QEMU's exit code when the probe has written 0x2a to isa-debug-exit
ROM, VERDICT = "kvm-probe.rom", "kvm-probe.json"
CODE_AT, RESET_AT = 0xFE00, 0xFFF0
CODE = bytes.fromhex(
    "faea06fe00f031c08ed866c70600100320000066c70600200330000066c70600308300000066c70618200340000066c706b84f9b00e0fe2e660f011620ff66b8"
    "200000000f22e066b8001000000f22d866b9800000c06631d266b8000100000f3066b8110000800f22c066ea72fe0f00080066b810008ed08ed8bc00900000b8"
    "f8fe0f00668904250052000066c7042502520000080066c7042504520000008ec1e81066890425065200000f011d74000000be0000e0fec786f0000000ff0100"
    "00c786e00300000b000000c7862003000020000200c78680030000a086010031dbfbf483fb1472fab980f0fa02ffc975fcb02ae6f4f4ebfdffc3c786b0000000"
    "0000000048cf6690000000000000000000000000009b20000000000000930000170008ff0f000f020050000000000000"
)

Run = Callable[[list[str], float], Awaitable[int | None]]  # argv, seconds -> exit status as a guest's user has it, None: did not end


def rom() -> bytes:
    """A firmware of 64 KiB that is nothing but the probe."""
    image = bytearray(b"\xf4" * 0x10000)
    image[CODE_AT : CODE_AT + len(CODE)] = CODE
    image[RESET_AT : RESET_AT + 3] = b"\xe9" + ((CODE_AT - RESET_AT - 3) & 0xFFFF).to_bytes(2, "little")
    return bytes(image)


def argv(accel: str, cpu: str, firmware: Path) -> list[str]:
    """The probe guest's command line: the machine that guests get, without devices."""
    return [
        BINARY, "-name", "kvm-probe", "-no-user-config", "-nodefaults", "-display", "none", "-sandbox", SANDBOX,
        "-machine", "q35,usb=off,vmport=off,sata=off,smbus=off", "-accel", accel, "-cpu", cpu, "-m", "2",
        "-bios", str(firmware), "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    ]  # fmt: skip


class Accel:
    """What guests run on. `setting`: auto, kvm or tcg. `folder`: where the probe's firmware is for a moment. `kept`: the folder of
    the verdict, which all clouds of this user share until the machine starts again.
    """

    def __init__(self, run: Run, folder: Path, kept: Path, setting: str = "auto") -> None:
        self._run, self._folder, self._verdicts = run, folder, kept
        self.known: str | None = setting if setting != "auto" else None
        self.reason = f"asked for by the setting ({setting})" if self.known else "not yet found out"
        self._asking: asyncio.Task[str] | None = None

    async def chosen(self) -> str:
        """kvm or tcg; the first to ask waits for the probe."""
        if self.known:
            return self.known
        return await asyncio.shield(self.begin())

    def begin(self) -> asyncio.Task[str]:
        """Find out in the background."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._find_out(), name="kvm probe")
        return self._asking

    def refuse(self, reason: str) -> None:
        """KVM has failed a real guest: no more of it until the next start."""
        self.known, self.reason = "tcg", reason

    async def _find_out(self) -> str:
        try:
            works, self.reason = await self._verdict()
        except OSError as error:
            works, self.reason = False, f"the probe could not be run: {error}"
        log.info("guests run on %s: %s", "KVM" if works else "TCG", self.reason)
        self.known = "kvm" if works else "tcg"
        return self.known

    async def _verdict(self) -> tuple[bool, str]:
        key = fingerprint()
        if key is None:
            return False, f"there is no {DEVICE}"
        if kept := self._kept(key):
            return kept
        firmware = self._folder / ROM
        self._write_rom(firmware)
        try:
            status = await self._run(argv("kvm", "host", firmware), SECONDS)
        finally:
            firmware.unlink(missing_ok=True)
        works, reason = judge(status)
        self._keep(key, works, reason)
        return works, reason

    def _write_rom(self, firmware: Path) -> None:
        firmware.unlink(missing_ok=True)
        firmware.write_bytes(rom())
        firmware.chmod(0o444)

    def _kept(self, key: list[object]) -> tuple[bool, str] | None:
        """The verdict of an earlier probe of the same kernel, QEMU and device, since the machine started."""
        try:
            kept = json.loads((self._verdicts / VERDICT).read_text())
            return (bool(kept["works"]), str(kept["reason"])) if kept["key"] == key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # none, or one that cannot be read

    def _keep(self, key: list[object], works: bool, reason: str) -> None:
        new = self._verdicts / f"{VERDICT}.{os.getpid()}"  # clouds may start side by side
        new.write_text(json.dumps({"key": key, "works": works, "reason": reason}))
        os.replace(new, self._verdicts / VERDICT)


def judge(status: int | None) -> tuple[bool, str]:
    """What the probe's end says of KVM."""
    if status == DONE:
        return True, "a probe guest ran on KVM"
    if status is None:
        return False, f"a probe guest on KVM did not end within {SECONDS:g} s"
    if status < 0:
        return False, f"QEMU with KVM was ended by signal {-status}"
    return False, f"QEMU with KVM ended with status {status}: {DEVICE} cannot be used"


def fingerprint() -> list[object] | None:
    """What the verdict depends on: the kernel and its start, QEMU, the device and who may open it. None: there is no device."""
    if not DEVICE.exists():
        return None
    qemu = shutil.which(BINARY)
    program = os.stat(qemu) if qemu else None
    device = DEVICE.stat()
    return [
        BOOT.read_text().strip(),
        os.uname().release,
        os.uname().version,
        [program.st_size, program.st_mtime_ns] if program else None,
        [device.st_rdev, device.st_mode, device.st_uid, device.st_gid],
        sorted(os.getgroups()),
    ]
