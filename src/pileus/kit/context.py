"""Who asks, of which cloud, in which version: what every action and handler is handed first.

Not here: how a token becomes a Context (identity, wired by app.py) and what a role may do (kit/policy.py and the rules beside the actions).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.kit.clock import Clock
from pileus.kit.store import Store

Version = tuple[int, int]
Wake = Callable[[str, str], None]


@dataclass(slots=True)
class Cloud:
    """What lives as long as the process. `options` are the user's settings, `host` what drivers said of the machine (both read-only)."""

    store: Store
    clock: Clock
    wake_now: Wake
    options: Mapping[str, Any] = field(default_factory=dict)
    host: Mapping[str, Any] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)  # counters that in-memory caches compare; see Context.bump
    key: bytes = field(default=b"", repr=False)  # what secrets at rest are encrypted with; it lies beside the database, not in it


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One kind of request that a token is good for. `path` is a pattern: {name} and * stand for one segment, ** for any number."""

    service: str  # the service's type, which is the name of its dialect
    method: str
    path: str

    def allows(self, service: str, method: str, path: str) -> bool:
        return service == self.service and method == self.method and bool(_pattern(self.path).fullmatch(path))


@functools.lru_cache(1024)
def _pattern(path: str) -> re.Pattern[str]:
    """A path pattern, as keystonemiddleware reads it."""
    parts = re.split(r"(\*\*|\*|\{[^/}]*\})", path)
    return re.compile("".join({"**": ".*"}.get(part, "[^/]+") if i % 2 else re.escape(part) for i, part in enumerate(parts)))


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a valid token says. Exactly one scope is set, or none (an unscoped token)."""

    user_id: str
    user_name: str = ""
    user_domain_id: str = "default"
    project_id: str | None = None
    project_name: str = ""
    project_domain_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    roles: frozenset[str] = frozenset()
    expires_at: int = 0  # microseconds UTC
    token_id: str = ""
    access_rules: tuple[AccessRule, ...] | None = None  # all that it may ask for; None: whatever its roles allow


NOBODY = Credentials(user_id="")
# the cloud's own hand: seeding at start-up, and what a reconciler does through actions
INTERNAL = Credentials(user_id="", user_name="pileus", system=True, roles=frozenset({"admin", "manager", "member", "reader"}))


def new_request_id() -> str:
    """`req-<uuid>`, as every OpenStack service names a request."""
    text = os.urandom(16).hex()  # not through UUID objects: every request needs one
    return f"req-{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


@dataclass(slots=True)
class Context:
    """One request. `base_url` is the service's root as the client reached it, without a trailing slash."""

    cloud: Cloud
    who: Credentials = NOBODY
    version: Version = (2, 1)
    request_id: str = field(default_factory=new_request_id)
    base_url: str = ""

    @property
    def store(self) -> Store:
        return self.cloud.store

    @property
    def user_id(self) -> str:
        return self.who.user_id

    @property
    def project_id(self) -> str:
        """The project the token is scoped to; empty when it is not."""
        return self.who.project_id or ""

    @property
    def roles(self) -> frozenset[str]:
        return self.who.roles

    @property
    def is_admin(self) -> bool:
        return "admin" in self.who.roles

    def now(self) -> int:
        """Microseconds UTC."""
        return self.cloud.clock.now()

    def wake(self, kind: str, id: str) -> None:
        """Have the reconciler look at an object, once the transaction under way has committed."""
        self.store.after_commit(lambda: self.cloud.wake_now(kind, id))

    def bump(self, name: str) -> None:
        """Make caches that compare this epoch forget, once the transaction under way has committed."""
        epochs = self.cloud.epochs
        self.store.after_commit(lambda: epochs.update({name: epochs.get(name, 0) + 1}))

    def internal(self) -> Context:
        """The same request, with the cloud's own rights: for what an action must do that its caller may not do by hand."""
        return Context(self.cloud, INTERNAL, self.version, self.request_id, self.base_url)


def internal(cloud: Cloud) -> Context:
    """A context of the cloud's own, outside any request."""
    return Context(cloud, INTERNAL)
