"""A small ISO 9660 file system of files held in memory, for config drives; with Rock Ridge (Linux) and Joliet (Windows) names.

Not here: reading one, and what is on it. Sources: ECMA-119; IEEE P1281 (SUSP) and P1282 (Rock Ridge); the Joliet Specification, 1995.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

SECTOR = 2048
FIRST = 16  # the sectors before it belong to whatever boots
PADDING = 150  # sectors at the end, as genisoimage adds: busybox finds no label on a disk that is smaller than its buffer
DIRECTORY = 2  # flag of a directory record


@dataclass
class Node:
    """A file, or a folder and what is in it."""

    name: str
    data: bytes | None = None  # None: a folder
    children: dict[str, Node] = field(default_factory=dict)
    parent: Node | None = None
    # places by name space, "plain" and "joliet"; a file has one place for both
    sector: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    short: str = ""


def write(files: Mapping[str, bytes], label: str, now: float | None = None) -> bytes:
    """The image of a volume called `label` (at most 16 characters) with these files, by path: "openstack/latest/user_data".

    `now`: seconds since 1970, the time that everything on it bears.
    """
    volume = _Volume(_tree(files), label, time.gmtime(time.time() if now is None else now))
    return volume.image()


def _tree(files: Mapping[str, bytes]) -> Node:
    root = Node("")
    root.parent = root
    for path, data in sorted(files.items()):
        *folders, name = path.strip("/").split("/")
        here = root
        for folder in folders:
            here = here.children.setdefault(folder, Node(folder, parent=here))
        here.children[name] = Node(name, data, parent=here)
    _shorten(root)
    return root


def _shorten(folder: Node) -> None:
    """Give everything a name that the plain standard allows: 8 capitals, digits or underscores, for files and 3 more behind a point."""
    taken: set[str] = set()
    for node in folder.children.values():
        stem, _, ending = node.name.rpartition(".") if "." in node.name and node.data is not None else (node.name, "", "")
        stem, ending = (re.sub(r"[^A-Z0-9_]", "_", part.upper()) for part in (stem, ending))
        for n in range(10000):
            cut = stem[:8] if n == 0 else f"{stem[: 7 - len(str(n))]}_{n}"
            node.short = f"{cut}.{ending[:3]};1" if node.data is not None else cut
            if node.short not in taken:
                break
        taken.add(node.short)
        _shorten(node)


class _Volume:
    """Lays everything out, then writes it. Order: descriptors, path tables, folders, files."""

    def __init__(self, root: Node, label: str, when: time.struct_time) -> None:
        self.root, self.label, self.when = root, label, when
        self.folders = [root]  # breadth first, as path tables want them
        for folder in self.folders:
            self.folders += [node for node in folder.children.values() if node.data is None]
        self.files = [node for folder in self.folders for node in folder.children.values() if node.data is not None]
        self.tables: dict[tuple[str, str], int] = {}
        self.end = FIRST + 3
        for space in ("plain", "joliet"):
            for order in "<>":
                self.tables[space, order] = self._take(len(self._table(space, order)))
        for space in ("plain", "joliet"):
            for folder in self.folders:
                folder.size[space] = _whole(sum(map(len, self._padded(self._records(folder, space)))))
                folder.sector[space] = self._take(folder.size[space])
        for file in self.files:
            assert file.data is not None
            place = self._take(len(file.data))
            for space in ("plain", "joliet"):
                file.sector[space], file.size[space] = place, len(file.data)
        self.end += PADDING

    def _take(self, size: int) -> int:
        place = self.end
        self.end += max(1, -(-size // SECTOR))
        return place

    def image(self) -> bytes:
        out = bytearray(self.end * SECTOR)

        def put(sector: int, data: bytes) -> None:
            out[sector * SECTOR : sector * SECTOR + len(data)] = data

        put(FIRST, self._descriptor("plain"))
        put(FIRST + 1, self._descriptor("joliet"))
        put(FIRST + 2, b"\xffCD001\x01")
        for (space, order), place in self.tables.items():
            put(place, self._table(space, order))
        for space in ("plain", "joliet"):
            for folder in self.folders:
                put(folder.sector[space], b"".join(self._padded(self._records(folder, space))))
        for file in self.files:
            put(file.sector["plain"], file.data or b"")
        return bytes(out)

    # -- folders -----------------------------------------------------------------------------------------------------------

    def _records(self, folder: Node, space: str) -> list[bytes]:
        assert folder.parent is not None
        rock = space == "plain"
        start = struct.pack("<2sBBBBB", b"SP", 7, 1, 0xBE, 0xEF, 0) + _extension() if folder is self.root else b""
        records = [
            self._record(folder, space, b"\0", start + _mode(folder) if rock else b""),
            self._record(folder.parent, space, b"\1", _mode(folder.parent) if rock else b""),
        ]
        named = sorted((_encoded(node, space), node) for node in folder.children.values()) if folder.children else []
        return records + [self._record(node, space, name, _name(node) + _mode(node) if rock else b"") for name, node in named]

    def _record(self, node: Node, space: str, name: bytes, extra: bytes) -> bytes:
        """A directory record. Source: ECMA-119, 9.1."""
        body = struct.pack(
            "<xI4sI4s7sBBBHHB",
            node.sector.get(space, 0), struct.pack(">I", node.sector.get(space, 0)),
            node.size.get(space, 0), struct.pack(">I", node.size.get(space, 0)),
            self._moment(), DIRECTORY if node.data is None else 0, 0, 0, 1, 1 << 8, len(name),
        ) + name  # fmt: skip
        body += b"\0" * (len(body) % 2 == 0)  # with the length byte in front the whole is even
        body += extra
        body += b"\0" * (len(body) % 2 == 0)
        return bytes([len(body) + 1]) + body

    def _padded(self, records: list[bytes]) -> list[bytes]:
        """A record never crosses the end of a sector."""
        out: list[bytes] = []
        at = 0
        for record in records:
            if at % SECTOR + len(record) > SECTOR:
                out.append(b"\0" * (SECTOR - at % SECTOR))
                at += len(out[-1])
            out.append(record)
            at += len(record)
        return out

    def _table(self, space: str, order: str) -> bytes:
        """The path table in one byte order. Source: ECMA-119, 9.4."""
        out = b""
        for folder in self.folders:
            assert folder.parent is not None
            name = _encoded(folder, space) if folder is not self.root else b"\0"
            number = self.folders.index(folder.parent) + 1
            out += struct.pack(order + "BBIH", len(name), 0, folder.sector.get(space, 0), number) + name + b"\0" * (len(name) % 2)
        return out

    # -- descriptors -------------------------------------------------------------------------------------------------------

    def _descriptor(self, space: str) -> bytes:
        """A volume descriptor. Source: ECMA-119, 8.4 and 8.5."""
        joliet = space == "joliet"

        def text(value: str, size: int) -> bytes:
            return _text(value, size, joliet)

        size = len(self._table(space, "<"))
        moment = time.strftime("%Y%m%d%H%M%S00", self.when).encode() + b"\0"
        never = b"0" * 16 + b"\0"
        return b"".join(
            [
                bytes([2 if joliet else 1]) + b"CD001\x01\0",
                text("LINUX", 32),
                text(self.label, 32),
                b"\0" * 8,
                _both(self.end),
                (b"%/E" if joliet else b"").ljust(32, b"\0"),
                _both_short(1),
                _both_short(1),
                _both_short(SECTOR),
                _both(size),
                struct.pack("<II", self.tables[space, "<"], 0),
                struct.pack(">II", self.tables[space, ">"], 0),
                self._record(self.root, space, b"\0", b""),
                text("", 128),
                text("PILEUS", 128),
                text("PILEUS", 128),
                text("PILEUS", 128),
                text("", 37) * 3,
                moment + moment + never + moment + b"\x01",
            ]
        )

    def _moment(self) -> bytes:
        when = self.when
        return bytes([when.tm_year - 1900, when.tm_mon, when.tm_mday, when.tm_hour, when.tm_min, when.tm_sec, 0])


def _whole(size: int) -> int:
    return -(-size // SECTOR) * SECTOR


def _text(value: str, size: int, joliet: bool) -> bytes:
    """A text field; Joliet's are filled with zeros, since busybox takes blanks for a part of the label."""
    if not joliet:
        return value.encode("ascii", "replace").ljust(size)[:size]
    return value.encode("utf-16-be")[: size // 2 * 2].ljust(size, b"\0")


def _both(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)


def _both_short(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


def _encoded(node: Node, space: str) -> bytes:
    if space == "plain":
        return node.short.encode("ascii")
    return (node.name[:62] + (";1" if node.data is not None else "")).encode("utf-16-be")


def _mode(node: Node) -> bytes:
    """Rock Ridge PX: mode, links, owner."""
    mode, links = (0o040555, 2) if node.data is None else (0o100444, 1)
    return struct.pack("<2sBB", b"PX", 36, 1) + _both(mode) + _both(links) + _both(0) + _both(0)


def _name(node: Node) -> bytes:
    """Rock Ridge NM: the name as it is."""
    name = node.name.encode()[:180]
    return struct.pack("<2sBBB", b"NM", 5 + len(name), 1, 0) + name


def _extension() -> bytes:
    """SUSP ER: these are Rock Ridge's names."""
    id = b"RRIP_1991A"
    return struct.pack("<2sBBBBBB", b"ER", 8 + len(id), 1, len(id), 0, 0, 1) + id
