"""What a trace tells: hops and a verdict, as they go over the wire. And the packet that is followed."""

from __future__ import annotations

from typing import Literal

import msgspec

from pileus.network.host import Flow

Mark = Literal["ok", "stop", "differs", "unknown"]
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
ECHO, ECHO_REPLY = 8 * 256, 0  # ICMP's type and code in one, as a Flow has them
ECHO6, ECHO6_REPLY = 128 * 256, 129 * 256
EPHEMERAL = 50000  # the source port that stands for any a client may take
NAMES = {TCP: "TCP", UDP: "UDP"}


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One packet on its way. `size`: bytes of the IP packet, 0 for a small one; it may not be cut in pieces."""

    version: Literal[4, 6] = 4
    protocol: int = ICMP
    source: str = ""
    target: str = ""
    source_port: int = 0
    target_port: int = 0
    size: int = 0

    @property
    def flow(self) -> Flow:
        """As security groups judge it."""
        return Flow(
            protocol=self.protocol, source=self.source, target=self.target, source_port=self.source_port, target_port=self.target_port
        )

    @property
    def words(self) -> str:
        if self.protocol in NAMES:
            return f"{NAMES[self.protocol]} {self.target_port}"
        return "ping"

    def answer(self) -> Packet:
        """What comes back when it has arrived."""
        echo = {ICMP: ECHO_REPLY, ICMP6: ECHO6_REPLY}.get(self.protocol)
        ports = (self.target_port, self.source_port) if echo is None else (0, echo)
        return msgspec.structs.replace(self, source=self.target, target=self.source, source_port=ports[0], target_port=ports[1])


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the packet comes to."""

    way: Literal["there", "back"] = "there"
    place: str  # what kind of thing: guest, tap, anti-spoof, security group, network, router, floating IP, wire, outside, DNS
    name: str = ""
    mark: Mark = "ok"
    words: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`passes`: None when nobody here can tell. `cause` names what stops it in one word, for scripts; `mend` are commands, in order."""

    passes: bool | None
    cause: str = ""
    words: str = ""
    mend: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    destination: str
    packet: str
    hops: tuple[Hop, ...]
    verdict: Verdict


class Stop(Exception):
    """Here the packet ends."""

    def __init__(self, cause: str, words: str, *mend: str) -> None:
        super().__init__(words)
        self.cause, self.words, self.mend = cause, words, tuple(line for line in mend if line)


class Unknown(Exception):
    """From here on nobody can tell, which is not to say that anything is wrong."""
