"""What the service says of itself: versions, schemas, import methods, stores, usage; and the cache."""

from __future__ import annotations

from typing import Any

from pileus.errors import NotFound
from pileus.image import actions
from pileus.image.actions.cache import shown as cached
from pileus.image.api.read import done
from pileus.image.resources import SCHEMAS
from pileus.kit.web import Request, Response, Route

VERSIONS = ("v2.17", "v2.16", "v2.15", "v2.14", "v2.12", "v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
CLEAR = "x-image-cache-clear-target"


def _versions(request: Request) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{request.root}/v2/"}]
    return {"versions": [{"id": id, "status": "SUPPORTED" if i else "CURRENT", "links": links} for i, id in enumerate(VERSIONS)]}


def choose_version(request: Request) -> Response:
    return Response(300, _versions(request))


def list_versions(request: Request) -> Response:
    return Response(200, _versions(request))


def show_schema(request: Request) -> Response:
    schema = SCHEMAS.get(request.path.partition("/v2/schemas/")[2])
    if schema is None:
        raise NotFound("The resource could not be found.")
    return Response(200, schema)


def show_import(request: Request) -> Response:
    methods = {"description": "Import methods available.", "type": "array", "value": list(actions.METHODS)}
    return Response(200, {"import-methods": methods})


def show_stores(request: Request) -> Response:
    raise NotFound("Multi backend is not supported at this site.")


def remove_from_store(request: Request) -> Response:
    """Take an image out of one of several stores: there is one."""
    raise NotFound("Multi backend is not supported at this site.")


def show_usage(request: Request) -> Response:
    return Response(200, {"usage": actions.show_usage(request.ctx)})


def list_cache(request: Request) -> Response:
    there, making = actions.list_cache(request.ctx)
    return Response(200, {"cached_images": [cached(row) for row in there], "queued_images": making})


def queue_image(request: Request) -> Response:
    actions.queue_image(request.ctx, request.params["id"])
    return done(202)


def remove_cached(request: Request) -> Response:
    actions.remove_cached(request.ctx, request.params["id"])
    return done()


def clear_cache(request: Request) -> Response:
    actions.clear_cache(request.ctx, request.headers.get(CLEAR, ""))
    return done()


ROUTES = [
    Route("GET", "/", choose_version, open=True),
    Route("GET", "/versions", list_versions, open=True),
    Route("GET", "/v2/schemas/{name}", show_schema),
    Route("GET", "/v2/schemas/metadefs/{name}", show_schema),
    Route("GET", "/v2/info/import", show_import),
    Route("GET", "/v2/info/stores", show_stores),
    Route("GET", "/v2/info/stores/detail", show_stores),
    Route("GET", "/v2/info/usage", show_usage),
    Route("DELETE", "/v2/stores/{store}/{id}", remove_from_store),
    Route("GET", "/v2/cache", list_cache),
    Route("DELETE", "/v2/cache", clear_cache),
    Route("PUT", "/v2/cache/{id}", queue_image),
    Route("DELETE", "/v2/cache/{id}", remove_cached),
]
