"""Build the micro guest image: from names of Debian packages to a disk, a kernel and an initrd in the cache.

Not here: what is in it (recipe.py), and uploading it to a cloud (the command line does, over HTTP).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pileus.errors import HostError
from pileus.guest import disk, initrd, kernel, recipe, rootfs
from pileus.guest.packages import Package, Packages, Progress, require, run
from pileus.guest.tree import Tree

ADVICE = "apt-get install e2fsprogs qemu-utils"
PARTS = ("disk.qcow2", "vmlinux", "initrd", "manifest.json")


@dataclass(frozen=True)
class MicroImage:
    """A built image; its files are read-only and stay where they are until the cache is emptied."""

    disk: Path  # qcow2; boots by itself through a BIOS
    kernel: Path  # uncompressed ELF kernel with a PVH entry, for QEMU's -kernel
    initrd: Path
    cmdline: str  # for QEMU's -append
    name: str
    version: str  # digest of what it was made from


def build_micro(cache: Path, packages: list[str], progress: Progress) -> MicroImage:
    """The micro image with these Debian packages added, built when it is not in the cache yet; needs no root.

    `progress(stage, part)` is called with part from 0 to 1. A build that is killed leaves nothing that a later one takes for an image.
    Raises HostError (among them CommandError) in words: a command the machine lacks, a package apt does not know, a failed download.
    """
    extra = sorted(set(packages))
    version = digest(extra)
    home = cache / "micro"
    target = home / version
    if not complete(target):
        if platform.machine() != "x86_64":
            raise HostError(f"the micro image is for x86-64 only, this machine is {platform.machine()}")
        require(("apt-get", "dpkg-deb", "mke2fs", "debugfs", "qemu-img"), ADVICE + " (and a Debian 12 with apt, for the packages)")
        home.mkdir(parents=True, exist_ok=True)
        with alone(home):
            if not complete(target):  # somebody else may have built it while we waited
                build(cache, extra, version, target, progress)
    progress("ready", 1.0)
    return MicroImage(target / "disk.qcow2", target / "vmlinux", target / "initrd", recipe.CMDLINE, recipe.NAME, version)


def digest(extra: list[str]) -> str:
    """The version: a digest of this recipe, the guest's files, the packages asked for and the Debian they come from."""
    summing = hashlib.sha256()
    here = files("pileus.guest")
    sources = [p for folder in (here, here.joinpath("files")) for p in folder.iterdir() if p.is_file()]
    for source in sorted(sources, key=lambda p: p.name):
        if not source.name.endswith(".pyc"):
            summing.update(f"{source.name}\0".encode() + source.read_bytes() + b"\0")
    summing.update("\0".join([*extra, platform.machine(), debian()]).encode())
    return summing.hexdigest()[:16]


def debian() -> str:
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return f"{system.get('ID')} {system.get('VERSION_ID')}"


def complete(target: Path) -> bool:
    return all((target / part).exists() for part in PARTS)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Builds take turns. Whoever holds the lock may sweep up what killed builds left."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in home.glob(".build-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def build(cache: Path, extra: list[str], version: str, target: Path, progress: Progress) -> None:
    """Fetch, unpack, assemble in a folder beside the target, and move that in place in one step."""
    source = Packages(cache / "packages", without(recipe.PROVIDED, extra))
    chosen = source.obtain([recipe.KERNEL, *recipe.GUEST, *recipe.TOOLS, *extra], progress)
    chosen += source.obtain([recipe.BOOT_BUSYBOX], progress)
    work = Path(tempfile.mkdtemp(prefix=".build-", dir=target.parent))
    try:
        assemble(source, chosen, frozenset(extra), version, work, progress)
        finish(work, chosen, extra, version, target)
    except OSError as error:  # most likely a full disk
        raise HostError(f"cannot build the image in {target.parent}: {error.strerror}: {error.filename}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def without(provided: dict[str, str], asked: list[str]) -> dict[str, str]:
    """What the guest does without, unless it was asked for (`perl` brings `perl-base` back too)."""
    return {name: names for name, names in provided.items() if not any(name == a or name.startswith(a + "-") for a in asked)}


def assemble(source: Packages, chosen: list[Package], extra: frozenset[str], version: str, work: Path, progress: Progress) -> None:
    """Make kernel, initrd and disk from the fetched packages, in `work/out`."""
    out = work / "out"
    out.mkdir()
    tools = unpack_tools(source, [p for p in chosen if p.name in recipe.TOOLS], work)
    apart = {recipe.BOOT_BUSYBOX, *recipe.TOOLS} - extra
    guest = [p for p in chosen if p.name not in apart and not p.name.startswith("linux-image-")]
    busybox = rootfs.take_busybox(source, next(p for p in chosen if p.name == recipe.BOOT_BUSYBOX))
    parts = rootfs.take_kernel(source, kernel_package(chosen), work)
    progress("unpack", 0.0)
    root = rootfs.make_root(source, guest, extra, busybox, work, lambda part: progress("unpack", part))
    rootfs.add_modules(root, parts)
    rootfs.describe(root, version)
    progress("disk", 0.0)
    (out / "vmlinux").write_bytes(kernel.vmlinux(parts.bzimage, lambda data: lz4(data, tools, work)))
    initrd.write_initrd(rootfs.make_initrd(root, parts, work), out / "initrd")
    disk.make_ext4(root, work / "root.ext4", recipe.LABEL, disk.content_size(root))
    progress("disk", 0.5)
    config = rootfs.own("extlinux.conf").replace(b"@CMDLINE@", recipe.CMDLINE.encode())
    boot = {"syslinux.cfg": config, "vmlinuz": parts.bzimage, "initrd": (out / "initrd").read_bytes()}
    disk.make_fat(boot, work / "boot.fat", tools.root / "usr/bin")
    mbr = (tools.root / "usr/lib/SYSLINUX/mbr.bin").read_bytes()
    disk.make_disk(work / "boot.fat", work / "root.ext4", mbr, work / "disk.raw", out / "disk.qcow2")


def kernel_package(chosen: list[Package]) -> Package:
    """The package with the kernel in it: what the metapackage stands for, not the metapackage."""
    found = [p for p in chosen if p.name.startswith("linux-image-") and p.name != recipe.KERNEL]
    if len(found) != 1:
        raise HostError(f"{recipe.KERNEL} does not lead to one kernel package: {[p.name for p in found]}")
    return found[0]


def unpack_tools(source: Packages, chosen: list[Package], work: Path) -> Tree:
    tree = Tree(work / "tools")
    for package in chosen:
        with source.open(package) as archive:
            tree.unpack(archive, lambda path: not path.startswith("usr/share/"))
    return tree


def lz4(data: bytes, tools: Tree, work: Path) -> bytes:
    packed, plain = work / "payload.lz4", work / "payload"
    packed.write_bytes(data)
    run([str(tools.root / "usr/bin/lz4"), "-d", "-q", "-f", str(packed), str(plain)])
    return plain.read_bytes()


def finish(work: Path, chosen: list[Package], extra: list[str], version: str, target: Path) -> None:
    """Write the manifest, make everything read-only and durable, and rename."""
    out = work / "out"
    manifest = {
        "name": recipe.NAME,
        "version": version,
        "asked": extra,
        "cmdline": recipe.CMDLINE,
        "packages": {p.name: p.version for p in sorted(chosen, key=lambda p: p.name)},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    for part in PARTS:
        (out / part).chmod(0o444)
        with (out / part).open("rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(target, ignore_errors=True)
    out.rename(target)
