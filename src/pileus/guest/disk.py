"""A tree becomes a bootable disk, without root, mounts or loop devices: MBR, a FAT partition with syslinux, an ext4 root, as qcow2.

Not here: what is on it (rootfs.py).
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

from pileus.guest.packages import run
from pileus.guest.tree import Node, Tree

SECTOR = 512
MIB = 1 << 20
BOOT_START = MIB  # bytes; the first partition begins at 1 MiB, as everywhere
FREE = 64 * MIB  # room in the root file system as built; it grows to the disk at boot
TYPE_FAT16, TYPE_LINUX = 0x0E, 0x83
GEOMETRY = (64, 32)  # heads, sectors: what mformat and the BIOS shall think of the FAT partition


def make_ext4(tree: Tree, target: Path, label: str, content: int) -> None:
    """Write the tree as an ext4 file system with the owners and modes it shall have.

    `content`: bytes of the files, for the size. mke2fs copies what is on the host; debugfs then sets what the builder may not own.
    """
    inodes = len(tree.nodes) + 16384
    size = (content + content // 8 + inodes * 256 + FREE + 4 * MIB - 1) // (4 * MIB) * 4 * MIB
    with target.open("wb") as file:
        file.truncate(size)
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-N", str(inodes), "-J", "size=4", "-L", label,
         "-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-d", str(tree.root), str(target)])  # fmt: skip
    run(["debugfs", "-w", "-f", "-", str(target)], stdin=corrections(tree).encode(), banner="debugfs ")


def corrections(tree: Tree) -> str:
    """debugfs commands for every path whose owner or mode differs from what mke2fs found in the folder."""
    lines = []
    for path, node in tree.nodes.items():
        found = os.lstat(tree.root / path)
        for field, want, have in (("uid", node.uid, found.st_uid), ("gid", node.gid, found.st_gid), ("mode", node.mode, found.st_mode)):
            if want != have:
                value = f"0{want:o}" if field == "mode" else str(want)
                lines.append(f'set_inode_field "/{path}" {field} {value}')
    return "\n".join(lines) + "\n"


def make_fat(files: dict[str, bytes], target: Path, tools: Path) -> None:
    """A FAT16 partition that syslinux boots from. `tools`: folder with mtools' and syslinux' commands."""
    size = (sum(map(len, files.values())) + 4 * MIB) // MIB * MIB
    with target.open("wb") as file:
        file.truncate(size)
    env = {"PATH": f"{tools}:{os.environ.get('PATH', os.defpath)}", "MTOOLS_SKIP_CHECK": "1"}
    heads, sectors = GEOMETRY
    run(["mformat", "-i", str(target), "-v", "BOOT", "-T", str(size // SECTOR), "-h", str(heads), "-s", str(sectors),
         "-H", str(BOOT_START // SECTOR), "::"], env=env)  # fmt: skip
    for name, body in files.items():
        run(["mcopy", "-i", str(target), "-", f"::{name}"], stdin=body, env=env)
    run(["syslinux", "--install", str(target)], env=env)


def make_disk(boot: Path, root: Path, mbr: bytes, raw: Path, target: Path) -> None:
    """Put the partitions behind a master boot record, and write the whole as a sparse qcow2."""
    start = BOOT_START + boot.stat().st_size
    with raw.open("wb") as disk:
        disk.write(mbr[:440].ljust(440, b"\0") + struct.pack("<IH", 0x50494C45, 0))
        disk.write(entry(0x80, TYPE_FAT16, BOOT_START, boot.stat().st_size))
        disk.write(entry(0, TYPE_LINUX, start, root.stat().st_size))
        disk.write(bytes(32) + b"\x55\xaa")
        for offset, part in ((BOOT_START, boot), (start, root)):
            disk.seek(offset)
            copy_sparse(part, disk.fileno(), offset)
        disk.truncate(start + root.stat().st_size)
    run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(raw), str(target)])


def entry(flag: int, kind: int, start: int, size: int) -> bytes:
    """A partition of the MBR, by LBA; the cylinder fields say "look at the LBA"."""
    return struct.pack("<B3sB3sII", flag, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start // SECTOR, size // SECTOR)


def copy_sparse(source: Path, disk: int, offset: int) -> None:
    """Copy a file into a disk, leaving holes where there are only zeros."""
    zeros = bytes(MIB)
    with source.open("rb") as file:
        while block := file.read(MIB):
            if block != zeros[: len(block)]:
                os.pwrite(disk, block, offset)
            offset += len(block)


def content_size(tree: Tree) -> int:
    """Bytes that the files take on a file system of 4 KiB blocks."""
    return sum(4096 + -(-size(tree.root / path, node) // 4096) * 4096 for path, node in tree.nodes.items())


def size(path: Path, node: Node) -> int:
    return path.lstat().st_size if stat.S_ISREG(node.mode) else 0
