"""A cloud made before there were groups, delegation and a catalog of its own goes on: people sign in, tokens live, the catalog is whole."""

from __future__ import annotations

import json

from pileus.app import build, migrations
from pileus.config import Paths, Settings
from pileus.identity.actions.tokens import credentials, lookup, token_id
from pileus.identity.passwords import hash_password
from pileus.kit.context import Context
from pileus.kit.store import Store

BEFORE = 5  # the last migration of the first release
NOW = 1_700_000_000_000_000


def old_cloud(paths: Paths) -> None:
    """The rows that the first release made."""
    store = Store(paths.database, [m for m in migrations() if m.number <= BEFORE], synchronous="off")
    store.insert("project", {"id": "default", "name": "Default", "is_domain": 1, "created_at": NOW})
    store.insert("project", {"id": "p", "name": "admin", "domain_id": "default", "parent_id": "default", "created_at": NOW})
    store.insert("role", {"id": "r", "name": "admin", "created_at": NOW})
    store.insert("user", {"id": "u", "name": "admin", "domain_id": "default", "password_hash": hash_password("pw"), "created_at": NOW})
    store.insert("role_assignment", {"actor_id": "u", "target_id": "p", "target_type": "project", "role_id": "r"})
    token = {"id": token_id("text"), "user_id": "u", "project_id": "p", "methods": json.dumps(["password"]), "audit_ids": json.dumps(["a"])}
    store.insert("token", {**token, "issued_at": NOW, "expires_at": 10 * NOW})
    store.close()


def test_an_old_cloud_goes_on(paths: Paths) -> None:
    old_cloud(paths)
    app = build(Settings(drivers="fake", synchronous="off"), paths, "not used again")
    try:
        row = lookup(app.store, "text", NOW)
        assert row is not None
        who = credentials(app.store, row)
        assert who is not None
        assert (who.user_name, who.roles, who.access_rules) == ("admin", frozenset({"admin"}), None)
        user = app.store.get("user", "u")
        assert user is not None
        assert (user["failed_count"], user["failed_at"], user["password_created_at"]) == (0, None, None)
        assert {each["type"] for each in app.store.find("service")} == {"identity", "compute", "placement", "network", "image"}
        assert app.store.count("endpoint") == 15
        assert app.store.count("user") == 1
        assert Context(app.cloud, who).is_admin
    finally:
        app.store.close()
