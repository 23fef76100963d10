"""Configuration of a domain: options of the groups `identity` and `ldap`, as Keystone lets them be set through its API.

They are kept, not practised: users of every domain live in this cloud's own database. Passwords among them are encrypted and not shown.
"""

from __future__ import annotations

import json
from typing import Any

from pileus.errors import Forbidden, NotFound
from pileus.identity.actions import ADMIN, SEES_ALL, changing
from pileus.identity.actions.projects import find_domain
from pileus.identity.vault import seal
from pileus.kit.context import Context
from pileus.kit.policy import allow

Config = dict[str, dict[str, Any]]

# what may be set, with Keystone's defaults: https://docs.openstack.org/keystone/latest/configuration/config-options.html
DEFAULTS: Config = {
    "identity": {"driver": "sql", "list_limit": None},
    "ldap": {
        "url": "ldap://localhost",
        "user": None,
        "suffix": "cn=example,cn=com",
        "query_scope": "one",
        "page_size": 0,
        "alias_dereferencing": "default",
        "debug_level": None,
        "chase_referrals": None,
        "user_tree_dn": None,
        "user_filter": None,
        "user_objectclass": "inetOrgPerson",
        "user_id_attribute": "cn",
        "user_name_attribute": "sn",
        "user_mail_attribute": "mail",
        "user_description_attribute": "description",
        "user_pass_attribute": "userPassword",
        "user_enabled_attribute": "enabled",
        "user_enabled_invert": False,
        "user_enabled_mask": 0,
        "user_enabled_default": "True",
        "user_attribute_ignore": ["default_project_id"],
        "user_default_project_id_attribute": None,
        "user_enabled_emulation": False,
        "user_enabled_emulation_dn": None,
        "user_enabled_emulation_use_group_config": False,
        "user_additional_attribute_mapping": [],
        "group_tree_dn": None,
        "group_filter": None,
        "group_objectclass": "groupOfNames",
        "group_id_attribute": "cn",
        "group_name_attribute": "ou",
        "group_members_are_ids": False,
        "group_member_attribute": "member",
        "group_desc_attribute": "description",
        "group_attribute_ignore": [],
        "group_additional_attribute_mapping": [],
        "tls_cacertfile": None,
        "tls_cacertdir": None,
        "use_tls": False,
        "tls_req_cert": "demand",
        "use_pool": True,
        "pool_size": 10,
        "pool_retry_max": 3,
        "pool_retry_delay": 0.1,
        "pool_connection_timeout": -1,
        "pool_connection_lifetime": 600,
        "use_auth_pool": True,
        "auth_pool_size": 100,
        "auth_pool_connection_lifetime": 60,
    },
}
SECRET = {"ldap": ("password",)}
Place = tuple[str, ...]  # (), (group) or (group, option)


def _wrong(reason: str) -> Forbidden:
    return Forbidden(f"Invalid domain specific configuration: {reason}.")


def _known(place: Place) -> None:
    """Raises Forbidden for groups and options that there are not."""
    if place and place[0] not in DEFAULTS:
        raise _wrong(f"Group {place[0]} is not supported for domain specific configurations")
    if len(place) == 2 and place[1] not in DEFAULTS[place[0]] and place[1] not in SECRET.get(place[0], ()):
        raise _wrong(f"Option {place[1]} in group {place[0]} is not supported for domain specific configurations")


def _absent(place: Place, domain_id: str) -> NotFound:
    what = {0: "domain configuration", 1: "group", 2: "option"}[len(place)]
    named = f"{what} {' in group '.join(reversed(place))}" if place else what
    return NotFound(f"Could not find {named} for domain {domain_id}." if place else f"Could not find {named} for domain: {domain_id}.")


def read(place: Place, config: Config) -> Any:
    """The part of a configuration that a place names, as it is shown: by the name of its group or option, or all of it."""
    if len(place) == 2:
        return {place[1]: config[place[0]][place[1]]}
    return {place[0]: config[place[0]]} if place else config


