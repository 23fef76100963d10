"""Sockets for what answers guests (network/live), each of the namespace that the calling thread is in."""

from __future__ import annotations

import fcntl
import socket
import struct

from pileus.errors import HostError

IP_PKTINFO = 8  # ip(7); Python 3.11 does not name it
ICMP6_FILTER = 1  # <linux/icmpv6.h>
ROUTER_SOLICITATION = 133
FEW = 1024  # FD_SETSIZE: libnftables waits for its own socket with select(2), and ends the process when that has a higher number
DHCP6_SERVERS = "ff02::1:2"  # RFC 8415, 7.1


def aside(sock: socket.socket) -> socket.socket:
    """The same socket under a high number: what lives as long as a network leaves the low ones, which are few, to libnftables."""
    try:
        fd = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, FEW)
    except OSError:  # this process may not have so many
        return sock
    sock.close()
    return socket.socket(fileno=fd)


def listener(kind: socket.SocketKind, port: int, address: str = "0.0.0.0", device: str = "", scope: int = 0) -> socket.socket:  # noqa: S104 - in a namespace
    """A bound socket; a stream one listens. `scope`: the link that a link-local IPv6 address is on."""
    six = ":" in address
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_DGRAM and six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.bind((address, port, 0, scope) if six else (address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(128)
    except OSError as error:
        sock.close()
        raise HostError(f"port {port} of {address} cannot be listened on: {error.strerror}") from None
    return aside(sock)


def listeners6(metadata: str, device: str, index: int) -> dict[str, socket.socket]:
    """The sockets of a network's IPv6 half, on its bridge `device`."""
    found: dict[str, socket.socket] = {}
    try:
        found["dhcp"] = listener(socket.SOCK_DGRAM, 547, "::", device)
        found["dhcp"].setsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, DHCP6_SERVERS) + struct.pack("=I", index)
        )
        found["dns"] = listener(socket.SOCK_DGRAM, 53, "::", device)
        found["dns_tcp"] = listener(socket.SOCK_STREAM, 53, "::", device)
        found["metadata"] = listener(socket.SOCK_STREAM, 80, metadata, device, index)
    except (OSError, HostError):
        for sock in found.values():
            sock.close()
        raise
    return found


def solicitations(device: str) -> socket.socket:
    """A raw ICMPv6 socket on a router's leg: it hears router solicitations, and what it sends has a hop limit of 255 (RFC 4861)."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6)
    blocked = bytearray(b"\xff" * 32)
    blocked[ROUTER_SOLICITATION // 32 * 4 : ROUTER_SOLICITATION // 32 * 4 + 4] = struct.pack(
        "=I", ~(1 << ROUTER_SOLICITATION % 32) & 0xFFFFFFFF
    )
    try:
        sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(blocked))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
        for option, value in (
            (socket.IPV6_UNICAST_HOPS, 255),
            (socket.IPV6_MULTICAST_HOPS, 255),
            (socket.IPV6_MULTICAST_LOOP, 0),
            (socket.IPV6_RECVHOPLIMIT, 1),
        ):
            sock.setsockopt(socket.IPPROTO_IPV6, option, value)
    except OSError as error:
        sock.close()
        raise HostError(f"nothing can be advertised on {device}: {error.strerror}") from None
    return aside(sock)
