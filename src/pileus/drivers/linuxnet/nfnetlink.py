"""What netfilter's tables hold, read through nfnetlink: the seals of chains, and open flows, which can also be forgotten.

Writing rules is libnftables' work (`nft.py`). Here is what must be quick, or what libnftables cannot do: it has no words for iptables'
matches, one of which brings in br_netfilter.
Source: <linux/netfilter/nf_tables.h>, <linux/netfilter/nfnetlink_conntrack.h>.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from pileus.drivers.linuxnet.netlink import APPEND, CREATE, NETFILTER, Message, Netlink, attribute, attributes, nested, text
from pileus.network.host import Flow

INET, BRIDGE = 1, 7  # NFPROTO_*
GET_TABLE, GET_CHAIN = (10 << 8) | 1, (10 << 8) | 4  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE and _GETCHAIN
GET_FLOWS, DELETE_FLOW = (1 << 8) | 1, (1 << 8) | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET and _DELETE
TABLE, CHAIN, USERDATA = 1, 3, 12  # NFTA_CHAIN_*
COMMENT = 0  # NFTNL_UDATA_CHAIN_COMMENT
ORIGIN, REPLY, ID = 1, 2, 12  # CTA_*
ICMP = (1, 58)
ENOENT = 2


def _header(family: int) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def has_tables(link: Netlink) -> bool:
    """Whether there are any rules in the namespace."""
    return bool(link.dump(Message(GET_TABLE, 0, _header(socket.AF_UNSPEC), "list tables")))


def seals(link: Netlink, table: str) -> dict[str, str]:
    """The comments of all chains of an inet table that have one, by chain."""
    question = Message(GET_CHAIN, 0, _header(INET) + attribute(TABLE, table), f"list chains of {table}")
    try:
        answers = link.dump(question)
    except OSError:
        return {}
    found = (_seal(answer, table) for answer in answers)
    return {name: comment for name, comment in found if comment}


def seal(link: Netlink, table: str, chain: str) -> str:
    """The comment of one chain of an inet table; empty when there is no such chain."""
    payload = _header(INET) + attribute(TABLE, table) + attribute(CHAIN, chain)
    answer = link.get(Message(GET_CHAIN, 0, payload, f"get chain {chain}"))
    return _seal(answer, table)[1] if answer else ""


def _seal(payload: bytes, table: str) -> tuple[str, str]:
    found = attributes(payload, 4)
    if text(found.get(TABLE, b"")) != table:
        return "", ""
    data, offset = found.get(USERDATA, b""), 0
    while offset + 2 <= len(data):  # one byte each for kind and length
        kind, length = data[offset], data[offset + 1]
        if kind == COMMENT:
            return text(found[CHAIN]), text(data[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return text(found.get(CHAIN, b"")), ""


def flows(link: Netlink) -> list[Flow]:
    """All open flows of the namespace. The kernel looks through those of the whole machine: some 25 ms, however few there are."""
    answers = link.dump(Message(GET_FLOWS, 0, _header(socket.AF_UNSPEC), "list flows"))
    return [flow for payload in answers if (flow := _flow(payload, payload[0]))]


def _flow(payload: bytes, family: int) -> Flow | None:
    found = attributes(payload, 4)
    if ORIGIN not in found or REPLY not in found:
        return None
    source, target, protocol, source_port, target_port = _ends(found[ORIGIN])
    answer_source, answer_target, _, answer_port, _ = _ends(found[REPLY])
    handle = _header(family) + attribute(ORIGIN | 0x8000, found[ORIGIN])
    if ID in found:
        handle += attribute(ID, found[ID])
    return Flow(
        protocol=protocol,
        source=source,
        target=target,
        source_port=source_port,
        target_port=target_port,
        answer_source=answer_source,
        answer_target=answer_target,
        answer_port=answer_port,
        handle=handle,
    )


def _ends(tuple_: bytes) -> tuple[str, str, int, int, int]:
    """(source, target, protocol, source port, target port) of CTA_TUPLE_*; for ICMP the last is type * 256 + code."""
    parts = attributes(tuple_)
    ip, proto = attributes(parts.get(1, b"")), attributes(parts.get(2, b""))
    source, target = (str(ipaddress.ip_address(ip.get(v4, ip.get(v6, b"\0\0\0\0")))) for v4, v6 in ((1, 3), (2, 4)))
    number = proto.get(1, b"\0")[0]
    if number in ICMP:
        kind, code = (5, 6) if number == 1 else (8, 9)  # CTA_PROTO_ICMP_TYPE, _CODE; CTA_PROTO_ICMPV6_TYPE, _CODE
        return source, target, number, 0, proto.get(kind, b"\0")[0] * 256 + proto.get(code, b"\0")[0]
    return source, target, number, int.from_bytes(proto.get(2, b"\0\0")), int.from_bytes(proto.get(3, b"\0\0"))


def forget(link: Netlink, found: list[Flow]) -> None:
    """Remove flows; one that has ended meanwhile is passed over."""
    link.request(*(Message(DELETE_FLOW, 0, flow.handle, "forget flow") for flow in found), ignore=(ENOENT,))


def open_link() -> Netlink:
    """A socket to the netfilter of the namespace that the calling thread is in."""
    return Netlink(NETFILTER)


# -- br_netfilter -----------------------------------------------------------------------------------------------------------------

_NFT = 10 << 8
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = _NFT | 0, _NFT | 2, _NFT | 3, _NFT | 6
_BEGIN, _END = 16, 17  # NFNL_MSG_BATCH_*


def load_bridge_filter(link: Netlink) -> None:
    """Have the kernel load br_netfilter, which it does for anybody who uses iptables' match `physdev`, as long as that is a module.

    A rule with it is made in a table of its own in the namespace, and taken away again. Nothing happens where it is loaded or built in.
    Raises NetlinkError where the kernel lacks what this takes.
    """
    table = attribute(1, "pileus-probe")
    info = b"\0" * 64 + bytes((0, 1)) + b"\0" * 6  # struct xt_physdev_info: bitmask XT_PHYSDEV_OP_BRIDGED
    match = attribute(1, "physdev") + attribute(2, _number(0)) + attribute(3, info)  # NFTA_MATCH_NAME, _REV, _INFO
    rule = nested(1, attribute(1, "match"), nested(2, match))  # NFTA_LIST_ELEM: NFTA_EXPR_NAME, _DATA
    hook = nested(4, attribute(1, _number(2)), attribute(2, _number(0)))  # NFTA_CHAIN_HOOK: forward, priority 0
    head, what = _header(socket.AF_INET), "use the match physdev"
    link.transaction(
        Message(_BEGIN, 0, struct.pack("=BBH", 0, 0, socket.htons(10))),
        Message(_NEW_TABLE, CREATE, head + table, what),
        Message(_NEW_CHAIN, CREATE, head + table + attribute(3, "forward") + hook + attribute(7, "filter"), what),
        Message(_NEW_RULE, CREATE | APPEND, head + table + attribute(2, "forward") + nested(4, rule), what),
        Message(_DELETE_TABLE, 0, head + table, what),
        end=Message(_END, 0, struct.pack("=BBH", 0, 0, socket.htons(10))),
    )


def _number(value: int) -> bytes:
    """nf_tables has its numbers in network order."""
    return struct.pack("!I", value)
