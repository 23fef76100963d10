"""An empty qcow2 overlay, written without qemu-img: starting that program takes longer than all else that a new server's disk needs.

Not here: growing one (servers.py), reading images of strangers (image/inspect). Source: qemu docs/interop/qcow2.txt, version 3.
"""

from __future__ import annotations

import struct

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
ENTRY = 8  # bytes of a table's entry
PER_L1_ENTRY = CLUSTER * CLUSTER // ENTRY  # bytes of the disk behind one entry of the first table
HEADER, BACKING_FORMAT = 104, 0xE2792ACA
REFCOUNT_TABLE, REFCOUNT_BLOCK, L1 = 1, 2, 3  # clusters; the header is in the first, number 0
SIZE_MAX = CLUSTER // ENTRY * PER_L1_ENTRY  # with a first table of one cluster: 4 TiB


def overlay(size: int, backing: str) -> bytes:
    """The file of a disk of `size` bytes (rounded up to sectors) that reads as the qcow2 file `backing` until it is written to.

    Raises ValueError for a size that does not fit.
    """
    size = -(-size // 512) * 512
    if not 0 < size <= SIZE_MAX:
        raise ValueError(f"a disk has between 1 and {SIZE_MAX} bytes, not {size}")
    extension = struct.pack(">II8s", BACKING_FORMAT, 5, b"qcow2") + struct.pack(">II", 0, 0)
    name = backing.encode()
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb", 3,
        HEADER + len(extension), len(name),
        CLUSTER_BITS, size,
        0,  # not encrypted
        -(-size // PER_L1_ENTRY), L1 * CLUSTER,
        REFCOUNT_TABLE * CLUSTER, 1,
        0, 0,  # no snapshots
        0, 0, 0,  # no features
        4, HEADER,  # reference counts of 1 << 4 bits
    )  # fmt: skip
    clusters = [
        header + extension + name,
        struct.pack(">Q", REFCOUNT_BLOCK * CLUSTER),
        struct.pack(">4H", 1, 1, 1, 1),
        b"",
    ]
    return b"".join(cluster.ljust(CLUSTER, b"\0") for cluster in clusters)
