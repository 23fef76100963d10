"""Flavors, their extra specs and who sees them. Source: https://docs.openstack.org/api-ref/compute/#flavors"""

from __future__ import annotations

import re
from typing import Any

from pileus.compute.actions import flavors
from pileus.compute.api.read import a_bool, body_of, decode, paged, sorted_by, strict, with_next
from pileus.compute.resources.flavors import FLAVOR, SORT_WORDS, SORTS, SPECS, brief
from pileus.compute.resources.words import parse
from pileus.errors import BadRequest
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.openstack.listing import Listing
from pileus.openstack.types import Obj, Str

QUERY = ("limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir")
_PROJECT = Obj({"tenant": Str(min=1, max=255)}, ("tenant",))


def _listed(request: Request) -> tuple[list[Row], bool, Listing]:
    strict(request, QUERY)
    listing = sorted_by(request, paged(request), SORTS, SORT_WORDS, ("id", False))
    for name, column in (("minRam", "ram"), ("minDisk", "disk")):
        if (text := request.query.get(name)) is not None:
            if not re.fullmatch(r"[0-9]{1,18}", text):
                raise BadRequest(f"Invalid {name} filter [{text}]")
            listing.terms.append((f"{column} >= ?", (int(text),)))
    rows, more = flavors.list_flavors(request.ctx, listing, public=_public(request.query.get("is_public")))
    return rows, more, listing


def _public(text: str | None) -> bool | None:
    """The query's is_public: absent is true, "none" is both."""
    if text is not None and text.strip().lower() == "none":
        return None
    return a_bool(text, default=True)


def list_flavors(request: Request) -> Response:
    """Flavors in brief."""
    rows, more, listing = _listed(request)
    items = [brief(row, request.ctx) for row in rows]
    return Response(200, with_next("flavors", items, rows[-1]["id"] if rows else "", request, listing, more=more))


def list_details(request: Request) -> Response:
    """Flavors with all they have."""
    rows, more, listing = _listed(request)
    items = FLAVOR.views(rows, request.ctx)
    return Response(200, with_next("flavors", items, rows[-1]["id"] if rows else "", request, listing, more=more))


def _one(row: Row, request: Request) -> Response:
    return Response(200, {"flavor": FLAVOR.view(row, request.ctx)})


def create_flavor(request: Request) -> Response:
    """Make a flavor (admin)."""
    values = decode(FLAVOR, request, "create")
    return _one(flavors.create_flavor(request.ctx, values), request)


def show_flavor(request: Request) -> Response:
    """One flavor."""
    return _one(flavors.find_flavor(request.ctx, request.params["id"]), request)


def update_flavor(request: Request) -> Response:
    """Change a flavor's description (admin)."""
    values = decode(FLAVOR, request, "update")
    if "description" not in values:
        raise BadRequest(f"Invalid input for field/attribute flavor. Value: {values}. 'description' is a required property")
    return _one(flavors.update_flavor(request.ctx, request.params["id"], values), request)


def delete_flavor(request: Request) -> Response:
    """Delete a flavor (admin); servers keep their copies."""
    flavors.delete_flavor(request.ctx, request.params["id"])
    return Response(202)


# -- extra specs -------------------------------------------------------------------------------------------------------------


def list_specs(request: Request) -> Response:
    """A flavor's extra specs."""
    return Response(200, {"extra_specs": flavors.list_specs(request.ctx, request.params["id"])})


def create_specs(request: Request) -> Response:
    """Add extra specs (admin)."""
    given = parse("extra_specs", body_of(request), SPECS)
    flavors.update_specs(request.ctx, request.params["id"], given)
    return Response(200, {"extra_specs": given})


def show_spec(request: Request) -> Response:
    """One extra spec."""
    key = request.params["key"]
    return Response(200, {key: flavors.find_spec(request.ctx, request.params["id"], key)})


def update_spec(request: Request) -> Response:
    """Set one extra spec (admin)."""
    key, body = request.params["key"], body_of(request)
    given = parse(next(iter(body), key), body, Str(max=255))
    if key not in body:
        raise BadRequest("Request body and URI mismatch")
    flavors.update_specs(request.ctx, request.params["id"], {key: given})
    return Response(200, {key: given})


def delete_spec(request: Request) -> Response:
    """Remove one extra spec (admin)."""
    flavors.delete_spec(request.ctx, request.params["id"], request.params["key"])
    return Response(200)


# -- access ------------------------------------------------------------------------------------------------------------------


def _access(id: str, projects: list[str]) -> Response:
    return Response(200, {"flavor_access": [{"flavor_id": id, "tenant_id": project} for project in projects]})


def list_access(request: Request) -> Response:
    """Which projects see a private flavor (admin)."""
    return _access(request.params["id"], flavors.list_access(request.ctx, request.params["id"]))


def act(request: Request) -> Response:
    """Give a private flavor to a project, or take it back (admin)."""
    body = body_of(request)
    if len(body) != 1:
        raise BadRequest("Malformed request body")
    verb, id = next(iter(body)), request.params["id"]
    verbs: dict[str, Any] = {"addTenantAccess": flavors.add_access, "removeTenantAccess": flavors.remove_access}
    if verb not in verbs:
        raise BadRequest(f"There is no such action: {verb}")
    project = parse(verb, body, _PROJECT)["tenant"]
    return _access(id, verbs[verb](request.ctx, id, project))


ROUTES = [
    Route("GET", "/flavors", list_flavors),
    Route("POST", "/flavors", create_flavor),
    Route("GET", "/flavors/detail", list_details),
    Route("GET", "/flavors/{id}", show_flavor),
    Route("PUT", "/flavors/{id}", update_flavor, since="2.55"),
    Route("DELETE", "/flavors/{id}", delete_flavor),
    Route("POST", "/flavors/{id}/action", act),
    Route("GET", "/flavors/{id}/os-flavor-access", list_access),
    Route("GET", "/flavors/{id}/os-extra_specs", list_specs),
    Route("POST", "/flavors/{id}/os-extra_specs", create_specs),
    Route("GET", "/flavors/{id}/os-extra_specs/{key}", show_spec),
    Route("PUT", "/flavors/{id}/os-extra_specs/{key}", update_spec),
    Route("DELETE", "/flavors/{id}/os-extra_specs/{key}", delete_spec),
]
