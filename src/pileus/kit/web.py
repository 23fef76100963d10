"""The thin layer over the HTTP framework, and the only file that imports it: route tables, requests and answers, one error boundary.

Not here: authentication, versions and error bodies: each dialect brings its own functions for those.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import falcon
import falcon.asgi
import msgspec

from pileus.errors import BadMethod, BadRequest, Fault, HostError, NotFound, TooLarge, Unavailable
from pileus.kit.context import Context, Version
from pileus.kit.resource import FIRST, FOREVER, parse_version
from pileus.kit.routing import Router

log = logging.getLogger("pileus.web")

BODY_MAX = 8 << 20  # bytes of a JSON body; what is larger is streamed
LEFT = "pileus.left"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Request:
    """What a client sent. `path` is below the dialect's prefix; `root` is the dialect's URL as the client reached it."""

    method: str
    path: str
    root: str
    host: str  # scheme://host:port, as the client reached it
    headers: Mapping[str, str]  # names in lower case
    query_string: str = ""
    params: Mapping[str, str] = field(default_factory=dict)  # the {names} of the route
    slash: bool = False  # whether the path ended with one; `path` does not
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None  # of routes that stream
    context: Context | None = None  # set by the dialect's `begin`
    _query: list[tuple[str, str]] | None = None

    @property
    def ctx(self) -> Context:
        """The caller's context; only behind `begin`."""
        assert self.context is not None
        return self.context

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query, decoded, in order, blank values kept."""
        if self._query is None:
            self._query = parse_qsl(self.query_string, keep_blank_values=True)
        return self._query

    @property
    def query(self) -> dict[str, str]:
        """The query as a dict: the last of a name that comes twice."""
        return dict(self.pairs)

    def json(self) -> Any:
        """The body as JSON. Raises ValueError; the dialect has the words for it."""
        try:
            return _decode(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def object(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is something else, or no JSON."""
        try:
            body = self.json()
        except ValueError:
            return None
        return body if isinstance(body, dict) else None


@dataclass(slots=True)
class Response:
    """An answer. `body`: None (empty), bytes (as they are), else JSON. `stream` sends without holding it in memory."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[[Request], "Response | Awaitable[Response]"]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a route table. Routes may share method and path when their version spans do not overlap.

    `open`: answered without a token. `streams`: the handler reads the body itself. `doc`: a line for the reference; else the handler's.
    """

    method: str
    path: str
    handler: Handler
    since: str | None = None
    until: str | None = None
    open: bool = False
    streams: bool = False
    doc: str = ""

    def lives(self, version: Version) -> bool:
        return parse_version(self.since, FIRST) <= version <= parse_version(self.until, FOREVER)


@dataclass(frozen=True, slots=True)
class Dialect:
    """A way in: a prefix, its routes, and how it authenticates, refuses and signs.

    begin    makes the request's context (request id, version, and the caller unless the route is open); may raise a Fault
    render   words a Fault in the dialect's own form
    finish   adds the headers every answer of this dialect has; None for an answer without a context is possible
    """

    name: str
    prefix: str
    routes: Sequence[Route]
    begin: Callable[[Request, Route | None], None]
    render: Callable[[Fault, Request], Response]
    finish: Callable[[Request, Response], None]


