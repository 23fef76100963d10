"""Is this image what it says, and safe to open? Our own reading of every format that Glance names, in pure Python.

An image is looked at twice: its first bytes while it arrives (`glance_at`: an upload that cannot be right ends early), and the whole file
before it becomes active (`inspect`). Both refuse with `Refused`, whose `check` is a key of `CHECKS` and whose words say what to do.
`agree` compares the result with what qemu-img says. It opens no other file, starts no program and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from . import plain, qcow2, vdi, vhd, vhdx, vmdk
from .source import CHECKS, Limits, Refused, Source, Undecided

__all__ = ["CHECKS", "DEFAULT", "PREFIX", "Limits", "Refused", "Report", "agree", "glance_at", "inspect", "recognise"]

DEFAULT = Limits()
PREFIX = 64 * 1024  # bytes that are enough to recognise any format, except a VHD whose footer is at the end


@dataclass(frozen=True)
class Format:
    """A format that carries a disk inside it."""

    name: str  # Glance's disk_format, or a name of our own for what Glance does not name
    qemu: str  # the name of QEMU's driver for it
    matches: Callable[[Source], bool]
    examine: Callable[[Source, Limits], int] | None = None  # None: recognised in order to be refused; it is no disk_format


FORMATS = (
    Format("qcow2", "qcow2", qcow2.matches, qcow2.examine),
    Format("vmdk", "vmdk", vmdk.matches, vmdk.examine),
    Format("vdi", "vdi", vdi.matches, vdi.examine),
    Format("vhd", "vpc", vhd.matches, vhd.examine),
    Format("vhdx", "vhdx", vhdx.matches, vhdx.examine),
    Format("ploop", "parallels", plain.is_ploop, plain.examine_ploop),
    Format("iso", "raw", plain.is_iso, plain.examine_iso),
    Format("luks", "luks", plain.is_luks),
    Format("qed", "qed", plain.is_qed),
    Format("qcow", "qcow", plain.is_qcow),
)
RECOGNISED = frozenset(format.name for format in FORMATS)
TAKEN = {format.name: (format.examine, format.qemu) for format in FORMATS if format.examine}
AS_THEY_ARE = ("raw", "ami", "aki", "ari")  # disk formats that are bytes without a header


@dataclass(frozen=True)
class Report:
    """What a whole, acceptable image is."""

    format: str  # the disk_format it was declared as, which it also is
    virtual_size: int  # bytes of the disk that a guest sees
    qemu: str  # QEMU's driver that reads it
    content: frozenset[str]  # what was recognised: formats, `mbr`, `gpt`


def recognise(source: Source) -> frozenset[str]:
    """The names of all formats that the bytes could be, and `mbr` or `gpt`; empty means nothing but bytes. Short files are fine."""
    found = set()
    for format in FORMATS:
        try:
            if format.matches(source):
                found.add(format.name)
        except Undecided:
            continue
    if source.size is None or source.size >= 512:
        try:
            if plain.has_boot_record(source):
                found.add("gpt" if plain.is_gpt(source) else "mbr")
        except Undecided:
            pass
    return frozenset(found)


def inspect(file: BinaryIO, declared: str, limits: Limits = DEFAULT) -> Report:
    """Look at a whole file that was uploaded as `declared` (a disk_format of Glance). Raises Refused."""
    source = Source(file)
    if source.size is not None and source.size > limits.file:
        raise Refused("virtual-size", f"the file has {source.size} bytes; the limit is {limits.file}.")
    found = recognise(source)
    _check_declared(source, declared, found)
    if declared in AS_THEY_ARE:
        if "gpt" in found:
            plain.check_gpt(source)
        return Report(declared, source.size or 0, "raw", found)
    examine, qemu = TAKEN[declared]
    return Report(declared, examine(source, limits), qemu, found)


def glance_at(prefix: bytes, declared: str, limits: Limits = DEFAULT) -> None:
    """Look at the first bytes of a file that is still arriving. Raises Refused when no ending could make it right."""
    source = Source(prefix=prefix)
    found = recognise(source)
    if declared == "vhd" and "vhd" not in found and not found - {"mbr", "gpt"}:
        return  # a fixed VHD is known by its end
    _check_declared(source, declared, found)
    if declared in TAKEN:
        try:
            TAKEN[declared][0](source, limits)
        except Undecided:
            return


def agree(report: Report, format: str, virtual_size: int) -> None:
    """Hold qemu-img's opinion, its own name of the format and bytes, against ours. Raises Refused when they see two different disks."""
    size = -(-report.virtual_size // 512) * 512 if report.qemu == "raw" else report.virtual_size
    if format != report.qemu:
        difference = f"qemu-img takes it for {format}, and this cloud for {report.format}"
    elif virtual_size != size:
        difference = f"qemu-img sees a disk of {virtual_size} bytes, and this cloud one of {size}"
    else:
        return
    raise Refused("second-opinion", f"{difference}. Convert it to qcow2 with qemu-img where it was made, and upload that.")


def _check_declared(source: Source, declared: str, found: frozenset[str]) -> None:
    """The content is what it was declared as, and nothing else besides."""
    disks = found & RECOGNISED
    boot_record = found & {"mbr", "gpt"}
    if len(disks) > 1:
        both = " and as ".join(sorted(disks))
        raise Refused("polyglot", f"it can be read as {both}. Convert it with qemu-img, naming the format you mean.")
    if declared in AS_THEY_ARE:
        disks -= {"iso"}  # bytes that are also a CD are a disk like any other
        if "luks" in disks:
            raise Refused("encrypted", "it is a LUKS container. Open it with cryptsetup and upload what is inside.")
        if disks:
            name = min(disks)
            what = f"Upload it with --disk-format {name}" if name not in ("qed", "qcow") else "Convert it to qcow2 first"
            raise Refused("mismatch", f"Image disk_format {declared} does not match stream data {name}. {what}.")
        return
    if declared not in disks:
        what = min(disks) if disks else plain.packed(source) or "raw"
        advice = f"Unpack it with {what} first" if what in plain.PACKED.values() else f"Upload it with --disk-format {what}, or convert it"
        raise Refused("mismatch", f"Image disk_format {declared} does not match stream data {what}. {advice}.")
    if boot_record and declared != "iso" and not (declared == "vhd" and not vhd.in_front(source)):
        raise Refused("polyglot", f"it can be read as {declared} and as a disk with its own boot record. Convert it with qemu-img first.")
