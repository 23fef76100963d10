"""VHDX: two headers, two region tables, metadata items. Source: Microsoft, MS-VHDX."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator

from .source import MIB, Limits, Refused, Source, check_virtual_size

MAGIC = b"vhdxfile"
HEADERS, REGIONS = (64 << 10, 128 << 10), (192 << 10, 256 << 10)
BLOCK_TABLE = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
LOGICAL_SECTOR = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PARENT = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
KNOWN_ITEMS = {
    PARAMETERS,
    SIZE,
    LOGICAL_SECTOR,
    PARENT,
    uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556"),  # physical sector size
    uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746"),  # page 83 data: the disk's own id
}
HAS_PARENT = 2
CONVERT = "Merge it into its parent, or convert it with `qemu-img convert -O qcow2 DISK.vhdx disk.qcow2`, and upload that."


def matches(source: Source) -> bool:
    return source.peek(0, 8) == MAGIC


def examine(source: Source, limits: Limits) -> int:
    """The size of the disk. Raises Refused."""
    _check_log(source)
    regions = _regions(source)
    items = _items(source, regions)
    if PARAMETERS not in items or SIZE not in items:
        raise Refused("vhdx-header", "its metadata does not say how large the disk is.")
    block, flags = struct.unpack("<II", source.need(items[PARAMETERS], 8, "file parameters"))
    if flags & HAS_PARENT or PARENT in items:
        raise Refused("vhdx-differencing", f"it holds only the differences from another disk. {CONVERT}")
    if not MIB <= block <= 256 * MIB or block & (block - 1):
        raise Refused("vhdx-header", f"blocks of {block} bytes are not possible; 1 to 256 MiB are.")
    size: int = struct.unpack("<Q", source.need(items[SIZE], 8, "disk size"))[0]
    check_virtual_size("vhdx", size, limits)
    sector = struct.unpack("<I", source.need(items[LOGICAL_SECTOR], 4, "sector size"))[0] if LOGICAL_SECTOR in items else 512
    if sector not in (512, 4096) or size % sector:
        raise Refused("vhdx-header", f"a disk of {size} bytes in sectors of {sector} is not possible.")
    _check_blocks(source, regions[BLOCK_TABLE], -(-size // block), (1 << 23) * sector // block)
    return size


def _check_log(source: Source) -> None:
    newest: tuple[int, bytes] | None = None
    for at in HEADERS:
        raw = source.need(at, 4096, "header")
        checksum, sequence = struct.unpack_from("<IQ", raw, 4)
        if raw[:4] == b"head" and _crc32c(raw[:4] + bytes(4) + raw[8:]) == checksum and (newest is None or sequence > newest[0]):
            newest = sequence, raw
    if newest is None:
        raise Refused("vhdx-header", "neither of its two headers is whole. It is damaged: upload it again.")
    if any(newest[1][48:64]):
        raise Refused("vhdx-log", "it was not closed cleanly, and its log is not played back here. Open and close it where it was made.")


def _regions(source: Source) -> dict[uuid.UUID, tuple[int, int]]:
    for at in REGIONS:
        raw = source.need(at, 64 << 10, "region table")
        checksum, count = struct.unpack_from("<II", raw, 4)
        if raw[:4] == b"regi" and count <= 2047 and _crc32c(raw[:4] + bytes(4) + raw[8:]) == checksum:
            break
    else:
        raise Refused("vhdx-header", "neither of its two region tables is whole. It is damaged: upload it again.")
    regions: dict[uuid.UUID, tuple[int, int]] = {}
    for index in range(count):
        name, offset, length, required = struct.unpack_from("<16sQII", raw, 16 + index * 32)
        id = uuid.UUID(bytes_le=name)
        if id not in (BLOCK_TABLE, METADATA) and required & 1:
            raise Refused("vhdx-header", f"it needs a region {id} that is not known here. {CONVERT}")
        if offset % MIB or offset < MIB or id in regions:
            raise Refused("vhdx-header", f"its region {id} is at byte {offset}, or there twice; regions start at whole MiB, not the first.")
        source.holds(offset, length, f"region {id}")
        regions[id] = offset, length
    if len(regions.keys() & {BLOCK_TABLE, METADATA}) != 2:
        raise Refused("vhdx-header", "it has no block table or no metadata.")
    return regions


def _items(source: Source, regions: dict[uuid.UUID, tuple[int, int]]) -> dict[uuid.UUID, int]:
    at, length = regions[METADATA]
    raw = source.need(at, 64 << 10, "metadata table")
    count = struct.unpack_from("<H", raw, 10)[0]
    if raw[:8] != b"metadata" or count > 1023:
        raise Refused("vhdx-header", "its metadata table is damaged.")
    items: dict[uuid.UUID, int] = {}
    for name, offset, size, flags in _entries(raw, count):
        if name not in KNOWN_ITEMS and flags & 4:
            raise Refused("vhdx-header", f"it needs a metadata item {name} that is not known here. {CONVERT}")
        if offset + size > length:
            raise Refused("vhdx-header", f"its metadata item {name} lies outside the metadata.")
        items[name] = at + offset
    return items


def _entries(raw: bytes, count: int) -> Iterator[tuple[uuid.UUID, int, int, int]]:
    for index in range(count):
        name, offset, size, flags = struct.unpack_from("<16sIII", raw, 32 + index * 32)
        yield uuid.UUID(bytes_le=name), offset, size, flags


def _check_blocks(source: Source, region: tuple[int, int], blocks: int, ratio: int) -> None:
    """Payload blocks inside the file, none used twice. After each `ratio` of them the table has an entry for a sector bitmap."""
    at, length = region
    entries = blocks + max(blocks - 1, 0) // ratio
    if entries * 8 > length:
        raise Refused("vhdx-header", f"its block table has room for {length // 8} entries; the disk needs {entries}.")
    words = struct.unpack(f"<{entries}Q", source.need(at, entries * 8, "block table"))
    used = [word >> 20 for index, word in enumerate(words) if (index + 1) % (ratio + 1) and word & 7 in (6, 7)]
    if len(set(used)) != len(used):
        raise Refused("bomb", f"vhdx image uses a block of the file for several parts of the disk. {CONVERT}")
    if used:
        source.holds(max(used) * MIB, 1, "last block")


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 if value & 1 else value >> 1
        table.append(value)
    return table


_CRC = _table()


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
