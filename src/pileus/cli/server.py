"""Find a server by name or id, and an address at which it can be reached, through the cloud's APIs."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

from pileus.cli import http
from pileus.errors import Conflict, NotFound


class Address(NamedTuple):
    """An address, and the network namespace from which it can be reached."""

    ip: str
    netns: str


def find(client: http.Client, server: str) -> dict[str, Any]:
    """The server of this id or name, of any project. Raises NotFound, or Conflict when a name fits several."""
    found = client.get("/compute/v2.1/servers/detail?all_tenants=1")["servers"]
    fitting = [one for one in found if one["id"] == server] or [one for one in found if one["name"] == server]
    if not fitting:
        raise NotFound(f"there is no server {server!r}: look at `openstack server list --all-projects`")
    if len(fitting) > 1:
        raise Conflict(f"{len(fitting)} servers are called {server!r}; say which by its id: {', '.join(one['id'] for one in fitting)}")
    return dict(fitting[0])


def reach(client: http.Client, server: dict[str, Any]) -> Address:
    """A floating IP, reached from the outside host; else a fixed address, reached from its own network. Raises NotFound."""
    ports = client.get(f"/network/v2.0/ports?device_id={quote(server['id'])}")["ports"]
    fixed: Address | None = None
    for port in ports:
        for floating in client.get(f"/network/v2.0/floatingips?port_id={port['id']}")["floatingips"]:
            return Address(floating["floating_ip_address"], "outside")
        for ip in port["fixed_ips"]:
            fixed = fixed or Address(ip["ip_address"], f"net-{port['network_id']}")
    if fixed is None:
        raise NotFound(f"server {server['name']} has no address")
    return fixed
