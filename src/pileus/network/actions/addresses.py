"""Who has which address: pools, what a port is given, and what a server's addresses are.

An address is taken while a row of `fixed_ip` names it, also when its port is on its way out: it is free again when the host is seen without
it. Free ones are given out in order, starting after the last given, so that a fresh address is not one that neighbours still remember.
Not here: ports themselves (ports.py).
"""

from __future__ import annotations

import ipaddress
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest, Conflict
from pileus.kit.context import Context
from pileus.kit.store import Row, Store
from pileus.network.types import IPAddress, IPNetwork, invalid_input

ROUTER_OWNERS = ("network:router_interface", "network:router_gateway")
AUTOMATIC = ("slaac", "dhcpv6-stateless")  # IPv6 modes in which a host makes its own address out of its MAC
PROBE = 8  # addresses looked up at first, eight times as many after that: the first nearly always does

Wanted = dict[str, str]  # subnet_id and ip_address, either or both
Given = tuple[str, str]  # subnet id, address


def range_of(subnet: Row) -> IPNetwork:
    return ipaddress.ip_network(subnet["cidr"])


def automatic(subnet: Row) -> bool:
    """Whether hosts on the subnet make their own addresses."""
    return subnet["ipv6_address_mode"] in AUTOMATIC or subnet["ipv6_ra_mode"] in AUTOMATIC


def default_pools(cidr: str, gateway: str | None) -> list[dict[str, str]]:
    """Every address of a range that can be given out: all but the gateway and, in IPv4, the first and the last."""
    network = ipaddress.ip_network(cidr)
    first, last = (int(end) for end in usable(network))
    spans = [(first, last)]
    if gateway and (middle := ipaddress.ip_address(gateway)) in network:
        spans = [(first, int(middle) - 1), (int(middle) + 1, last)]
    kind = type(network[0])
    return [{"start": str(kind(start)), "end": str(kind(end))} for start, end in spans if start <= end]


def usable(network: IPNetwork) -> tuple[IPAddress, IPAddress]:
    """The first and the last address that a host may have."""
    first, last = network[0], network[-1]
    if network.version == 6:
        return (first + 1, last) if network.prefixlen < 128 else (first, last)
    return (first + 1, last - 1) if network.prefixlen <= 30 else (first, last)


def pools_of(subnet: Row) -> list[tuple[int, int]]:
    """The first and last of each pool, as numbers."""
    return [(int(ipaddress.ip_address(p["start"])), int(ipaddress.ip_address(p["end"]))) for p in json.loads(subnet["allocation_pools"])]


def eui64(subnet: Row, mac: str) -> str:
    """The address that a host with this MAC makes for itself. Source: RFC 4291, appendix A."""
    digits = bytes.fromhex(mac.replace(":", ""))
    tail = bytes([digits[0] ^ 2]) + digits[1:3] + b"\xff\xfe" + digits[3:]
    return str(ipaddress.IPv6Address(int(range_of(subnet)[0]) | int.from_bytes(tail, "big")))


# -- giving out ------------------------------------------------------------------------------------------------------------


def give(ctx: Context, network: Row, port: Row, wanted: list[Wanted] | None) -> list[Given]:
    """The addresses for a port: what was asked for, or with None one of each protocol that the network has.

    The rows are written here, in the caller's transaction, after those the port has already. Raises Conflict (taken, or none left) and
    BadRequest (not of this network).
    """
    subnets = ctx.store.find("subnet", {"network_id": network["id"]}, order="rowid")
    fitting = [s for s in subnets if _serves(s, port["device_owner"])]
    if wanted is None:
        return _give_any(ctx, network, port, fitting)
    given = []
    for ask in wanted:
        subnet = _subnet_for(network, port, subnets, ask)
        if "ip_address" in ask:
            given.append(_take(ctx, port, subnet, ask["ip_address"]))
        else:
            given.append(_give_one(ctx, network, port, [subnet]))
    if wanted and port["device_owner"] not in ROUTER_OWNERS:
        have = {ip["subnet_id"] for ip in ctx.store.find("fixed_ip", {"port_id": port["id"]})}
        given += [_take(ctx, port, s, eui64(s, port["mac_address"])) for s in fitting if automatic(s) and s["id"] not in have]
    return given


