"""A Debian kernel package taken apart: the uncompressed kernel for the fast path, and its modules with their needs.

Not here: which modules a guest gets (recipe.py).
"""

from __future__ import annotations

import gzip
import lzma
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pileus.errors import HostError

HEADER = b"HdrS"
SIGNED = b"~Module signature appended~\n"
XEN_ELFNOTE_PHYS32_ENTRY = struct.pack("<III", 4, 8, 18) + b"Xen\0"  # what QEMU's PVH loader looks for
MODINFO = re.compile(rb"(?:\A|\0)(depends|alias|softdep|name)=([^\0]*)")


@dataclass(frozen=True)
class Module:
    """A kernel module as its own .modinfo section describes it."""

    name: str  # underscores, as lsmod shows it
    path: str  # below lib/modules/<release>, e.g. kernel/fs/isofs/isofs.ko
    depends: tuple[str, ...]
    aliases: tuple[str, ...]


def vmlinux(bzimage: bytes, lz4: Callable[[bytes], bytes]) -> bytes:
    """The ELF kernel inside a bzImage, which QEMU starts without unpacking (PVH).

    Raises HostError when it is no bzImage, its compression is not known, or the kernel has no PVH entry.
    Source: https://www.kernel.org/doc/html/latest/arch/x86/boot.html (payload_offset, payload_length; setup_sects)
    """
    if bzimage[0x202:0x206] != HEADER:
        raise HostError("the kernel package holds no bzImage")
    start = (bzimage[0x1F1] + 1) * 512 + struct.unpack_from("<I", bzimage, 0x248)[0]
    payload = bzimage[start : start + struct.unpack_from("<I", bzimage, 0x24C)[0]]
    unpack: dict[bytes, Callable[[bytes], bytes]] = {
        b"\x02\x21\x4c\x18": lambda data: lz4(data[:-4]),  # the kernel's makefile appends the unpacked size, four bytes
        b"\xfd7zXZ": lambda data: lzma.LZMADecompressor().decompress(data),
        b"\x1f\x8b": lambda data: gzip.decompress(data[:-4]),
    }
    for magic, function in unpack.items():
        if payload.startswith(magic):
            elf = function(payload)
            break
    else:
        raise HostError(f"the kernel is compressed in a way we do not know ({payload[:4].hex()})")
    if not elf.startswith(b"\x7fELF") or XEN_ELFNOTE_PHYS32_ENTRY not in elf:
        raise HostError("this kernel has no PVH entry, so QEMU cannot start it directly")
    return elf


def read_module(path: str, body: bytes) -> Module:
    """What a module says of itself."""
    fields: dict[bytes, list[str]] = {}
    for key, value in MODINFO.findall(section(body, b".modinfo")):
        fields.setdefault(key, []).append(value.decode())
    depends = tuple(d.replace("-", "_") for d in ",".join(fields.get(b"depends", [])).split(",") if d)
    return Module(PurePosixPath(path).name.removesuffix(".ko").replace("-", "_"), path, depends, tuple(fields.get(b"alias", ())))


def unsigned(body: bytes) -> bytes:
    """A module without the signature at its end: checking it takes an emulated guest up to 0.3 s for each module.

    The kernel then says once that it is "tainted", and loads it, since Debian's does not insist on signatures. Its type information is
    renamed, so that the kernel does not read it: only BPF programs that hook into modules need it.
    Source: struct module_signature in https://github.com/torvalds/linux/blob/v6.1/include/linux/module_signature.h
    """
    if body.endswith(SIGNED):
        (length,) = struct.unpack_from(">I", body, len(body) - len(SIGNED) - 4)
        body = body[: len(body) - len(SIGNED) - 12 - length]
    return body.replace(b"\0.BTF\0", b"\0.btf\0", 1)


def section(elf: bytes, name: bytes) -> bytes:
    """A section of a 64-bit little-endian ELF file; empty when there is none. Source: elf(5)."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    heads = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    strings = heads[names]
    for head in heads:
        at = strings[4] + head[0]
        if elf[at : elf.index(b"\0", at)] == name:
            return elf[head[4] : head[4] + head[5]]
    return b""


def load_order(names: Iterable[str], modules: dict[str, Module]) -> list[Module]:
    """The modules and what they need, needs first. Names that are not modules are built into the kernel and left out."""
    order: dict[str, Module] = {}

    def add(name: str) -> None:
        module = modules.get(name)
        if module and name not in order:
            for need in module.depends:
                add(need)
            order[name] = module

    for name in names:
        add(name.replace("-", "_"))
    return list(order.values())


def indexes(modules: dict[str, Module]) -> dict[str, bytes]:
    """The files that modprobe reads, as depmod(8) would write them: modules.dep and modules.alias."""
    dep, alias = [], []
    for name, module in sorted(modules.items()):
        needs = [m.path for m in reversed(load_order([name], modules)[:-1])]
        dep.append(f"{module.path}: {' '.join(needs)}".rstrip() + "\n")
        alias += [f"alias {pattern} {name}\n" for pattern in module.aliases]
    return {"modules.dep": "".join(dep).encode(), "modules.alias": "".join(alias).encode()}


def read_modules(folder: Path) -> dict[str, Module]:
    """All modules below lib/modules/<release>, by name."""
    found = {}
    for file in sorted(folder.rglob("*.ko")):
        module = read_module(str(file.relative_to(folder)), file.read_bytes())
        found[module.name] = module
    return found