class Web:
    """The ASGI application over some dialects."""

    def __init__(self, dialects: Sequence[Dialect], *, hosts: Callable[[str], bool] | None = None) -> None:
        """`hosts` says whether a Host header is ours: a page on the web must not reach the cloud by a name that resolves to it."""
        router: Any = Router()  # the framework takes any, and says in its types that it takes its own only
        options = _App(media_type="application/json", sink_before_static_route=True, router=router)
        options.req_options.strip_url_path_trailing_slash = True
        self.app = options
        self.dialects = list(dialects)
        self._hosts = hosts
        self.app.add_error_handler(Exception, _last_resort)
        self.app.add_sink(_nowhere, "/")  # first: the framework asks the sink that was added last
        for dialect in dialects:
            self._mount(dialect)

    def _mount(self, dialect: Dialect) -> None:
        places: dict[str, list[Route]] = {}
        for route in dialect.routes:
            places.setdefault(dialect.prefix + route.path.rstrip("/"), []).append(route)
        for path, routes in places.items():
            self.app.add_route(path or "/", _Place(self, dialect, routes))

        async def sink(req: falcon.asgi.Request, resp: falcon.asgi.Response | None, **_: str) -> None:
            assert resp is not None
            await self.answer(dialect, None, req, resp, {})

        self.app.add_sink(sink, dialect.prefix + "/" if dialect.prefix else "/")

    async def answer(
        self, dialect: Dialect, routes: list[Route] | None, req: falcon.asgi.Request, resp: falcon.asgi.Response, params: Mapping[str, str]
    ) -> None:
        """One request through its dialect: begin, handle, render what was raised, finish, send."""
        request = _request(dialect, req, params)
        try:
            if self._hosts and not self._hosts(request.host):
                raise NotFound("This cloud does not answer by that host name.")
            response = await self._handle(dialect, routes, request, req)
        except Fault as fault:
            response = dialect.render(fault, request)
        except HostError as error:
            log.error("%s %s: %s", request.method, request.path, error)
            response = dialect.render(Unavailable("The host could not do it. The control plane's log has the details."), request)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            response = dialect.render(Fault("The server has hit an unexpected error. The control plane's log has it."), request)
        dialect.finish(request, response)
        _send(response, resp, request.method)

    async def _handle(self, dialect: Dialect, routes: list[Route] | None, request: Request, req: falcon.asgi.Request) -> Response:
        if not routes:
            dialect.begin(request, None)
            raise NotFound("The resource could not be found.", path=request.path)
        fitting = [r for r in routes if r.method == request.method]
        if not fitting and request.method == "HEAD":
            fitting = [r for r in routes if r.method == "GET"]
        dialect.begin(request, fitting[0] if fitting else None)
        if not fitting:
            raise BadMethod("The method is not allowed for this resource.", allow=sorted({r.method for r in routes}))
        version = request.context.version if request.context else FOREVER
        route = (
            next((r for r in fitting if r.lives(version)), None) if len(fitting) > 1 or fitting[0].since or fitting[0].until else fitting[0]
        )
        if route is None:
            raise NotFound("The resource could not be found.", path=request.path, version=version)
        if route.streams:
            request.stream = _whole(req)
        elif request.method not in ("GET", "HEAD"):
            request.body = await _read(req)
        answer = route.handler(request)
        return answer if isinstance(answer, Response) else await answer


class _Place:
    """What the framework calls for one path template; knows the routes that share it."""

    def __init__(self, web: Web, dialect: Dialect, routes: list[Route]) -> None:
        async def responder(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
            await web.answer(dialect, routes, req, resp, params)

        self.methods = dict.fromkeys(METHODS, responder)


def _request(dialect: Dialect, req: falcon.asgi.Request, params: Mapping[str, str]) -> Request:
    host = f"{req.scheme}://{req.netloc}"
    return Request(
        method=req.method,
        path=req.path[len(dialect.prefix) :],
        root=host + dialect.prefix,
        host=host,
        headers=req.headers_lower,
        query_string=req.query_string,
        params=params,
        slash=req.scope["path"].endswith("/"),
    )


class _App(falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]):
    """The framework ends a body alike when it is complete and when the client has left: this remembers which."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # type: ignore[override]
        async def watched() -> Any:
            event = await receive()
            if event["type"] == "http.disconnect":
                scope[LEFT] = True
            return event

        await super().__call__(scope, watched, send)


async def _whole(req: falcon.asgi.Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises BadRequest when the client has left before its end."""
    async for chunk in req.stream:
        yield chunk
    if LEFT in req.scope:
        raise BadRequest("The client left before the request's body was complete.")


async def _read(req: falcon.asgi.Request) -> bytes:
    if (req.content_length or 0) > BODY_MAX:
        raise TooLarge(f"The request's body is larger than {BODY_MAX} bytes.")
    chunks: list[bytes] = []
    size = 0
    async for chunk in req.stream:
        size += len(chunk)
        if size > BODY_MAX:
            raise TooLarge(f"The request's body is larger than {BODY_MAX} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def _send(response: Response, resp: falcon.asgi.Response, method: str) -> None:
    resp.status = response.status
    if response.stream is not None:
        resp.content_type = response.content_type
        resp.stream = response.stream
    elif response.body is not None:
        data = response.body if isinstance(response.body, bytes) else _encode(response.body)
        resp.content_type = response.content_type
        if method == "HEAD":
            resp.content_length = len(data)
        else:
            resp.data = data
    elif response.status not in (204, 304):
        resp.content_type = response.content_type
        resp.data = b""
    for name, value in response.headers.items():
        resp.set_header(name, value)


async def _last_resort(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: Mapping[str, Any]) -> None:
    """What failed outside a dialect: the framework's own refusals, or a defect here. No traceback reaches a client."""
    if isinstance(error, falcon.HTTPError):
        resp.status, title = error.status, error.title or "Error"
    else:
        log.error("%s %s", req.method, req.path, exc_info=error)
        resp.status, title = 500, "Internal Server Error"
    resp.content_type = "application/json"
    resp.data = _encode({"error": {"code": resp.status_code, "title": title, "message": title}})


async def _nowhere(req: falcon.asgi.Request, resp: falcon.asgi.Response | None, **_: str) -> None:
    assert resp is not None
    resp.status = 404
    resp.data = _encode({"error": {"code": 404, "title": "Not Found", "message": "No service answers at this path; see /."}})
