"""The dialect of Pileus's own at /pileus: what Neutron has no words for. `pileus why`, `pileus mend` and the SOCKS5 proxy.

JSON over HTTP, with a Keystone token, errors as Keystone words them. Docs: docs/reference/why.md.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.errors import BadRequest
from pileus.kit.context import Cloud, Context
from pileus.kit.policy import ADMIN, allow
from pileus.kit.web import Dialect, Request, Response, Route
from pileus.network.live.socks import Socks
from pileus.network.live.tracer import Tracer, encoded
from pileus.network.trace.trace import Wish
from pileus.openstack import fault, front
from pileus.openstack.front import Authenticate

PORT_MAX = 65535


def dialect(cloud: Cloud, authenticate: Authenticate, tracer: Tracer, socks: Socks) -> Dialect:
    """The way in at /pileus."""
    return front.dialect("pileus", _routes(tracer, socks), cloud, authenticate, fault.keystone)


def _routes(tracer: Tracer, socks: Socks) -> list[Route]:
    async def create_trace(request: Request) -> Response:
        """Follow a packet, and say what stops it."""
        try:
            wish = msgspec.convert(_body(request), Wish)
        except msgspec.ValidationError as error:
            raise BadRequest(f"The request is not a trace: {error}.") from None
        if wish.tcp and wish.udp:
            raise BadRequest("The request is not a trace: either tcp or udp.")
        return Response(200, {"trace": encoded(await tracer.trace(request.ctx, wish))})

    async def create_mend(request: Request) -> Response:
        """Compare an object with the host, and have what differs built anew."""
        body = _body(request)
        kind, id = body.get("kind"), body.get("id")
        if not isinstance(kind, str) or not (isinstance(id, str) or (kind == "wire" and id is None)) or set(body) - {"kind", "id"}:
            raise BadRequest("The request is not a mend: it has a kind and an id, and nothing else.")
        return Response(200, {"mend": await tracer.mend(request.ctx, kind, id or "")})

    def show_socks(request: Request) -> Response:
        """Whether the SOCKS5 proxy listens, and where."""
        see_socks(request.ctx)
        return Response(200, {"socks": {"port": socks.port}})

    async def set_socks(request: Request) -> Response:
        """Have the SOCKS5 proxy listen on a port of 127.0.0.1; 0: no more."""
        change_socks(request.ctx)
        port = _body(request).get("port")
        if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= PORT_MAX:
            raise BadRequest("port is a number from 0 (off) to 65535.")
        if port:
            await socks.open(port)
        else:
            socks.close()
        return Response(200, {"socks": {"port": socks.port}})

    return [
        Route("POST", "/v1/traces", create_trace),
        Route("POST", "/v1/mends", create_mend),
        Route("GET", "/v1/socks", show_socks),
        Route("PUT", "/v1/socks", set_socks),
    ]


def _body(request: Request) -> dict[str, Any]:
    body = request.object()
    if body is None:
        raise BadRequest("The request's body is not a JSON object.")
    return body


@allow(ADMIN, "pileus:socks:show")
def see_socks(ctx: Context) -> None:
    """See where the SOCKS5 proxy listens."""


@allow(ADMIN, "pileus:socks:update")
def change_socks(ctx: Context) -> None:
    """Switch the SOCKS5 proxy on or off."""
