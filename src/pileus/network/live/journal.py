"""The journal: a line for each packet that a security group has judged for a port that a log is kept of.

In the file `security-groups.log` of the cloud's state folder, for the cloud's owner to read. Nothing is kept while the control plane is
away.
Not here: what is noted, and how often (the driver).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from pathlib import Path

from pileus.errors import HostError
from pileus.kit.clock import iso
from pileus.kit.context import Cloud
from pileus.network.host import Networks, Note
from pileus.network.reconcile import rows

log = logging.getLogger("pileus.network")
MOST = 8 << 20  # bytes, after which the file becomes `.1` and a new one begins
NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
WITH_PORTS = (6, 17, 132)


class Journal:
    """Listens in the networks that it is told of."""

    def __init__(self, cloud: Cloud, driver: Networks, path: Path) -> None:
        self._cloud, self._driver, self._path = cloud, driver, path
        self._ears: dict[str, socket.socket] = {}

    async def open(self, network_id: str) -> None:
        """Listen in a network from now on, if a log is kept of any port there; nothing happens when that is so already."""
        if network_id in self._ears or not rows.is_noted(self._cloud.store, network_id):
            return
        try:
            ear = await self._driver.notes(network_id)
        except HostError as error:
            log.warning("no journal of network %s: %s", network_id, error)
            return
        if ear is not None and self._ears.setdefault(network_id, ear) is ear:
            asyncio.get_running_loop().add_reader(ear, self._hear, ear)

    def close(self, network_id: str) -> None:
        if ear := self._ears.pop(network_id, None):
            asyncio.get_running_loop().remove_reader(ear)
            ear.close()

    def stop(self) -> None:
        for network_id in list(self._ears):
            self.close(network_id)

    def _hear(self, ear: socket.socket) -> None:
        lines = [line for note in self._driver.read_notes(ear) if (line := self._line(note))]
        if lines:
            self._write("".join(f"{line}\n" for line in lines))

    def _line(self, note: Note) -> str | None:
        """What is written of a note; None when no log is kept of the port any more."""
        port = self._cloud.store.get("port", note.port_id)
        logs = rows.logs_of(self._cloud.store, port) if port else []
        ids = sorted(each["id"] for each in logs if each["event"] in (note.event, "ALL"))
        if port is None or not ids:
            return None
        head = f"{iso(self._cloud.clock.now(), fraction=True)} action={note.event} project_id={port['project_id']}"
        return f"{head} log_resource_ids={ids} vm_port={port['id']} direction={note.direction} pkt={described(note.packet)}"

    def _write(self, text: str) -> None:
        try:
            if self._path.exists() and self._path.stat().st_size > MOST:
                self._path.replace(self._path.with_suffix(".log.1"))
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("the journal cannot be written: %s", error)


def described(packet: bytes) -> str:
    """An IP packet in words: `ipv4(src=10.0.2.1,dst=10.0.2.2,proto=6) tcp(src_port=4711,dst_port=80)`."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        protocol, start, ends = packet[9], (packet[0] & 15) * 4, (packet[12:16], packet[16:20])
        fragment = int.from_bytes(packet[6:8]) & 0x1FFF
    elif version == 6 and len(packet) >= 40:
        protocol, start, ends, fragment = packet[6], 40, (packet[8:24], packet[24:40]), 0
    else:
        return f"unknown({packet[:20].hex()})"
    source, target = (ipaddress.ip_address(end) for end in ends)
    text = f"ipv{version}(src={source},dst={target},proto={protocol})"
    inner, name = packet[start : start + 4], NAMES.get(protocol)
    if name is None or len(inner) < 4 or fragment:
        return text
    if protocol in WITH_PORTS:
        return f"{text} {name}(src_port={int.from_bytes(inner[:2])},dst_port={int.from_bytes(inner[2:])})"
    return f"{text} {name}(type={inner[0]},code={inner[1]})"
