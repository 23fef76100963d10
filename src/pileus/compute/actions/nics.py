"""The networks that a new server asks for, and one that runs: checked in Nova's order and words, then made into ports.

Not here: what a port is and who gets which address (network's actions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pileus.compute.machine import hostname, nic_count
from pileus.errors import BadRequest, Conflict, Forbidden, NotFound
from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.network import actions as network
from pileus.network.actions import ports, subnets
from pileus.openstack.listing import Listing

OWNER = "compute:nova"  # device_owner of a server's ports: compute:<zone>


@dataclass(frozen=True, slots=True)
class Nic:
    """One card: on a network, perhaps with an address, or a port that is there already."""

    network_id: str
    fixed_ip: str | None = None
    port_id: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Nics:
    """The cards of each server of a request; `groups` are the ids of its security groups, None for the default one."""

    cards: list[Nic] = field(default_factory=list)
    groups: list[str] | None = None


def names_of(groups: Sequence[Row]) -> list[str]:
    """The names in a request's `security_groups`, each once; an object without one says nothing, as in Nova."""
    return list(dict.fromkeys(group["name"] for group in groups if "name" in group))


def resolve(ctx: Context, wanted: Any, groups: Sequence[str], servers: int) -> Nics:
    """What a request's `networks` mean: absent or empty is the one network there is, "none" none, "auto" one or an error.

    Raises BadRequest, Conflict and Forbidden in Nova's words.
    """
    chosen = _groups(ctx, groups)
    if wanted == "none":
        return Nics([], chosen)
    if not wanted or wanted == "auto":
        return Nics(_default(ctx, must=wanted == "auto"), chosen)
    if len(wanted) > nic_count(ctx):
        raise BadRequest(f"A server here has at most {nic_count(ctx)} network adapters; this one asks for {len(wanted)}.")
    return Nics([_card(ctx, each, servers) for each in wanted], chosen)


def extra_card(ctx: Context, server: Row, values: Row) -> Nic:
    """The card that is asked for in addition to those a server has: `port_id`, or `net_id` with `address`, or neither; and `tag`.

    Raises NotFound, Conflict and BadRequest in Nova's words, which are others than for a new server.
    """
    tag = values.get("tag")
    if port_id := values.get("port_id"):
        if not _sees_port(ctx, port_id):
            raise NotFound(f"Port id {port_id} could not be found.")
        return _on_port(ctx, port_id, tag, server["id"])
    if net_id := values.get("net_id"):
        try:
            found = network.find_network(ctx, net_id)
        except NotFound:
            raise NotFound(f"Network {net_id} could not be found.") from None
        _check_external(ctx, found)
        address = values.get("address")
        if address and (holder := _holder(ctx, net_id, address)):
            raise Conflict(f"Fixed IP address {address} is already in use on instance {holder['device_id']}.")
        return _on_network(ctx, found, address, tag)
    try:
        cards = _default(ctx, must=False)
    except Conflict as fault:
        raise BadRequest(fault.message) from None
    if not cards:
        raise BadRequest(f"No specific network was requested and none are available for project '{ctx.project_id}'.")
    return Nic(cards[0].network_id, tag=tag)


def _sees_port(ctx: Context, id: str) -> bool:
    try:
        network.find_port(ctx, id)
    except NotFound:
        return False
    return True


def _groups(ctx: Context, names: Sequence[str]) -> list[str] | None:
    """The ids of security groups by name or id; the default one needs no lookup."""
    if not names or list(names) == ["default"]:
        return None
    try:
        return [group["id"] for group in network.security_groups_by_name(ctx, ctx.project_id, names)]
    except NotFound:
        for name in names:  # the one at fault, in Nova's words
            try:
                network.security_groups_by_name(ctx, ctx.project_id, [name])
            except NotFound:
                raise BadRequest(f"Unable to find security_group with name or id '{name}'") from None
        raise


def _default(ctx: Context, *, must: bool) -> list[Nic]:
    """The project's only network, its own or shared."""
    mine = Listing(where={"admin_state_up": 1, "external": 0}, terms=[network.of_caller(ctx, "network")], limit=2)
    found, _ = network.list_networks(ctx, mine)
    if len(found) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
    if not found and must:
        found = [_allocated(ctx)]
    return [_on_network(ctx, each, None, None) for each in found]


