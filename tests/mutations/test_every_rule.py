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
# what any valid token is good for: tokens, oneself, what one keeps or delegates, and what says nothing of others (or looks closer itself)
OPEN = {
    "compute": {
        "flavors.find_flavor", "flavors.find_spec", "flavors.list_flavors", "flavors.list_specs", "hypervisors.list_zones",
        "keypairs.create_keypair", "keypairs.delete_keypair", "keypairs.find_keypair", "keypairs.list_keypairs",
        "quotas.default_quotas", "quotas.detail_quotas", "quotas.show_quotas",
    },
    "identity": {
        "application_credentials.create_application_credential", "application_credentials.delete_access_rule",
        "application_credentials.delete_application_credential", "application_credentials.get_access_rule",
        "application_credentials.get_application_credential", "application_credentials.list_access_rules",
        "application_credentials.list_application_credentials", "assignments.list_assignments", "catalog.get_region",
        "catalog.list_regions", "credentials.create_credential", "credentials.create_ec2", "credentials.delete_credential",
        "credentials.delete_ec2", "credentials.get_credential", "credentials.get_ec2", "credentials.list_credentials",
        "credentials.list_ec2", "credentials.update_credential", "domains.get_domain", "domains.list_domains", "groups.list_user_groups",
        "limits.get_limit", "limits.get_registered_limit", "limits.list_limits", "limits.list_registered_limits", "oauth.authorize",
        "oauth.delete_access_token", "oauth.get_access_token", "oauth.get_access_token_role", "oauth.list_access_token_roles",
        "oauth.list_access_tokens", "projects.check_tag", "projects.get_project", "projects.list_tags", "roles.get_role",
        "roles.list_roles", "tokens.revoke", "tokens.validate", "trusts.create_trust", "trusts.delete_trust", "trusts.get_trust",
        "trusts.get_trust_role", "trusts.list_trust_roles", "trusts.list_trusts", "users.change_password", "users.get_user",
        "users.list_user_projects",
    },
}  # fmt: skip


def function_of(allowed: Allowed) -> Any:
    module, _, name = allowed.action.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("allowed", [one for one in ACTIONS.values() if one.rule is not ANYONE], ids=lambda one: one.action)
def test_it_refuses(allowed: Allowed) -> None:
    roles = frozenset(ROLES.get(allowed.rule, set()))
    ctx = SimpleNamespace(who=SimpleNamespace(roles=roles, system=False, domain_id=None), roles=roles, is_admin=False)
    with pytest.raises(Forbidden) as refused:
        function_of(allowed)(ctx)
    assert refused.value.extra["rule"] == allowed.policy


def test_no_other_action_is_for_everybody() -> None:
    found = {one.action for one in ACTIONS.values() if one.rule is ANYONE}
    assert found == {f"pileus.{service}.actions.{action}" for service, actions in OPEN.items() for action in actions}
