"""Images and their tags: create, list, show, patch, delete, deactivate, reactivate."""

from __future__ import annotations

import re
from typing import Any, Literal

from pileus.errors import BadRequest, UnsupportedMedia
from pileus.image import actions
from pileus.image.actions.patch import Change
from pileus.image.api.read import done, json_of, page
from pileus.image.query import listing_of
from pileus.image.resources import IMAGE, READ_ONLY, listed, read_only, shown
from pileus.kit.web import Request, Response, Route

PATH = "/v2/images"
ONE = PATH + "/{id}"
PATCH_TYPES = {"application/openstack-images-v2.1-json-patch": 10, "application/openstack-images-v2.0-json-patch": 4}
OPS: dict[str, Literal["add", "replace", "remove"]] = {"add": "add", "replace": "replace", "remove": "remove"}


def create_image(request: Request) -> Response:
    body = json_of(request) if request.body else {}
    if not isinstance(body, dict):
        raise IMAGE.words.no_object("image", body)
    if fixed := [name for name in body if name in READ_ONLY]:
        raise read_only(fixed)
    row = actions.create_image(request.ctx, IMAGE.decode_object(body, "create", request.ctx))
    headers = {"Location": f"{request.root}/v2/images/{row['id']}", "OpenStack-image-import-methods": ",".join(actions.METHODS)}
    return Response(201, shown(row, request.ctx), headers)


def list_images(request: Request) -> Response:
    listing = listing_of(request.ctx, request.pairs)
    rows, more = actions.list_images(request.ctx, listing)
    kept = [pair for pair in request.pairs if pair[0] != "marker"]
    body = {"images": listed(rows, request.ctx), "first": page(PATH, kept), "schema": "/v2/schemas/images"}
    if more and rows:
        body["next"] = page(PATH, [*kept, ("marker", rows[-1]["id"])])
    return Response(200, body)


def show_image(request: Request) -> Response:
    return Response(200, shown(actions.find_image(request.ctx, request.params["id"]), request.ctx))


def update_image(request: Request) -> Response:
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    if media not in PATCH_TYPES:
        raise UnsupportedMedia(f"The request media type {media} is not supported by this server.", media=media)
    body = json_of(request)
    if not isinstance(body, list):
        raise BadRequest("Request body must be a JSON array of operation objects.")
    changes = [_change(each, PATCH_TYPES[media]) for each in body]
    return Response(200, shown(actions.update_image(request.ctx, request.params["id"], changes), request.ctx))


def _change(given: Any, draft: int) -> Change:
    """One operation in either form: `{"op": "replace", "path": "/name", "value": v}`, or `{"replace": "/name", "value": v}` (draft 4)."""
    if not isinstance(given, dict):
        raise BadRequest("Operations must be JSON objects.")
    if draft == 4:
        found = [name for name in ("replace", "add", "remove") if name in given]
        if len(found) != 1:
            raise BadRequest('Operation objects must contain exactly one member named "add", "remove", or "replace".')
        op, pointer = found[0], given[found[0]]
    else:
        for name in ("op", "path"):
            if name not in given:
                raise BadRequest(f"Unable to find '{name}' in JSON Schema change")
        op, pointer = given["op"], given["path"]
    if op not in OPS:
        raise BadRequest(f"Invalid operation: `{op}`. It must be one of the following: add, remove, replace.")
    if op != "remove" and "value" not in given:
        raise BadRequest(f'Operation "{op}" requires a member named "value".')
    return Change(OPS[op], _name_in(pointer), given.get("value"), strict=draft == 4)


def _name_in(pointer: Any) -> str:
    """The one token of a JSON pointer: an image has no deeper parts that may be changed."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise BadRequest(f'Pointer `{pointer}` does not start with "/".')
    if "//" in pointer or (len(pointer) > 1 and pointer.endswith("/")) or pointer == "/":
        raise BadRequest(f'Pointer `{pointer}` contains adjacent "/" or ends with one.')
    if re.search("~[^01]", pointer) or pointer.endswith("~"):
        raise BadRequest(f'Pointer `{pointer}` contains "~" not part of a recognized escape sequence.')
    first, *deeper = (part.replace("~1", "/").replace("~0", "~").strip() for part in pointer[1:].split("/"))
    if deeper and first != "locations":
        raise BadRequest(f"Invalid JSON pointer for this resource: '{pointer}'")
    return first


def delete_image(request: Request) -> Response:
    actions.delete_image(request.ctx, request.params["id"])
    return done()


def deactivate_image(request: Request) -> Response:
    actions.deactivate_image(request.ctx, request.params["id"])
    return done()


def reactivate_image(request: Request) -> Response:
    actions.reactivate_image(request.ctx, request.params["id"])
    return done()


def add_tag(request: Request) -> Response:
    actions.add_tag(request.ctx, request.params["id"], request.params["tag"])
    return done()


def remove_tag(request: Request) -> Response:
    actions.remove_tag(request.ctx, request.params["id"], request.params["tag"])
    return done()


ROUTES = [
    Route("POST", PATH, create_image),
    Route("GET", PATH, list_images),
    Route("GET", ONE, show_image),
    Route("PATCH", ONE, update_image),
    Route("DELETE", ONE, delete_image),
    Route("POST", ONE + "/actions/deactivate", deactivate_image),
    Route("POST", ONE + "/actions/reactivate", reactivate_image),
    Route("PUT", ONE + "/tags/{tag}", add_tag),
    Route("DELETE", ONE + "/tags/{tag}", remove_tag),
]
