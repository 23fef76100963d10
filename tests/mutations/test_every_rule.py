"""Every action that has a rule refuses whoever does not meet it, before it looks at anything else."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

import pileus.app  # noqa: F401 - declares all actions
from pileus.errors import Forbidden
from pileus.kit.policy import ACTIONS, ADMIN, ANYONE, PROJECT_MEMBER, Allowed

ROLES = {ADMIN: {"manager", "member", "reader"}, PROJECT_MEMBER: {"reader"}}
# what any valid token is good for: tokens, oneself, one's key pairs, and what says nothing of others (or looks closer itself)
OPEN = {
    "compute": {
        "flavors.find_flavor", "flavors.find_spec", "flavors.list_flavors", "flavors.list_specs", "hypervisors.list_zones",
        "keypairs.create_keypair", "keypairs.delete_keypair", "keypairs.find_keypair", "keypairs.list_keypairs",
        "quotas.default_quotas", "quotas.detail_quotas", "quotas.show_quotas",
    },
    "identity": {
        "projects.get_domain", "projects.get_project", "roles.get_role", "tokens.revoke", "tokens.validate", "users.change_password",
        "users.get_user", "users.list_user_projects",
    },
}  # fmt: skip


def function_of(allowed: Allowed) -> Any:
    module, _, name = allowed.action.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("allowed", [one for one in ACTIONS.values() if one.rule is not ANYONE], ids=lambda one: one.action)
def test_it_refuses(allowed: Allowed) -> None:
    roles = frozenset(ROLES.get(allowed.rule, set()))
    ctx = SimpleNamespace(who=SimpleNamespace(roles=roles, system=False), roles=roles, is_admin=False)
    with pytest.raises(Forbidden) as refused:
        function_of(allowed)(ctx)
    assert refused.value.extra["rule"] == allowed.policy


def test_no_other_action_is_for_everybody() -> None:
    found = {one.action for one in ACTIONS.values() if one.rule is ANYONE}
    assert found == {f"pileus.{service}.actions.{action}" for service, actions in OPEN.items() for action in actions}
