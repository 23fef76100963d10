"""Glance's v2 routes, and the handlers of odd shape. Source: https://docs.openstack.org/api-ref/image/v2/"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

from pileus.errors import BadMethod, BadRequest, Fault, NotFound, UnsupportedMedia
from pileus.image import actions
from pileus.image.actions.patch import Change
from pileus.image.live import Files
from pileus.image.query import listing_of
from pileus.image.resources import IMAGE, MEMBER, READ_ONLY, SCHEMAS, listed, read_only, shown
from pileus.kit.context import Cloud
from pileus.kit.web import Dialect, Request, Response, Route
from pileus.openstack import fault
from pileus.openstack.front import Authenticate
from pileus.openstack.front import dialect as openstack_dialect

VERSIONS = ("v2.15", "v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
IMPORT_METHODS: tuple[str, ...] = ()
HTML = "text/html; charset=UTF-8"  # what webob says of an empty answer
PATCH_TYPES = {"application/openstack-images-v2.1-json-patch": 10, "application/openstack-images-v2.0-json-patch": 4}
OPS: dict[str, Literal["add", "replace", "remove"]] = {"add": "add", "replace": "replace", "remove": "remove"}
RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


def done() -> Response:
    """204, as webob sends it."""
    return Response(204, None, {"Content-Type": HTML})


# -- discovery and schemas ---------------------------------------------------------------------------------------------------


def _versions(request: Request) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{request.root}/v2/"}]
    return {"versions": [{"id": id, "status": "SUPPORTED" if i else "CURRENT", "links": links} for i, id in enumerate(VERSIONS)]}


def choose_version(request: Request) -> Response:
    return Response(300, _versions(request))


def list_versions(request: Request) -> Response:
    return Response(200, _versions(request))


def show_schema(request: Request) -> Response:
    schema = SCHEMAS.get(request.params["name"])
    if schema is None:
        raise NotFound("The resource could not be found.")
    return Response(200, schema)


def show_import(request: Request) -> Response:
    methods = {"description": "Import methods available.", "type": "array", "value": list(IMPORT_METHODS)}
    return Response(200, {"import-methods": methods})


def show_stores(request: Request) -> Response:
    raise NotFound("Multi backend is not supported at this site.")


# -- images ------------------------------------------------------------------------------------------------------------------


def _json(request: Request) -> Any:
    try:
        return request.json()
    except ValueError as error:
        raise BadRequest(f"Malformed JSON in request body: {error}") from None


def create_image(request: Request) -> Response:
    body = _json(request) if request.body else {}
    if not isinstance(body, dict):
        raise IMAGE.words.no_object("image", body)
    if fixed := [name for name in body if name in READ_ONLY]:
        raise read_only(fixed)
    row = actions.create_image(request.ctx, IMAGE.decode_object(body, "create", request.ctx))
    headers = {"Location": f"{request.root}/v2/images/{row['id']}", "OpenStack-image-import-methods": ",".join(IMPORT_METHODS)}
    return Response(201, shown(row, request.ctx), headers)


def list_images(request: Request) -> Response:
    listing = listing_of(request.ctx, request.pairs)
    rows, more = actions.list_images(request.ctx, listing)
    kept = [pair for pair in request.pairs if pair[0] != "marker"]
    body = {"images": listed(rows, request.ctx), "first": _page(kept), "schema": "/v2/schemas/images"}
    if more and rows:
        body["next"] = _page([*kept, ("marker", rows[-1]["id"])])
    return Response(200, body)


def _page(pairs: Sequence[tuple[str, str]]) -> str:
    return f"/v2/images?{urlencode(pairs)}" if pairs else "/v2/images"


def show_image(request: Request) -> Response:
    return Response(200, shown(actions.find_image(request.ctx, request.params["id"]), request.ctx))


def update_image(request: Request) -> Response:
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    if media not in PATCH_TYPES:
        raise UnsupportedMedia(f"The request media type {media} is not supported by this server.", media=media)
    body = _json(request)
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


# -- members -----------------------------------------------------------------------------------------------------------------


def _part_of_body(request: Request, name: str) -> Any:
    body = _json(request)
    if not isinstance(body, dict):
        raise BadRequest(f'Expected a "{name}" in the body')
    return body.get(name)


def add_member(request: Request) -> Response:
    row = actions.add_member(request.ctx, request.params["id"], _part_of_body(request, "member"))
    return Response(200, MEMBER.view(row, request.ctx))


def list_members(request: Request) -> Response:
    rows = actions.list_members(request.ctx, request.params["id"])
    return Response(200, {"members": MEMBER.views(rows, request.ctx), "schema": "/v2/schemas/members"})


def show_member(request: Request) -> Response:
    row = actions.find_member(request.ctx, request.params["id"], request.params["member"])
    return Response(200, MEMBER.view(row, request.ctx))


def update_member(request: Request) -> Response:
    status = _part_of_body(request, "status")
    row = actions.update_member(request.ctx, request.params["id"], request.params["member"], status)
    return Response(200, MEMBER.view(row, request.ctx))


def remove_member(request: Request) -> Response:
    actions.remove_member(request.ctx, request.params["id"], request.params["member"])
    return done()


# -- data --------------------------------------------------------------------------------------------------------------------


def uploads(files: Files) -> Callable[[Request], Any]:
    async def upload(request: Request) -> Response:
        """Take an image's data."""
        media = request.headers.get("content-type", "")
        if media != "application/octet-stream":
            raise UnsupportedMedia(f"The request media type {media} is not supported by this server.", media=media)
        length = request.headers.get("content-length")
        assert request.stream is not None
        await files.upload(request.ctx, request.params["id"], request.stream, int(length) if length and length.isdigit() else None)
        return done()

    return upload


