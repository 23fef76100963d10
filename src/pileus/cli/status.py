"""`pileus status`: what of this cloud runs now. It asks processes and locks, not the APIs, so it answers when they do not."""

from __future__ import annotations

import click

from pileus import __version__
from pileus.cli import output
from pileus.cli.cloud import Cloud


@click.command(
    epilog="""\b
state is one of
  up        the APIs answer at `endpoint`
  starting  the control plane runs and does not answer yet
  crashed   the control plane is gone, guests may live on: `pileus up` takes them over
  down      nothing runs"""
)
@output.formatted
def status(format: str, columns: tuple[str, ...]) -> None:
    """What runs, and where it answers."""
    cloud = Cloud.of_environment()
    control = cloud.control()
    facts = {
        "state": cloud.state(),
        "endpoint": (control.endpoint or None) if control else None,
        "pids": {"control": control.pid if control else None, "datacenter": cloud.holder()},
        "drivers": control.drivers if control else cloud.remembered().get("drivers", cloud.settings.drivers),
        "home": cloud.home,
        "version": control.version if control else __version__,
    }
    output.show(facts, format, columns)
