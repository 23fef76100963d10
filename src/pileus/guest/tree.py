"""A file system being put together in a folder, with the owners and modes it shall have, which the builder may not be allowed to set.

Not here: what goes in (rootfs.py, recipe.py) and how it becomes ext4 or cpio (disk.py, initrd.py).
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Node:
    """What a path shall be in the guest."""

    mode: int  # with the file type bits of stat(2)
    uid: int = 0
    gid: int = 0


class Tree:
    """Paths are relative (`usr/bin/curl`). Bodies lie below `root`, owned by whoever builds; `nodes` says how they shall appear."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nodes: dict[str, Node] = {}
        root.mkdir(parents=True)
        self.nodes[""] = Node(stat.S_IFDIR | 0o755)

    def folder(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """A folder and the folders above it; an existing one keeps what it has."""
        path = self.place(path)
        if path in self.nodes:
            return
        self._above(path)
        (self.root / path).mkdir(exist_ok=True)
        self.nodes[path] = Node(stat.S_IFDIR | mode, uid, gid)

    def file(self, path: str, body: bytes | Path, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """A regular file, from bytes or a copy of a host's file; replaces what was there."""
        path = self.place(path)
        self._clear(path)
        target = self.root / path
        if isinstance(body, bytes):
            target.write_bytes(body)
        else:
            shutil.copyfile(body, target)
        target.chmod(0o700 if mode & 0o111 else 0o600)
        self.nodes[path] = Node(stat.S_IFREG | mode, uid, gid)

    def link(self, path: str, target: str) -> None:
        """A symbolic link; replaces what was there."""
        path = self.place(path)
        self._clear(path)
        (self.root / path).symlink_to(target)
        self.nodes[path] = Node(stat.S_IFLNK | 0o777)

    def remove(self, path: str) -> None:
        """A path and all below it; nothing when it is not there."""
        path = self.place(path)
        for below in [p for p in self.nodes if p == path or p.startswith(path + "/")]:
            del self.nodes[below]
        target = self.root / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def unpack(self, archive: tarfile.TarFile, wanted: Callable[[str], bool]) -> None:
        """Take the wanted members of a package. Names that climb out of the tree are refused by `place`."""
        for member in archive:
            path = self.place(member.name)
            if not path or not (member.isdir() or wanted(path)):
                continue
            if member.isdir():
                continue  # folders come with what is in them: those of unwanted documentation stay away
            if member.issym():
                self.link(path, member.linkname)
            elif member.islnk():
                source = self.place(member.linkname)
                self.file(path, self.root / source, stat.S_IMODE(self.nodes[source].mode))
            elif member.isfile():
                body = archive.extractfile(member)
                assert body is not None
                self.file(path, body.read(), member.mode, member.uid, member.gid)
                os.utime(self.root / path, (member.mtime, member.mtime))

    def place(self, path: str) -> str:
        """Where a path of a package lies once the links among its upper folders are followed (`bin/x` is `usr/bin/x`)."""
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", ".")]
        if ".." in parts:
            raise ValueError(f"a path in a package climbs out of its tree: {path}")
        done = ""
        for part in parts[:-1]:
            done = f"{done}/{part}" if done else part
            node = self.nodes.get(done)
            if node and stat.S_ISLNK(node.mode):
                target = os.readlink(self.root / done)
                done = os.path.normpath(os.path.join("/", os.path.dirname(done), target)).lstrip("/")
        return "/".join(filter(None, (done, *parts[-1:])))

    def files(self, below: str = "") -> Iterator[str]:
        """Paths of regular files below a folder, sorted."""
        prefix = below + "/" if below else ""
        return iter(sorted(p for p, node in self.nodes.items() if stat.S_ISREG(node.mode) and p.startswith(prefix)))

    def _above(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent:
            self.folder(parent)

    def _clear(self, path: str) -> None:
        self._above(path)
        node = self.nodes.get(path)
        if node and stat.S_ISDIR(node.mode):
            raise IsADirectoryError(path)
        (self.root / path).unlink(missing_ok=True)
