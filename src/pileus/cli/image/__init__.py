"""`pileus image`: build guest images or fetch those of the distributions, and hand them to the cloud, as any client could."""

from __future__ import annotations

import click

from pileus.cli import http
from pileus.cli.cloud import Cloud
from pileus.cli.image.pull import pull
from pileus.cli.image.upload import VERSION, ensure
from pileus.cli.progress import Progress


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
        kernel = ensure(client, f"{name}-kernel", built.kernel, progress, disk_format="aki", container_format="aki", **parts)
        initrd = ensure(client, f"{name}-ramdisk", built.initrd, progress, disk_format="ari", container_format="ari", **parts)
        parts |= {"kernel_id": kernel, "ramdisk_id": initrd, "os_command_line": built.cmdline, "os_admin_user": "cirros"}
        disk = ensure(client, name, built.disk, progress, disk_format="qcow2", container_format="bare", **parts)
    finally:
        progress.finish()
    click.echo(f"{name}  {disk}")


image.add_command(pull)
