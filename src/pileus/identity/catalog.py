"""The catalog: computed from the address the client used, since every service of this cloud is a prefix of one listener."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from pileus.kit.context import Context

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


def region(ctx: Context) -> str:
    return str(ctx.cloud.options.get("region", "RegionOne"))


def _root(ctx: Context) -> str:
    return ctx.base_url.removesuffix("/identity")


def _endpoint_id(service: Service, interface: str) -> str:
    return uuid.uuid5(SPACE, f"{service.type} {interface}").hex


def catalog(ctx: Context) -> list[dict[str, Any]]:
    """What a scoped token carries: each service with its endpoints."""
    here, root = region(ctx), _root(ctx)
    return [
        {
            "endpoints": [
                {
                    "id": _endpoint_id(service, interface),
                    "interface": interface,
                    "region_id": here,
                    "url": root + service.path,
                    "region": here,
                }
                for interface in INTERFACES
            ],
            "id": service.id,
            "type": service.type,
            "name": service.name,
        }
        for service in SERVICES
    ]


def services(ctx: Context) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "id": each.id,
            "type": each.type,
            "enabled": True,
            "links": {"self": f"{ctx.base_url}/v3/services/{each.id}"},
        }
        for each in SERVICES
    ]


def endpoints(ctx: Context) -> list[dict[str, Any]]:
    here, root = region(ctx), _root(ctx)
    return [
        {
            "id": (id := _endpoint_id(service, interface)),
            "interface": interface,
            "region_id": here,
            "service_id": service.id,
            "url": root + service.path,
            "enabled": True,
            "region": here,
            "links": {"self": f"{ctx.base_url}/v3/endpoints/{id}"},
        }
        for service in SERVICES
        for interface in INTERFACES
    ]


def regions(ctx: Context) -> list[dict[str, Any]]:
    here = region(ctx)
    return [{"id": here, "description": "", "parent_region_id": None, "links": {"self": f"{ctx.base_url}/v3/regions/{here}"}}]
