"""Which uids and gids exist in the datacenter: 0 is the user, 1 and up are the user's subordinate ids, one for each guest.

Without subordinate ids there is only 0: guests then share the user's own uid, and have no capability either.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Literal, NamedTuple

ROOT_BASE = 1_000_000  # where root looks for a free range when /etc/subuid grants it none
RANGE = 65536
Kind = Literal["uid", "gid"]


class Range(NamedTuple):
    first: int
    size: int


def write_maps(pid: int) -> None:
    """Give the new user namespace of process `pid` its maps. Raises OSError when not even the single map can be written."""
    _write(pid, "uid")
    _write(pid, "gid")


def _write(pid: int, kind: Kind) -> None:
    own = os.getuid() if kind == "uid" else os.getgid()
    wide = subordinate(kind)
    if wide:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            if os.geteuid() == 0:
                Path(f"/proc/{pid}/{kind}_map").write_text(f"0 {own} 1\n1 {wide.first} {wide.size}\n")
            else:
                subprocess.run(
                    [f"new{kind}map", str(pid), "0", str(own), "1", "1", str(wide.first), str(wide.size)],
                    check=True,
                    capture_output=True,
                    timeout=10,
                )
            return
    if kind == "gid" and os.geteuid() != 0:
        Path(f"/proc/{pid}/setgroups").write_text("deny")  # user_namespaces(7): else an unprivileged process may not write gid_map
    Path(f"/proc/{pid}/{kind}_map").write_text(f"0 {own} 1\n")


def subordinate(kind: Kind) -> Range | None:
    """The range of subordinate ids that this user may use now, or None: no entry, or no newuidmap."""
    granted = _granted(Path(f"/etc/sub{kind}"))
    user = _names()
    for name, wide in granted:
        if name in user and wide.size > 1 and wide.first > 0:
            return wide if os.geteuid() == 0 or shutil.which(f"new{kind}map") else None
    return _free([wide for _, wide in granted], kind) if os.geteuid() == 0 else None


def _names() -> set[str]:
    uid = os.getuid()
    with contextlib.suppress(KeyError):
        return {str(uid), pwd.getpwuid(uid).pw_name}
    return {str(uid)}


def _granted(file: Path) -> list[tuple[str, Range]]:
    granted = []
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            name, _, numbers = line.strip().partition(":")
            with contextlib.suppress(ValueError):
                first, count = numbers.split(":")
                granted.append((name, Range(int(first), int(count))))
    return granted


def _free(granted: list[Range], kind: Kind) -> Range | None:
    """Root's own rule: the first range at or above a million that nobody was granted, if root itself has those ids."""
    first = ROOT_BASE
    for wide in sorted(granted):
        if wide.first < first + RANGE and first < wide.first + wide.size:
            first = wide.first + wide.size
    for line in Path(f"/proc/self/{kind}_map").read_text().splitlines():
        begin, _, count = map(int, line.split())
        if begin <= first and first + RANGE <= begin + count:
            return Range(first, RANGE)
    return None


def guest_ids() -> int:
    """How many ids besides 0 this process's user namespace has, as uid and as gid alike."""
    counts = []
    for kind in ("uid", "gid"):
        lines = Path(f"/proc/self/{kind}_map").read_text().splitlines()
        numbers = [tuple(map(int, line.split())) for line in lines]
        counts.append(sum(count - (begin == 0) for begin, _, count in numbers))
    return min(counts)
