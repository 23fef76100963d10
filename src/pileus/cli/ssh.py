"""`pileus ssh`: the ssh of this machine, run on the outside host (or on the server's own network when it has no floating IP)."""

from __future__ import annotations

import click

from pileus.cli import http, server
from pileus.cli.cloud import Cloud, tell
from pileus.cli.exec import on_network


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""\b
Examples:
  pileus ssh first
  pileus ssh first -- -i first.pem uptime""",
)
@click.option("-l", "--login", default="cirros", show_default=True, help="The user on the server.")
@click.argument("name", metavar="SERVER")
@click.argument("rest", nargs=-1, type=click.UNPROCESSED, metavar="[-- SSH OPTIONS AND COMMAND]")
def ssh(login: str, name: str, rest: tuple[str, ...]) -> int:
    """Log in to SERVER (a name or an id), by its floating IP or, without one, its fixed address.

    Host keys are not checked: a server made anew has new ones at an old address.
    """
    cloud = Cloud.of_environment()
    client = http.Client(cloud.running().endpoint, cloud.password())
    found = server.find(client, name)
    address = server.reach(client, found)
    if found["status"] != "ACTIVE":
        tell(f"Server {found['name']} is {found['status']}")
    options = [part for key in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR") for part in ("-o", key)]
    arguments = list(rest[1:] if rest[:1] == ("--",) else rest)
    own, command = _split(arguments)
    return on_network(cloud, ["ssh", *options, *own, f"{login}@{address.ip}", *command], address.netns)


# options of ssh(1) that have an argument
WITH_ARGUMENT = frozenset("BbcDEeFIiJLlmOoPpQRSWw")


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """ssh's own options, and the command that follows: the address goes between them."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-") and arguments[at] != "--":
        letters = arguments[at][1:]
        taking = next((place for place, letter in enumerate(letters) if letter in WITH_ARGUMENT), None)
        at += 2 if taking == len(letters) - 1 else 1  # its argument is the next word, or the rest of this one
    return arguments[:at], arguments[at:]
