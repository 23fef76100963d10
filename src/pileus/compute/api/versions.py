"""Which APIs are served: the documents at / and /v2.1, and what is answered where no API is."""

from __future__ import annotations

from pileus.compute.versions import VERSIONS
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.openstack.microversion import dotted

DESCRIBED_BY = {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}


def _media(version: str) -> list[Row]:
    return [{"base": "application/json", "type": f"application/vnd.openstack.compute+json;version={version}"}]


def _old(request: Request) -> Row:
    links = [{"rel": "self", "href": f"{request.root}/v2/"}]
    return {"id": "v2.0", "status": "SUPPORTED", "version": "", "min_version": "", "updated": "2011-01-21T11:33:21Z", "links": links}


def _current(request: Request) -> Row:
    spans = {"version": dotted(VERSIONS.maximum), "min_version": dotted(VERSIONS.minimum)}
    links = [{"rel": "self", "href": f"{request.root}/v2.1/"}]
    return {"id": "v2.1", "status": "CURRENT", **spans, "updated": "2013-07-23T11:33:21Z", "links": links}


def list_versions(request: Request) -> Response:
    """Every version that is served."""
    return Response(200, {"versions": [_old(request), _current(request)]})


def show_current(request: Request) -> Response:
    """The version with microversions."""
    shown = _current(request)
    return Response(200, {"version": {**shown, "links": [*shown["links"], DESCRIBED_BY], "media-types": _media("2.1")}})


def show_old(request: Request) -> Response:
    """The version without them: the same API at 2.1."""
    shown = _old(request)
    return Response(200, {"version": {**shown, "links": [*shown["links"], DESCRIBED_BY], "media-types": _media("2")}})


def choices(request: Request) -> Response:
    """300: a path without a version, with the versions to choose from."""
    found = [(_old(request), "v2", "2"), (_current(request), "v2.1", "2.1")]
    offered = [
        {
            "id": shown["id"],
            "status": shown["status"],
            "links": [{"rel": "self", "href": f"{request.root}/{at}{request.path}"}],
            "media-types": _media(media),
        }
        for shown, at, media in found
    ]
    return Response(300, {"choices": offered})


ROUTES = [
    Route("GET", "/", list_versions, open=True),
    Route("GET", "/v2.1", show_current, open=True),
    Route("GET", "/v2", show_old, open=True),
]