def _allocated(ctx: Context) -> Row:
    """A network made for a project that has none, when the cloud has what it takes (a default pool). Raises BadRequest."""
    try:
        made = network.show_auto_allocated_topology(ctx, ctx.project_id)
    except Conflict:
        raise BadRequest(f"Unable to automatically allocate a network for project {ctx.project_id}") from None
    return network.find_network(ctx, made["id"])


def _card(ctx: Context, wanted: Row, servers: int) -> Nic:
    address = wanted.get("fixed_ip")
    if port_id := wanted.get("port"):
        if address:
            raise BadRequest(f"Specified Fixed IP '{address}' cannot be used with port '{port_id}': the two cannot be specified together.")
        if servers > 1:
            raise BadRequest(
                "Unable to launch multiple instances with a single configured port ID."
                " Please launch your instance one by one with different ports."
            )
        return _on_port(ctx, port_id, wanted.get("tag"))
    id = wanted.get("uuid")
    if not id:
        raise BadRequest("Bad networks format: network uuid is not in proper format (None)")
    if address and servers > 1:
        raise BadRequest("Invalid fixed IP and max count request: a fixed IP is for one instance.")
    try:
        row = network.find_network(ctx, id)
    except NotFound:
        raise BadRequest(f"Network {id} could not be found.") from None
    _check_external(ctx, row)
    return _on_network(ctx, row, address, wanted.get("tag"))


def _on_network(ctx: Context, row: Row, address: str | None, tag: str | None) -> Nic:
    if not subnets.list_subnets(ctx.internal(), Listing(where={"network_id": row["id"]}, limit=1))[0]:
        raise BadRequest(f"Network {row['id']} requires a subnet in order to boot instances on.")
    if address and (holder := _holder(ctx, row["id"], address)):
        raise BadRequest(f"Fixed IP address {address} is already in use on instance {holder['device_id']}.")
    return Nic(row["id"], address, None, tag)


def _check_external(ctx: Context, row: Row) -> None:
    if row["external"] and not ctx.is_admin and not network.is_shared_with_caller(ctx, row["id"]):
        raise Forbidden(f"It is not allowed to create an interface on external network {row['id']}")


def _holder(ctx: Context, network_id: str, address: str) -> Row | None:
    """The port that has an address."""
    taken = "id IN (SELECT port_id FROM fixed_ip WHERE network_id = ? AND ip_address = ?)"
    found, _ = ports.list_ports(ctx.internal(), Listing(terms=[(taken, (network_id, address))], limit=1))
    return found[0] if found else None


def _on_port(ctx: Context, id: str, tag: str | None, server_id: str = "") -> Nic:
    try:
        port = network.find_port(ctx, id)
    except NotFound:
        raise BadRequest(f"Port id {id} could not be found.") from None
    if port["project_id"] != ctx.project_id and not ctx.is_admin:
        raise BadRequest(f"Port {id} not usable for instance{server_id and ' '}{server_id}.")
    if port["device_id"]:
        raise Conflict(f"Port {id} is still in use.")
    if not network.addresses_of(ctx.store, [id])[id]:
        raise BadRequest(f"Port {id} requires a FixedIP in order to be used.")
    return Nic(port["network_id"], None, id, tag)


def attach(ctx: Context, server: Row, nics: Nics) -> tuple[list[str], dict[str, str]]:
    """Make, or take, the ports of a server in the order asked for; returns the ids of those made, and the tags by port."""
    own: list[str] = []
    tags: dict[str, str] = {}
    for card in nics.cards:
        id = card.port_id
        if id is None:
            id = plug(ctx, server, card.network_id, [card.fixed_ip] if card.fixed_ip else [], nics.groups)
            own.append(id)
        else:
            network.bind_port(ctx, id, server["id"], OWNER, hostname(ctx))
        if card.tag:
            tags[id] = card.tag
    return own, tags


def plug(ctx: Context, server: Row, network_id: str, addresses: list[str], groups: list[str] | None) -> str:
    """A port made for a server, bound to it; returns its id."""
    values: Row = {"network_id": network_id, "device_id": server["id"], "device_owner": OWNER, "security_groups": groups}
    if addresses:
        values["fixed_ips"] = [{"ip_address": address} for address in addresses]
    port = network.create_port(ctx, values)
    network.bind_port(ctx, port["id"], server["id"], OWNER, hostname(ctx))
    return str(port["id"])
