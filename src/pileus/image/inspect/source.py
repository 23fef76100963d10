"""What an image is read from, what may be asked of it, and the one exception that says no. It knows no format.

A `Source` is a whole file, or the first bytes of one that is still arriving: the same checks run over both. Over a beginning, a check that
needs what has not come yet raises `Undecided`, which means "ask again when the file is whole", never "fine".
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from pileus.errors import UnsupportedMedia

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

CHECKS = {
    "mismatch": "the content is of another format than the image's disk_format says",
    "polyglot": "the content can be read as more than one format, so that two programs would see two different disks",
    "truncated": "a structure that the header names lies outside the file",
    "virtual-size": "the disk would be larger than the limit, or the size makes no sense",
    "bomb": "the content would grow out of proportion when it is unpacked",
    "encrypted": "the content is encrypted, so that no guest could boot from it",
    "qcow2-header": "a qcow2 header that no version of the format allows",
    "qcow2-features": "a qcow2 image that needs features this cloud does not know",
    "qcow2-corrupt": "a qcow2 image that is marked corrupt",
    "qcow2-backing": "a qcow2 image that continues in another file (backing file)",
    "qcow2-data-file": "a qcow2 image whose data is in another file (external data file)",
    "qcow2-l1-table": "a qcow2 image whose first-level table is absurd or too small for its size",
    "qcow2-refcount-table": "a qcow2 image whose reference counts are absurd",
    "qcow2-snapshots": "a qcow2 image with an absurd number of internal snapshots",
    "qcow2-mapping": "a qcow2 image whose clusters lie outside the file",
    "vmdk-header": "a VMDK header that no version of the format allows",
    "vmdk-descriptor": "a VMDK that is only a description of other files, or of an unsafe kind",
    "vmdk-extent": "a VMDK whose descriptor names other files",
    "vmdk-parent": "a VMDK that continues in another file (parent)",
    "vmdk-footer": "a VMDK whose footer contradicts its header",
    "vdi-header": "a VDI header that no version of the format allows",
    "vdi-differencing": "a VDI that continues in another file (parent)",
    "vdi-block-map": "a VDI whose blocks lie outside the file, or are used twice",
    "vhd-header": "a VHD footer or header that no version of the format allows",
    "vhd-differencing": "a VHD that continues in another file (parent)",
    "vhd-block-table": "a VHD whose blocks lie outside the file, or are used twice",
    "vhdx-header": "a VHDX header, region table or metadata that no version of the format allows",
    "vhdx-log": "a VHDX that was not closed cleanly",
    "vhdx-differencing": "a VHDX that continues in another file (parent)",
    "ploop-header": "a ploop header that no version of the format allows, or an image that was not closed cleanly",
    "iso-header": "an ISO whose volume descriptor is absurd",
    "gpt-header": "a partition table that describes a larger disk than the file",
    "second-opinion": "qemu-img sees another image than this cloud's own inspection",
}
"""Every reason to refuse an image: the name that a `Refused` carries, and what it means."""


class Refused(UnsupportedMedia):
    """An image that this cloud will not take. `check` is a key of CHECKS; the message says what is wrong and what to do."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(f"Image refused by check {check}: {message}", type=f"Image:{check}")
        self.check = check
        if check not in CHECKS:
            raise KeyError(check)


class Undecided(Exception):
    """The bytes that a check needs have not arrived yet."""


@dataclass(frozen=True)
class Limits:
    """How large an image may be."""

    file: int = TIB  # bytes of an upload
    virtual: int = 2 * TIB  # bytes of the disk that a guest would see
    expansion: int = 1000  # how many times larger than the file the unpacked data may be, once it is above `expansion_from`
    expansion_from: int = GIB
    table: int = 32 * MIB  # bytes of any one table that is read into memory
    entries: int = 32 * MIB  # entries of all tables together that are looked at


class Source:
    """An image file, or its beginning. Reading past the end gives short answers (`peek`) or refusals (`need`)."""

    def __init__(self, file: BinaryIO | None = None, prefix: bytes = b"") -> None:
        self._file, self._prefix = file, prefix
        self.size: int | None = None  # None while the end has not been seen
        if file is not None:
            file.seek(0, os.SEEK_END)
            self.size = file.tell()

    def peek(self, offset: int, length: int) -> bytes:
        """The bytes that are there: fewer than `length` at the end of the file."""
        if self._file is None:
            if offset + length > len(self._prefix):
                raise Undecided(f"{length} bytes at {offset}")
            return self._prefix[offset : offset + length]
        self._file.seek(offset)
        return self._file.read(length)

    def need(self, offset: int, length: int, what: str) -> bytes:
        """Exactly `length` bytes. `what` is named when they are not there."""
        self.holds(offset, length, what)
        return self.peek(offset, length)

    def holds(self, offset: int, length: int, what: str) -> None:
        """Refuse an image whose `what` lies outside the file."""
        if self.size is not None and (offset < 0 or offset + length > self.size):
            raise Refused(
                "truncated",
                f"its {what} is said to be at bytes {offset} to {offset + length}, but the file has {self.size} bytes. "
                "It is cut off or damaged: upload it again, and compare checksums.",
            )

    def tail(self, length: int) -> bytes:
        """The last bytes of the file."""
        if self.size is None:
            raise Undecided("the end of the file")
        return self.peek(max(self.size - length, 0), length)


def check_virtual_size(format: str, size: int, limits: Limits) -> int:
    """Refuse a disk larger than the limit; return its size."""
    if not 0 <= size <= limits.virtual:
        raise Refused(
            "virtual-size",
            f"the {format} header says that the disk has {size} bytes ({size / TIB:.1f} TiB); "
            f"the limit is {limits.virtual} ({limits.virtual / TIB:g} TiB). Shrink the disk before you upload it.",
        )
    return size


def check_expansion(format: str, unpacked: int, source: Source, limits: Limits) -> None:
    """Refuse an image that says more data than a file of its size can hold."""
    if source.size is not None and unpacked > max(limits.expansion_from, source.size * limits.expansion):
        raise Refused(
            "bomb",
            f"this {format} image of {source.size} bytes would unpack to {unpacked} bytes of data, "
            f"more than {limits.expansion} times its size.",
        )


def named(raw: bytes) -> str:
    """A name that an image carries, as it can be shown to a user: printable, and not longer than a line."""
    text = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