def downloads(files: Files) -> Callable[[Request], Any]:
    async def download(request: Request) -> Response:
        """Hand out an image's data, or a part of it."""
        row = actions.check_download(request.ctx, request.params["id"])
        if row is None:
            return Response(204)
        first, last = _range(request.headers.get("range"), row["size"])
        whole = last - first + 1 == row["size"]
        headers = {"Content-Length": str(last - first + 1)}
        if whole and row["checksum"]:
            headers["Content-MD5"] = row["checksum"]
        if not whole:
            headers["Content-Range"] = f"bytes {first}-{last}/{row['size']}"
        stream: AsyncIterator[bytes] = files.download(row, first, last)
        return Response(200 if whole else 206, None, headers, "application/octet-stream", stream)

    return download


def _range(text: str | None, size: int) -> tuple[int, int]:
    """The first and last byte that a Range header asks for; all of them without one. Several ranges at once are not served."""
    if not text or not size:
        return 0, size - 1
    match = RANGE.match(text.strip())
    if match is None or match.groups() == ("", ""):
        raise _Unsatisfiable(f"Invalid range for image of size {size}: {text}")
    first, last = match.groups()
    if not first and int(last):
        return max(size - int(last), 0), size - 1
    if not first or int(first) >= size or (last and int(last) < int(first)):
        raise _Unsatisfiable(f"Invalid range for image of size {size}: {text}")
    return int(first), min(int(last), size - 1) if last else size - 1


class _Unsatisfiable(Fault):
    status = 416


def no_head(request: Request) -> Response:
    """Glance has no HEAD here, though it has GET."""
    raise BadMethod("", allow=["GET", "PUT"])


# -- the table ---------------------------------------------------------------------------------------------------------------

ONE = "/v2/images/{id}"
ROUTES = [
    Route("GET", "/", choose_version, open=True),
    Route("GET", "/versions", list_versions, open=True),
    Route("GET", "/v2/schemas/{name}", show_schema),
    Route("GET", "/v2/info/import", show_import),
    Route("GET", "/v2/info/stores", show_stores),
    Route("GET", "/v2/info/stores/detail", show_stores),
    Route("POST", "/v2/images", create_image),
    Route("GET", "/v2/images", list_images),
    Route("GET", ONE, show_image),
    Route("PATCH", ONE, update_image),
    Route("DELETE", ONE, delete_image),
    Route("HEAD", ONE + "/file", no_head),
    Route("POST", ONE + "/actions/deactivate", deactivate_image),
    Route("POST", ONE + "/actions/reactivate", reactivate_image),
    Route("PUT", ONE + "/tags/{tag}", add_tag),
    Route("DELETE", ONE + "/tags/{tag}", remove_tag),
    Route("POST", ONE + "/members", add_member),
    Route("GET", ONE + "/members", list_members),
    Route("GET", ONE + "/members/{member}", show_member),
    Route("PUT", ONE + "/members/{member}", update_member),
    Route("DELETE", ONE + "/members/{member}", remove_member),
]


def routes(files: Files) -> list[Route]:
    """All routes; those that carry an image's data need the files."""
    data = [Route("PUT", ONE + "/file", uploads(files), streams=True), Route("GET", ONE + "/file", downloads(files))]
    return [*ROUTES, *data]


def render(error: Fault, request: Request) -> Response:
    """Glance's errors; a refused method and a refused media type are worded by its framework."""
    if isinstance(error, BadMethod):
        return Response(405, b"", {"Allow": ", ".join(error.extra.get("allow", ()))}, HTML)
    answer = fault.glance(error, request)
    if "media" in error.extra:
        answer.body["message"] = f"{error.message}\n<br /><br />\n"
    return answer


def dialect(cloud: Cloud, authenticate: Authenticate, files: Files) -> Dialect:
    return openstack_dialect("image", routes(files), cloud, authenticate, render)
