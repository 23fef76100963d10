"""What the network service's verbs mean, and who may call them, by noun. What other services use of it is named here.

Every one of these may be called inside a caller's transaction, and joins it. Those that take a context see what its caller may see
(`ctx.internal()` sees all); those that take the store are for rows the caller holds already.
"""

from pileus.network.actions.addresses import PortAddress, addresses_of, addresses_of_devices
from pileus.network.actions.floating_ips import create_floating_ip, delete_floating_ip, find_floating_ip, update_floating_ip
from pileus.network.actions.networks import find_network, list_networks
from pileus.network.actions.ports import bind_port, create_port, delete_port, find_port, ports_of_device, unbind_port, update_port
from pileus.network.actions.scope import is_shared_with_caller, of_caller
from pileus.network.actions.security_groups import default_security_group, find_security_group, security_groups_by_name
from pileus.network.actions.topology import show_auto_allocated_topology
from pileus.network.actions.trunks import is_trunked

__all__ = [
    "PortAddress",
    "addresses_of",
    "addresses_of_devices",
    "bind_port",
    "create_floating_ip",
    "create_port",
    "default_security_group",
    "delete_floating_ip",
    "delete_port",
    "find_floating_ip",
    "find_network",
    "find_port",
    "find_security_group",
    "is_shared_with_caller",
    "is_trunked",
    "list_networks",
    "of_caller",
    "ports_of_device",
    "security_groups_by_name",
    "show_auto_allocated_topology",
    "unbind_port",
    "update_floating_ip",
    "update_port",
]
