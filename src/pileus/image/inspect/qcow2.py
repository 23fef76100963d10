"""qcow2: the header, its extensions, and the two levels of tables that say where each cluster is.

Source: the format's own description, docs/interop/qcow2.txt in QEMU.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass

from .source import MIB, Limits, Refused, Source, check_expansion, check_virtual_size, named

MAGIC = b"QFI\xfb"
FIELDS = struct.Struct(">4sIQIIQIIQQIIQ")  # 72 bytes: all of version 2
MORE = struct.Struct(">QQQII")  # 32 more in version 3

DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED_L2 = (1 << bit for bit in range(5))
KNOWN = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2

ENDS, ENCRYPTION, DATA_FILE_NAME = 0, 0x0537BE77, 0x44415441  # header extensions that matter here
MAX_TABLE = 32 * MIB  # QEMU's own limits: first-level table,
MAX_REFCOUNT_TABLE = 8 * MIB  # reference count table,
MAX_SNAPSHOTS = 65536  # and internal snapshots
OFFSET = 0x00FFFFFFFFFFFE00  # the bits of a table entry that are a place in the file
COMPRESSED = 1 << 62
FLATTEN = "Make it whole with `qemu-img convert -O qcow2 IMAGE whole.qcow2` and upload that."


@dataclass(frozen=True)
class Header:
    """What the checks need of a header, in the words of the format's description."""

    version: int
    backing_offset: int
    backing_length: int
    cluster_bits: int
    size: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int
    features: int
    refcount_order: int
    length: int

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits

    @property
    def entry(self) -> int:
        """Bytes of a second-level entry."""
        return 16 if self.features & EXTENDED_L2 else 8


def matches(source: Source) -> bool:
    head = source.peek(0, 8)
    return head[:4] == MAGIC and head[4:8] != b"\0\0\0\1"  # version 1 is another format, qcow


def examine(source: Source, limits: Limits) -> int:
    """The size of the disk. Raises Refused."""
    header = _read(source)
    _check_features(source, header)
    _check_extensions(source, header)
    check_virtual_size("qcow2", header.size, limits)
    _check_tables(source, header)
    _check_mapping(source, header, limits)
    return header.size


def _read(source: Source) -> Header:
    fields = FIELDS.unpack(source.need(0, FIELDS.size, "qcow2 header"))
    version = fields[1]
    if version not in (2, 3):
        raise Refused("qcow2-header", f"it is of qcow2 version {version}, and only 2 and 3 are known. {FLATTEN}")
    features, order, length = 0, 4, FIELDS.size
    if version == 3:
        features, _, _, order, length = MORE.unpack(source.need(FIELDS.size, MORE.size, "qcow2 header"))
    header = Header(*[*fields[1:], features, order, length])
    if not 9 <= header.cluster_bits <= 21:
        raise Refused("qcow2-header", f"its clusters are 2^{header.cluster_bits} bytes; qcow2 allows 2^9 to 2^21.")
    if version == 3 and not FIELDS.size + MORE.size <= length <= header.cluster:
        raise Refused("qcow2-header", f"its header is said to be {length} bytes long; it is between 104 and a cluster ({header.cluster}).")
    return header


def _check_features(source: Source, header: Header) -> None:
    if header.backing_offset or header.backing_length:
        name = "of an impossible length"
        if header.backing_length <= 1023:
            name = repr(named(source.need(header.backing_offset, header.backing_length, "name of a backing file")))
        raise Refused("qcow2-backing", f"qcow2 image names a backing file {name}, which is not uploaded with it. {FLATTEN}")
    if header.features & DATA_FILE:
        raise Refused("qcow2-data-file", f"qcow2 image keeps its data in another file, which is not uploaded with it. {FLATTEN}")
    if header.encryption:
        raise Refused("encrypted", f"qcow2 image is encrypted (method {header.encryption}). Decrypt it with qemu-img convert first.")
    if unknown := header.features & ~KNOWN:
        bits = ", ".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        raise Refused("qcow2-features", f"qcow2 image needs features that are not known here (incompatible bits {bits}). {FLATTEN}")
    if header.features & CORRUPT:
        raise Refused("qcow2-corrupt", "qcow2 image is marked corrupt. Repair it with `qemu-img check -r all IMAGE`.")
    if header.features & EXTENDED_L2 and header.cluster_bits < 14:
        raise Refused("qcow2-header", "extended entries need clusters of 16 KiB or more.")
    kind = source.need(104, 1, "compression type")[0] if header.version == 3 and header.length >= 112 else 0
    if kind > 1 or (kind == 1) != bool(header.features & COMPRESSION):
        raise Refused("qcow2-features", f"compression type {kind} is not known here, or contradicts the feature bits. {FLATTEN}")


