"""`pileus down` and `pileus destroy`: stop the control plane first (it would rebuild what goes), then the datacenter, then clean up."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from pileus.cli import clouds_yaml, http
from pileus.cli.cloud import Cloud, tell
from pileus.drivers.datacenter import outbound
from pileus.drivers.datacenter import start as datacenter
from pileus.drivers.datacenter.process import end
from pileus.errors import HostError, PileusError

STOP_SECONDS = 10.0  # that the control plane has to finish its answers
GUEST_SECONDS = 60  # that guests have to power off


@click.command(
    epilog="""\b
Examples:
  pileus down                a power cut for guests: `pileus up` boots them again
  pileus down --graceful     guests are asked to power off first, and stay off"""
)
@click.option("--graceful", is_flag=True, help="Ask the guests to power off first. They stay off until they are started.")
@click.option("--timeout", type=click.IntRange(1), default=GUEST_SECONDS, show_default=True, help="Seconds that guests have for it.")
def down(graceful: bool, timeout: int) -> None:
    """Stop the cloud. Its data stays; processes, networks, mounts and sockets go."""
    cloud = Cloud.of_environment()
    if not cloud.paths.run.exists():
        click.echo("Pileus is down")
        return
    with cloud.commanding():
        if graceful:
            _power_off(cloud, timeout)
        _stop(cloud)
    click.echo("Pileus is down")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(yes: bool) -> None:
    """Stop the cloud and delete all its data: servers, images, networks, users. The settings and the image cache stay."""
    cloud = Cloud.of_environment()
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("this deletes all data of the cloud: say --yes")
        click.confirm(f"Delete all data of the cloud in {cloud.home}?", abort=True)
    with cloud.commanding():
        _stop(cloud)
        clouds_yaml.remove(cloud)
        _delete(cloud)
    for folder in (cloud.paths.config, cloud.paths.config.parent):  # the second: PILEUS_HOME itself
        with contextlib.suppress(OSError):  # something of the user's is in it
            folder.rmdir()
    click.echo("Pileus is down, and its data is gone")


def _stop(cloud: Cloud) -> None:
    if (control := cloud.control()) and not end(control.pid, (signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        raise HostError(f"the control plane, process {control.pid}, does not end")
    datacenter.stop(cloud.paths)
    outbound.stop(cloud.paths)
    for file in cloud.paths.data.glob("servers/*/*"):
        if file.is_socket():  # of a guest that is no more
            file.unlink()
    for file in cloud.paths.run.iterdir():
        if file.name != "command.lock":  # ours; it goes when the command is done
            file.unlink() if not file.is_dir() or file.is_symlink() else shutil.rmtree(file)


def _delete(cloud: Cloud) -> None:
    try:
        _delete_folders(cloud)
    except PermissionError:  # a crash left folders with files of guests' uids: only from inside can they be given back
        datacenter.start(cloud.paths)
        datacenter.stop(cloud.paths)
        _delete_folders(cloud)


def _delete_folders(cloud: Cloud) -> None:
    for folder in (cloud.paths.data, cloud.paths.state):
        for entry in folder.iterdir() if folder.exists() else ():
            if entry != cloud.paths.run:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        with contextlib.suppress(OSError):  # state may hold run
            folder.rmdir()


def _power_off(cloud: Cloud, timeout: int) -> None:
    """Ask every guest that runs to power off, and wait. What does not gets the power cut."""
    control = cloud.control()
    if control is None or not control.endpoint:
        tell("The control plane does not run, so guests cannot be asked: they get a power cut")
        return
    client = http.Client(control.endpoint, cloud.password())

    def alive() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get("/compute/v2.1/servers/detail?all_tenants=1&status=ACTIVE")["servers"]
        return found

    try:
        _ask(client, alive, timeout)
    except (PileusError, TimeoutError) as error:
        tell(f"Guests could not be asked: {error}")


def _ask(client: http.Client, alive: Callable[[], list[dict[str, Any]]], timeout: int) -> None:
    servers = alive()
    for server in servers:
        tell(f"Powering off {server['name']}")
        client.post(f"/compute/v2.1/servers/{server['id']}/action", {"os-stop": None})
    until = time.monotonic() + timeout
    while servers and (servers := alive()) and time.monotonic() < until:
        time.sleep(0.2)
    for server in servers:
        tell(f"{server['name']} did not power off within {timeout} s")
