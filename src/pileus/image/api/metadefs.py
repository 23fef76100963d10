"""Metadata definitions: namespaces and what is in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pileus.errors import BadRequest, NotFound
from pileus.image.actions import metadefs as actions
from pileus.image.actions.metadefs.namespaces import prefix_of
from pileus.image.api.read import done, json_of, object_of, page
from pileus.image.query import limit_of
from pileus.image.resources.metadefs import ASSOCIATION, BASE, NAMESPACE, OBJECT, PROPERTY, RESOURCE_TYPE, TAG
from pileus.kit.context import Context
from pileus.kit.resource import Resource, Verb
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route
from pileus.openstack.listing import Listing

ONE = BASE + "/{namespace}"
SORTS = {
    "namespace": "namespace",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "display_name": "display_name",
    "visibility": "visibility",
}
APPEND = "x-openstack-append"


def _decode(resource: Resource, request: Request, verb: Verb = "create") -> Row:
    values = resource.decode_object(_object(resource, request), verb, request.ctx)
    if verb == "update":
        for field in resource.fields:
            if field.create == "required" and field.update and field.key not in values:
                raise resource.words.missing(field.name, values)
    return values


def _object(resource: Resource, request: Request) -> dict[str, Any]:
    body = json_of(request)
    if not isinstance(body, dict):
        raise resource.words.no_object(resource.key, body)
    return body


def _brief(view: Row) -> Row:
    """Without what nobody has set."""
    return {name: value for name, value in view.items() if value is not None}


def _made(view: Row, path: str, request: Request) -> Response:
    return Response(201, view, {"Location": f"{request.root}{path}"})


def _paged(rows: list[Row], request: Request, key: str = "name") -> tuple[list[Row], bool]:
    """One page of a list that is whole already. Raises NotFound for an unknown marker."""
    query = dict(request.pairs)
    if (marker := query.get("marker")) is not None:
        at = next((i for i, row in enumerate(rows) if row[key] == marker), None)
        if at is None:
            raise NotFound(f"No {key} {marker} to begin after.")
        rows = rows[at + 1 :]
    limit = limit_of(request.pairs) if "limit" in query else len(rows)
    return rows[:limit], len(rows) > limit


def _list(name: str, views: list[Any], path: str, request: Request, following: str | None = None) -> Response:
    kept = [pair for pair in request.pairs if pair[0] != "marker"]
    body: dict[str, Any] = {name: views, "first": page(path, kept), "schema": f"/v2/schemas/metadefs/{name}"}
    if following is not None:
        body["next"] = page(path, [*kept, ("marker", following)])
    return Response(200, body)


# -- namespaces --------------------------------------------------------------------------------------------------------------


def list_namespaces(request: Request) -> Response:
    """The namespaces that one may read, newest first."""
    query = dict(request.pairs)
    key, direction = query.get("sort_key", "created_at"), query.get("sort_dir", "desc")
    if key not in SORTS or direction not in ("asc", "desc"):
        raise BadRequest(f"Invalid sort: {key}, {direction}. Keys are {', '.join(SORTS)}, directions asc and desc.")
    listing = Listing(sorts=[(SORTS[key], direction == "desc")], limit=limit_of(request.pairs), marker=query.get("marker"))
    if "visibility" in query:
        if query["visibility"] not in ("public", "private"):
            raise BadRequest(f"Invalid visibility value: {query['visibility']}")
        listing.where["visibility"] = query["visibility"]
    types = [part for part in query.get("resource_types", "").split(",") if part]
    rows, more = actions.list_namespaces(request.ctx, listing, types)
    views = [_with_associations(row, request.ctx) for row in rows]
    return _list("namespaces", views, BASE, request, rows[-1]["namespace"] if more and rows else None)


def _with_associations(row: Row, ctx: Context) -> Row:
    view = _brief(NAMESPACE.view(row, ctx))
    if found := actions.list_associations(ctx, row["namespace"]):
        view["resource_type_associations"] = [_brief(ASSOCIATION.view(each, ctx)) for each in found]
    return view


def _whole(row: Row, ctx: Context, prefix: str = "") -> Row:
    """A namespace with all that is in it."""
    view, name = _with_associations(row, ctx), row["namespace"]
    if objects := actions.list_objects(ctx, name):
        view["objects"] = [_object_view(each, ctx, prefix) for each in objects]
    if properties := actions.list_properties(ctx, name):
        view["properties"] = {prefix + each["name"]: json.loads(each["definition"]) for each in properties}
    if tags := actions.list_tags(ctx, name):
        view["tags"] = [{"name": each["name"]} for each in tags]
    return view


def _object_view(row: Row, ctx: Context, prefix: str = "") -> Row:
    view = _brief(OBJECT.view(row, ctx))
    if prefix:
        view["required"] = [prefix + name for name in view["required"]]
        view["properties"] = {prefix + name: part for name, part in view["properties"].items()}
    return view


def create_namespace(request: Request) -> Response:
    """Make a namespace, with what is in it."""
    row = actions.create_namespace(request.ctx, _decode(NAMESPACE, request))
    return _made(_whole(row, request.ctx), f"{BASE}/{row['namespace']}", request)


def show_namespace(request: Request) -> Response:
    """A namespace and all that is in it; with `resource_type`, its properties have the names that they have on that type."""
    row = actions.find_namespace(request.ctx, request.params["namespace"])
    kind = dict(request.pairs).get("resource_type")
    return Response(200, _whole(row, request.ctx, prefix_of(request.ctx, row, kind) if kind else ""))


def update_namespace(request: Request) -> Response:
    """Replace what a namespace says of itself."""
    row = actions.update_namespace(request.ctx, request.params["namespace"], _decode(NAMESPACE, request, "update"))
    return Response(200, _brief(NAMESPACE.view(row, request.ctx)))


def delete_namespace(request: Request) -> Response:
    """Delete a namespace and all that is in it."""
    actions.delete_namespace(request.ctx, request.params["namespace"])
    return done()


# -- resource types ----------------------------------------------------------------------------------------------------------


def list_resource_types(request: Request) -> Response:
    """The kinds of resources that definitions are for."""
    rows = actions.list_resource_types(request.ctx)
    return Response(200, {"resource_types": RESOURCE_TYPE.views(rows, request.ctx), "schema": "/v2/schemas/metadefs/resource_types"})


def associate(request: Request) -> Response:
    """Say that a namespace is meant for a resource type."""
    name = request.params["namespace"]
    row = actions.associate(request.ctx, name, _decode(ASSOCIATION, request))
    return _made(_brief(ASSOCIATION.view(row, request.ctx)), f"{BASE}/{name}/resource_types", request)


def list_associations(request: Request) -> Response:
    """The resource types that a namespace is meant for."""
    rows = actions.list_associations(request.ctx, request.params["namespace"])
    return Response(200, {"resource_type_associations": [_brief(ASSOCIATION.view(row, request.ctx)) for row in rows]})


def dissociate(request: Request) -> Response:
    """The opposite."""
    actions.dissociate(request.ctx, request.params["namespace"], request.params["type"])
    return done()


# -- objects -----------------------------------------------------------------------------------------------------------------


def create_object(request: Request) -> Response:
    """Add an object."""
    row = actions.create_object(request.ctx, request.params["namespace"], _decode(OBJECT, request))
    view = _object_view(row, request.ctx)
    return _made(view, view["self"], request)


def list_objects(request: Request) -> Response:
    """The objects of a namespace, newest first."""
    name = request.params["namespace"]
    rows, more = _paged(actions.list_objects(request.ctx, name), request)
    views = [_object_view(row, request.ctx) for row in rows]
    return _list("objects", views, f"{BASE}/{name}/objects", request, rows[-1]["name"] if more and rows else None)


def show_object(request: Request) -> Response:
    """One object."""
    row = actions.find_object(request.ctx, request.params["namespace"], request.params["name"])
    return Response(200, _object_view(row, request.ctx))


def update_object(request: Request) -> Response:
    """Replace an object."""
    values = _decode(OBJECT, request, "update")
    row = actions.update_object(request.ctx, request.params["namespace"], request.params["name"], values)
    return Response(200, _object_view(row, request.ctx))


def delete_object(request: Request) -> Response:
    """Delete an object."""
    actions.delete_object(request.ctx, request.params["namespace"], request.params["name"])
    return done()


def delete_objects(request: Request) -> Response:
    """Delete all objects of a namespace."""
    actions.delete_objects(request.ctx, request.params["namespace"])
    return done()


# -- properties --------------------------------------------------------------------------------------------------------------


def _property(row: Row) -> Row:
    return {"name": row["name"], **json.loads(row["definition"])}


def create_property(request: Request) -> Response:
    """Add a property."""
    name = request.params["namespace"]
    row = actions.create_property(request.ctx, name, _decode(PROPERTY, request))
    return _made(_property(row), f"{BASE}/{name}/properties/{row['name']}", request)


def list_properties(request: Request) -> Response:
    """The properties of a namespace, by name."""
    rows = actions.list_properties(request.ctx, request.params["namespace"])
    return Response(200, {"properties": {row["name"]: _property(row) for row in rows}})


def show_property(request: Request) -> Response:
    """One property; with `resource_type`, by the name it has on that type."""
    name, kind = request.params["name"], dict(request.pairs).get("resource_type")
    if kind:
        prefix = prefix_of(request.ctx, actions.find_namespace(request.ctx, request.params["namespace"]), kind)
        if not name.startswith(prefix):
            raise NotFound(f"Property {name} does not start with the expected resource type association prefix of '{prefix}'.")
        name = name.removeprefix(prefix)
    row = actions.find_property(request.ctx, request.params["namespace"], name)
    return Response(200, {**_property(row), "name": request.params["name"]})


def update_property(request: Request) -> Response:
    """Replace a property."""
    values = _decode(PROPERTY, request, "update")
    return Response(200, _property(actions.update_property(request.ctx, request.params["namespace"], request.params["name"], values)))


def delete_property(request: Request) -> Response:
    """Delete a property."""
    actions.delete_property(request.ctx, request.params["namespace"], request.params["name"])
    return done()


def delete_properties(request: Request) -> Response:
    """Delete all properties of a namespace."""
    actions.delete_properties(request.ctx, request.params["namespace"])
    return done()


# -- tags --------------------------------------------------------------------------------------------------------------------


def create_tag(request: Request) -> Response:
    """Add a tag."""
    namespace = request.params["namespace"]
    values = TAG.decode_object({"name": request.params["name"]}, "create", request.ctx)
    row = actions.create_tag(request.ctx, namespace, values["name"])
    return _made(TAG.view(row, request.ctx), f"{BASE}/{namespace}/tags/{row['name']}", request)


def set_tags(request: Request) -> Response:
    """Replace the tags of a namespace; with the header X-OpenStack-Append, add to them."""
    namespace = request.params["namespace"]
    given = object_of(request).get("tags")
    if not isinstance(given, list):
        raise TAG.words.missing("tags", {})
    names = [TAG.decode_object(tag if isinstance(tag, dict) else {}, "create", request.ctx)["name"] for tag in given]
    append = request.headers.get(APPEND, "").lower() == "true"
    rows = actions.set_tags(request.ctx, namespace, names, append=append)
    return _made({"tags": _names(rows)}, f"{BASE}/{namespace}/tags", request)


def _names(rows: Sequence[Row]) -> list[Row]:
    return [{"name": row["name"]} for row in rows]


def list_tags(request: Request) -> Response:
    """The tags of a namespace, newest first."""
    name = request.params["namespace"]
    rows, more = _paged(actions.list_tags(request.ctx, name), request)
    return _list("tags", _names(rows), f"{BASE}/{name}/tags", request, rows[-1]["name"] if more and rows else None)


def show_tag(request: Request) -> Response:
    """One tag."""
    row = actions.find_tag(request.ctx, request.params["namespace"], request.params["name"])
    return Response(200, TAG.view(row, request.ctx))


def update_tag(request: Request) -> Response:
    """Rename a tag."""
    row = actions.update_tag(request.ctx, request.params["namespace"], request.params["name"], _decode(TAG, request, "update"))
    return Response(200, TAG.view(row, request.ctx))


def delete_tag(request: Request) -> Response:
    """Delete a tag."""
    actions.delete_tag(request.ctx, request.params["namespace"], request.params["name"])
    return done()


def delete_tags(request: Request) -> Response:
    """Delete all tags of a namespace."""
    actions.delete_tags(request.ctx, request.params["namespace"])
    return done()


ROUTES = [
    Route("GET", BASE, list_namespaces),
    Route("POST", BASE, create_namespace),
    Route("GET", ONE, show_namespace),
    Route("PUT", ONE, update_namespace),
    Route("DELETE", ONE, delete_namespace),
    Route("GET", "/v2/metadefs/resource_types", list_resource_types),
    Route("POST", ONE + "/resource_types", associate),
    Route("GET", ONE + "/resource_types", list_associations),
    Route("DELETE", ONE + "/resource_types/{type}", dissociate),
    Route("POST", ONE + "/objects", create_object),
    Route("GET", ONE + "/objects", list_objects),
    Route("DELETE", ONE + "/objects", delete_objects),
    Route("GET", ONE + "/objects/{name}", show_object),
    Route("PUT", ONE + "/objects/{name}", update_object),
    Route("DELETE", ONE + "/objects/{name}", delete_object),
    Route("POST", ONE + "/properties", create_property),
    Route("GET", ONE + "/properties", list_properties),
    Route("DELETE", ONE + "/properties", delete_properties),
    Route("GET", ONE + "/properties/{name}", show_property),
    Route("PUT", ONE + "/properties/{name}", update_property),
    Route("DELETE", ONE + "/properties/{name}", delete_property),
    Route("POST", ONE + "/tags", set_tags),
    Route("GET", ONE + "/tags", list_tags),
    Route("DELETE", ONE + "/tags", delete_tags),
    Route("POST", ONE + "/tags/{name}", create_tag),
    Route("GET", ONE + "/tags/{name}", show_tag),
    Route("PUT", ONE + "/tags/{name}", update_tag),
    Route("DELETE", ONE + "/tags/{name}", delete_tag),
]
