"""An image's bytes: uploads, staging and downloads."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pileus.errors import BadMethod, Fault, UnsupportedMedia
from pileus.image import actions
from pileus.image.api.read import done
from pileus.image.live import Files
from pileus.kit.web import Request, Response, Route

FILE, STAGE = "/v2/images/{id}/file", "/v2/images/{id}/stage"
RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


def _takes(take: Callable[..., Awaitable[None]]) -> Callable[[Request], Any]:
    """A handler that streams a body into `take`."""

    async def handle(request: Request) -> Response:
        media = request.headers.get("content-type", "")
        if media != "application/octet-stream":
            raise UnsupportedMedia(f"The request media type {media} is not supported by this server.", media=media)
        length = request.headers.get("content-length")
        assert request.stream is not None
        await take(request.ctx, request.params["id"], request.stream, int(length) if length and length.isdigit() else None)
        return done()

    return handle


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


def routes(files: Files) -> list[Route]:
    return [
        Route("PUT", FILE, _takes(files.upload), streams=True, doc="Take an image's data."),
        Route("GET", FILE, downloads(files)),
        Route("HEAD", FILE, no_head),
        Route("PUT", STAGE, _takes(files.stage), streams=True, doc="Keep data for an import that is asked for next."),
    ]
