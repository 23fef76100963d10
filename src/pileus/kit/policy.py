"""Who may: a rule is declared on the action, so that every dialect obeys it alike.

Not here: ownership of rows. Reads are scoped by project in the actions, so a stranger's thing is not found rather than forbidden.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from pileus.errors import Forbidden
from pileus.kit.context import Context

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Rule:
    """A test of the caller, with the words that the reference page shows for it."""

    name: str
    test: Callable[[Context], bool]

    def __call__(self, ctx: Context) -> bool:
        return self.test(ctx)


@dataclass(frozen=True, slots=True)
class Allowed:
    """One action and its rule: what the reference page and the tests read."""

    action: str
    policy: str
    rule: Rule


ACTIONS: dict[str, Allowed] = {}


def allow(rule: Rule, policy: str) -> Callable[[Callable[Concatenate[Context, P], R]], Callable[Concatenate[Context, P], R]]:
    """Declare who may call an action. `policy` is the name that the real service's policy has (`os_compute_api:servers:create`).

    Raises Forbidden with `rule` = the policy's name; each dialect has its own words for that.
    """

    def declare(action: Callable[Concatenate[Context, P], R]) -> Callable[Concatenate[Context, P], R]:
        name = f"{action.__module__}.{action.__qualname__}"
        entry = Allowed(name, policy, rule)
        ACTIONS[name] = entry

        @functools.wraps(action)
        def checked(ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
            require(ctx, checked)
            return action(ctx, *args, **kwargs)

        return checked

    return declare


def require(ctx: Context, action: Callable[..., Any]) -> None:
    """Refuse whoever may not call an action; for what is costly and comes before the call. Raises Forbidden, as the call would."""
    entry = ACTIONS[f"{action.__module__}.{action.__qualname__}"]
    if not entry.rule(ctx):
        forbid(entry.policy)


def forbid(policy: str) -> Any:
    """Refuse, naming the policy."""
    raise Forbidden(f"Your roles do not allow {policy}.", rule=policy)


def has_role(*names: str) -> Callable[[Context], bool]:
    wanted = frozenset(names)
    return lambda ctx: bool(wanted & ctx.who.roles)


ANYONE = Rule("any valid token", lambda ctx: True)
ADMIN = Rule("role admin", has_role("admin"))
PROJECT_MEMBER = Rule("role member, manager or admin in a project", lambda ctx: bool({"member", "manager", "admin"} & ctx.who.roles))
PROJECT_READER = Rule("role reader or above", lambda ctx: bool({"reader", "member", "manager", "admin"} & ctx.who.roles))
