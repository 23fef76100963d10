"""Security groups on the host: chains of rules and sets of members, in the filter of every network that needs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from pileus.drivers.linuxnet import network, nfnetlink, rules
from pileus.drivers.linuxnet.machine import Machine
from pileus.drivers.linuxnet.netlink import Netlink
from pileus.errors import HostError
from pileus.network.host import GroupFacts, GroupWant, Step


def observe(machine: Machine, want: GroupWant, also: Iterable[str]) -> GroupFacts | None:
    """The wanted parts, and the group's own wherever they may be: in the wanted networks and in `also`."""
    parts: dict[str, dict[str, str]] = {}
    own = (f"rules:{want.id}", f"members:{want.id}")
    for id in sorted({*want.parts, *also}):
        name = network.namespace(id)
        names = dict.fromkeys((*own, *(part.name for part in want.parts.get(id, ()))))
        with machine.sight(name) as sight:
            if sight is None:
                continue
            _, netfilter = sight
            found = {part: nfnetlink.seal(netfilter, rules.TABLE, rules.part_seal(part)) for part in names}
        parts[id] = {part: words for part, words in found.items() if words}
    return GroupFacts(parts=parts) if parts else None


def observe_all(machine: Machine) -> dict[str, GroupFacts]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name in machine.namespaces.names():
        if not name.startswith(network.PREFIX):
            continue
        with machine.filter(name) as netfilter:
            seals = nfnetlink.seals(netfilter, rules.TABLE)
        for chain, words in seals.items():
            if part := rules.part_name(chain):
                places = found.setdefault(part.partition(":")[2], {})
                places.setdefault(name.removeprefix(network.PREFIX), {})[part] = words
    return {id: GroupFacts(parts=parts) for id, parts in found.items()}


def apply(machine: Machine, steps: Sequence[Step]) -> None:
    """What is loaded into one network is one transaction, each part that is taken away another.

    The kernel refuses to take away what something refers to, for the moment. That holds nothing else up: of two groups that name each
    other, neither's members can go before the other's rules. Raises the last refusal when all that can be done is done.
    """
    refused: HostError | None = None
    for (id, dropped), there in groupby(steps, key=_transaction):
        name = network.namespace(id)
        with machine.filter(name) as netfilter:
            text = "".join(_text(netfilter, step) for step in there)
        try:
            machine.nft(name, text)
        except HostError as error:
            if not dropped:
                raise
            refused = error
    if refused:
        raise refused


def _transaction(step: Step) -> tuple[str, str]:
    """The network, and the part when it is taken away."""
    id, value = step.value
    return id, value if step.verb == "drop_part" else ""


def _text(netfilter: Netlink, step: Step) -> str:
    _, value = step.value
    if step.verb == "drop_part":
        return rules.drop_part(value)
    return rules.load_part(value, is_new=not nfnetlink.seal(netfilter, rules.TABLE, rules.part_seal(value)))
