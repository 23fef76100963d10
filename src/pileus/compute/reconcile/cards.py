"""The wishes that a running guest take a network card or let go of one: what they come to, by what is seen of the guest.

Not here: how it is brought about (host.py has the plan, the look is beside this), and who asked (actions/attachments.py).
"""

from __future__ import annotations

from pileus.compute.actions.servers import release_port
from pileus.compute.host import Facts, Nic
from pileus.kit.context import INTERNAL, Cloud, Context
from pileus.kit.store import Row, Store
from pileus.network.actions import ports_of_device
from pileus.openstack import record


def ports(store: Store, id: str) -> list[Row]:
    """The ports that a server's guest is to have: those bound to it (naming it in a port binds nothing) that it is not to let go of."""
    leaving = {wish["port_id"] for wish in store.find("interface", {"server_id": id, "verb": "detach"})}
    return [port for port in ports_of_device(store, id) if port["binding_host"] and port["id"] not in leaving]


def wanted(store: Store, id: str) -> tuple[Nic, ...]:
    """The cards that a server's guest is to have, in order."""
    found: list[Nic] = []
    for port in ports(store, id):
        network = store.get("network", port["network_id"])
        found.append(Nic(port["id"], port["mac_address"], network["mtu"] if network else 1500))
    return tuple(found)


def finish(cloud: Cloud, row: Row, facts: Facts) -> None:
    """End every wish of a server that has come about, or whose time is over."""
    for wish in cloud.store.find("interface", {"server_id": row["id"]}):
        attach = wish["verb"] == "attach"
        if not facts.living or (facts.nics is not None and attach == (wish["port_id"] in facts.nics)):
            _end(cloud, wish, release=not attach)
        elif attach and cloud.store.get("port", wish["port_id"]) is None:
            fail(cloud, wish, "Its port has been deleted.")
        elif cloud.clock.now() >= wish["deadline"]:
            fail(cloud, wish, "The guest did not take it in time." if attach else "The guest did not let go of it in time.")


def fail(cloud: Cloud, wish: Row, reason: str) -> None:
    """A card that does not come is given back; one that does not go stays."""
    attach = wish["verb"] == "attach"
    words = f"Failed to {wish['verb']} network adapter device {'to' if attach else 'from'} {wish['server_id']}: {reason}"
    _end(cloud, wish, release=attach, error=words)
    cloud.wake_now("server", wish["server_id"])


def _end(cloud: Cloud, wish: Row, *, release: bool, error: str | None = None) -> None:
    with cloud.store.transaction(durable=False):
        cloud.store.delete("interface", {"port_id": wish["port_id"]})
        if release:
            release_port(Context(cloud, INTERNAL), wish["server_id"], wish["port_id"])
        record.finish(cloud.store, wish["server_id"], cloud.clock.now(), error=error, request_id=wish["request_id"])
