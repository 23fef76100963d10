"""`pileus env` and `pileus openrc`: how a shell, and what is started from it, comes to use this cloud."""

from __future__ import annotations

import os
import shlex

import click

from pileus.cli import clouds_yaml
from pileus.cli.cloud import Cloud


def _export(name: str, value: str) -> None:
    click.echo(f"export {name}={shlex.quote(value)}")


@click.command(
    epilog="""\b
Example:
  eval "$(pileus env)" && openstack server list
With several clouds (PILEUS_HOME), each shell uses the one whose lines it has read."""
)
def env() -> None:
    """Print the lines that make a shell use this cloud."""
    cloud = Cloud.of_environment()
    clouds, secure = clouds_yaml.files(cloud)
    if os.environ.get("PILEUS_HOME"):
        _export("PILEUS_HOME", cloud.home)
        _export("OS_CLIENT_CONFIG_FILE", str(clouds))
        _export("OS_CLIENT_SECURE_FILE", str(secure))
    _export("OS_CLOUD", clouds_yaml.NAME)


@click.command()
def openrc() -> None:
    """Print an openrc file, for clients that read no clouds.yaml. The password is not in it: it is read from its file."""
    cloud = Cloud.of_environment()
    control = cloud.running()
    click.echo("unset OS_CLOUD OS_TOKEN OS_SYSTEM_SCOPE OS_DOMAIN_NAME OS_TRUST_ID")
    for name, value in {
        "OS_AUTH_URL": f"{control.endpoint}/identity/v3",
        "OS_USERNAME": "admin",
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_REGION_NAME": cloud.settings.region,
        "OS_IDENTITY_API_VERSION": "3",
        "OS_INTERFACE": "public",
    }.items():
        _export(name, value)
    click.echo(f'export OS_PASSWORD="$(cat {shlex.quote(str(cloud.paths.password_file))})"')
