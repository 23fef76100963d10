"""Hostile images, made here byte by byte: each is refused by the check that names it, in words, and never by an accident of parsing."""

from __future__ import annotations

import io
import random
import struct
import uuid
import zlib
from collections.abc import Callable

import pytest

from pileus.image.inspect import CHECKS, FORMATS, PREFIX, Limits, Refused, glance_at, inspect
from pileus.image.inspect.source import GIB, KIB, MIB, TIB
from pileus.image.inspect.vhdx import _crc32c

CLUSTER = 64 * KIB


def put(image: bytearray, offset: int, form: str, *values: object) -> None:
    struct.pack_into(form, image, offset, *values)


# -- good ones, to be spoiled ------------------------------------------------------------------------------------------------


def qcow2(size: int = 64 * MIB, data: int = 1, features: int = 0) -> bytearray:
    """A version 3 image of whole clusters: header, refcount table, refcount block, L1, L2, data."""
    image = bytearray((5 + data) * CLUSTER)
    put(image, 0, ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, size, 0, -(-size // (512 * MIB)), 3 * CLUSTER, CLUSTER, 1, 0, 0)
    put(image, 72, ">QQQII", features, 0, 0, 4, 112)
    put(image, CLUSTER, ">Q", 2 * CLUSTER)
    put(image, 3 * CLUSTER, ">Q", 4 * CLUSTER | 1 << 63)
    for index in range(data):
        put(image, 4 * CLUSTER + index * 8, ">Q", (5 + index) * CLUSTER | 1 << 63)
    return image


DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=123a45bc
parentCID=ffffffff
createType="monolithicSparse"

RW 2048 SPARSE "disk.vmdk"
"""


def vmdk(descriptor: str = DESCRIPTOR, capacity: int = 2048, directory: int = 21) -> bytearray:
    """A sparse extent: header, 20 sectors of descriptor, grain directory, grain table, one grain."""
    image = bytearray(512 * 200)
    put(image, 0, "<4sIIQQQQIQQQB4sH", b"KDMV", 1, 3, capacity, 128, 1, 20, 512, 0, directory, 128, 0, b"\n \r\n", 0)
    image[512 : 512 + len(descriptor)] = descriptor.encode()
    put(image, 21 * 512, "<I", 22)
    put(image, 22 * 512, "<I", 64)
    return image


def vdi(kind: int = 1, blocks: int = 4, places: tuple[int, ...] = (0, 1), parent: bytes = bytes(16)) -> bytearray:
    image = bytearray(2 * MIB + MIB * 2)
    image[:40] = b"<<< Oracle VM VirtualBox Disk Image >>>\n"
    put(
        image,
        64,
        "<IIIII256sIIIIIIIQIIII",
        0xBEDA107F,
        0x10001,
        0x190,
        kind,
        0,
        b"",
        MIB,
        2 * MIB,
        0,
        0,
        0,
        512,
        0,
        blocks * MIB,
        MIB,
        0,
        blocks,
        2,
    )
    image[64 + 344 + 32 : 64 + 344 + 48] = parent
    put(image, MIB, f"<{blocks}I", *places, *[0xFFFFFFFF] * (blocks - len(places)))
    return image


def vhd(kind: int = 3, size: int = 8 * MIB, parent: bytes = bytes(16), places: tuple[int, ...] = (4,)) -> bytearray:
    footer = bytearray(512)
    put(footer, 0, ">8sIIQI4sI4sQQHBBI", b"conectix", 2, 0x10000, 512, 0, b"win ", 0, b"Wi2k", size, size, 240, 4, 17, kind)
    put(footer, 64, ">I", ~sum(footer) & 0xFFFFFFFF)
    if kind == 2:
        return bytearray(size) + footer
    header = bytearray(1024)
    entries = size // (2 * MIB)
    put(header, 0, ">8sQQIII", b"cxsparse", 2**64 - 1, 1536, 0x10000, entries, 2 * MIB)
    header[40:56] = parent
    put(header, 36, ">I", ~sum(header) & 0xFFFFFFFF)
    table = struct.pack(f">{entries}I", *places, *[0xFFFFFFFF] * (entries - len(places))).ljust(512, b"\xff")
    return footer + header + bytearray(table) + bytearray(2 * MIB + 512) + footer


def vhdx(
    size: int = 8 * MIB, flags: int = 0, log: bytes = bytes(16), extra: bytes = b"", region: bytes = b"", offset: int = 2 * MIB
) -> bytearray:
    image = bytearray(4 * MIB)
    image[:8] = b"vhdxfile"
    for at, sequence in ((64 * KIB, 1), (128 * KIB, 2)):
        header = bytearray(4096)
        put(header, 0, "<4sIQ", b"head", 0, sequence)
        header[48:64] = log
        put(header, 4, "<I", _crc32c(bytes(header)))
        image[at : at + 4096] = header
    table = bytearray(64 * KIB)
    bat, metadata = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08"), uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
    put(table, 0, "<4sII", b"regi", 0, 2 + bool(region))
    put(table, 16, "<16sQII", bat.bytes_le, 3 * MIB, MIB, 1)
    put(table, 48, "<16sQII", metadata.bytes_le, offset, MIB, 1)
    if region:
        put(table, 80, "<16sQII", region, MIB, MIB, 1)
    put(table, 4, "<I", _crc32c(bytes(table)))
    image[192 * KIB : 256 * KIB] = table
    items = [
        ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", struct.pack("<II", MIB, flags)),
        ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", struct.pack("<Q", size)),
    ]
    put(image, 2 * MIB, "<8sHH", b"metadata", 0, len(items) + bool(extra))
    for index, (name, value) in enumerate(items):
        put(image, 2 * MIB + 32 + index * 32, "<16sIII", uuid.UUID(name).bytes_le, 64 * KIB + index * 16, len(value), 4)
        image[2 * MIB + 64 * KIB + index * 16 : 2 * MIB + 64 * KIB + index * 16 + len(value)] = value
    if extra:
        put(image, 2 * MIB + 32 + len(items) * 32, "<16sIII", extra, 64 * KIB, 8, 4)
    return image


def ploop(in_use: int = 0, entries: int = 4, places: tuple[int, ...] = (1,)) -> bytearray:
    image = bytearray(2 * MIB)
    put(image, 0, "<16sIIIIIQIIIQ", b"WithouFreSpacExt", 2, 16, 4, 2048, entries, entries * 2048, in_use, 2048, 0, 0)
    put(image, 64, f"<{len(places)}I", *places)
    return image


def iso(blocks: int = 20) -> bytearray:
    image = bytearray(2048 * 20)
    image[32768:32774] = b"\1CD001"
    put(image, 32768 + 80, "<I", blocks)
    put(image, 32768 + 84, ">I", blocks)
    put(image, 32768 + 128, "<H", 2048)
    put(image, 32768 + 130, ">H", 2048)
    return image


def gpt(sectors: int) -> bytearray:
    image = bytearray(MIB)
    image[510:512] = b"\x55\xaa"
    put(image, 512, "<8sIIIIQQQQ", b"EFI PART", 0x10000, 92, 0, 0, 1, sectors - 1, 34, sectors - 34)
    put(image, 528, "<I", zlib.crc32(image[512:604]))
    return image


GOOD: dict[str, tuple[str, bytearray]] = {
    "qcow2": ("qcow2", qcow2()),
    "vmdk": ("vmdk", vmdk()),
    "vdi": ("vdi", vdi()),
    "vhd dynamic": ("vhd", vhd()),
    "vhd fixed": ("vhd", vhd(kind=2)),
    "vhdx": ("vhdx", vhdx()),
    "ploop": ("ploop", ploop()),
    "iso": ("iso", iso()),
    "gpt": ("raw", gpt(2048)),
}


@pytest.mark.parametrize("name", GOOD)
def test_before_they_are_spoiled_they_are_taken(name: str) -> None:
    declared, image = GOOD[name]
    assert inspect(io.BytesIO(image), declared).format == declared
    glance_at(bytes(image[:PREFIX]), declared)


# -- and the spoiled ones ----------------------------------------------------------------------------------------------------


def with_backing(name: bytes = b"/etc/passwd") -> bytearray:
    image = qcow2()
    put(image, 8, ">QI", 512, len(name))
    image[512 : 512 + len(name)] = name
    return image


def with_data_file_name() -> bytearray:
    image = qcow2()
    put(image, 112, ">II16s", 0x44415441, 11, b"/etc/shadow")
    return image


def spoiled(image: bytearray, offset: int, form: str, *values: object) -> bytearray:
    put(image, offset, form, *values)
    return image


def shared_table() -> bytearray:
    """An image of an exabyte's appetite: every first-level entry leads to one and the same second-level table."""
    image = qcow2(size=TIB)
    for index in range(2048):
        put(image, 3 * CLUSTER + index * 8, ">Q", 4 * CLUSTER | 1 << 63)
    return image


def shared_cluster() -> bytearray:
    image = qcow2()
    for index in range(1024):
        put(image, 4 * CLUSTER + index * 8, ">Q", 5 * CLUSTER | 1 << 63)
    return image


def packed_bomb() -> bytearray:
    """Hundreds of gigabytes, each cluster unpacked from the same few bytes."""
    tables = 600
    image = bytearray((5 + tables) * CLUSTER)
    image[: 5 * CLUSTER] = qcow2(size=tables * 512 * MIB, data=0)
    for index in range(tables):
        put(image, 3 * CLUSTER + index * 8, ">Q", (5 + index) * CLUSTER)
        image[(5 + index) * CLUSTER : (6 + index) * CLUSTER] = struct.pack(">Q", 1 << 62 | 4096) * 8192
    return image


def polyglot() -> bytearray:
    image = iso()
    image[:120] = qcow2()[:120]
    return image


def qcow2_with_boot_record() -> bytearray:
    return spoiled(qcow2(), 510, "2s", b"\x55\xaa")


def streamed_without_footer() -> bytearray:
    return vmdk(DESCRIPTOR.replace("monolithicSparse", "streamOptimized"), directory=2**64 - 1)


def streamed_with_another_footer() -> bytearray:
    image = streamed_without_footer()
    footer = vmdk(capacity=4096)[:512]
    return image + bytearray(512) + footer + bytearray(512)


def flat(name: str) -> bytearray:
    text = DESCRIPTOR.replace("monolithicSparse", "monolithicFlat").replace('SPARSE "disk.vmdk"', f'FLAT "{name}" 0')
    return bytearray(text.encode())


HOSTILE: dict[str, tuple[str, Callable[[], bytearray], str, str]] = {
    # what it is: declared as, made by, refused by, in words
    "backing file": ("qcow2", with_backing, "qcow2-backing", "names a backing file '/etc/passwd'.*qemu-img convert"),
    "backing file over the network": ("qcow2", lambda: with_backing(b"nbd://10.0.0.1/x"), "qcow2-backing", "nbd://10.0.0.1/x"),
    "backing file with escapes": ("qcow2", lambda: with_backing(b"a\x1b[31mb"), "qcow2-backing", r"'a\?\[31mb'"),
    "backing name of a gigabyte": ("qcow2", lambda: spoiled(qcow2(), 8, ">QI", 512, GIB), "qcow2-backing", "impossible length"),
    "backing name outside": ("qcow2", lambda: spoiled(qcow2(), 8, ">QI", GIB, 9), "truncated", "name of a backing file"),
    "external data file": ("qcow2", lambda: qcow2(features=4), "qcow2-data-file", "data in another file"),
    "external data file by name only": ("qcow2", with_data_file_name, "qcow2-data-file", "'/etc/shadow'"),
    "unknown feature": ("qcow2", lambda: qcow2(features=1 << 5 | 1 << 63), "qcow2-features", "bits 5, 63"),
    "unknown compression": ("qcow2", lambda: spoiled(qcow2(features=8), 104, "B", 7), "qcow2-features", "type 7"),
    "compression without its bit": ("qcow2", lambda: spoiled(qcow2(), 104, "B", 1), "qcow2-features", "type 1"),
    "marked corrupt": ("qcow2", lambda: qcow2(features=2), "qcow2-corrupt", "qemu-img check"),
    "AES": ("qcow2", lambda: spoiled(qcow2(), 32, ">I", 1), "encrypted", "method 1"),
    "LUKS by extension": ("qcow2", lambda: spoiled(qcow2(), 112, ">II", 0x0537BE77, 16), "encrypted", "LUKS"),
    "extension over the edge": ("qcow2", lambda: spoiled(qcow2(), 112, ">II", 0x1234, 2**31), "qcow2-header", "0x1234"),
    "version 9": ("qcow2", lambda: spoiled(qcow2(), 4, ">I", 9), "qcow2-header", "version 9"),
    "clusters of a gigabyte": ("qcow2", lambda: spoiled(qcow2(), 20, ">I", 30), "qcow2-header", r"2\^30"),
    "header longer than a cluster": ("qcow2", lambda: spoiled(qcow2(), 100, ">I", 2**31), "qcow2-header", "bytes long"),
    "an exabyte": ("qcow2", lambda: spoiled(qcow2(), 24, ">Q", 2**60), "virtual-size", "the limit is"),
    "more than 63 bits": ("qcow2", lambda: spoiled(qcow2(), 24, ">Q", 2**64 - 1), "virtual-size", "the limit is"),
    "L1 table of 32 GB": ("qcow2", lambda: spoiled(qcow2(), 36, ">I", 2**32 - 1), "qcow2-l1-table", "4294967295 entries"),
    "L1 table too small": ("qcow2", lambda: spoiled(qcow2(), 24, ">Q", GIB), "qcow2-l1-table", "needs 2"),
    "L1 table outside": ("qcow2", lambda: spoiled(qcow2(), 40, ">Q", GIB), "truncated", "first-level table"),
    "L1 table across clusters": ("qcow2", lambda: spoiled(qcow2(), 40, ">Q", 513), "qcow2-l1-table", "start of a cluster"),
    "refcounts of a gigabyte": ("qcow2", lambda: spoiled(qcow2(), 56, ">I", 2**14), "qcow2-refcount-table", "16384 clusters"),
    "refcounts outside": ("qcow2", lambda: spoiled(qcow2(), 48, ">Q", GIB), "truncated", "reference count table"),
    "a billion snapshots": ("qcow2", lambda: spoiled(qcow2(), 60, ">I", 10**9), "qcow2-snapshots", "1000000000 internal"),
    "snapshot table outside": ("qcow2", lambda: spoiled(qcow2(), 60, ">IQ", 60000, CLUSTER), "truncated", "snapshot table"),
    "L2 table outside": ("qcow2", lambda: spoiled(qcow2(), 3 * CLUSTER, ">Q", GIB), "truncated", "second-level table"),
    "cluster outside": ("qcow2", lambda: spoiled(qcow2(), 4 * CLUSTER, ">Q", GIB), "qcow2-mapping", "said to be at byte"),
    "cluster across clusters": ("qcow2", lambda: spoiled(qcow2(), 4 * CLUSTER, ">Q", 512), "qcow2-mapping", "across two"),
    "one table for a terabyte": ("qcow2", shared_table, "bomb", "same second-level table"),
    "one cluster for all": ("qcow2", shared_cluster, "bomb", "maps 1024 clusters"),
    "packed bomb": ("qcow2", packed_bomb, "bomb", "times its size"),
    "a CD that is also a qcow2, as CD": ("iso", polyglot, "polyglot", "iso and as qcow2"),
    "a CD that is also a qcow2, as raw": ("raw", polyglot, "polyglot", "iso and as qcow2"),
    "a qcow2 with a boot record": ("qcow2", qcow2_with_boot_record, "polyglot", "boot record"),
    "raw that ends as a VHD": ("raw", lambda: vhd(kind=2), "mismatch", "stream data vhd"),
    "descriptor of a flat disk": ("vmdk", lambda: flat("/etc/passwd"), "vmdk-descriptor", "/etc/passwd"),
    "descriptor of a flat disk, as raw": ("raw", lambda: flat("disk-flat.vmdk"), "mismatch", "stream data vmdk"),
    "descriptor by version line": ("vmdk", lambda: bytearray(b"#\n\nversion=1\n" + flat("x")[40:]), "vmdk-descriptor", "other files"),
    "VMDK of several files": ("vmdk", lambda: vmdk(DESCRIPTOR + 'RW 1 SPARSE "other.vmdk"\n'), "vmdk-extent", "'other.vmdk'"),
    "VMDK with a path": ("vmdk", lambda: vmdk(DESCRIPTOR.replace("disk.vmdk", "../../x")), "vmdk-extent", r"'\.\./\.\./x'"),
    "VMDK with a flat extent": (
        "vmdk",
        lambda: vmdk(DESCRIPTOR.replace('SPARSE "disk.vmdk"', 'FLAT "/dev/sda" 0')),
        "vmdk-extent",
        "/dev/sda",
    ),
    "VMDK of a raw device": ("vmdk", lambda: vmdk(DESCRIPTOR.replace("monolithicSparse", "fullDevice")), "vmdk-descriptor", "fullDevice"),
    "VMDK with a parent": ("vmdk", lambda: vmdk(DESCRIPTOR.replace("ffffffff", "0badcafe")), "vmdk-parent", "continues another disk"),
    "VMDK with a parent's name": ("vmdk", lambda: vmdk(DESCRIPTOR + 'parentFileNameHint="/etc/x"\n'), "vmdk-parent", "'/etc/x'"),
    "VMDK without descriptor": ("vmdk", lambda: spoiled(vmdk(), 28, "<Q", 0), "vmdk-descriptor", "no descriptor of its own"),
    "VMDK with a descriptor of a terabyte": ("vmdk", lambda: spoiled(vmdk(), 36, "<Q", 2**31), "vmdk-descriptor", "1 MiB is the most"),
    "VMDK, version 7": ("vmdk", lambda: spoiled(vmdk(), 4, "<I", 7), "vmdk-header", "version 7"),
    "VMDK sent as text": ("vmdk", lambda: spoiled(vmdk(), 73, "4s", b"\n \n\n"), "vmdk-header", "sent as text"),
    "VMDK with grains of zero": ("vmdk", lambda: spoiled(vmdk(), 20, "<Q", 0), "vmdk-header", "not possible"),
    "VMDK of an exabyte": ("vmdk", lambda: vmdk(capacity=2**51), "virtual-size", "the limit is"),
    "VMDK with its directory outside": ("vmdk", lambda: vmdk(directory=2**40), "truncated", "grain directory"),
    "VMDK with a grain outside": ("vmdk", lambda: spoiled(vmdk(), 22 * 512, "<I", 2**31), "truncated", "grain"),
    "VMDK stream without footer": ("vmdk", streamed_without_footer, "vmdk-footer", "no footer"),
    "VMDK stream with another footer": ("vmdk", streamed_with_another_footer, "vmdk-footer", "2048 sectors and its footer 4096"),
    "ESX sparse": ("vmdk", lambda: bytearray(b"COWD" + bytes(2000)), "vmdk-descriptor", "other files"),
    "VDI, differencing": ("vdi", lambda: vdi(kind=4), "vdi-differencing", "type 4"),
    "VDI with a parent": ("vdi", lambda: vdi(parent=b"x" * 16), "vdi-differencing", "differences"),
    "VDI with blocks outside": ("vdi", lambda: vdi(places=(0, 9)), "vdi-block-map", "names block 9"),
    "VDI with a block twice": ("vdi", lambda: vdi(places=(1, 1)), "vdi-block-map", "several parts"),
    "VDI with a billion blocks": ("vdi", lambda: spoiled(vdi(), 0x180, "<I", 2**30), "vdi-header", "1073741824 blocks"),
    "VDI with odd sectors": ("vdi", lambda: spoiled(vdi(), 0x168, "<I", 4096), "vdi-header", "sectors of 4096"),
    "VHD, differencing": ("vhd", lambda: vhd(kind=4), "vhd-differencing", "differences"),
    "VHD with a parent": ("vhd", lambda: vhd(parent=b"x" * 16), "vhd-differencing", "names a parent"),
    "VHD with a wrong checksum": ("vhd", lambda: spoiled(vhd(), 48, ">Q", 1), "vhd-header", "checksum"),
    "VHD with a block outside": ("vhd", lambda: vhd(places=(2**31,)), "vhd-block-table", "said to be at byte"),
    "VHD with a block twice": ("vhd", lambda: vhd(places=(4, 4)), "vhd-block-table", "several parts"),
    "VHD, fixed, cut off": ("vhd", lambda: vhd(kind=2)[MIB:], "truncated", "data"),
    "VHDX with a parent": ("vhdx", lambda: vhdx(flags=2), "vhdx-differencing", "differences"),
    "VHDX with a parent locator": (
        "vhdx",
        lambda: vhdx(extra=uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le),
        "vhdx-differencing",
        "differ",
    ),
    "VHDX with a log": ("vhdx", lambda: vhdx(log=b"x" * 16), "vhdx-log", "not closed cleanly"),
    "VHDX with an unknown region": ("vhdx", lambda: vhdx(region=b"x" * 16), "vhdx-header", "needs a region"),
    "VHDX with an unknown item": ("vhdx", lambda: vhdx(extra=b"x" * 16), "vhdx-header", "needs a metadata item"),
    "VHDX with its metadata outside": ("vhdx", lambda: vhdx(offset=GIB), "truncated", "region"),
    "VHDX of an exabyte": ("vhdx", lambda: vhdx(size=2**60), "virtual-size", "the limit is"),
    "VHDX without headers": (
        "vhdx",
        lambda: spoiled(spoiled(vhdx(), 64 * KIB, "4s", b"xxxx"), 128 * KIB, "4s", b"xxxx"),
        "vhdx-header",
        "headers",
    ),
    "VHDX with a block twice": ("vhdx", lambda: spoiled(vhdx(), 3 * MIB, "<QQ", 3 << 20 | 6, 3 << 20 | 6), "bomb", "several parts"),
    "ploop in use": ("ploop", lambda: ploop(in_use=0x746F6E59), "ploop-header", "not closed cleanly"),
    "ploop with a cluster twice": ("ploop", lambda: ploop(places=(1, 1)), "bomb", "several parts"),
    "ploop with a cluster outside": ("ploop", lambda: ploop(places=(9999,)), "truncated", "last cluster"),
    "ploop with a table of 16 GB": (
        "ploop",
        lambda: ploop(entries=4).replace(struct.pack("<II", 2048, 4), struct.pack("<II", 2048, 2**32 - 1)),
        "ploop-header",
        "clusters",
    ),
    "ISO cut off": ("iso", lambda: iso(blocks=10**6), "iso-header", "cut off"),
    "ISO with two sizes": ("iso", lambda: spoiled(iso(), 32768 + 84, ">I", 21), "iso-header", "20 and 21 blocks"),
    "GPT of a larger disk": ("raw", lambda: gpt(10**7), "gpt-header", "cut off"),
    "LUKS": ("raw", lambda: bytearray(b"LUKS\xba\xbe\0\2" + bytes(4096)), "encrypted", "LUKS container"),
    "QED": ("qcow2", lambda: bytearray(b"QED\0" + bytes(4096)), "mismatch", "stream data qed"),
    "QED as raw": ("raw", lambda: bytearray(b"QED\0" + bytes(4096)), "mismatch", "Convert it to qcow2"),
    "qcow version 1": ("qcow2", lambda: bytearray(b"QFI\xfb\0\0\0\1" + bytes(4096)), "mismatch", "stream data qcow"),
    "cut off after the magic": ("qcow2", lambda: bytearray(b"QFI\xfb\0\0\0\3"), "truncated", "qcow2 header"),
    "nothing at all": ("qcow2", bytearray, "mismatch", "stream data raw"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_image_is_refused_by_the_check_that_names_it(name: str) -> None:
    declared, make, check, words = HOSTILE[name]
    with pytest.raises(Refused, match=words) as refusal:
        inspect(io.BytesIO(make()), declared)
    assert refusal.value.check == check
    assert refusal.value.status == 415


def test_every_check_that_reads_bytes_is_shown_to_refuse() -> None:
    assert set(CHECKS) - {check for _, _, check, _ in HOSTILE.values()} == {"second-opinion"}


@pytest.mark.parametrize(
    "name", ["backing file", "an exabyte", "external data file", "version 9", "VMDK with a path", "descriptor of a flat disk"]
)
def test_what_is_wrong_at_the_beginning_is_refused_while_it_arrives(name: str) -> None:
    declared, make, check, _ = HOSTILE[name]
    with pytest.raises(Refused) as refusal:
        glance_at(bytes(make().ljust(PREFIX, b"\0")[:PREFIX]), declared)
    assert refusal.value.check == check


@pytest.mark.parametrize("name", GOOD)
def test_damaged_bytes_are_taken_or_refused_but_never_crash(name: str) -> None:
    """Random damage where the headers are; a parser that trips is a defect even when the upload would end all the same."""
    declared, image = GOOD[name]
    dice = random.Random(name)
    tables = [
        at
        for at in (0, 512, 32768, CLUSTER, 2 * CLUSTER, 3 * CLUSTER, 192 * KIB, MIB, 2 * MIB, 3 * MIB, len(image) - 512)
        if at < len(image)
    ]
    for _ in range(150):
        damaged = bytearray(image)
        for _ in range(dice.randint(1, 4)):
            at = min(dice.choice(tables) + dice.randrange(512), len(image) - 1)
            damaged[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        if dice.random() < 0.2:
            del damaged[dice.randrange(len(damaged)) :]
        for kind in (declared, dice.choice(FORMATS).name):
            try:
                inspect(io.BytesIO(damaged), kind if kind not in ("luks", "qed", "qcow") else "raw", Limits())
            except Refused as refusal:
                assert refusal.check in CHECKS
