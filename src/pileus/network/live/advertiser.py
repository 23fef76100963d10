"""Speaks for the routers' legs on IPv6 subnets: advertises them from time to time, and when a guest asks.

What is said is read from the rows each time (advertisement.py), so nothing has to be told twice; who speaks at all, the router's look
says. Source: RFC 4861, 6.2.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from pileus.network.live import advertisement
from pileus.network.live.directory import Directory
from pileus.network.types import link_local_of

log = logging.getLogger("pileus.network")

EVERYBODY = "ff02::1"
NOBODY = "::"
PAUSE = (150.0, 250.0)  # seconds between two that nobody asked for
FIRST, FIRST_PAUSE = 3, 8.0  # a new leg says so a few times, that many seconds apart
AT_ONCE = 0.05  # seconds: a leg that has just come up cannot speak in its first moment
SOON = 0.5  # seconds: so often, at most, everybody is told because one asks
BURST = 32  # solicitations read in one turn
SMALLEST = 8  # bytes of a solicitation
HOPS = 255  # the hop limit of what comes from the link itself
Open = Callable[[str, str], Awaitable[socket.socket | None]]


@dataclass
class Speaker:
    """One leg."""

    port_id: str
    sock: socket.socket
    mac: str = ""
    last: bytes = b""
    prefixes: set[str] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    said: int = 0
    told: float = 0.0  # when everybody was, last
    pause: float = AT_ONCE  # until the next try, where nothing could be said
    timer: asyncio.TimerHandle | None = None


class Advertiser:
    """The legs of all routers. `open_socket`: a raw ICMPv6 socket on a leg (router, port)."""

    def __init__(self, directory: Directory, open_socket: Open) -> None:
        self._directory, self._open = directory, open_socket
        self._speakers: dict[str, dict[str, Speaker]] = {}  # by router, by port

    async def advertise(self, router_id: str, legs: Collection[str], renewed: Collection[str] = ()) -> None:
        """These legs are spoken for from now on, and no others; `renewed` ones have been made anew. What has changed is said at once."""
        self.withdraw(router_id, legs)
        speakers = self._speakers.setdefault(router_id, {}) if legs else self._speakers.get(router_id, {})
        for port_id in legs:
            if port_id in renewed and (old := speakers.pop(port_id, None)):
                _end(old)
            if port_id in speakers:
                self._say_news(speakers[port_id])
                continue
            sock = await self._open(router_id, port_id)
            if sock is None:
                return
            if self._speakers.get(router_id) is not speakers or port_id in speakers:  # closed, or opened, while we were at it
                sock.close()
                continue
            speakers[port_id] = speaker = Speaker(port_id, sock)
            asyncio.get_running_loop().add_reader(sock, self._hear, speaker)
            self._say(speaker)

    def withdraw(self, router_id: str, keep: Collection[str]) -> None:
        """Take leave of guests on all legs but these."""
        speakers = self._speakers.get(router_id, {})
        for port_id in [port_id for port_id in speakers if port_id not in keep]:
            speaker = speakers.pop(port_id)
            if speaker.mac:
                _send(speaker, advertisement.farewell(speaker.mac), EVERYBODY)
            _end(speaker)

    def close(self, router_id: str) -> None:
        """Let go of a router's namespace, without a word."""
        for speaker in self._speakers.pop(router_id, {}).values():
            _end(speaker)

    def stop(self) -> None:
        for router_id in list(self._speakers):
            self.close(router_id)

    # -- speaking ---------------------------------------------------------------------------------------------------------

    def _say(self, speaker: Speaker) -> None:
        """Tell everybody, and see to it that it is done again."""
        loop = asyncio.get_running_loop()
        message = self._message(speaker)
        if speaker.timer:
            speaker.timer.cancel()
        if message and not _send(speaker, message, EVERYBODY):
            speaker.pause = pause = min(speaker.pause * 2, FIRST_PAUSE)
        else:
            speaker.last, speaker.told = message, loop.time()
            speaker.said, speaker.pause = speaker.said + 1, AT_ONCE
            pause = FIRST_PAUSE if speaker.said < FIRST else random.uniform(*PAUSE)  # noqa: S311 - not in step with others, no secret
        speaker.timer = loop.call_later(pause, self._say, speaker)

    def _say_news(self, speaker: Speaker) -> None:
        if self._message(speaker) != speaker.last:
            self._say(speaker)

    def _message(self, speaker: Speaker) -> bytes:
        leg = self._directory.advertised(speaker.port_id)
        if leg is None:
            return b""
        now = advertisement.prefixes(leg)
        speaker.withdrawn = (speaker.withdrawn | speaker.prefixes) - now
        speaker.mac, speaker.prefixes = leg.mac, now
        return advertisement.written(leg, speaker.withdrawn)

    def _hear(self, speaker: Speaker) -> None:
        """Answer solicitations."""
        for _ in range(BURST):
            try:
                data, control, _, peer = speaker.sock.recvmsg(1500, 64)
            except OSError as error:
                if not isinstance(error, BlockingIOError | InterruptedError):
                    log.warning("a router's leg cannot be heard: %s", error)
                    asyncio.get_running_loop().remove_reader(speaker.sock)
                return
            hops = next((int.from_bytes(value[:4], sys.byteorder) for _, kind, value in control if kind == socket.IPV6_HOPLIMIT), 0)
            if len(data) >= SMALLEST and data[0] == advertisement.SOLICITATION and hops == HOPS:
                self._answer(speaker, peer)

    def _answer(self, speaker: Speaker, peer: tuple[str, int, int, int]) -> None:
        if peer[0] != NOBODY:
            if message := self._message(speaker):
                _send(speaker, message, peer[0])
        elif asyncio.get_running_loop().time() - speaker.told > SOON:
            self._say(speaker)


def _send(speaker: Speaker, message: bytes, target: str) -> bool:
    """Whether it could be said: a leg that is down, or gone, has nobody to tell. Only its link-local address is heeded as a router's."""
    source = socket.inet_pton(socket.AF_INET6, link_local_of(speaker.mac)) + bytes(4)
    try:
        speaker.sock.sendmsg([message], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source)], 0, (target, 0))
    except OSError:
        return False
    return True


def _end(speaker: Speaker) -> None:
    if speaker.timer:
        speaker.timer.cancel()
    asyncio.get_running_loop().remove_reader(speaker.sock)
    speaker.sock.close()
