"""Handlers of application credentials, access rules, trusts, credentials and EC2 keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from pileus.errors import BadRequest, Forbidden, Unauthorized
from pileus.identity import signatures
from pileus.identity.actions import SERVES, application_credentials, credentials, tokens, trusts, users
from pileus.identity.actions.tokens import Scope
from pileus.identity.api.nouns import crud
from pileus.identity.api.read import body_of, decode, filters, listed, many, one
from pileus.identity.api.tokens import token_body
from pileus.identity.passwords import Passwords
from pileus.identity.resources import ACCESS_RULE, APPLICATION_CREDENTIAL, CREDENTIAL, ROLE, TRUST, expecting, view
from pileus.identity.resources.delegation import rule_view
from pileus.kit.policy import forbid
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route

APPS = "/v3/users/{user}/application_credentials"
RULES = "/v3/users/{user}/access_rules"
TRUSTS = "/v3/OS-TRUST/trusts"
EC2 = "/v3/users/{user}/credentials/OS-EC2"


# -- application credentials -----------------------------------------------------------------------------------------------


def _app(row: Row, request: Request) -> Row:
    shown = view(APPLICATION_CREDENTIAL, row, request.ctx)
    if row["rules"] is not None:
        shown["access_rules"] = [rule_view(rule, request.ctx) for rule in row["rule_rows"]]
    return shown


def app_creator(passwords: Passwords) -> Callable[[Request], Any]:
    async def create_app(request: Request) -> Response:
        """Create an application credential. The secret is in this answer, and never again."""
        values = decode(APPLICATION_CREDENTIAL, request, "create")
        user = request.params["user"]
        application_credentials.may_create(request.ctx, user)  # whoever may not must not make us hash
        secret = values.get("secret") or secrets.token_urlsafe(64)
        hashed = await passwords.hash(secret)
        row = application_credentials.create_application_credential(request.ctx, user, values, hashed)
        return Response(201, {"application_credential": {**_app(row, request), "secret": secret}})

    return create_app


def list_apps(request: Request) -> Response:
    rows = application_credentials.list_application_credentials(
        request.ctx, request.params["user"], filters(APPLICATION_CREDENTIAL, request)
    )
    return listed("application_credentials", [_app(row, request) for row in rows], request)


def show_app(request: Request) -> Response:
    row = application_credentials.get_application_credential(request.ctx, request.params["user"], request.params["id"])
    return Response(200, {"application_credential": _app(row, request)})


def delete_app(request: Request) -> Response:
    application_credentials.delete_application_credential(request.ctx, request.params["user"], request.params["id"])
    return Response(204)


def list_rules(request: Request) -> Response:
    rows = application_credentials.list_access_rules(request.ctx, request.params["user"], filters(ACCESS_RULE, request))
    return many(ACCESS_RULE, rows, request)


def show_rule(request: Request) -> Response:
    return one(ACCESS_RULE, application_credentials.get_access_rule(request.ctx, request.params["user"], request.params["id"]), request)


def delete_rule(request: Request) -> Response:
    application_credentials.delete_access_rule(request.ctx, request.params["user"], request.params["id"])
    return Response(204)


# -- trusts ----------------------------------------------------------------------------------------------------------------


def _trust(row: Row, request: Request) -> Row:
    here = f"{request.root}{TRUSTS}/{row['id']}/roles"
    return {**view(TRUST, row, request.ctx), "roles_links": {"self": here, "next": None, "previous": None}}


def create_trust(request: Request) -> Response:
    return Response(201, {"trust": _trust(trusts.create_trust(request.ctx, decode(TRUST, request, "create")), request)})


def show_trust(request: Request) -> Response:
    return Response(200, {"trust": _trust(trusts.get_trust(request.ctx, request.params["id"]), request)})


def list_trusts(request: Request) -> Response:
    rows = trusts.list_trusts(request.ctx, filters(TRUST, request))
    shown = [{k: v for k, v in view(TRUST, row, request.ctx).items() if k != "roles"} for row in rows]
    return listed("trusts", shown, request)


def delete_trust(request: Request) -> Response:
    trusts.delete_trust(request.ctx, request.params["id"])
    return Response(204)


def trust_roles(request: Request) -> Response:
    return many(ROLE, trusts.list_trust_roles(request.ctx, request.params["id"]), request)


def trust_role(request: Request) -> Response:
    return one(ROLE, trusts.get_trust_role(request.ctx, request.params["id"], request.params["role"]), request)


# -- EC2 keys --------------------------------------------------------------------------------------------------------------


def _ec2(row: Row, request: Request) -> Row:
    return credentials.ec2_view(request.ctx, row)


def create_ec2(request: Request) -> Response:
    body = body_of(request)
    if not isinstance(body, dict) or not isinstance(body.get("tenant_id"), str):
        raise expecting("tenant_id")
    row = credentials.create_ec2(request.ctx, request.params["user"], body["tenant_id"])
    return Response(201, {"credential": _ec2(row, request)})


def list_ec2(request: Request) -> Response:
    return listed("credentials", [_ec2(row, request) for row in credentials.list_ec2(request.ctx, request.params["user"])], request)


def show_ec2(request: Request) -> Response:
    row = credentials.get_ec2(request.ctx, request.params["user"], request.params["access"])
    return Response(200, {"credential": _ec2(row, request)})


def delete_ec2(request: Request) -> Response:
    credentials.delete_ec2(request.ctx, request.params["user"], request.params["access"])
    return Response(204)


def _signed(request: Request, *keys: str) -> Row:
    """What a service asks about: the request that it was sent, with its signature. Only a service or an admin may ask."""
    if not SERVES(request.ctx):
        forbid("identity:ec2_validate_signature")
    body = body_of(request)
    for key in keys:
        if isinstance(body, dict) and isinstance(body.get(key), dict):
            found: Row = body[key]
            return found
    raise expecting(keys[0])


def ec2_token(request: Request) -> Response:
    """A token for whoever has signed the request that is described in the body with an EC2 key."""
    given = _signed(request, "ec2Credentials", "credentials", "credential")
    access, signature = signatures.ec2_access(given), given.get("signature")
    if not access or not isinstance(signature, str):
        raise Unauthorized("EC2 signature not supplied.")
    return _issue(request, access, signature, lambda secret: signatures.ec2(given, secret))


def s3_token(request: Request) -> Response:
    """The same for an S3 request."""
    given = _signed(request, "credentials")
    access, signature, text = given.get("access"), given.get("signature"), given.get("token")
    if not all(isinstance(each, str) for each in (access, signature, text)):
        raise BadRequest("Expecting to find access, signature and token in credentials.")
    return _issue(request, str(access), str(signature), lambda secret: signatures.s3(str(text), secret))


def _issue(request: Request, access: str, signature: str, expected: Callable[[str], str | None]) -> Response:
    ctx = request.ctx
    found = credentials.ec2_key(ctx, access)
    if found is None or not signatures.same(expected(found[1]["secret"]), signature):
        raise Unauthorized("EC2 access key or signature is not valid.")
    row, blob = found
    user, via = users.find_user(ctx, row["user_id"]), {}
    for name, column in credentials.MARKS.items():
        if blob.get(name):
            via[column] = blob[name]
    if trust_id := via.get("trust_id"):
        trust = ctx.store.get("trust", trust_id)
        if trust is None:
            raise Forbidden("The trust that the EC2 key was made by is gone.")
        via["expires_at"] = trust["expires_at"]
    text, token = tokens.issue(ctx, user, ["ec2credential"], Scope(project_id=row["project_id"]), via=via)
    return Response(200, token_body(request, token), {"X-Subject-Token": text})


def routes(passwords: Passwords) -> list[Route]:
    return [
        Route("POST", APPS, app_creator(passwords), doc="Create an application credential."),
        Route("GET", APPS, list_apps, doc="A user's application credentials."),
        Route("GET", APPS + "/{id}", show_app, doc="Show an application credential."),
        Route("DELETE", APPS + "/{id}", delete_app, doc="Delete an application credential; its tokens die."),
        Route("GET", RULES, list_rules, doc="A user's access rules."),
        Route("GET", RULES + "/{id}", show_rule, doc="Show an access rule."),
        Route("DELETE", RULES + "/{id}", delete_rule, doc="Delete an access rule that is not in use."),
        Route("POST", TRUSTS, create_trust, doc="Trust somebody with some of one's roles."),
        Route("GET", TRUSTS, list_trusts, doc="List trusts."),
        Route("GET", TRUSTS + "/{id}", show_trust, doc="Show a trust."),
        Route("DELETE", TRUSTS + "/{id}", delete_trust, doc="Take a trust back; its tokens die."),
        Route("GET", TRUSTS + "/{id}/roles", trust_roles, doc="The roles that a trust delegates."),
        Route("GET", TRUSTS + "/{id}/roles/{role}", trust_role, doc="Whether a trust delegates a role."),
        *crud(CREDENTIAL, credentials),
        Route("POST", EC2, create_ec2, doc="Create an EC2 key for a project."),
        Route("GET", EC2, list_ec2, doc="A user's EC2 keys."),
        Route("GET", EC2 + "/{access}", show_ec2, doc="Show an EC2 key."),
        Route("DELETE", EC2 + "/{access}", delete_ec2, doc="Delete an EC2 key."),
        Route("POST", "/v3/ec2tokens", ec2_token),
        Route("POST", "/v3/s3tokens", s3_token),
    ]
