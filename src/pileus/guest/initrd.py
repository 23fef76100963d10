"""A cpio archive in the form the kernel unpacks at boot ("newc"), written from a Tree. Not compressed: under TCG that is the fastest.

Source: https://www.kernel.org/doc/html/latest/driver-api/early-userspace/buffer-format.html
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pileus.guest.tree import Node, Tree


def write_initrd(tree: Tree, target: Path) -> None:
    """Write every node of the tree, folders before what is in them."""
    with target.open("wb") as out:
        for number, path in enumerate(sorted(p for p in tree.nodes if p), start=1):
            node = tree.nodes[path]
            out.write(member(number, path, node, body(tree.root / path, node)))
        out.write(member(0, "TRAILER!!!", Node(0), b""))


def body(path: Path, node: Node) -> bytes:
    if stat.S_ISLNK(node.mode):
        return os.fsencode(os.readlink(path))
    return path.read_bytes() if stat.S_ISREG(node.mode) else b""


def member(number: int, path: str, node: Node, data: bytes) -> bytes:
    name = os.fsencode(path) + b"\0"
    fields = (number, node.mode, node.uid, node.gid, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields)
    return pad(head + name) + pad(data)


def pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
