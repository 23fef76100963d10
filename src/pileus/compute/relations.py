"""What a list of servers needs of other tables: one query for each relation, however long the list.

Not here: how it is shown (resources/servers.py).
"""

from __future__ import annotations

from typing import Any

from pileus.kit.store import Row, Store
from pileus.network import actions as network

_GROUPS = """
SELECT DISTINCT p.device_id, g.name FROM port p
JOIN port_security_group m ON m.port_id = p.id JOIN security_group g ON g.id = m.security_group_id
WHERE p.gone = 0 AND p.device_id IN ({marks}) ORDER BY p.device_id, g.name
"""


def addresses(store: Store, rows: list[Row]) -> None:
    """`addresses` by network, and `group_names`: what a server has by way of its ports."""
    ids = [row["id"] for row in rows]
    found = network.addresses_of_devices(store, ids)
    groups: dict[str, list[str]] = {}
    for each in store.query(_GROUPS.format(marks=", ".join("?" * len(ids))), *ids):
        groups.setdefault(each["device_id"], []).append(each["name"])
    for row in rows:
        row["group_names"] = groups.get(row["id"], [])
        shown: dict[str, list[dict[str, Any]]] = {}
        for at in found[row["id"]]:
            entry = {"version": at.version, "addr": at.address, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": at.mac_address}
            listed = shown.setdefault(at.network_name, [])
            listed.append(entry)
            if at.floating:
                listed.append({**entry, "version": 4, "addr": at.floating, "OS-EXT-IPS:type": "floating"})
        row["addresses"] = shown


def server_groups(store: Store, rows: list[Row]) -> None:
    """`server_groups`: the ids of the groups a server is in, one at most."""
    for row in rows:
        row["server_groups"] = [row["server_group_id"]] if row["server_group_id"] else []
