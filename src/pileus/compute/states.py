"""Which verb may run in which state, and the one word of a state that a user sees.

Sources: nova/compute/api.py (check_instance_state) and nova/api/openstack/common.py (_STATE_MAP).
"""

from __future__ import annotations

from pileus.kit.states import ANY, States, verb

ACTIVE, BUILDING, STOPPED, ERROR, DELETED = "active", "building", "stopped", "error", "deleted"
PAUSED, SUSPENDED, RESCUED, RESIZED = "paused", "suspended", "rescued", "resized"
SHELVED, OFFLOADED, SOFT_DELETED = "shelved", "shelved_offloaded", "soft-delete"

REFUSAL = "Cannot '{verb}' instance {id} while it is in {column} {value}"
SPAWNING, DELETING = "spawning", "deleting"
_HARD = (None, "rebooting", "rebooting_hard", "reboot_pending", "reboot_started", "pausing", "unpausing", "suspending", "resuming")
_KEPT = (ACTIVE, STOPPED, PAUSED, SUSPENDED)

# the names are those that Nova uses in "Cannot 'start' instance ..."
SERVER = States(
    {
        "start": verb([STOPPED], task="powering-on"),
        "stop": verb([ACTIVE, ERROR], task="powering-off"),
        "reboot": verb([ACTIVE], task="rebooting"),
        "delete": verb(ANY, tasks=ANY, task=DELETING),
        "update metadata": verb(_KEPT),
        "delete metadata": verb(_KEPT),
        "update tags": verb(_KEPT),
        "attach_interface": verb([ACTIVE, PAUSED, STOPPED]),
        "detach_interface": verb([ACTIVE, PAUSED, STOPPED]),
        "attach_volume": verb([ACTIVE, PAUSED, STOPPED, SUSPENDED, RESIZED, SOFT_DELETED, SHELVED, OFFLOADED]),
        "get_diagnostics": verb([ACTIVE]),
        # these begin in a later slice; until then the state is checked as the real service checks it
        "pause": verb([ACTIVE]),
        "unpause": verb([PAUSED]),
        "suspend": verb([ACTIVE]),
        "resume": verb([SUSPENDED]),
        "rescue": verb([ACTIVE, STOPPED, ERROR]),
        "unrescue": verb([RESCUED]),
        "resize": verb([ACTIVE, STOPPED]),
        "confirmResize": verb([RESIZED]),
        "revertResize": verb([RESIZED]),
        "rebuild": verb([ACTIVE, STOPPED, ERROR]),
        "shelve": verb(_KEPT),
        "shelveOffload": verb([SHELVED]),
        "unshelve": verb([SHELVED, OFFLOADED]),
        "restore": verb([SOFT_DELETED]),
        "createImage": verb(_KEPT),
        "createBackup": verb(_KEPT),
        "changePassword": verb([ACTIVE]),
        "migrate": verb([ACTIVE, STOPPED]),
        "os-migrateLive": verb([ACTIVE, PAUSED]),
        "trigger_crash_dump": verb([ACTIVE, PAUSED, RESCUED, RESIZED, ERROR]),
    },
    state="vm_state",
    refusal=REFUSAL,
)
# the same word for the other kind of reboot
HARD = States(
    {"reboot": verb([ACTIVE, STOPPED, PAUSED, SUSPENDED, ERROR], tasks=_HARD, task="rebooting_hard")}, state="vm_state", refusal=REFUSAL
)

_RESIZING = dict.fromkeys(("resize_prep", "resize_migrating", "resize_migrated", "resize_finish"), "RESIZE")
_REBUILDING = dict.fromkeys(("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"), "REBUILD")
_REBOOTING = dict.fromkeys(("rebooting", "reboot_pending", "reboot_started"), "REBOOT")
_HARD_REBOOTING = dict.fromkeys(("rebooting_hard", "reboot_pending_hard", "reboot_started_hard"), "HARD_REBOOT")

# vm_state -> (the word, the words while certain tasks are under way)
STATUS: dict[str, tuple[str, dict[str, str]]] = {
    ACTIVE: (
        "ACTIVE",
        {**_REBOOTING, **_HARD_REBOOTING, **_REBUILDING, **_RESIZING, "updating_password": "PASSWORD", "migrating": "MIGRATING"},
    ),
    BUILDING: ("BUILD", {}),
    STOPPED: ("SHUTOFF", {**_REBUILDING, **_RESIZING}),
    RESIZED: ("VERIFY_RESIZE", {"resize_reverting": "REVERT_RESIZE"}),
    PAUSED: ("PAUSED", {"migrating": "MIGRATING"}),
    SUSPENDED: ("SUSPENDED", {}),
    RESCUED: ("RESCUE", {}),
    ERROR: ("ERROR", _REBUILDING),
    DELETED: ("DELETED", {}),
    SOFT_DELETED: ("SOFT_DELETED", {}),
    SHELVED: ("SHELVED", {}),
    OFFLOADED: ("SHELVED_OFFLOADED", {}),
}
IN_PROGRESS = frozenset({"ACTIVE", "BUILD", "DELETED", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})  # these show `progress`


def status_of(vm_state: str, task_state: str | None) -> str:
    """The word a user sees: `ACTIVE`, `SHUTOFF`, `HARD_REBOOT`, ..."""
    word, by_task = STATUS.get(vm_state, ("UNKNOWN", {}))
    return by_task.get(task_state, word) if task_state else word


def states_of(status: str) -> list[tuple[str, str | None]]:
    """The (vm_state, task_state) pairs that show as this word; a task of None stands for every task that has no word of its own."""
    found: list[tuple[str, str | None]] = []
    for vm_state, (word, by_task) in STATUS.items():
        if word == status:
            found.append((vm_state, None))
        found += [(vm_state, task) for task, other in by_task.items() if other == status]
    return found
