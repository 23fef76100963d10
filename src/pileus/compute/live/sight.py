"""A server as `pileus why` needs to see it: its words, and whether the host has a living guest of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pileus.compute.host import Guests
from pileus.compute.states import status_of
from pileus.kit.context import Context
from pileus.kit.store import Row, Store


@dataclass(frozen=True, slots=True)
class Sight:
    """`alone`: no other server has its name. `fault`: in words, empty when there is none."""

    id: str
    name: str
    alone: bool
    status: str
    task: str
    fault: str
    running: bool


class Sights:
    """Looks at servers."""

    def __init__(self, store: Store, guests: Guests) -> None:
        self._store, self._guests = store, guests

    def find(self, ctx: Context, word: str) -> list[tuple[str, str]]:
        """(id, name) of the caller's servers with this id or name; an admin's are all, his own project's first."""
        row = self._store.get("server", word.lower())
        found = [row] if row else self._store.find("server", {"name": word}, order="created_at, id")
        own = [one for one in found if one["project_id"] == ctx.project_id]
        seen = own or (found if ctx.is_admin else [])
        return [(one["id"], one["name"]) for one in seen]

    def named(self, host: str) -> list[str]:
        """The ids of the servers with a host name, in any project."""
        return [row["id"] for row in self._store.find("server", {"hostname": host})]

    async def look(self, id: str) -> Sight | None:
        """A server as it is now. Raises HostError."""
        row = self._store.get("server", id)
        if row is None:
            return None
        facts = (await self._guests.observe(id)).get(id)
        return Sight(
            id,
            row["name"],
            self._store.count("server", {"name": row["name"]}) == 1,
            status_of(row["vm_state"], row["task_state"]),
            row["task_state"] or "",
            _fault(row),
            bool(facts and facts.living),
        )


def _fault(row: Row) -> str:
    return str(json.loads(row["fault"]).get("message", "")) if row["fault"] else ""
