"""Who lives on a network: what DHCP, DNS and the metadata relay need to know of ports, straight from the rows.

Nothing is remembered: an answer is right as soon as the row is. Each question takes some 0.1 ms.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

from pileus.kit.store import Row, Store
from pileus.network.host import METADATA, METADATA6
from pileus.network.types import mac_of
from pileus.network.types.names import DOMAIN, plain_name, within

FEET = ("network:dhcp", "network:distributed")
SERVED = "s.enable_dhcp = 1 AND n.scheduled IS NOT 0"  # subnet s of network n: one that was taken off the DHCP agent gets nothing


@dataclass(frozen=True)
class Lodger:
    """A port as its network's services see it, with one of its addresses."""

    port: Row
    address: str
    subnet: Row
    mtu: int
    foot: str  # the host's own address in that subnet, or METADATA, or METADATA6

    @property
    def host_name(self) -> str:
        return within(self.port["dns_name"]) or plain_name(self.address)

    def many(self, column: str) -> list[Any]:
        """A JSON column of the subnet."""
        found: list[Any] = json.loads(self.subnet[column])
        return found


@dataclass(frozen=True)
class AdvertisedLeg:
    """A router's leg, and the subnets whose hosts look to it for router advertisements."""

    mac: str
    mtu: int
    subnets: list[Row]
    feet: list[str]  # the host's own address in each


class Directory:
    """Questions about the ports of a network."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def by_mac(self, network_id: str, mac: str, asked: str = "") -> Lodger | None:
        """The port with this MAC, at an IPv4 address that DHCP may give out: the one asked for if it is the port's, else its first."""
        port = self._store.first("port", {"network_id": network_id, "mac_address": mac})
        if port is None:
            return None
        joined = "fixed_ip f JOIN subnet s ON s.id = f.subnet_id JOIN network n ON n.id = f.network_id"
        where = f"f.port_id = ? AND s.ip_version = 4 AND {SERVED}"
        found = self._store.query(
            f"SELECT f.ip_address FROM {joined} WHERE {where} ORDER BY f.ip_address <> ?, f.position",  # noqa: S608 - ours
            port["id"],
            asked,
        )
        return self._lodger(port, found[0]["ip_address"]) if found else None

    def by_address(self, network_id: str, address: str) -> Lodger | None:
        """The port that has this address."""
        sql = "SELECT p.* FROM fixed_ip f JOIN port p ON p.id = f.port_id WHERE f.network_id = ? AND f.ip_address = ? AND p.gone = 0"
        found = self._store.query(sql, network_id, address)
        return self._lodger(found[0], address) if found else None

    def by_mac6(self, network_id: str, mac: str) -> list[Lodger]:
        """The port with this MAC, at each of its IPv6 addresses in subnets with DHCP."""
        joined = "port p JOIN fixed_ip f ON f.port_id = p.id JOIN subnet s ON s.id = f.subnet_id JOIN network n ON n.id = p.network_id"
        where = f"p.network_id = ? AND p.mac_address = ? AND p.gone = 0 AND s.ip_version = 6 AND {SERVED}"
        found = self._store.query(f"SELECT f.ip_address, p.id FROM {joined} WHERE {where} ORDER BY f.position", network_id, mac)  # noqa: S608
        port = self._store.get("port", found[0]["id"]) if found else None
        return [lodger for row in found if port and (lodger := self._lodger(port, row["ip_address"]))]

    def port_of(self, network_id: str, address: str) -> Row | None:
        """The port that speaks from this address, which may be the link-local one that its MAC gives."""
        if address.startswith("fe80:"):
            return self._store.first("port", {"network_id": network_id, "mac_address": mac_of(address)})
        lodger = self.by_address(network_id, address)
        return lodger.port if lodger else None

    def advertised(self, port_id: str) -> AdvertisedLeg | None:
        """What a router's leg has to advertise; None when there is nothing, or no such leg any more."""
        port = self._store.get("port", port_id)
        network = self._store.get("network", port["network_id"]) if port else None
        subnets = self._store.query(
            "SELECT s.* FROM fixed_ip f JOIN subnet s ON s.id = f.subnet_id WHERE f.port_id = ? AND s.ipv6_ra_mode IS NOT NULL"
            " ORDER BY f.position",
            port_id,
        )
        if port is None or network is None or not subnets:
            return None
        return AdvertisedLeg(port["mac_address"], network["mtu"], subnets, [self._foot(subnet) for subnet in subnets])

    def by_name(self, network_id: str, name: str) -> list[str]:
        """The addresses that a host name has on the network."""
        sql = (
            "SELECT f.ip_address FROM port p JOIN fixed_ip f ON f.port_id = p.id"
            " WHERE p.network_id = ? AND p.gone = 0 AND lower(p.dns_name) IN (?, ?) ORDER BY f.ip_address"
        )
        found = [row["ip_address"] for row in self._store.query(sql, network_id, name, f"{name}.{DOMAIN}.")]
        if found or not name.startswith("host-"):
            return found
        for mark in (".", ":"):
            try:
                address = str(ipaddress.ip_address(name.removeprefix("host-").replace("-", mark)))
            except ValueError:
                continue
            if self.by_address(network_id, address):
                return [address]
        return []

    def domains(self, network_id: str) -> list[str]:
        """Where the names of the network's ports are: the cloud's own domain, and that of the network if it was given one."""
        network = self._store.get("network", network_id)
        own = network["dns_domain"].removesuffix(".") if network else ""
        return [DOMAIN, own] if own else [DOMAIN]

    def behind(self, router_id: str, address: str) -> Lodger | None:
        """The port with this address on one of the networks that a router joins."""
        sql = (
            "SELECT DISTINCT leg.network_id FROM port leg JOIN fixed_ip f ON f.network_id = leg.network_id AND f.ip_address = ?"
            " WHERE leg.device_id = ? AND leg.device_owner = 'network:router_interface' AND leg.gone = 0"
        )
        found = self._store.query(sql, address, router_id)
        return self.by_address(found[0]["network_id"], address) if len(found) == 1 else None

    def _lodger(self, port: Row, address: str) -> Lodger | None:
        network = self._store.get("network", port["network_id"])
        sql = "SELECT s.* FROM fixed_ip f JOIN subnet s ON s.id = f.subnet_id WHERE f.port_id = ? AND f.ip_address = ?"
        subnets = self._store.query(sql, port["id"], address)
        if network is None or not subnets:
            return None
        return Lodger(port, address, subnets[0], network["mtu"], self._foot(subnets[0]))

    def _foot(self, subnet: Row) -> str:
        found = self._store.query(
            "SELECT f.ip_address FROM fixed_ip f JOIN port p ON p.id = f.port_id"
            " WHERE f.subnet_id = ? AND p.gone = 0 AND p.device_owner IN (?, ?) ORDER BY f.ip_address LIMIT 1",
            subnet["id"],
            *FEET,
        )
        return str(found[0]["ip_address"]) if found else METADATA6 if subnet["ip_version"] == 6 else METADATA
