"""A guest of 87 bytes that starts in a tenth of a second: greets, echoes its serial line, and powers off at a `p` or its power button.

_start: movl $text, %esi
1:      lodsb; testb %al, %al; jz 2f; movw $0x3f8, %dx; outb %al, %dx; jmp 1b     # greet on the first serial port
2:      movw $0x602, %dx; movw $0x100, %ax; outw %ax, %dx                         # let the power button set its bit
poll:   movw $0x3fd, %dx; inb %dx, %al; testb $1, %al; jz 3f                      # a byte has come:
        movw $0x3f8, %dx; inb %dx, %al; outb %al, %dx; cmpb $'p', %al; je off     # echo it
3:      movw $0x600, %dx; inw %dx, %ax; testb $1, %ah; jz poll                    # the power button was pressed
off:    movw $0x604, %dx; movw $0x2000, %ax; outw %ax, %dx                        # S5
4:      jmp 4b
text:   .asciz "tiny guest runs\\r\\n"
"""

from __future__ import annotations

import struct

GREETING = b"tiny guest runs"
CODE = bytes.fromhex(
    "be45001000ac84c0740766baf803eeebf466ba020666b8000166ef66bafd03eca801740a66baf803ecee3c70740b66ba000666edf6c40174e266ba040666b8002066ef"
    "ebfe74696e792067756573742072756e730d0a00"
)
AT = 0x100000


def kernel() -> bytes:
    """An ELF kernel that starts by its PVH note, as the micro guest's does."""
    note = struct.pack("<III", 4, 4, 18) + b"Xen\0" + struct.pack("<I", AT)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, AT, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, AT, AT, len(CODE), len(CODE), 0x1000)
    told = struct.pack("<IIQQQQQQ", 4, 4, len(head) + 112, 0, 0, len(note), len(note), 4)
    return (head + load + told + note).ljust(0x1000, b"\0") + CODE
