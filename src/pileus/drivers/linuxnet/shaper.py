"""Bandwidth limits: queues that let so many bytes a second pass (tbf), as rtnetlink messages and their answers read. Pure.

A queue shapes what leaves a device. What a tap's guest sends comes in by it, so it is led through a device made for that, an `ifb`, and its
queue. A queue's handle is its burst in kilobits: what a kernel tells of a burst is rounded, and a limit must be found again as it was made.
Source: <linux/pkt_sched.h>, <linux/pkt_cls.h>, <linux/tc_act/tc_mirred.h>.
"""

from __future__ import annotations

import struct

from pileus.drivers.linuxnet.netlink import CREATE, EXCL, REPLACE, Message, attribute, attributes, nested, text
from pileus.drivers.linuxnet.rtnetlink import DELLINK, NEWLINK, UP, link_header
from pileus.network.host import Limit

NEW_QUEUE, DELETE_QUEUE, GET_QUEUE = 36, 37, 38  # RTM_*QDISC
NEW_FILTER, GET_FILTER = 44, 46  # RTM_*TFILTER
ROOT, INGRESS, INGRESS_HANDLE = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000  # TC_H_*
KIND, OPTIONS = 1, 2  # TCA_*
ETHERNET = 1  # TC_LINKLAYER_*; says that no table of rates comes along
ALL_PROTOCOLS = 0x0300  # ETH_P_ALL in network order
ECHO = 8  # NLM_F_ECHO: the answer comes to who asked, not only to those who listen for all changes
PATIENCE = 10  # what waits in a queue besides one burst: that part of a second
LEAST_QUEUE = 64_000  # bytes
PIPE = "ifb"  # begins the names of such devices

_HEAD = struct.Struct("=BxxxiIII")
_RATE = struct.Struct("=BBHhHI")
_TBF = struct.Struct("=12s12sIII")
_SELECTOR = struct.Struct("=BBBxHHhhI")
_MIRRED = struct.Struct("=IIiiiiI")


def pipe_name(port_id: str) -> str:
    """The device through which what a port's guest sends is led."""
    return f"{PIPE}{port_id[:11]}"


def _bytes(kilobits: int) -> int:
    return kilobits * 1000 // 8


def add_queue(index: int, limit: Limit) -> Message:
    """Limit what leaves a device, whatever limited it before."""
    rate, burst = _bytes(limit.rate), _bytes(limit.burst)
    spec = _RATE.pack(0, ETHERNET, 0, 0, 0, min(rate, 0xFFFFFFFF))
    room = min(max(rate // PATIENCE, LEAST_QUEUE) + burst, 0x7FFFFFFF)
    options = attribute(1, _TBF.pack(spec, b"", room, 0, 0)) + attribute(6, burst)  # TCA_TBF_PARMS, TCA_TBF_BURST
    if rate > 0xFFFFFFFF:
        options += attribute(4, struct.pack("=Q", rate))  # TCA_TBF_RATE64
    payload = _HEAD.pack(0, index, limit.burst << 16, ROOT, 0) + attribute(KIND, "tbf") + nested(OPTIONS, options)
    return Message(NEW_QUEUE, CREATE | REPLACE, payload, f"limit link {index} to {limit.rate} kbit/s")


def delete_queue(index: int) -> Message:
    return Message(DELETE_QUEUE, 0, _HEAD.pack(0, index, 0, ROOT, 0), f"take the limit off link {index}")


def get_queue(index: int) -> Message:
    return Message(GET_QUEUE, ECHO, _HEAD.pack(0, index, 0, ROOT, 0), f"get the queue of link {index}")


def read_queue(payload: bytes) -> Limit | None:
    """The limit that a queue is; None for queues that limit nothing."""
    _, _, handle, _, _ = _HEAD.unpack_from(payload)
    found = attributes(payload, _HEAD.size)
    options = attributes(found.get(OPTIONS, b""))
    if text(found.get(KIND, b"")) != "tbf" or 1 not in options:
        return None
    spec, _, _, _, _ = _TBF.unpack_from(options[1])
    rate = struct.unpack("=Q", options[4])[0] if 4 in options else _RATE.unpack(spec)[5]
    return Limit(rate * 8 // 1000, handle >> 16)


# -- what comes in ----------------------------------------------------------------------------------------------------------------


def add_pipe(name: str) -> Message:
    """A device through which what comes in by another can be led."""
    kind = nested(18, attribute(1, "ifb"))
    return Message(NEWLINK, CREATE | EXCL, link_header(0, UP, UP) + attribute(3, name) + kind, f"add ifb {name}")


def delete_pipe(name: str) -> Message:
    return Message(DELLINK, 0, link_header() + attribute(3, name), f"delete {name}")


def add_entrance(index: int) -> Message:
    """Let filters see what comes in by a device."""
    payload = _HEAD.pack(0, index, INGRESS_HANDLE, INGRESS, 0) + attribute(KIND, "ingress")
    return Message(NEW_QUEUE, CREATE | EXCL, payload, f"add the ingress qdisc of link {index}")


def delete_entrance(index: int) -> Message:
    return Message(DELETE_QUEUE, 0, _HEAD.pack(0, index, INGRESS_HANDLE, INGRESS, 0), f"delete the ingress qdisc of link {index}")


def add_detour(index: int, pipe: int) -> Message:
    """Lead everything that comes in by a device through a pipe."""
    anything = _SELECTOR.pack(1, 0, 1, 0, 0, 0, 0, 0) + b"\0" * 16  # TC_U32_TERMINAL, one key whose mask is empty
    action = nested(1, attribute(1, "mirred"), nested(2, attribute(2, _MIRRED.pack(0, 0, 4, 0, 0, 1, pipe))))  # TC_ACT_STOLEN, EGRESS_REDIR
    options = attribute(5, anything) + nested(7, action)  # TCA_U32_SEL, TCA_U32_ACT
    payload = _HEAD.pack(0, index, 0, INGRESS_HANDLE, 1 << 16 | ALL_PROTOCOLS) + attribute(KIND, "u32") + nested(OPTIONS, options)
    return Message(NEW_FILTER, CREATE | EXCL, payload, f"lead what comes in by link {index} through link {pipe}")


def get_detours(index: int) -> Message:
    return Message(GET_FILTER, 0, _HEAD.pack(0, index, 0, INGRESS_HANDLE, 0), f"list the filters of link {index}")


def leads_to(payload: bytes) -> int:
    """The pipe that a filter leads to; 0 for one that leads nowhere."""
    found = attributes(payload, _HEAD.size)
    actions = attributes(attributes(found.get(OPTIONS, b"")).get(7, b""))
    options = attributes(attributes(actions.get(1, b"")).get(2, b""))
    return int(_MIRRED.unpack_from(options[2])[6]) if 2 in options else 0
