"""What stands before every request: a token's text becomes the caller, from memory when nothing has changed since it was last asked."""

from __future__ import annotations

from pileus.identity.actions import EPOCH
from pileus.identity.actions.tokens import credentials, lookup
from pileus.kit.context import Cloud, Credentials

MOST = 10_000  # tokens remembered; the database knows the rest


class Tokens:
    """The cache of valid tokens. It forgets everything when a role, a user or a project changes: that is rare, and one look-up is cheap."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: dict[str, Credentials] = {}
        self._epoch = -1

    def authenticate(self, text: str) -> Credentials | None:
        """Who the token's bearer is, or None."""
        epoch = self._cloud.epochs.get(EPOCH, 0)
        if epoch != self._epoch or len(self._known) > MOST:
            self._known.clear()
            self._epoch = epoch
        now = self._cloud.clock.now()
        who = self._known.get(text)
        if who is not None:
            if who.expires_at > now:
                return who
            del self._known[text]
            return None
        row = lookup(self._cloud.store, text, now)
        who = credentials(self._cloud.store, row) if row else None
        if who is not None:
            self._known[text] = who
        return who
