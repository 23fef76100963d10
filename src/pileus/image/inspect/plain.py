"""What has no tables of its own: ISO, partition tables, ploop's header, and formats that are only recognised in order to be refused."""

from __future__ import annotations

import struct
import zlib

from .source import KIB, Limits, Refused, Source, check_virtual_size

ISO_AT, ISO_MAGIC, ISO_BLOCK = 32 * KIB, b"CD001", 2048
ISO_SLACK = 150 * ISO_BLOCK  # writers count 150 sectors of padding that copies often lack
PLOOP_MAGICS = (b"WithoutFreeSpace", b"WithouFreSpacExt")
PLOOP = struct.Struct("<16sIIIIIQIIIQ")
PLOOP_IN_USE = 0x746F6E59


def is_iso(source: Source) -> bool:
    return source.peek(ISO_AT + 1, 5) == ISO_MAGIC


def examine_iso(source: Source, limits: Limits) -> int:
    """The size of the file. Raises Refused for a volume that the file cannot hold."""
    head = source.need(ISO_AT, ISO_BLOCK, "volume descriptor")
    if head[0] == 1:
        (blocks, block), (blocks_be, block_be) = struct.unpack_from("<I44xH", head, 80), struct.unpack_from(">4xI42xH", head, 80)
        if (blocks, block) != (blocks_be, block_be) or block not in (512, 1024, 2048):
            raise Refused("iso-header", f"its volume descriptor says {blocks} and {blocks_be} blocks of {block} and {block_be} bytes.")
        if source.size is not None and blocks * block > source.size + ISO_SLACK:
            text = f"its volume has {blocks * block} bytes, but the file {source.size}. It is cut off: upload it again."
            raise Refused("iso-header", text)
    return source.size or 0


def is_ploop(source: Source) -> bool:
    return source.peek(0, 16) in PLOOP_MAGICS


def examine_ploop(source: Source, limits: Limits) -> int:
    """The size of the disk. Raises Refused."""
    magic, version, _, _, tracks, entries, sectors, in_use, *_ = PLOOP.unpack(source.need(0, PLOOP.size, "ploop header"))
    if magic == PLOOP_MAGICS[0]:
        sectors &= 0xFFFFFFFF
    if version != 2 or not tracks or tracks > 1 << 20 or entries * 4 > limits.table:
        raise Refused("ploop-header", f"version {version} with {entries} clusters of {tracks} sectors is not possible.")
    if in_use == PLOOP_IN_USE:
        raise Refused("ploop-header", "it was not closed cleanly. Unmount it where it was made, and upload it again.")
    check_virtual_size("ploop", sectors * 512, limits)
    if entries * tracks < sectors:
        raise Refused("ploop-header", f"{entries} clusters of {tracks} sectors do not make a disk of {sectors}.")
    unit = 512 if magic == PLOOP_MAGICS[0] else 512 * tracks
    used = [place for place in struct.unpack(f"<{entries}I", source.need(PLOOP.size, entries * 4, "block table")) if place]
    if used:
        source.holds(max(used) * unit, 1, "last cluster")
    if len(set(used)) != len(used):
        raise Refused("bomb", "ploop image uses a cluster of the file for several parts of the disk.")
    return int(sectors) * 512


def has_boot_record(source: Source) -> bool:
    """A PC boot record, and with it perhaps a partition table."""
    return source.peek(510, 2) == b"\x55\xaa"


def is_gpt(source: Source) -> bool:
    return has_boot_record(source) and source.peek(512, 8) == b"EFI PART"


def check_gpt(source: Source) -> None:
    """Refuse a whole partition table of a disk that is larger than the file: the file is the beginning of an image."""
    raw = source.need(512, 92, "partition table")
    length, checksum = struct.unpack_from("<II", raw, 12)
    if not 92 <= length <= 512 or source.size is None:
        return
    whole = source.peek(512, length)
    if zlib.crc32(whole[:16] + bytes(4) + whole[20:]) != checksum:
        return  # a damaged table is the guest's own business
    last: int = struct.unpack_from("<Q", raw, 48)[0]
    if (last + 1) * 512 > source.size:
        end = (last + 1) * 512
        raise Refused("gpt-header", f"its partition table ends at byte {end}, the file has {source.size}. It is cut off: upload it again.")


def is_luks(source: Source) -> bool:
    return source.peek(0, 6) == b"LUKS\xba\xbe"


def is_qed(source: Source) -> bool:
    return source.peek(0, 4) == b"QED\0"


def is_qcow(source: Source) -> bool:
    return source.peek(0, 8) == b"QFI\xfb\0\0\0\1"


PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}


def packed(source: Source) -> str | None:
    """The compression program that made the file, for better words when an image was uploaded without unpacking it."""
    head = source.peek(0, 6)
    return next((name for magic, name in PACKED.items() if head.startswith(magic)), None)