def give_automatic(ctx: Context, subnet: Row) -> None:
    """The addresses that hosts make for themselves on a new subnet, for the ports that its network has already."""
    if not automatic(subnet):
        return
    for port in ctx.store.find("port", {"network_id": subnet["network_id"]}, order="rowid"):
        if port["device_owner"] not in (*ROUTER_OWNERS, "network:floatingip") and _serves(subnet, port["device_owner"]):
            _take(ctx, port, subnet, eui64(subnet, port["mac_address"]))
            ctx.wake("port", port["id"])


def regive_automatic(ctx: Context, port: Row) -> None:
    """A port whose MAC has changed makes itself other addresses."""
    for ip in ctx.store.find("fixed_ip", {"port_id": port["id"]}):
        subnet = ctx.store.get("subnet", ip["subnet_id"])
        if subnet and automatic(subnet) and port["device_owner"] not in ROUTER_OWNERS:
            key = {"subnet_id": ip["subnet_id"], "ip_address": ip["ip_address"]}
            ctx.store.delete("fixed_ip", key)
            ctx.store.insert("fixed_ip", {**ip, "ip_address": eui64(subnet, port["mac_address"])})


def _serves(subnet: Row, device_owner: str) -> bool:
    types = json.loads(subnet["service_types"])
    return not types or device_owner in types


def _give_any(ctx: Context, network: Row, port: Row, subnets: list[Row]) -> list[Given]:
    given = []
    for version in (4, 6):
        if ordinary := [s for s in subnets if s["ip_version"] == version and not automatic(s)]:
            given.append(_give_one(ctx, network, port, ordinary))
    return given + [_take(ctx, port, s, eui64(s, port["mac_address"])) for s in subnets if automatic(s)]


def _give_one(ctx: Context, network: Row, port: Row, subnets: list[Row]) -> Given:
    """A free address of the first of these subnets that has one."""
    for subnet in subnets:
        if automatic(subnet) and port["device_owner"] not in ROUTER_OWNERS:
            return _take(ctx, port, subnet, eui64(subnet, port["mac_address"]))
        if (address := _free(ctx.store, subnet)) is not None:
            ctx.store.update("subnet", subnet["id"], {"cursor": address})
            return _take(ctx, port, subnet, address)
    raise Conflict(f"No more IP addresses available on network {network['id']}.", type="IpAddressGenerationFailure")


def _subnet_for(network: Row, port: Row, subnets: list[Row], ask: Wanted) -> Row:
    """The subnet that an ask is about. Raises BadRequest when there is none."""
    if not subnets:
        raise invalid_input("IP allocation requires subnets for network")
    text = ask.get("ip_address")
    if "subnet_id" in ask:
        subnet = next((s for s in subnets if s["id"] == ask["subnet_id"]), None)
        if subnet is None:
            words = f"Failed to create port on network {network['id']}, because fixed_ips included invalid subnet {ask['subnet_id']}"
            raise invalid_input(words)
        if text and not _fits(subnet, text, port["device_owner"]):
            raise BadRequest(f"IP address {text} is not a valid IP for the specified subnet.", type="InvalidIpForSubnet")
    else:
        if not text:
            raise invalid_input("IP allocation requires subnet_id or ip_address")
        subnet = next((s for s in subnets if _fits(s, text, port["device_owner"])), None)
        if subnet is None:
            words = f"IP address {text} is not a valid IP for any of the subnets on the specified network."
            raise BadRequest(words, type="InvalidIpForNetwork")
    if text and automatic(subnet) and port["device_owner"] not in ROUTER_OWNERS and text != eui64(subnet, port["mac_address"]):
        words = f"IPv6 address {text} cannot be directly assigned to a port on subnet {subnet['id']} as the subnet is configured"
        raise invalid_input(f"{words} for automatic addresses", "AllocationOnAutoAddressSubnet")
    return subnet


def _fits(subnet: Row, text: str, device_owner: str) -> bool:
    address, network = ipaddress.ip_address(text), range_of(subnet)
    if address not in network:
        return False
    if network.version == 6:
        return device_owner in ROUTER_OWNERS or address != network[0]
    return network.prefixlen > 30 or network[0] != address != network[-1]


