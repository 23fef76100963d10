"""An image in the cloud with a certain content: found, or uploaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pileus.cli import http
from pileus.errors import HostError

VERSION = "pileus_version"  # the property that says what an image was made from
PATCH = "application/openstack-images-v2.1-json-patch"
PIECE = 1 << 20  # bytes of an upload between two words of progress


def present(client: http.Client, name: str, properties: Mapping[str, Any]) -> str | None:
    """The id of an active image of that name with these properties."""
    for there in _called(client, name):
        if there["status"] == "active" and _has(there, properties):
            return str(there["id"])
    return None


def ensure(client: http.Client, name: str, file: Path, progress: Callable[[str, float], None], **properties: Any) -> str:
    """The id of the image `name` with this content, uploaded unless it is there. An older one of that name gets out of its way."""
    if found := present(client, name, properties):
        return found
    for there in _called(client, name):
        if _has(there, properties):
            client.call("DELETE", f"/image/v2/images/{there['id']}")  # an upload that was broken off
        elif VERSION in there:
            patch = [{"op": "replace", "path": "/name", "value": f"{name}-{there[VERSION][:8]}"}]
            client.call("PATCH", f"/image/v2/images/{there['id']}", data=http.encoded(patch), headers={"Content-Type": PATCH})
    made = client.post("/image/v2/images", {"name": name, "visibility": "public", **properties})
    path = f"/image/v2/images/{made['id']}"
    with file.open("rb") as content:
        size = file.stat().st_size

        def read(count: int = PIECE) -> bytes:
            progress(f"upload {name}", content.tell() / size)
            return content.read(count)

        client.call("PUT", f"{path}/file", data=iter(read, b""), headers={"Content-Length": str(size)})
    shown = client.get(path)
    if shown["status"] != "active":
        raise HostError(f"image {name} was uploaded and is {shown['status']}, not active: look at `openstack image show {made['id']}`")
    return str(made["id"])


def _called(client: http.Client, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/image/v2/images?{urlencode({'name': name, 'limit': 100})}")["images"]
    return found


def _has(image: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    return all(image.get(key) == value for key, value in properties.items())
