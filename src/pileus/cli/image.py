"""`pileus image`: build guest images and hand them to the cloud's image service, as any client could."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pileus.cli import http
from pileus.cli.cloud import Cloud
from pileus.cli.progress import Progress
from pileus.errors import HostError

VERSION = "pileus_version"  # the property that says what an image was made from
PIECE = 1 << 20  # bytes of an upload between two words of progress


@click.group()
def image() -> None:
    """Guest images."""


@image.command(
    epilog="""\b
Examples:
  pileus image build micro
  pileus image build micro --packages python3,curl --name micro-python"""
)
@click.argument("recipe", type=click.Choice(["micro"]))
@click.option("--packages", default="", help="Debian packages to add, with commas between them.")
@click.option("--name", help="What the image is called in the cloud.  [default: the recipe's name]")
@click.option("--no-register", is_flag=True, help="Only build it, into the cache.")
def build(recipe: str, packages: str, name: str | None, no_register: bool) -> None:
    """Build a guest image from Debian packages (downloaded and unpacked, never installed) and add it to the cloud, for all projects.

    What is in the cache already is not built again, and what the cloud has already is not added again.
    """
    from pileus.guest.build import build_micro

    cloud = Cloud.of_environment()
    client = None if no_register else http.Client(cloud.running().endpoint, cloud.password())
    progress = Progress()
    progress("look", 0)
    try:
        built = build_micro(cloud.paths.cache, [one for one in packages.split(",") if one], progress)
    finally:
        progress.finish()
    if client is None:
        for file in (built.disk, built.kernel, built.initrd):
            click.echo(file)
        return
    name = name or recipe
    parts = {VERSION: built.version}
    try:
        kernel = _ensure(client, f"{name}-kernel", built.kernel, progress, disk_format="aki", container_format="aki", **parts)
        initrd = _ensure(client, f"{name}-ramdisk", built.initrd, progress, disk_format="ari", container_format="ari", **parts)
        parts |= {"kernel_id": kernel, "ramdisk_id": initrd, "os_command_line": built.cmdline, "os_admin_user": "cirros"}
        disk = _ensure(client, name, built.disk, progress, disk_format="qcow2", container_format="bare", **parts)
    finally:
        progress.finish()
    click.echo(f"{name}  {disk}")


def _ensure(client: http.Client, name: str, file: Path, progress: Callable[[str, float], None], **properties: Any) -> str:
    """The id of the image `name` with this content, uploaded unless it is there. An older one of that name gets out of its way."""
    for there in client.get(f"/image/v2/images?name={name}&limit=100")["images"]:
        if all(there.get(key) == value for key, value in properties.items()):
            if there["status"] == "active":
                return str(there["id"])
            client.call("DELETE", f"/image/v2/images/{there['id']}")  # an upload that was broken off
        elif VERSION in there:
            patch = [{"op": "replace", "path": "/name", "value": f"{name}-{there[VERSION][:8]}"}]
            client.call(
                "PATCH",
                f"/image/v2/images/{there['id']}",
                data=http.encoded(patch),
                headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
            )
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
