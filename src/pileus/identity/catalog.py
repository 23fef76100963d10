"""The catalog that a token carries: rows that an admin may change, with the address that the client used.

What is built in is a prefix of this cloud's one listener: its URL is kept as a path, so that it is right whatever port and name the
client came by. Not here: changing it (actions/catalog.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pileus.identity.resources.catalog import endpoint_url
from pileus.kit.context import Cloud, Context
from pileus.kit.resource import unpack
from pileus.kit.store import Row, Store

SPACE = uuid.UUID("6f0d5f4e-8a53-5c0e-9f52-6b3f5e0d7c11")  # of the fixed ids below
INTERFACES = ("public", "internal", "admin")


@dataclass(frozen=True, slots=True)
class Service:
    type: str
    name: str
    path: str  # below the listener's root

    @property
    def id(self) -> str:
        return uuid.uuid5(SPACE, self.type).hex


SERVICES = (
    Service("identity", "keystone", "/identity/v3/"),
    Service("compute", "nova", "/compute/v2.1"),
    Service("placement", "placement", "/placement"),
    Service("network", "neutron", "/network"),
    Service("image", "glance", "/image"),
)


def _endpoint_id(service: Service, interface: str) -> str:
    return uuid.uuid5(SPACE, f"{service.type} {interface}").hex


def enter(cloud: Cloud) -> None:
    """Put into the catalog what is built in and was never there; what an admin has taken out stays out.

    A new `region` setting moves the built-in endpoints that are still in the old one.
    """
    store, now = cloud.store, cloud.clock.now()
    here = str(cloud.options.get("region", "RegionOne"))
    entered = {row["name"]: row["value"] for row in store.find("catalog_entry")}
    if entered.get("region") == here and all(each.type in entered for each in SERVICES):
        return
    with store.transaction():
        if entered.get("region") != here:
            if store.get("region", here) is None:
                store.insert("region", {"id": here, "created_at": now})
            ids = [_endpoint_id(service, interface) for service in SERVICES for interface in INTERFACES]
            for endpoint in store.find("endpoint", {"id": ids, "region_id": entered.get("region", "")}):
                store.update("endpoint", endpoint["id"], {"region_id": here})
            store.execute("INSERT OR REPLACE INTO catalog_entry (name, value) VALUES ('region', ?)", here)
        for service in SERVICES:
            if service.type not in entered:
                _enter_service(store, service, here, now)


def _enter_service(store: Store, service: Service, region: str, now: int) -> None:
    store.insert("service", {"id": service.id, "type": service.type, "name": service.name, "created_at": now})
    for interface in INTERFACES:
        row = {"id": _endpoint_id(service, interface), "service_id": service.id, "region_id": region, "interface": interface}
        store.insert("endpoint", {**row, "url": service.path, "created_at": now})
    store.insert("catalog_entry", {"name": service.type})


def catalog(ctx: Context, project_id: str | None, user_id: str) -> list[Row]:
    """What a scoped token carries: each service that is switched on, with its endpoints that are, as this project sees them."""
    store = ctx.store
    endpoints = store.find("endpoint", {"enabled": 1})
    chosen = project_endpoints(store, endpoints, project_id) if project_id else []
    places = {"project_id": project_id, "tenant_id": project_id, "user_id": user_id}
    below: dict[str, list[Row]] = {}
    for row in chosen or endpoints:
        if (url := _filled(endpoint_url(row, ctx), places)) is not None:
            below.setdefault(row["service_id"], []).append({**row, "url": url})
    return [
        {
            "endpoints": [
                {
                    "id": row["id"],
                    "interface": row["interface"],
                    "region_id": row["region_id"],
                    "url": row["url"],
                    "region": row["region_id"],
                }
                for row in below.get(service["id"], ())
            ],
            "id": service["id"],
            "type": service["type"],
            "name": service["name"] or "",
        }
        for service in store.find("service", {"enabled": 1}, order="rowid")
        if not chosen or service["id"] in below
    ]


def _filled(url: str, places: dict[str, str | None]) -> str | None:
    """A URL with `%(project_id)s` and the like filled in; None where the token has no such thing, as Keystone leaves it out then."""
    for name, value in places.items():
        for mark in (f"%({name})s", f"$({name})s"):
            if mark in url:
                if not value:
                    return None
                url = url.replace(mark, value)
    return url


def project_endpoints(store: Store, endpoints: Iterable[Row], project_id: str) -> list[Row]:
    """The endpoints that a project is associated with, by itself or by a group of endpoints; none: it sees all."""
    found = store.find("endpoint_project", {"project_id": project_id})
    if not found:
        return []
    single = {row["target_id"] for row in found if row["kind"] == "endpoint"}
    groups = store.find("endpoint_group", {"id": [row["target_id"] for row in found if row["kind"] == "group"]})
    filters = [unpack(group["filters"]) for group in groups]
    return [row for row in endpoints if row["id"] in single or any(matches(row, each) for each in filters)]


def matches(endpoint: Row, filters: dict[str, Any]) -> bool:
    """Whether an endpoint is in a group, which is described by what its endpoints have in common."""
    return all(endpoint.get(name) == value for name, value in filters.items() if value is not None)