def _check_extensions(source: Source, header: Header) -> None:
    offset = header.length
    while offset + 8 <= header.cluster:
        kind, length = struct.unpack(">II", source.need(offset, 8, "header extension"))
        if kind == ENDS:
            return
        if offset + 8 + length > header.cluster:
            raise Refused("qcow2-header", f"header extension {kind:#x} of {length} bytes runs over the first cluster.")
        if kind == ENCRYPTION:
            raise Refused("encrypted", "qcow2 image is encrypted (LUKS). Decrypt it with qemu-img convert first.")
        if kind == DATA_FILE_NAME:
            name = named(source.need(offset + 8, min(length, 1024), "name of a data file"))
            raise Refused("qcow2-data-file", f"qcow2 image names an external data file {name!r}. {FLATTEN}")
        offset += 8 + (length + 7) // 8 * 8


def _check_tables(source: Source, header: Header) -> None:
    cluster = header.cluster
    reach = cluster * (cluster // header.entry)  # bytes of disk that one first-level entry covers
    wanted = -(-header.size // reach)
    if not wanted <= header.l1_entries <= MAX_TABLE // 8:
        raise Refused(
            "qcow2-l1-table",
            f"its first-level table has {header.l1_entries} entries; a disk of {header.size} bytes needs {wanted}, "
            f"and {MAX_TABLE // 8} is the most.",
        )
    if header.l1_offset % cluster or (header.l1_entries and not header.l1_offset):
        raise Refused("qcow2-l1-table", f"its first-level table is at byte {header.l1_offset}, which is no start of a cluster.")
    source.holds(header.l1_offset, header.l1_entries * 8, "first-level table")
    if not 0 < header.refcount_clusters * cluster <= MAX_REFCOUNT_TABLE or header.refcount_order > 6:
        raise Refused(
            "qcow2-refcount-table",
            f"its reference count table has {header.refcount_clusters} clusters of {cluster} bytes, of order {header.refcount_order}; "
            f"from 1 cluster to {MAX_REFCOUNT_TABLE} bytes and order 6 are allowed.",
        )
    if header.refcount_offset % cluster or not header.refcount_offset:
        at = header.refcount_offset
        raise Refused("qcow2-refcount-table", f"its reference count table is at byte {at}, which is no start of a cluster.")
    source.holds(header.refcount_offset, header.refcount_clusters * cluster, "reference count table")
    if header.snapshots > MAX_SNAPSHOTS:
        raise Refused("qcow2-snapshots", f"qcow2 image has {header.snapshots} internal snapshots; {MAX_SNAPSHOTS} is the most. {FLATTEN}")
    if header.snapshots:
        source.holds(header.snapshots_offset, header.snapshots * 40, "snapshot table")


def _words(raw: bytes) -> array[int]:
    words = array("Q", raw)
    if sys.byteorder == "little":
        words.byteswap()
    return words


def _check_mapping(source: Source, header: Header, limits: Limits) -> None:
    """Each table and each cluster inside the file, and not more of them than the file has room for.

    A cluster of a disk never shares its place with another one, so more data clusters than the file has are a way to say a lot with little.
    """
    cluster, step = header.cluster, header.entry // 8
    first = _words(source.need(header.l1_offset, header.l1_entries * 8, "first-level table"))
    tables = [entry & OFFSET for entry in first if entry & OFFSET]
    if len(set(tables)) != len(tables):
        raise Refused("bomb", f"qcow2 image uses the same second-level table for several parts of its disk. {FLATTEN}")
    if len(tables) * (cluster // header.entry) > limits.entries:
        raise Refused("qcow2-mapping", f"qcow2 image has too many small clusters to check. Convert it with larger ones: {FLATTEN}")
    plain = packed = 0
    end = None if source.size is None else -(-source.size // cluster) * cluster  # the last cluster may be a part of one
    offset_bits = 62 - (header.cluster_bits - 8)
    inside = (1 << offset_bits) - 1
    for table in tables:
        if table % cluster:
            raise Refused("qcow2-mapping", f"a second-level table is at byte {table}, which is no start of a cluster.")
        words = _words(source.need(table, cluster, "second-level table"))
        used = [word for word in (words if step == 1 else words[::step]) if word & OFFSET]
        places = [word & OFFSET for word in used if not word & COMPRESSED]
        squeezed = [word & inside for word in used if word & COMPRESSED]
        plain, packed = plain + len(places), packed + len(squeezed)
        last = max([*places, *squeezed], default=0)
        if end is not None and last >= end:
            raise Refused("qcow2-mapping", f"a cluster is said to be at byte {last}, but the file has {source.size}. Upload it again.")
        if any(place % cluster for place in places):
            raise Refused("qcow2-mapping", "a cluster lies across two clusters of the file. Repair it with `qemu-img check -r all IMAGE`.")
    if end is not None and plain * cluster > end:
        raise Refused("bomb", f"qcow2 image maps {plain} clusters of {cluster} bytes onto a file of {source.size} bytes. {FLATTEN}")
    check_expansion("qcow2", (plain + packed) * cluster, source, limits)
