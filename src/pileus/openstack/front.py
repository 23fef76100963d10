"""The front door that all OpenStack dialects share: token -> caller, version, request id, and the headers that sign an answer.

Not here: what a token means (identity) and how an error reads (fault.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pileus.errors import Fault, Unauthorized
from pileus.kit.context import NOBODY, AccessRule, Cloud, Context, Credentials
from pileus.kit.web import Dialect, Request, Response, Route
from pileus.openstack.microversion import Microversions

Authenticate = Callable[[str], Credentials | None]  # a token's text -> what it says, None when it is not valid


def dialect(
    name: str,
    routes: Sequence[Route],
    cloud: Cloud,
    authenticate: Authenticate,
    render: Callable[[Fault, Request], Response],
    *,
    versions: Microversions | None = None,
    id_headers: Sequence[str] = ("X-OpenStack-Request-Id",),
    vary: str = "",
    guarded: Callable[[str], bool] = lambda path: True,
) -> Dialect:
    """The dialect of one OpenStack service at `/<name>`.

    `guarded` says of a path without a route whether a token is asked for before "not found" is said (as the real service does it).
    """

    def begin(request: Request, route: Route | None) -> None:
        ctx = request.context = Context(cloud, NOBODY, versions.minimum if versions else (2, 1), base_url=request.root)
        if not (route.open if route else not guarded(request.path)):
            ctx.who = caller(request, authenticate)
            if ctx.who.access_rules is not None and not _within_rules(ctx.who.access_rules, name, request):
                raise Unauthorized("")
        if versions:
            try:
                ctx.version = versions.asked(request.headers)
            except Fault as fault:
                ctx.version = fault.extra.get("version") or (0, 0)  # (0, 0): there is no version to sign with
                raise

    def finish(request: Request, response: Response) -> None:
        ctx = request.context
        if ctx is None:
            return
        for header in id_headers:
            response.headers.setdefault(header, ctx.request_id)
        if versions and ctx.version != (0, 0) and (ctx.who is not NOBODY or response.status == 200):
            for header, value in versions.headers(ctx.version).items():
                response.headers.setdefault(header, value)
        if vary:
            response.headers.setdefault("Vary", vary)

    return Dialect(name, f"/{name}", routes, begin, render, finish)


def _within_rules(rules: Sequence[AccessRule], service: str, request: Request) -> bool:
    """Whether a token that is good for some requests only is good for this one. 401 when not, as keystonemiddleware answers."""
    return any(rule.allows(service, request.method, request.path) for rule in rules)


def caller(request: Request, authenticate: Authenticate) -> Credentials:
    """Who sent the request, by its X-Auth-Token. Raises Unauthorized."""
    text = request.headers.get("x-auth-token")
    who = authenticate(text) if text else None
    if who is None:
        raise Unauthorized("")
    return who
