"""A disk whose only content is a boot sector: it greets on the first serial port a moment after the BIOS has found it, and halts.

start:  xor %ax, %ax; mov %ax, %ds; mov $text, %si; cld
next:   lodsb; test %al, %al; jz done
        mov $0x3f8, %dx; out %al, %dx; jmp next
done:   hlt; jmp done
"""

from __future__ import annotations

GREETING = b"the boot sector runs"
CODE = bytes.fromhex("31c08ed8be167cfcac84c07406baf803eeebf5f4ebfd")
MIB = 1 << 20


def sector() -> bytes:
    """512 bytes, as a BIOS loads them at 0x7c00."""
    return (CODE + GREETING + b"\r\n\0").ljust(510, b"\0") + b"\x55\xaa"


def disk(size: int = 8 * MIB) -> bytes:
    """A whole disk."""
    return sector().ljust(size, b"\0")


def cd() -> bytes:
    """A CD image that starts as a disk too, as the distributions' are: an ISO 9660 volume behind a boot sector."""
    blocks = 1024
    volume = bytearray(2048)
    volume[0:7] = b"\x01CD001\x01"
    volume[80:88] = blocks.to_bytes(4, "little") + blocks.to_bytes(4, "big")
    volume[128:132] = (2048).to_bytes(2, "little") + (2048).to_bytes(2, "big")
    end = b"\xffCD001\x01".ljust(2048, b"\0")
    return (sector().ljust(16 * 2048, b"\0") + bytes(volume) + end).ljust(blocks * 2048, b"\0")
