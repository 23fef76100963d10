"""What the verbs of the compute API mean, by noun: check, write, wake.

What the reconciler and other dialects call is named here; the API's handlers use the modules.
"""

from pileus.compute.actions.create import create_servers, has_room
from pileus.compute.actions.flavors import seed
from pileus.compute.actions.servers import delete_server, find_server, finish_delete, release_ports
from pileus.compute.actions.verbs import reboot_server, start_server, stop_server

__all__ = [
    "create_servers",
    "delete_server",
    "find_server",
    "finish_delete",
    "has_room",
    "reboot_server",
    "release_ports",
    "seed",
    "start_server",
    "stop_server",
]
