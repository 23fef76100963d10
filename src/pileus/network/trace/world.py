"""What the walk reads: rows, and answers of the host to questions. An answer that is not there yet ends the walk with the question
(`Missing`); whoever runs it finds the answer and begins again, so that the walk itself is pure and asks for nothing it does not need.
"""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pileus.kit.store import Row, Store
from pileus.network.host import (
    Facts,
    GroupWant,
    Heard,
    Knock,
    NetworkWant,
    PortWant,
    RouterWant,
    Want,
    WireFacts,
)
from pileus.network.reconcile import rows

Question = tuple[Any, ...]


class GuestSight(msgspec.Struct, frozen=True, kw_only=True):
    """A server as whoever looks after servers sees it."""

    word: str  # in a command
    name: str
    status: str = "ACTIVE"
    task: str = ""
    fault: str = ""
    running: bool = True  # the host has a living guest of it


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What DHCP last told a port's guest, since the control plane started."""

    address: str
    seconds: int  # ago
    servers: tuple[str, ...] = ()  # of DNS


class Missing(Exception):
    """The walk needs an answer first."""

    def __init__(self, question: Question) -> None:
        super().__init__(str(question))
        self.question = question


@dataclass
class World:
    """`project` None: an admin looks, who sees all."""

    store: Store
    project: str | None = None
    answers: Mapping[Question, Any] = field(default_factory=dict)
    leases: Callable[[str], Lease | None] = lambda port_id: None
    pending: Callable[[str, str], str] = lambda kind, id: ""  # why a look at an object is not done yet; empty when it is

    # -- the host's answers -------------------------------------------------------------------------------------------------

    def ask(self, *question: Any) -> Any:
        if question not in self.answers:
            raise Missing(question)
        return self.answers[question]

    def facts(self, kind: str, id: str) -> Facts | None:
        found: Facts | None = self.ask("observe", kind, id)
        return found

    def flaws(self, kind: str, id: str) -> list[str]:
        found: list[str] = self.ask("flaws", kind, id)
        return found

    def heard(self, port_id: str, knock: Knock) -> Heard | None:
        found: Heard | None = self.ask("knock", port_id, knock)
        return found

    def guest(self, device_id: str) -> GuestSight | None:
        found: GuestSight | None = self.ask("guest", device_id)
        return found

    def wire(self) -> WireFacts:
        found: WireFacts = self.ask("wire")
        return found

    def resolved(self, network_id: str, name: str) -> tuple[str, tuple[str, ...]]:
        """("", addresses), or ("nobody" or "no answer", ()): what the network's own DNS says of a name."""
        found: tuple[str, tuple[str, ...]] = self.ask("name", network_id, name)
        return found

    # -- rows -------------------------------------------------------------------------------------------------------------

    def row(self, table: str, id: str) -> Row:
        found = self.store.get(table, id, hidden=True)
        assert found is not None, f"{table} {id}"
        return found

    def mine(self, row: Row) -> bool:
        """Whether the one who asks may know about a thing."""
        return self.project is None or row["project_id"] == self.project or bool(row.get("shared")) or bool(row.get("external"))

    def addresses(self, port_id: str) -> list[Row]:
        """A port's addresses, each with its subnet's `cidr`, `gateway_ip`, `ip_version`."""
        return self.store.query(
            "SELECT f.ip_address, s.* FROM fixed_ip f JOIN subnet s ON s.id = f.subnet_id WHERE f.port_id = ? ORDER BY f.position", port_id
        )

    def owner(self, network_id: str, address: str) -> Row | None:
        """The port that has an address on a network, by itself or as one of its pairs."""
        sql = "SELECT p.* FROM fixed_ip f JOIN port p ON p.id = f.port_id WHERE f.network_id = ? AND f.ip_address = ? AND p.gone = 0"
        found = self.store.query(sql, network_id, address)
        return found[0] if found else next((port for port in self.paired(network_id, address)), None)

    def paired(self, network_id: str, address: str) -> list[Row]:
        ports = self.store.query("SELECT * FROM port WHERE network_id = ? AND gone = 0 AND allowed_address_pairs <> '[]'", network_id)
        return [port for port in ports if any(pair["ip_address"] == address for pair in json.loads(port["allowed_address_pairs"]))]

    def paired_macs(self, network_id: str) -> bool:
        """Whether a port of a network may use MACs that are not its own."""
        ports = self.store.query("SELECT * FROM port WHERE network_id = ? AND gone = 0 AND allowed_address_pairs <> '[]'", network_id)
        pairs = ((port, pair) for port in ports for pair in json.loads(port["allowed_address_pairs"]))
        return any(pair.get("mac_address", port["mac_address"]) != port["mac_address"] for port, pair in pairs)

    def guests_on(self, network_id: str) -> list[Row]:
        """Ports of a network that guests are bound to."""
        return self.store.query(f"SELECT p.* FROM port p WHERE p.network_id = ? AND {rows.BOUND} ORDER BY p.rowid", network_id)  # noqa: S608

    def legs_on(self, network_id: str) -> list[Row]:
        """Ports of routers on a network."""
        return self.store.find("port", {"network_id": network_id, "device_owner": rows.LEGS}, order="rowid")

    def by_mac(self, network_id: str, mac: str) -> Row | None:
        return self.store.first("port", {"network_id": network_id, "mac_address": mac}) if mac else None

    def subnet_of(self, network_id: str, address: str) -> Row | None:
        """The subnet of a network that an address lies in."""
        ip = ipaddress.ip_address(address)
        subnets = self.store.find("subnet", {"network_id": network_id})
        return next((subnet for subnet in subnets if ip in ipaddress.ip_network(subnet["cidr"])), None)

    def inner_subnet(self, address: str, project: str | None = None) -> Row | None:
        """The subnet that an address lies in, among those of tenants' networks that the caller may see; of one project, if it is said."""
        ip = ipaddress.ip_address(address)
        found = self.store.query("SELECT s.* FROM subnet s JOIN network n ON n.id = s.network_id WHERE n.external = 0 ORDER BY s.rowid")
        mine = (s for s in found if s["project_id"] == project or (project is None and self.mine(s)))
        return next((subnet for subnet in mine if ip in ipaddress.ip_network(subnet["cidr"])), None)

    def public(self) -> Row | None:
        """The network that the outside host is on."""
        return self.store.first("network", {"physical_network": rows.WIRE})

    def want(self, kind: str, id: str) -> Want:
        return want_of(self.store, kind, id)

    def port_want(self, id: str) -> PortWant:
        want = self.want("port", id)
        assert isinstance(want, PortWant)
        return want

    def router_want(self, id: str) -> RouterWant:
        want = self.want("router", id)
        assert isinstance(want, RouterWant)
        return want

    def group_want(self, id: str) -> GroupWant:
        want = self.want("security_group", id)
        assert isinstance(want, GroupWant)
        return want

    def network_want(self, id: str) -> NetworkWant:
        want = self.want("network", id)
        assert isinstance(want, NetworkWant)
        return want

    # -- words ------------------------------------------------------------------------------------------------------------

    def called(self, table: str, row: Row) -> str:
        """How a thing is called in a sentence."""
        return str(row["name"] or row["id"]) if self.mine(row) else f"another project's {table.replace('_', ' ')}"

    def word(self, table: str, row: Row) -> str:
        """How a thing is called in a command: by its name when only it has that, else by its id."""
        name = row.get("name") or ""
        alike = self.store.count(table, {"name": name}) if name else 0
        return shlex.quote(name) if alike == 1 else str(row["id"])

    def guest_of(self, port: Row) -> GuestSight | None:
        """The server of a port, or of the port that carries it."""
        carrier = self.carrier(port)
        device: str = (carrier or port)["device_id"]
        return self.guest(device) if device else None

    def carrier(self, port: Row) -> Row | None:
        """The trunk's own port, of one that is carried."""
        if port["device_owner"] != rows.SUB_PORT:
            return None
        sql = "SELECT p.* FROM sub_port s JOIN trunk t ON t.id = s.trunk_id JOIN port p ON p.id = t.port_id WHERE s.port_id = ?"
        return next(iter(self.store.query(sql, port["id"])), None)

    def guest_name(self, port: Row) -> str:
        """The server of a port, or the port itself when no server is known."""
        guest = self.guest_of(port)
        return guest.name if guest else str(port["name"] or port["id"])

    def guest_word(self, port: Row) -> str:
        """The server of a port as a command names it; empty when there is none."""
        guest = self.guest_of(port)
        return shlex.quote(guest.word) if guest else ""


def want_of(store: Store, kind: str, id: str) -> Want:
    """What the row of an object wants of the host."""
    row = store.get(kind, id, hidden=True)
    assert row is not None, f"{kind} {id}"
    match kind:
        case "network":
            return rows.network_want(store, row)
        case "port":
            return rows.port_want(store, row)
        case "router":
            return rows.router_want(store, row)
    return rows.group_want(store, row)