def _take(ctx: Context, port: Row, subnet: Row, address: str) -> Given:
    if ctx.store.find("fixed_ip", {"subnet_id": subnet["id"], "ip_address": address}, limit=1):
        raise Conflict(f"IP address {address} already allocated in subnet {subnet['id']}", type="IpAddressAlreadyAllocated")
    position = ctx.store.query("SELECT ifnull(max(position) + 1, 0) AS n FROM fixed_ip WHERE port_id = ?", port["id"])[0]["n"]
    row = {"port_id": port["id"], "subnet_id": subnet["id"], "network_id": subnet["network_id"], "ip_address": address}
    ctx.store.insert("fixed_ip", {**row, "position": position})
    return subnet["id"], address


def _free(store: Store, subnet: Row) -> str | None:
    """The first free address of the pools, after the one given last; None when all are taken."""
    ordered = _in_turn(pools_of(subnet), int(ipaddress.ip_address(subnet["cursor"])) if subnet["cursor"] else None)
    kind = ipaddress.IPv4Address if subnet["ip_version"] == 4 else ipaddress.IPv6Address
    gateway = subnet["gateway_ip"]
    size = PROBE
    while chunk := [str(kind(number)) for number in itertools.islice(ordered, size)]:
        size = PROBE * 8
        taken = {row["ip_address"] for row in store.find("fixed_ip", {"subnet_id": subnet["id"], "ip_address": chunk})}
        for address in chunk:
            if address not in taken and address != gateway:
                return address
    return None


def _in_turn(pools: list[tuple[int, int]], last: int | None) -> Iterator[int]:
    """All numbers of the pools, once each, starting after `last`."""
    at = next((i for i, (start, end) in enumerate(pools) if last is not None and start <= last <= end), None)
    if at is None or last is None:
        for start, end in pools:
            yield from range(start, end + 1)
        return
    yield from range(last + 1, pools[at][1] + 1)
    for start, end in pools[at + 1 :] + pools[:at]:
        yield from range(start, end + 1)
    yield from range(pools[at][0], last + 1)


# -- what a device has -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PortAddress:
    """One address of a port; `floating` is the address outside that leads to it."""

    port_id: str
    device_id: str
    network_id: str
    network_name: str
    subnet_id: str
    mac_address: str
    version: int
    address: str
    floating: str | None


_ADDRESSES = """
SELECT p.id AS port_id, p.device_id, p.network_id, n.name AS network_name, i.subnet_id, p.mac_address, s.ip_version AS version,
       i.ip_address AS address, f.floating_ip_address AS floating
FROM port p
JOIN fixed_ip i ON i.port_id = p.id
JOIN network n ON n.id = p.network_id
JOIN subnet s ON s.id = i.subnet_id
LEFT JOIN floating_ip f ON f.port_id = p.id AND f.fixed_ip_address = i.ip_address
WHERE p.gone = 0 AND p.{column} IN ({marks})
ORDER BY p.rowid, i.position
"""


def addresses_of(store: Store, port_ids: Iterable[str]) -> dict[str, list[PortAddress]]:
    """The addresses of some ports, by port; one query, however many they are."""
    return _addresses(store, "id", list(port_ids))


def addresses_of_devices(store: Store, device_ids: Iterable[str]) -> dict[str, list[PortAddress]]:
    """The addresses of some servers (or whatever has ports), by device, its ports in the order they were made; one query."""
    return _addresses(store, "device_id", list(device_ids))


def _addresses(store: Store, column: str, ids: list[str]) -> dict[str, list[PortAddress]]:
    found: dict[str, list[PortAddress]] = {id: [] for id in ids}
    if ids:
        sql = _ADDRESSES.format(column=column, marks=", ".join("?" * len(ids)))
        for row in store.query(sql, *ids):
            found[row["device_id" if column == "device_id" else "port_id"]].append(PortAddress(**row))
    return found


def availability(subnet: Row, used: int) -> dict[str, Any]:
    """How many addresses a subnet has to give, and how many it has given."""
    total = sum(end - start + 1 for start, end in pools_of(subnet))
    shown = {"subnet_id": subnet["id"], "subnet_name": subnet["name"], "cidr": subnet["cidr"], "ip_version": subnet["ip_version"]}
    return {**shown, "used_ips": used, "total_ips": total}