@allow(SEES_ALL, "identity:get_domain_config_default")
def default_config(ctx: Context, place: Place) -> Any:
    """What holds where a domain says nothing."""
    _known(place)
    if len(place) == 2 and place[1] not in DEFAULTS[place[0]]:
        raise _absent(place, "default")
    return read(place, DEFAULTS)


@allow(SEES_ALL, "identity:get_domain_config")
def get_config(ctx: Context, id: str, place: Place) -> Any:
    """What a domain has set, but for passwords. Raises NotFound when it has set nothing there."""
    find_domain(ctx, id)
    _known(place)
    config: Config = {}
    for row in ctx.store.find("domain_config", {"domain_id": id, "secret": 0}, order="config_group, name"):
        config.setdefault(row["config_group"], {})[row["name"]] = json.loads(row["value"])
    if not config or (place and place[0] not in config) or (len(place) == 2 and place[1] not in config[place[0]]):
        raise _absent(place, id)
    return read(place, config)


def _options(place: Place, given: Any) -> Config:
    """What a body sets, by group. Raises Forbidden for what may not be set, and for a body that is about something else than its URL."""
    if not isinstance(given, dict) or not given:
        raise _wrong("No options specified")
    config = {place[0]: given} if len(place) == 2 else given
    for group, options in config.items():
        if place and group != place[0]:
            raise _wrong(f"Trying to update group {place[0]}, so that, and only that, group must be specified in the config")
        _known((group,))
        if not isinstance(options, dict) or not options:
            raise _wrong(f"The value of group {group} specified in the config should be a dictionary of options")
        for option in options:
            _known((group, option))
            if len(place) == 2 and option != place[1]:
                raise _wrong(f"Trying to update option {place[1]} in group {place[0]}, so that, and only that, option must be specified")
    return config


def _write(ctx: Context, id: str, config: Config) -> None:
    for group, options in config.items():
        for name, value in options.items():
            secret = name in SECRET.get(group, ())
            text = json.dumps(value)
            ctx.store.execute(
                "INSERT OR REPLACE INTO domain_config (domain_id, config_group, name, value, secret) VALUES (?, ?, ?, ?, ?)",
                id,
                group,
                name,
                seal(ctx.cloud, text) if secret else text,
                int(secret),
            )


@allow(ADMIN, "identity:create_domain_config")
def create_config(ctx: Context, id: str, given: Any) -> tuple[Any, bool]:
    """Set a domain's configuration, instead of what was set. Returns it, and whether none was set before."""
    find_domain(ctx, id)
    config = _options((), given)
    fresh = not ctx.store.find("domain_config", {"domain_id": id}, limit=1)
    with changing(ctx, "domain_config.created", id):
        ctx.store.delete("domain_config", {"domain_id": id})
        _write(ctx, id, config)
    return get_config(ctx, id, ()), fresh


@allow(ADMIN, "identity:update_domain_config")
def update_config(ctx: Context, id: str, place: Place, given: Any) -> Any:
    """Change what a domain has set: all that is in the body, the rest stays. Returns all of it."""
    find_domain(ctx, id)
    _known(place)
    config = _options(place, given)
    if place:
        get_config(ctx, id, place)
    elif not ctx.store.find("domain_config", {"domain_id": id}, limit=1):
        raise _absent((), id)
    with changing(ctx, "domain_config.updated", id):
        _write(ctx, id, config)
    return get_config(ctx, id, ())


@allow(ADMIN, "identity:delete_domain_config")
def delete_config(ctx: Context, id: str, place: Place) -> None:
    """Let the defaults hold again: everywhere, in a group, or for one option."""
    find_domain(ctx, id)
    _known(place)
    names = dict(zip(("config_group", "name"), place, strict=False))
    if not ctx.store.find("domain_config", {"domain_id": id, **names}, limit=1):
        raise _absent(place, id)
    with changing(ctx, "domain_config.deleted", id):
        ctx.store.delete("domain_config", {"domain_id": id, **names})
