"""Verbs of later slices: refused as the real service would in the server's state, else with 501 in words of ours."""

from __future__ import annotations

import json

from pileus.compute.actions.flavors import find_flavor
from pileus.compute.actions.servers import find_server, unlocked
from pileus.compute.states import SERVER
from pileus.errors import BadRequest, Fault, NotFound
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_MEMBER, allow, forbid
from pileus.kit.store import Row


class NotYet(Fault):
    """What this version of Pileus does not do, though the state allows it."""

    status = 501


def _not_yet(row: Row, verb: str) -> NotYet:
    return NotYet(f"This version of Pileus cannot {verb} a server. Instance {row['id']} is as it was.")


@allow(PROJECT_MEMBER, "os_compute_api:servers:later")
def refuse(ctx: Context, id: str, verb: str, policy: str, *, admin: bool = False) -> None:
    """Raises NotFound, Forbidden (`policy`, for what is the admin's), Conflict, NotYet."""
    row = find_server(ctx, id)
    if admin and not ADMIN(ctx):
        forbid(policy)
    SERVER.check(unlocked(ctx, row), verb)
    raise _not_yet(row, verb)


@allow(PROJECT_MEMBER, "os_compute_api:servers:resize")
def resize_server(ctx: Context, id: str, flavor_id: str) -> None:
    """Raises BadRequest for a flavor that is none, or the same."""
    row = unlocked(ctx, find_server(ctx, id))
    SERVER.check(row, "resize")
    try:
        flavor = find_flavor(ctx, flavor_id)
    except NotFound as fault:
        raise BadRequest(fault.message) from None
    if flavor["id"] == json.loads(row["flavor"])["id"]:
        raise BadRequest("When resizing, instances must change flavor!")
    raise _not_yet(row, "resize")
