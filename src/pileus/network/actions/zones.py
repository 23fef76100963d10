"""Availability zones: one, and what may be asked of it."""

from __future__ import annotations

from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions.scope import absent
from pileus.network.resources.fields import ZONE


@allow(PROJECT_READER, "get_availability_zone")
def list_availability_zones(ctx: Context) -> list[Row]:
    """The one zone, for networks and for routers."""
    return [{"name": ZONE, "resource": resource, "state": "available"} for resource in ("network", "router")]


def check_hints(hints: list[str]) -> None:
    """Refuse zones that are not there. Raises NotFound."""
    for zone in hints:
        if zone != ZONE:
            raise absent("availability_zone", zone)
