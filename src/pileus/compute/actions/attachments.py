"""What is plugged into a server while it is there, and taken out: network cards and addresses. And the password its guest posted.

A card of a server that runs is a wish (the table `interface`), which the reconciler brings about; of one that is off, it is its rows only.
"""

from __future__ import annotations

import json
from typing import Any

from pileus.compute.actions import nics
from pileus.compute.actions.interfaces import find_interface
from pileus.compute.actions.servers import find_server, log, release_port, touch, unlocked
from pileus.compute.machine import hostname, nic_count
from pileus.compute.states import SERVER
from pileus.errors import BadRequest, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network import actions as network
from pileus.openstack import record

ATTACH_SECONDS = 60  # a card that is not in by then does not come
DETACH_SECONDS = 60  # a guest that has not let go of a card by then keeps it


@allow(PROJECT_MEMBER, "os_compute_api:os-attach-interfaces:create")
def attach_interface(ctx: Context, id: str, values: Row) -> Row:
    """Give a server one more port: `port_id`, or a new one on `net_id` (the project's only network when it is not given), with `address`
    and `tag`. Returns it as `find_interface` does. Raises NotFound, Conflict, BadRequest, Forbidden, OverQuota.
    """
    row = unlocked(ctx, find_server(ctx, id))
    if values.get("net_id") and values.get("port_id"):
        raise BadRequest("Must not input both network_id and port_id")
    if values.get("address") and not values.get("net_id"):
        raise BadRequest("Must input network_id when request IP address")
    SERVER.check(row, "attach_interface")
    if len(network.ports_of_device(ctx.store, row["id"])) >= nic_count(ctx):
        raise BadRequest(f"Failed to attach network adapter device to {row['id']}: a server here has at most {nic_count(ctx)}.")
    card = nics.extra_card(ctx, row, values)
    with ctx.store.transaction():
        if card.port_id:
            network.bind_port(ctx, card.port_id, row["id"], nics.OWNER, hostname(ctx))
            port_id, own = card.port_id, json.loads(row["own_ports"])
        else:
            port_id = nics.plug(ctx, row, card.network_id, [card.fixed_ip] if card.fixed_ip else [], None)
            own = [*json.loads(row["own_ports"]), port_id]
        tags = json.loads(row["device_tags"]) | ({port_id: card.tag} if card.tag else {})
        row = touch(ctx, row, {"own_ports": json.dumps(own), "device_tags": json.dumps(tags)})
        if not _begin(ctx, row, port_id, "attach", ATTACH_SECONDS):
            log(ctx, row, "attach_interface")
        return find_interface(ctx, row["id"], port_id)


@allow(PROJECT_MEMBER, "os_compute_api:os-attach-interfaces:delete")
def detach_interface(ctx: Context, id: str, port_id: str) -> None:
    """Take a port from a server: deleted when it was made for it, else free for the next. Raises NotFound, Conflict.

    A guest that runs is asked to let go first; until then the server has it.
    """
    row = unlocked(ctx, find_server(ctx, id))
    find_interface(ctx, row["id"], port_id)
    SERVER.check(row, "detach_interface")
    with ctx.store.transaction():
        if not _begin(ctx, row, port_id, "detach", DETACH_SECONDS):
            release_port(ctx, row["id"], port_id)
            log(ctx, row, "detach_interface")


def _begin(ctx: Context, row: Row, port_id: str, verb: str, seconds: int) -> bool:
    """Write the wish that a guest take a card or let go of it; False when there is no guest to do so."""
    if row["power"] != "on":
        return False
    record.begin(ctx, row["id"], f"{verb}_interface")
    ctx.store.delete("interface", {"port_id": port_id})
    wish = {"port_id": port_id, "server_id": row["id"], "verb": verb, "request_id": ctx.request_id}
    ctx.store.insert("interface", {**wish, "deadline": ctx.now() + seconds * 1_000_000})
    ctx.wake("server", row["id"])
    return True


# -- addresses of the ports it has, as they were given until 2.43 --------------------------------------------------------------


@allow(PROJECT_MEMBER, "os_compute_api:os-multinic:add")
def add_fixed_ip(ctx: Context, id: str, network_id: str) -> None:
    """Give the server's port on a network one more address there. Raises NotFound, BadRequest, and what the network has against it."""
    row = unlocked(ctx, find_server(ctx, id))
    port = next((each for each in network.ports_of_device(ctx.store, row["id"]) if each["network_id"] == network_id), None)
    if port is None:
        raise BadRequest(f"Network could not be found for instance {row['id']}.")
    have = network.addresses_of(ctx.store, [port["id"]])[port["id"]]
    found = ctx.store.find("subnet", {"network_id": network_id}, order="ip_version, created_at, id")
    if not found:
        raise BadRequest(f"Network {network_id} requires a subnet in order to boot instances on.")
    wanted: list[dict[str, Any]] = [{"subnet_id": at.subnet_id, "ip_address": at.address} for at in have]
    with ctx.store.transaction():
        network.update_port(ctx.internal(), port["id"], {"fixed_ips": [*wanted, {"subnet_id": found[0]["id"]}]})
        touch(ctx, row, {})
        log(ctx, row, "add_fixed_ip")


@allow(PROJECT_MEMBER, "os_compute_api:os-multinic:remove")
def remove_fixed_ip(ctx: Context, id: str, address: str) -> None:
    """Take one address from the server's port that has it; the port stays. Raises NotFound, BadRequest."""
    row = unlocked(ctx, find_server(ctx, id))
    ports = [port["id"] for port in network.ports_of_device(ctx.store, row["id"])]
    found = network.addresses_of(ctx.store, ports)
    port_id = next((port for port in ports if any(at.address == address for at in found[port])), None)
    if port_id is None:
        raise BadRequest(f"Instance {row['id']} does not have fixed IP '{address}'.")
    kept = [{"subnet_id": at.subnet_id, "ip_address": at.address} for at in found[port_id] if at.address != address]
    with ctx.store.transaction():
        network.update_port(ctx.internal(), port_id, {"fixed_ips": kept})
        touch(ctx, row, {})
        log(ctx, row, "remove_fixed_ip")


@allow(PROJECT_READER, "os_compute_api:os-volumes-attachments:index")
def list_volumes(ctx: Context, id: str) -> list[Row]:
    """None: there is no volume service."""
    find_server(ctx, id)
    return []


@allow(PROJECT_READER, "os_compute_api:os-volumes-attachments:show")
def find_volume(ctx: Context, id: str, volume_id: str) -> None:
    """Raises NotFound."""
    row = find_server(ctx, id)
    raise NotFound(f"Instance {row['id']} is not attached to volume {volume_id}")


@allow(PROJECT_MEMBER, "os_compute_api:os-volumes-attachments:create")
def attach_volume(ctx: Context, id: str, volume_id: str) -> None:
    """Raises NotFound."""
    find_server(ctx, id)
    raise NotFound(f"Volume {volume_id} could not be found.")


@allow(PROJECT_READER, "os_compute_api:os-server-password:show")
def show_password(ctx: Context, id: str) -> str:
    """Base64 of what the guest encrypted; empty when it posted nothing."""
    return str(find_server(ctx, id)["password"])


@allow(PROJECT_MEMBER, "os_compute_api:os-server-password:clear")
def clear_password(ctx: Context, id: str) -> None:
    row = find_server(ctx, id)
    with ctx.store.transaction():
        ctx.store.update("server", row["id"], {"password": ""})
