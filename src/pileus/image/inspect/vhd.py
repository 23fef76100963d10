"""VHD (called vpc by QEMU): a 512-byte footer, a copy of it in front when the disk is dynamic.

Source: Microsoft, Virtual Hard Disk Image Format Specification; block/vpc.c in QEMU for which of two sizes counts.
"""

from __future__ import annotations

import struct

from .source import Limits, Refused, Source, check_virtual_size, named

MAGIC, SPARSE_MAGIC = b"conectix", b"cxsparse"
FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16s")  # 85 bytes of 512
SPARSE = struct.Struct(">8sQQIIII16sII512s")  # 576 bytes of 1024, then eight parent locators of 24
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
SIZE_COUNTS = (b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS")  # creators whose `current size` is the disk's; with others the geometry is
MOST_GEOMETRY = 65535 * 16 * 255  # sectors; a geometry of this size stands for "more than can be said"
CONVERT = "Merge it into its parent, or convert it with `qemu-img convert -O qcow2 DISK.vhd disk.qcow2`, and upload that."


def in_front(source: Source) -> bool:
    return source.peek(0, 8) == MAGIC


def at_end(source: Source) -> bool:
    """Whether the file ends with a footer. A beginning of a file has no end, so it does not."""
    return source.size is not None and source.size > 512 and source.tail(512)[:8] == MAGIC


def matches(source: Source) -> bool:
    return in_front(source) or at_end(source)


def examine(source: Source, limits: Limits) -> int:
    """The size of the disk. Raises Refused."""
    front = in_front(source)
    raw = source.need(0, 512, "vhd footer") if front else source.tail(512)
    footer = FOOTER.unpack_from(raw)
    data_at, creator, current = footer[3], footer[5], footer[9]
    cylinders, heads, sectors, kind, checksum = footer[10:15]
    if ~(sum(raw[:64]) + sum(raw[68:512])) & 0xFFFFFFFF != checksum:
        raise Refused("vhd-header", "the checksum of its footer is wrong. It is damaged: upload it again.")
    if kind == DIFFERENCING:
        raise Refused("vhd-differencing", f"it holds only the differences from another disk{_parent(source, data_at)}. {CONVERT}")
    if kind not in (FIXED, DYNAMIC) or (kind == DYNAMIC) != front:
        raise Refused("vhd-header", f"it is of type {kind}; 2 (fixed, footer at the end) and 3 (dynamic, copy in front) are known.")
    geometry = cylinders * heads * sectors
    size = current if creator in SIZE_COUNTS or geometry in (0, MOST_GEOMETRY) else geometry * 512
    check_virtual_size("vhd", max(size, current), limits)
    if kind == FIXED:
        source.holds(0, size + 512, "data")
    else:
        _check_blocks(source, data_at, size, limits)
    return int(size)


def _parent(source: Source, at: int) -> str:
    if source.size is None or at + 1024 > source.size:
        return ""
    name = SPARSE.unpack(source.peek(at, SPARSE.size))[10].decode("utf-16-be", "replace")
    return f" {named(name.encode())!r}"


def _check_blocks(source: Source, at: int, size: int, limits: Limits) -> None:
    raw = source.need(at, 1024, "dynamic disk header")
    magic, _, table_at, _, entries, block, checksum, parent, *_ = SPARSE.unpack_from(raw)
    if magic != SPARSE_MAGIC or ~(sum(raw[:36]) + sum(raw[40:])) & 0xFFFFFFFF != checksum:
        raise Refused("vhd-header", "its dynamic disk header is damaged. Upload it again.")
    if any(parent) or any(raw[576 : 576 + 8 * 24]):
        raise Refused("vhd-differencing", f"its header names a parent disk. {CONVERT}")
    if block < 512 or block & (block - 1) or block > 1 << 28 or entries * block < size or entries * 4 > limits.table:
        raise Refused("vhd-header", f"{entries} blocks of {block} bytes do not fit a disk of {size} bytes.")
    used = [place for place in struct.unpack(f">{entries}I", source.need(table_at, entries * 4, "block table")) if place != 0xFFFFFFFF]
    if len(set(used)) != len(used):
        raise Refused("vhd-block-table", f"its block table uses a block of the file for several parts of the disk. {CONVERT}")
    if used and source.size is not None and max(used) * 512 >= source.size:
        raise Refused("vhd-block-table", f"a block is said to be at byte {max(used) * 512}, but the file has {source.size} bytes.")
