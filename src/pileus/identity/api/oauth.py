"""Handlers of OAuth 1.0a: consumers, the three steps to an access token, and signing in with one."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from pileus.errors import BadRequest, Unauthorized
from pileus.identity import signatures
from pileus.identity.actions import oauth, users
from pileus.identity.actions.tokens import Scope
from pileus.identity.api.nouns import crud
from pileus.identity.api.read import body_of, decode, listed, many, one
from pileus.identity.login import Proof
from pileus.identity.resources import CONSUMER, ROLE, expecting
from pileus.kit.clock import iso
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route

BASE = "/v3/OS-OAUTH1"
ACCESS = "/v3/users/{user}/OS-OAUTH1/access_tokens"
CLOCKS_DIFFER = 600_000_000  # microseconds that a request's timestamp may be off
FORM = "application/x-www-form-urlencoded"


def create_consumer(request: Request) -> Response:
    row = oauth.create_consumer(request.ctx, decode(CONSUMER, request, "create"))
    answer = one(CONSUMER, row, request, 201)
    answer.body["consumer"]["secret"] = row["secret"]
    return answer


def _checked(request: Request, token: Row | None) -> tuple[Row, dict[str, str]]:
    """The consumer that has signed this request, with its parameters. Raises Unauthorized for a signature that is not its."""
    ctx = request.ctx
    given = signatures.oauth_parameters(request.headers.get("authorization", ""))
    consumer = ctx.store.get("consumer", given.get("oauth_consumer_key", ""))
    stamp = given.get("oauth_timestamp", "")
    if consumer is None or not stamp.isdigit() or abs(int(stamp) * 1_000_000 - ctx.now()) > CLOCKS_DIFFER:
        raise Unauthorized("")
    query = list(request.pairs)
    if request.headers.get("content-type", "").startswith(FORM):
        query += parse_qsl(request.body.decode("latin-1"), keep_blank_values=True)
    keys = oauth.secret_of(ctx, consumer), oauth.secret_of(ctx, token)
    expected = signatures.oauth(request.method, f"{request.root}{request.path}", given, query, keys)
    if not signatures.same(expected, given.get("oauth_signature", "")):
        raise Unauthorized("Invalid OAuth signature.")
    return consumer, given


def _given(request: Request, kind: str) -> Row:
    given = signatures.oauth_parameters(request.headers.get("authorization", ""))
    return oauth.live(request.ctx, kind, given.get("oauth_token", ""))


def _form(request: Request, values: dict[str, str]) -> Response:
    ends = request.ctx.store.get("oauth_token", values["oauth_token"])
    text = urlencode({**values, "oauth_expires_at": iso(ends["expires_at"], fraction=True) if ends else ""})
    return Response(201, text.encode(), content_type=FORM)


def request_token(request: Request) -> Response:
    """A request token for a consumer, whose signature is the only proof that is asked for."""
    project = request.headers.get("requested-project-id")
    if not project:
        raise BadRequest("The header Requested-Project-Id is missing: for which project?")
    consumer, _ = _checked(request, None)
    return _form(request, oauth.request_token(request.ctx, consumer, project))


def authorize(request: Request) -> Response:
    """Let a consumer have some of the caller's roles."""
    body = body_of(request)
    roles = body.get("roles") if isinstance(body, dict) else None
    if not isinstance(roles, list) or not all(isinstance(role, dict) for role in roles):
        raise expecting("roles")
    return Response(200, {"token": {"oauth_verifier": oauth.authorize(request.ctx, request.params["id"], roles)}})


def access_token(request: Request) -> Response:
    """The access token for a request token that a user has authorized."""
    row = _given(request, "request")
    consumer, given = _checked(request, row)
    if consumer["id"] != row["consumer_id"]:
        raise Unauthorized("")
    return _form(request, oauth.access_token(request.ctx, row, given.get("oauth_verifier", "")))


def prove(request: Request) -> Proof:
    """Who has signed a request for a token with an access token: the user that has authorized it."""
    row = _given(request, "access")
    consumer, _ = _checked(request, row)
    if consumer["id"] != row["consumer_id"]:
        raise Unauthorized("")
    via = {"access_token_id": row["id"], "expires_at": row["expires_at"]}
    return Proof(users.find_user(request.ctx, row["user_id"]), via=via, scope=Scope(project_id=row["project_id"]))


def _shown(row: Row, request: Request) -> Row:
    here = f"{request.root}/v3/users/{row['user_id']}/OS-OAUTH1/access_tokens/{row['id']}"
    return {
        "id": row["id"],
        "consumer_id": row["consumer_id"],
        "project_id": row["project_id"],
        "authorizing_user_id": row["user_id"],
        "expires_at": iso(row["expires_at"], fraction=True),
        "links": {"self": here, "roles": f"{here}/roles"},
    }


def list_access_tokens(request: Request) -> Response:
    rows = oauth.list_access_tokens(request.ctx, request.params["user"])
    return listed("access_tokens", [_shown(row, request) for row in rows], request)


def show_access_token(request: Request) -> Response:
    row = oauth.get_access_token(request.ctx, request.params["user"], request.params["id"])
    return Response(200, {"access_token": _shown(row, request)})


def delete_access_token(request: Request) -> Response:
    oauth.delete_access_token(request.ctx, request.params["user"], request.params["id"])
    return Response(204)


def access_token_roles(request: Request) -> Response:
    return many(ROLE, oauth.list_access_token_roles(request.ctx, request.params["user"], request.params["id"]), request)


def access_token_role(request: Request) -> Response:
    params = request.params
    return one(ROLE, oauth.get_access_token_role(request.ctx, params["user"], params["id"], params["role"]), request)


def routes() -> list[Route]:
    return [
        *crud(CONSUMER, oauth, base=f"{BASE}/consumers", create=create_consumer),
        Route("POST", f"{BASE}/request_token", request_token, open=True),
        Route("PUT", f"{BASE}/authorize/{{id}}", authorize),
        Route("POST", f"{BASE}/access_token", access_token, open=True),
        Route("GET", ACCESS, list_access_tokens, doc="The access tokens that a user has authorized."),
        Route("GET", ACCESS + "/{id}", show_access_token, doc="One of them."),
        Route("DELETE", ACCESS + "/{id}", delete_access_token, doc="Take back what was authorized."),
        Route("GET", ACCESS + "/{id}/roles", access_token_roles, doc="The roles that an access token has."),
        Route("GET", ACCESS + "/{id}/roles/{role}", access_token_role, doc="One of them."),
    ]
