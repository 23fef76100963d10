"""Whether a port's server runs, as its words say and as the host says. Pure."""

from __future__ import annotations

from pileus.kit.store import Row
from pileus.network.trace.report import Stop
from pileus.network.trace.walk import Walk

# a server's status -> (the cause, what it means, the command that ends it)
ASLEEP = {
    "SHUTOFF": ("server-stopped", "is switched off", "openstack server start"),
    "PAUSED": ("server-paused", "is paused", "openstack server unpause"),
    "SUSPENDED": ("server-suspended", "is suspended", "openstack server resume"),
    "SHELVED": ("server-shelved", "is shelved", "openstack server unshelve"),
    "SHELVED_OFFLOADED": ("server-shelved", "is shelved", "openstack server unshelve"),
    "RESCUE": ("server-rescue", "runs its rescue system", "openstack server unrescue"),
}
REBOOT = "openstack server reboot --hard --wait"


def check_state(walk: Walk, port: Row) -> None:
    """Stop at a guest that does not run."""
    guest = walk.world.guest_of(port)
    if guest is None:
        return
    word = walk.world.guest_word(port)
    if guest.status in ASLEEP:
        cause, words, command = ASLEEP[guest.status]
        raise Stop(cause, f"server {guest.name} {words}: {guest.status}", f"{command} {word}")
    if guest.status == "ERROR":
        why = f": {guest.fault}" if guest.fault else ""
        raise Stop("server-error", f"server {guest.name} is in ERROR{why}", f"openstack server show -c fault {word}", f"{REBOOT} {word}")
    if guest.task or guest.status == "BUILD":
        words = f"server {guest.name} is still on its way ({guest.task or guest.status.lower()}): ask again in a moment"
        raise Stop("in-flight", words, f"openstack server event list {word}")
    if not guest.running:
        words = f"server {guest.name} is {guest.status} to the cloud, but the host has no such guest: it was lost outside the APIs"
        raise Stop("drift", words, f"{REBOOT} {word}")
