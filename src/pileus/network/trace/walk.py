"""The walk's own things: where the packet is, what was noted on the way, and where it goes on. Pure.

Each place (guest.py, router.py, switch.py, outside.py) says where the packet goes on, or that it has arrived, or raises Stop; `trace.py`
takes one after the other. Not here: who the ends are (place.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pileus.kit.store import Row
from pileus.network.trace import mend
from pileus.network.trace.report import Hop, Mark, Packet, Stop
from pileus.network.trace.world import World

TURNS = 16  # routers and guests passed on the way; then it goes round in circles


@dataclass
class Passed:
    """How a router has changed a packet: its answer is changed back. `inside`: from one tenant's network to another, as it was."""

    before: Packet
    after: Packet
    inside: bool = False


@dataclass
class Walk:
    """One walk. `hops` are written as they are taken."""

    world: World
    hops: list[Hop] = field(default_factory=list)
    way: Literal["there", "back"] = "there"
    routers: dict[str, Passed] = field(default_factory=dict)
    returned: set[str] = field(default_factory=set)  # routers that the answer has come through
    at: tuple[str, str] = ("", "")
    turns: int = 0
    first: Row | None = None  # the port that it began at, if it was a guest's
    last: Row | None = None  # the port that it has arrived at, likewise

    def enter(self, place: str, name: str = "") -> None:
        """Come to a thing: should the packet end, it is here."""
        self.at = place, name

    def note(self, words: str, mark: Mark = "ok") -> None:
        self.hops.append(Hop(way=self.way, place=self.at[0], name=self.at[1], mark=mark, words=words))

    def turn(self) -> None:
        self.turns += 1
        if self.turns > TURNS:
            raise Stop("loop", "the packet goes round in circles: the routes of two routers lead to each other")


@dataclass(frozen=True)
class Arrival:
    """Where the packet has come to its end, and as what. `port` None: the outside host, the Internet, or one of the cloud's own."""

    packet: Packet
    port: Row | None = None
    via: str = ""  # the next hop that the guest has chosen for its answer, when it was heard
    network: Row | None = None  # where it came from outside, or whose own foot answers
    silent: bool = False  # nothing comes back from there


@dataclass(frozen=True)
class Onward:
    """The packet is on a network's switch, for whoever has the address `hop` there. `route`: what mends the route that led here."""

    network_id: str
    packet: Packet
    hop: str
    route: tuple[str, ...] = ()


def check_host(walk: Walk, kind: str, row: Row, steps: list[str]) -> None:
    """Stop where the host is not as the rows want it: either the control plane is at it, or somebody's hand was."""
    world = walk.world
    name = world.called(kind, row)
    flaws = [] if steps else world.flaws(kind, row["id"])
    if not steps and not flaws:
        return
    said = f"still to do: {', '.join(dict.fromkeys(steps))}" if steps else "; ".join(flaws[:3])
    if steps and (reason := world.pending(kind, row["id"])):
        words = f"the control plane is still at work on {kind} {name} ({said}; {reason}): ask again in a moment"
        raise Stop("in-flight", words, mend.look_again(kind, row["id"]))
    words = f"the host is not as the cloud wants it: {kind.replace('_', ' ')} {name} was changed or lost outside the APIs ({said})"
    extra = mend.after_a_lost_tap(world, row) if kind == "port" and "make_tap" in steps else ""
    raise Stop("drift", words, mend.look_again(kind, row["id"]), extra)
