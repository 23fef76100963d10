"""Handlers of the catalog as resources: services, endpoints, regions. They can be read; this cloud's catalog is computed."""

from __future__ import annotations

from pileus.errors import NotFound
from pileus.identity import catalog
from pileus.identity.actions import SEES_ALL
from pileus.identity.api.read import listed
from pileus.kit.context import Context
from pileus.kit.policy import forbid
from pileus.kit.store import Row
from pileus.kit.web import Request, Response


def _find(items: list[Row], kind: str, id: str) -> Row:
    for item in items:
        if item["id"] == id:
            return item
    raise NotFound(f"Could not find {kind}: {id}.")


def _reader(ctx: Context, policy: str) -> Context:
    if not SEES_ALL(ctx):
        forbid(policy)
    return ctx


def list_services(request: Request) -> Response:
    wanted = [s for s in catalog.services(_reader(request.ctx, "identity:list_services")) if _matches(s, request, ("name", "type"))]
    return listed("services", wanted, request)


def _matches(item: Row, request: Request, names: tuple[str, ...]) -> bool:
    return all(str(item.get(name)) == value for name, value in request.pairs if name in names)


def show_service(request: Request) -> Response:
    services = catalog.services(_reader(request.ctx, "identity:get_service"))
    return Response(200, {"service": _find(services, "service", request.params["id"])})


def list_endpoints(request: Request) -> Response:
    items = catalog.endpoints(_reader(request.ctx, "identity:list_endpoints"))
    return listed("endpoints", [e for e in items if _matches(e, request, ("interface", "service_id", "region_id"))], request)


def show_endpoint(request: Request) -> Response:
    items = catalog.endpoints(_reader(request.ctx, "identity:get_endpoint"))
    return Response(200, {"endpoint": _find(items, "endpoint", request.params["id"])})


def list_regions(request: Request) -> Response:
    return listed("regions", catalog.regions(request.ctx), request)


def show_region(request: Request) -> Response:
    return Response(200, {"region": _find(catalog.regions(request.ctx), "region", request.params["id"])})


def limits_model(request: Request) -> Response:
    said = "Limit enforcement and validation does not take project hierarchy into consideration."
    return Response(200, {"model": {"name": "flat", "description": said}})
