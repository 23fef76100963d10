"""What QEMU writes when it cannot start, in words for the server's owner."""

from __future__ import annotations

import re

NOISE = re.compile(r"warning: |terminating on signal")
KNOWN = (
    (re.compile(r"cannot set up guest memory|cannot allocate memory", re.I), "this machine has not enough free memory for it"),
    (re.compile(r"no space left on device", re.I), "this machine's disk is full"),
    (re.compile(r"could not access kvm|failed to initialize kvm|/dev/kvm", re.I), "this machine's KVM refused to run it"),
    (re.compile(r"image is corrupt|not in qcow2 format|invalid .*qcow2", re.I), "its disk is damaged"),
    (
        re.compile(r"could not load kernel|loading elf kernel|PVH|invalid kernel header|kernel image", re.I),
        "its kernel image is not one that can be started",
    ),
)


def meaning(stderr: str) -> str:
    """The reason in what QEMU printed; its own last words when it is none of those we know."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not NOISE.search(line)]
    said = lines[-1].removeprefix("qemu-system-x86_64: ") if lines else "QEMU said nothing"
    for pattern, words in KNOWN:
        if any(pattern.search(line) for line in lines):
            return f"{words} ({said})"
    return said
