"""What a fresh cloud has: the external network `public`, on the wire of the outside host, with one subnet."""

from __future__ import annotations

import ipaddress

from pileus.errors import SettingError
from pileus.identity.actions.projects import list_projects
from pileus.kit.context import Cloud, internal
from pileus.network.actions.networks import PHYSICAL, create_network
from pileus.network.actions.subnets import create_subnet

SMALLEST = 29  # prefix length: a gateway, the outside host, and addresses to give


def seed(cloud: Cloud) -> None:
    """Make what is absent; harmless when it is there. Raises SettingError for a `public_cidr` that cannot be used.

    The first address is the gateway's; the last is the outside host's, which stands for the student's own computer.
    """
    if cloud.store.first("network", {"physical_network": PHYSICAL}, hidden=True):
        return
    text = str(cloud.options.get("public_cidr", "192.168.37.0/24"))
    try:
        cidr = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise SettingError(f"public_cidr must be an IPv4 range such as 192.168.37.0/24: {error}") from None
    if cidr.prefixlen > SMALLEST:
        raise SettingError(f"public_cidr {text} is too small; it must be a /{SMALLEST} or larger.")
    ctx = internal(cloud)
    owner = list_projects(ctx, {"name": "admin", "domain_id": "default"})[0]["id"]
    hosts = {"gateway": cidr[1], "first": cidr[2], "last": cidr[-3]}
    with cloud.store.transaction():
        network = create_network(
            ctx,
            {
                "name": "public",
                "description": "The outside: floating IPs and routers' gateways",
                "project_id": owner,
                "external": True,
                "is_default": True,
                "network_type": "flat",
                "physical_network": PHYSICAL,
            },
        )
        create_subnet(
            ctx,
            {
                "name": "public-subnet",
                "network_id": network["id"],
                "project_id": owner,
                "ip_version": 4,
                "cidr": str(cidr),
                "gateway_ip": str(hosts["gateway"]),
                "enable_dhcp": False,
                "allocation_pools": [{"start": str(hosts["first"]), "end": str(hosts["last"])}],
            },
        )
