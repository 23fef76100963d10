"""The ends of a walk: what the words SOURCE and DESTINATION stand for, among what the caller may see. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pileus.errors import BadRequest, Conflict, NotFound
from pileus.kit.store import Row
from pileus.network.live.directory import Directory
from pileus.network.trace.world import World

OUTSIDE = "outside"
Named = Callable[[str], list[tuple[str, str]]]  # a server's name or id -> (id, name) of those that the caller may see


@dataclass(frozen=True)
class End:
    """One end. `address` is empty for a guest of which no particular address is meant, and for the outside host."""

    kind: Literal["guest", "outside", "address", "name"]
    words: str
    address: str = ""
    ports: tuple[Row, ...] = ()  # of a guest, any of which may do


def resolve(world: World, servers: Named, word: str, *, source: End | None = None) -> End:
    """What a word stands for; as the destination when the source is known. Raises NotFound, Conflict."""
    if word == OUTSIDE:
        return End("outside", OUTSIDE)
    address = _address(word)
    if address is not None:
        return _at(world, address, source)
    found = servers(word)
    if len(found) > 1:
        raise Conflict(f"{len(found)} servers are called {word!r}; say which by its id: {', '.join(id for id, _ in found)}")
    if found:
        id, name = found[0]
        ports = tuple(port for port in world.store.find("port", {"device_id": id}, order="place, rowid") if world.mine(port))
        if not ports:
            raise NotFound(f"Server {name} has no port: it is on no network.")
        return End("guest", name, ports=ports)
    if port := _port(world, word):
        return End("guest", port["name"] or port["id"], ports=(port,))
    if source is not None and ("." in word or _known(world, source, word)):
        return End("name", word)
    what = "server, port, address or name" if source else "server, port or address"
    raise NotFound(f"There is no {what} {word!r} that you may see; {OUTSIDE!r} stands for your own computer.")


def _address(word: str) -> str | None:
    try:
        return str(ipaddress.ip_address(word))
    except ValueError:
        return None


def _port(world: World, word: str) -> Row | None:
    port = world.store.get("port", word)
    found = [port] if port else world.store.find("port", {"name": word})
    mine = [one for one in found if world.mine(one)]
    if len(mine) > 1:
        raise Conflict(f"{len(mine)} ports are called {word!r}; say which by its id: {', '.join(one['id'] for one in mine)}")
    return mine[0] if mine else None


def _known(world: World, source: End, word: str) -> bool:
    """Whether the DNS of a network of the source knows a name without a dot."""
    directory = Directory(world.store)
    return any(directory.by_name(port["network_id"], word.lower()) for port in source.ports)


def _at(world: World, address: str, source: End | None) -> End:
    """Whoever has an address."""
    if address == world.wire().outside:
        return End("outside", OUTSIDE, address)
    sql = "SELECT p.* FROM fixed_ip f JOIN port p ON p.id = f.port_id WHERE f.ip_address = ? AND p.gone = 0 ORDER BY p.rowid"
    owners = [port for port in world.store.query(sql, address) if world.mine(port)]
    guests = [port for port in owners if not port["device_owner"].startswith("network:")]
    guests = guests or [
        port for network in world.store.find("network") for port in world.paired(network["id"], address) if world.mine(port)
    ]
    near = {port["network_id"] for port in source.ports} if source else set()
    guests = [port for port in guests if port["network_id"] in near] or guests
    if len(guests) > 1:
        raise Conflict(f"{len(guests)} ports have the address {address}; say which by its id: {', '.join(one['id'] for one in guests)}")
    if guests:
        return End("guest", address, address, (guests[0],))
    if source is not None:
        return End("address", address, address)
    floating = world.store.first("floating_ip", {"floating_ip_address": address})
    if floating and world.mine(floating) and floating["port_id"]:
        return End("guest", address, floating["fixed_ip_address"], (world.row("port", floating["port_id"]),))
    raise NotFound(f"No port that you may see has the address {address}; {OUTSIDE!r} stands for your own computer.")


# -- which port, which address --------------------------------------------------------------------------------------------------------


def start(world: World, source: End, target: End) -> tuple[Row | None, str]:
    """The port that a packet leaves from, and the sender's address."""
    if source.kind == "outside":
        return None, world.wire().outside
    near = {port["network_id"] for port in target.ports}
    port = next((port for port in source.ports if port["network_id"] in near), source.ports[0])
    if port["device_owner"].startswith("network:"):
        raise BadRequest(f"{source.words} is a {port['device_owner'].partition(':')[2]}: a packet begins at a server, or outside.")
    if source.address:
        return port, source.address
    return port, _one_of(world, port, _version(world, target), source.words)


def finish(world: World, source: End, start_port: Row | None, target: End, version: int) -> str:
    """The address that the packet is for; empty for a name."""
    if target.kind in ("address", "name"):
        return target.address
    if target.kind == "outside":
        return world.wire().outside
    if start_port is not None and any(port["id"] == start_port["id"] for port in target.ports):
        raise BadRequest("Source and destination are the same port: such a packet never leaves the guest.")
    if source.kind == "outside" and not target.address:
        for port in target.ports:
            if floating := world.store.first("floating_ip", {"port_id": port["id"]}):
                return str(floating["floating_ip_address"])
    near = {start_port["network_id"]} if start_port else set()
    port = next((port for port in target.ports if port["network_id"] in near), target.ports[0])
    return target.address or _one_of(world, port, version, target.words)


def _version(world: World, target: End) -> int:
    if target.address:
        return ipaddress.ip_address(target.address).version
    versions = {address["ip_version"] for port in target.ports for address in world.addresses(port["id"])}
    return 6 if versions == {6} else 4


def _one_of(world: World, port: Row, version: int, words: str) -> str:
    addresses = world.addresses(port["id"])
    found = next((a["ip_address"] for a in addresses if a["ip_version"] == version), None)
    if found is None:
        raise BadRequest(f"{words} has no IPv{version} address.")
    return str(found)
