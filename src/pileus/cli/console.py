"""`pileus console`: what a server has said on its console."""

from __future__ import annotations

import click

from pileus.cli import http, server
from pileus.cli.cloud import Cloud


@click.group()
def console() -> None:
    """A server's console."""


@console.command(
    epilog="""\b
Example:
  pileus console log first --lines 20"""
)
@click.option("--lines", type=click.IntRange(1), help="Only the last so many.  [default: all]")
@click.argument("name", metavar="SERVER")
def log(lines: int | None, name: str) -> None:
    """Print what SERVER (a name or an id) has written to its serial console since it was started."""
    cloud = Cloud.of_environment()
    client = http.Client(cloud.running().endpoint, cloud.password())
    found = server.find(client, name)
    wish = {"os-getConsoleOutput": {"length": lines} if lines else {}}
    click.echo(client.post(f"/compute/v2.1/servers/{found['id']}/action", wish)["output"], nl=False)
