"""Key pairs. Source: https://docs.openstack.org/api-ref/compute/#keypairs-keypairs"""

from __future__ import annotations

from pileus.compute.actions import keypairs
from pileus.compute.api.read import decode, paged, strict, with_next
from pileus.compute.resources.keypairs import KEYPAIR, LISTED, MADE
from pileus.compute.versions import KEYPAIR_OWNERS, KEYPAIR_TYPES, PAGED_KEYPAIRS
from pileus.errors import BadRequest
from pileus.kit.web import Request, Response, Route
from pileus.openstack.listing import Listing


def _owner(request: Request) -> str | None:
    """The user whose key pairs are meant, which can be said from 2.10 on."""
    return request.query.get("user_id") if request.ctx.version >= KEYPAIR_OWNERS else None


async def create_keypair(request: Request) -> Response:
    """Keep a public key, or make a pair and answer its private half once."""
    values = decode(KEYPAIR, request, "create")
    made = None
    if values["public_key"] is None:
        if values.get("type") == "x509":
            raise BadRequest("Keypair data is invalid: give the certificate as public_key; this cloud makes SSH keys only")
        made = await keypairs.prepare_keypair()
    row = keypairs.create_keypair(request.ctx, values, made)
    shown = {name: value for name, value in KEYPAIR.view(row, request.ctx).items() if name in MADE}
    if made:
        shown["private_key"] = made.private_key
    return Response(201 if request.ctx.version >= KEYPAIR_TYPES else 200, {"keypair": shown})


def list_keypairs(request: Request) -> Response:
    """The caller's key pairs."""
    strict(request, ("user_id", "limit", "marker"))
    listing = paged(request) if request.ctx.version >= PAGED_KEYPAIRS else Listing()
    rows, more = keypairs.list_keypairs(request.ctx, listing, _owner(request))
    items = [{"keypair": {name: value for name, value in shown.items() if name in LISTED}} for shown in KEYPAIR.views(rows, request.ctx)]
    return Response(200, with_next("keypairs", items, rows[-1]["name"] if rows else "", request, listing, more=more))


def show_keypair(request: Request) -> Response:
    """One key pair."""
    strict(request, ("user_id",))
    row = keypairs.find_keypair(request.ctx, request.params["id"], _owner(request))
    return Response(200, {"keypair": KEYPAIR.view(row, request.ctx)})


def delete_keypair(request: Request) -> Response:
    """Delete a key pair; servers keep their copies."""
    strict(request, ("user_id",))
    keypairs.delete_keypair(request.ctx, request.params["id"], _owner(request))
    return Response(204 if request.ctx.version >= KEYPAIR_TYPES else 202)


ROUTES = [
    Route("GET", "/os-keypairs", list_keypairs),
    Route("POST", "/os-keypairs", create_keypair),
    Route("GET", "/os-keypairs/{id}", show_keypair),
    Route("DELETE", "/os-keypairs/{id}", delete_keypair),
]
