"""VDI, the disk format of VirtualBox. Source: VirtualBox's VDICore.h; block/vdi.c in QEMU."""

from __future__ import annotations

import struct
import sys
from array import array

from .source import Limits, Refused, Source, check_virtual_size

MAGIC = 0xBEDA107F
FIELDS = struct.Struct("<IIIII256sIIIIIIIQIIII16s16s16s16s")  # from byte 64
DYNAMIC, STATIC = 1, 2
FREE, ZERO = 0xFFFFFFFF, 0xFFFFFFFE
MOST_BLOCKS = 0x1FFFFFFF  # QEMU's own limit: 512 MiB short of 512 TiB
CONVERT = "Convert it with `qemu-img convert -O qcow2 DISK.vdi disk.qcow2`, or clone it in VirtualBox, and upload that."


def matches(source: Source) -> bool:
    return source.peek(64, 4) == struct.pack("<I", MAGIC)


def examine(source: Source, limits: Limits) -> int:
    """The size of the disk. Raises Refused."""
    fields = FIELDS.unpack(source.need(64, FIELDS.size, "vdi header"))
    version, kind, blocks_at, data_at, sector, size = fields[1], fields[3], fields[6], fields[7], fields[11], fields[13]
    block, extra, blocks, allocated = fields[14:18]
    snapshot_of, parent = fields[20], fields[21]
    if version != 0x00010001 or sector != 512 or extra:
        raise Refused("vdi-header", f"version {version >> 16}.{version & 0xFFFF} with sectors of {sector} bytes is not known. {CONVERT}")
    if kind not in (DYNAMIC, STATIC) or any(snapshot_of) or any(parent):
        raise Refused("vdi-differencing", f"it holds only the differences from another disk (type {kind}). {CONVERT}")
    check_virtual_size("vdi", size, limits)
    if block < 4096 or block & (block - 1) or block > 1 << 28:
        raise Refused("vdi-header", f"blocks of {block} bytes are not possible. {CONVERT}")
    if not -(-size // block) <= blocks <= MOST_BLOCKS or allocated > blocks or blocks * 4 > limits.table:
        raise Refused("vdi-header", f"{blocks} blocks, {allocated} of them in use, do not fit a disk of {size} bytes.")
    raw = source.need(blocks_at, blocks * 4, "block map")
    places = array("I", raw)
    if sys.byteorder == "big":
        places.byteswap()
    used = [place for place in places if place < ZERO]
    if used and max(used) >= allocated:
        raise Refused("vdi-block-map", f"its block map names block {max(used)}, but only {allocated} are in the file.")
    if len(set(used)) != len(used):
        raise Refused("vdi-block-map", f"its block map uses a block of the file for several parts of the disk. {CONVERT}")
    if used:
        source.holds(data_at + max(used) * block, 1, "last block")
    return int(size)
