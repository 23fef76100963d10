"""`pileus exec`: run a command on the outside host, which stands for the student's own computer on the cloud's public network."""

from __future__ import annotations

import os

import click

from pileus.cli.cloud import Cloud
from pileus.drivers.datacenter import outbound, student
from pileus.errors import Conflict


@click.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""\b
Examples:
  pileus exec curl http://192.168.37.10
  pileus exec -- ping -c 1 192.168.37.10
  pileus exec                 a shell""",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> int:
    """Run COMMAND (or your shell) on the outside host: as yourself, in this folder, with this environment.

    The APIs answer there at the same address as here, and floating IPs too. Its exit status is passed on. It ends when the cloud does.
    """
    return on_network(Cloud.of_environment(), list(command) or [os.environ.get("SHELL") or "/bin/sh"])


def on_network(cloud: Cloud, argv: list[str], netns: str = student.OUTSIDE) -> int:
    """Run a command on one of the cloud's networks; returns its exit status. Raises Conflict when the cloud has none."""
    if os.environ.get(student.MARK):
        if netns != student.OUTSIDE:
            raise Conflict("this shell is on the outside host, from where only floating IPs can be reached")
        os.execvp(argv[0], argv)  # noqa: S606
    holder = cloud.holder()
    if holder is None:
        state = cloud.state()
        why = "runs on the fake drivers, which have no network" if state == "up" else f"is {state}: start it with `pileus up`"
        raise Conflict(f"this cloud ({cloud.home}) {why}")
    resolver = outbound.RESOLVER if outbound.running(cloud.paths) else None
    return student.run(holder, argv, netns=netns, resolver=resolver)
