"""What a fresh cloud has: the default domain, the projects admin and service, the roles, the user admin, and the catalog."""

from __future__ import annotations

import itertools

from pileus.identity.actions import new_id
from pileus.identity.actions.projects import DEFAULT_DOMAIN
from pileus.identity.catalog import enter as enter_catalog
from pileus.identity.passwords import hash_password
from pileus.kit.context import Cloud
from pileus.kit.store import Row

CHAIN = ("admin", "manager", "member", "reader")  # each implies the next, as Keystone's bootstrap has it


def seed(cloud: Cloud, password: str) -> None:
    """Make what is absent; harmless when all is there. `password` is only used when the user admin is made."""
    enter_catalog(cloud)
    store, now = cloud.store, cloud.clock.now()
    if store.get("project", DEFAULT_DOMAIN):
        return

    def add(table: str, row: Row) -> str:
        id = row.setdefault("id", new_id())
        store.insert(table, {**row, "created_at": now})
        return str(id)

    hashed = hash_password(password)
    with store.transaction():
        add("project", {"id": DEFAULT_DOMAIN, "name": "Default", "description": "The default domain", "is_domain": 1})
        inside = {"domain_id": DEFAULT_DOMAIN, "parent_id": DEFAULT_DOMAIN}
        project = add("project", {**inside, "name": "admin", "description": "Bootstrap project for initializing the cloud."})
        add("project", {**inside, "name": "service"})
        roles = {name: add("role", {"name": name, "options": '{"immutable": true}'}) for name in CHAIN}
        add("role", {"name": "service", "options": "{}"})
        for role, implied in itertools.pairwise(CHAIN):
            store.insert("implied_role", {"role_id": roles[role], "implied_id": roles[implied]})
        admin = add("user", {"domain_id": DEFAULT_DOMAIN, "name": "admin", "password_hash": hashed})
        for target, kind in ((project, "project"), ("system", "system")):
            store.insert("role_assignment", {"actor_id": admin, "target_id": target, "target_type": kind, "role_id": roles["admin"]})
