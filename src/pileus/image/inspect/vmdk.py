"""VMDK: one file with its own grains (monolithicSparse, streamOptimized) is taken; a descriptor that names other files is not.

Source: VMware, Virtual Disk Format 1.1.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from .source import MIB, Limits, Refused, Source, check_expansion, check_virtual_size, named

MAGIC = b"KDMV"
ESX_MAGIC = b"COWD"
FIELDS = struct.Struct("<4sIIQQQQIQQQB4sH")  # 79 bytes of a 512-byte sector
SECTOR = 512
AT_END = 0xFFFFFFFFFFFFFFFF  # the grain directory's place is in the footer
SAFE_KINDS = ("monolithicSparse", "streamOptimized")
COMPRESSED = 1 << 16
CONVERT = "Convert it with `qemu-img convert -O qcow2 DISK.vmdk disk.qcow2` where all its files are, and upload that."
EXTENT = re.compile(r"^(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+\"(.*?)\")?", re.MULTILINE)


@dataclass(frozen=True)
class Header:
    """A sparse extent's header; counts are in sectors of 512 bytes."""

    version: int
    flags: int
    capacity: int
    grain: int
    descriptor_offset: int
    descriptor_size: int
    entries: int
    redundant_offset: int
    directory_offset: int
    overhead: int
    unclean: int
    newlines: bytes
    compression: int


def is_descriptor(head: bytes) -> bool:
    """Whether a text is a VMDK descriptor by QEMU's own rule: comments and blank lines, then `version=`."""
    for line in head.split(b"\n", 200):
        line = line.rstrip(b"\r")
        if not line.strip() or line.startswith(b"#"):
            if line.lower().startswith(b"# disk descriptorfile"):
                return True
            continue
        return re.match(rb"version\s*=\s*\d", line.lower()) is not None
    return False


def matches(source: Source) -> bool:
    head = source.peek(0, 2048)
    return head[:4] in (MAGIC, ESX_MAGIC) or is_descriptor(head)


def examine(source: Source, limits: Limits) -> int:
    """The size of the disk. Raises Refused."""
    if source.peek(0, 4) != MAGIC:
        text = named(source.peek(0, 64 * 1024).replace(b"\n", b" "))
        names = [found[3] for found in EXTENT.findall(source.peek(0, 2048).decode("latin-1"))]
        which = f" ({', '.join(names)})" if any(names) else f" ({text[:60]}…)"
        raise Refused("vmdk-descriptor", f"it is only the description of a disk whose data is in other files{which}. {CONVERT}")
    header = _read(source, 0)
    check_virtual_size("vmdk", header.capacity * SECTOR, limits)
    _check_descriptor(source, header)
    if header.directory_offset == AT_END:
        header = _footer(source, header)
    _check_directory(source, header, limits)
    return header.capacity * SECTOR


def _read(source: Source, offset: int) -> Header:
    magic, *fields = FIELDS.unpack(source.need(offset, FIELDS.size, "vmdk header"))
    header = Header(*fields)
    if magic != MAGIC or header.version not in (1, 2, 3):
        raise Refused("vmdk-header", f"it is of VMDK version {header.version}; 1, 2 and 3 are known. {CONVERT}")
    if header.newlines != b"\n \r\n":
        raise Refused("vmdk-header", "its line-end marks are damaged: it was sent as text at some time. Send it again as binary.")
    if header.grain < 1 or header.grain & (header.grain - 1) or header.grain > 128 * 1024 or not 1 <= header.entries <= 512:
        raise Refused("vmdk-header", f"grains of {header.grain} sectors in tables of {header.entries} are not possible.")
    if header.compression > 1:
        raise Refused("vmdk-header", f"compression {header.compression} is not known. {CONVERT}")
    return header


def _check_descriptor(source: Source, header: Header) -> None:
    if not header.descriptor_offset or not header.descriptor_size:
        raise Refused("vmdk-descriptor", f"it has no descriptor of its own, so it is a part of a larger disk. {CONVERT}")
    if header.descriptor_size * SECTOR > MIB:
        raise Refused("vmdk-descriptor", f"its descriptor is said to have {header.descriptor_size * SECTOR} bytes; 1 MiB is the most.")
    raw = source.need(header.descriptor_offset * SECTOR, header.descriptor_size * SECTOR, "descriptor")
    text = raw.split(b"\0", 1)[0].decode("latin-1")
    values = {key.lower(): value.strip().strip('"') for key, value in re.findall(r"^\s*([\w.]+)\s*=\s*(.*?)\s*$", text, re.MULTILINE)}
    if values.get("createtype") not in SAFE_KINDS:
        kind = named(values.get("createtype", "none").encode())
        raise Refused("vmdk-descriptor", f"it is of kind {kind}; {' and '.join(SAFE_KINDS)} are taken. {CONVERT}")
    if "parentfilenamehint" in values or values.get("parentcid", "ffffffff").lower() != "ffffffff":
        raise Refused("vmdk-parent", f"it continues another disk {named(values.get('parentfilenamehint', '').encode())!r}. {CONVERT}")
    extents = EXTENT.findall(text)
    others = [name for _, _, kind, name in extents if kind != "SPARSE" or "/" in name or "\\" in name or name.startswith(".")]
    if len(extents) != 1 or others:
        names = ", ".join(repr(named(name.encode("latin-1"))) for *_, name in extents) or "no extent"
        raise Refused("vmdk-extent", f"its descriptor names {names}; only the file itself may be named, once. {CONVERT}")


def _footer(source: Source, header: Header) -> Header:
    """The header that a streamed VMDK repeats, with the directory's place, 1024 bytes before its end."""
    end = len(source.tail(3 * SECTOR))
    if source.size is None or end < 3 * SECTOR:
        raise Refused("vmdk-footer", "it has no footer. It is cut off: upload it again.")
    try:
        footer = _read(source, source.size - 2 * SECTOR)
    except Refused:
        raise Refused("vmdk-footer", "it has no footer, so the place of its grains is unknown. It is cut off: upload it again.") from None
    if (footer.capacity, footer.grain, footer.entries) != (header.capacity, header.grain, header.entries):
        raise Refused("vmdk-footer", f"its header says {header.capacity} sectors and its footer {footer.capacity}. {CONVERT}")
    if (footer.descriptor_offset, footer.descriptor_size) not in ((0, 0), (header.descriptor_offset, header.descriptor_size)):
        raise Refused("vmdk-footer", f"its footer names another descriptor than its header. {CONVERT}")
    return footer


def _check_directory(source: Source, header: Header, limits: Limits) -> None:
    reach = header.grain * header.entries
    count = -(-header.capacity // reach)
    if count * 4 > limits.table or count * header.entries > limits.entries:
        raise Refused("vmdk-header", f"its grain directory would have {count} entries, more than is checked here. {CONVERT}")
    raw = source.need(header.directory_offset * SECTOR, count * 4, "grain directory")
    tables = [table for table in struct.unpack(f"<{count}I", raw) if table]
    grains = 0
    for table in tables:
        entries = struct.unpack(f"<{header.entries}I", source.need(table * SECTOR, header.entries * 4, "grain table"))
        used = [grain for grain in entries if grain > 1]
        if used:
            source.holds(max(used) * SECTOR, 1, "grain")
        grains += len(used)
    if not header.flags & COMPRESSED and source.size is not None and grains * header.grain * SECTOR > source.size:
        raise Refused("bomb", f"vmdk image maps {grains} grains of {header.grain * SECTOR} bytes onto a file of {source.size}. {CONVERT}")
    check_expansion("vmdk", grains * header.grain * SECTOR, source, limits)
