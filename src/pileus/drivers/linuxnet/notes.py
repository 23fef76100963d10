"""What a network's filter notes down of packets: the rules that do, and what they say, read from netfilter's log (nfnetlink_log).

A dropped packet is noted where it is dropped; a flow that may begin, after the filter has let its first packet pass. Each port has rates of
its own for both. Source: <linux/netfilter/nfnetlink_log.h>.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from pileus.drivers.linuxnet.netlink import NETFILTER, Message, Netlink, attribute, attributes, text
from pileus.errors import HostError
from pileus.network.host import Note, PortWant

GROUP = 9697  # of netfilter's log, in each network's namespace
RATE = "limit rate 100/second burst 25 packets"  # Neutron's defaults
SNAP = 128  # bytes of a packet that are kept
HOOKS = {"out": "prerouting", "in": "forward"}
AFTER = 1  # priority: after the filter
MARK = "noted"  # in the words of a port's seal: there are chains that note what was let pass
PACKET, CONFIG = (4 << 8) | 0, (4 << 8) | 1  # NFNL_SUBSYS_ULOG: NFULNL_MSG_PACKET, NFULNL_MSG_CONFIG
COMMAND, MODE, THRESHOLD = 1, 2, 5  # NFULA_CFG_*
BIND, COPY_PACKET = 1, 2
PAYLOAD, PREFIX = 9, 10  # NFULA_*
ROOM = 1 << 20  # bytes of a socket's buffer


def of_dropped(want: PortWant, way: str) -> list[str]:
    """Rules before the one that drops what no group lets pass."""
    return [_note(want, way, "DROP")] if "DROP" in want.noted else []


def of_accepted(want: PortWant, way: str, number: int) -> str:
    """Commands that make a port's chain for what was let pass; empty when nobody wants to know."""
    if "ACCEPT" not in want.noted:
        return ""
    chain = chain_name(want.id, way)
    hook = f"{{ type filter hook {HOOKS[way]} priority {AFTER}; }}"
    rule = f"meta mark {number} ct state new {_note(want, way, 'ACCEPT')}"
    return f"add chain inet pileus {chain} {hook}\nflush chain inet pileus {chain}\nadd rule inet pileus {chain} {rule}\n"


def chain_name(port_id: str, way: str) -> str:
    return f"noted_{way}_{port_id[:11]}"


def _note(want: PortWant, way: str, event: str) -> str:
    return f'{RATE} log prefix "{event} {way} {want.id}" snaplen {SNAP} group {GROUP}'


def words(want: PortWant) -> str:
    return f" {MARK}" if "ACCEPT" in want.noted and want.secure else ""


def is_noted(before: str) -> bool:
    """Whether a seal's words speak of chains that note what was let pass."""
    return MARK in before.split()


# -- reading --------------------------------------------------------------------------------------------------------------------


def listen() -> socket.socket:
    """A socket that hears what is noted in the namespace of the calling thread. Raises HostError when another one does."""
    link = Netlink(NETFILTER)
    head = struct.pack("=BBH", socket.AF_UNSPEC, 0, socket.htons(GROUP))
    configure = (
        attribute(COMMAND, struct.pack("=B", BIND)),
        attribute(MODE, struct.pack("!IBx", 0xFFFF, COPY_PACKET)) + attribute(THRESHOLD, struct.pack("!I", 1)),
    )
    try:
        for payload in configure:
            link.request(Message(CONFIG, 0, head + payload, "listen to netfilter's log"))
    except HostError as error:
        link.close()
        raise HostError(f"{error}. Logs of security groups need the kernel module nfnetlink_log") from None
    link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    link.socket.setblocking(False)
    return link.socket


def read(sock: socket.socket) -> Iterator[Note]:
    """What has been noted since the last time."""
    while True:
        try:
            data = sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:  # more than could be kept: go on with what is there
                continue
            return
        offset = 0
        while offset + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, offset)
            if kind == PACKET and (note := _read(data[offset + 16 : offset + length])):
                yield note
            offset += max((length + 3) & ~3, 16)


def _read(payload: bytes) -> Note | None:
    found = attributes(payload, 4)
    said = text(found.get(PREFIX, b"")).split()
    if len(said) != 3 or said[1] not in HOOKS:
        return None
    event, way, port = said
    return Note(port_id=port, event=event, direction="egress" if way == "out" else "ingress", packet=found.get(PAYLOAD, b""))
