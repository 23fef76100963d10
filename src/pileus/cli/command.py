"""The root of the `pileus` command: which command is in which module, and what an error becomes (one line, one exit status).

Modules are imported when their command is asked for. Exit status: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict, 5 not
authenticated or not allowed, 6 `why` has found what stops a packet, 124 timeout.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import Any

import click

from pileus import __version__
from pileus.errors import Conflict, Forbidden, NotFound, PileusError, SettingError, Unauthorized

# command -> (module, its short help): the help is here so that `pileus --help` need not import them all
COMMANDS = {
    "up": ("up", "Start the cloud; returns when its APIs answer."),
    "down": ("down", "Stop the cloud: a power cut for its guests. Data stays."),
    "destroy": ("down", "Stop the cloud and delete all its data."),
    "status": ("status", "What runs, and where it answers."),
    "doctor": ("doctor", "Look at this machine: what is missing, and what to do."),
    "env": ("env", "Print the lines that make a shell use this cloud."),
    "openrc": ("env", "Print an openrc file for clients that read no clouds.yaml."),
    "exec": ("exec", "Run a command on the outside host, the student's own computer in the cloud."),
    "ssh": ("ssh", "Log in to a server."),
    "console": ("console", "A server's console."),
    "why": ("why", "Why a packet does not arrive, and what mends it."),
    "mend": ("why", "Build anew what somebody's hand has changed on the host."),
    "image": ("image", "Guest images."),
    "lab": ("lab", "Exercises with checks."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if self._module(name)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        module = self._module(name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(module), name if name != "exec" else "run")
        return command

    def _module(self, name: str) -> str | None:
        if name not in COMMANDS:
            return None
        return "pileus.lab.command" if name == "lab" else f"pileus.cli.{COMMANDS[name][0]}"

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  pileus doctor                        what this machine lacks
  pileus up                            start; then: export OS_CLOUD=pileus
  openstack server list
  pileus exec curl http://192.168.37.10
  pileus down

PILEUS_HOME moves everything of a cloud below one folder, so that several run side by side.""",
)
@click.version_option(__version__, prog_name="pileus")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def root(debug: bool) -> None:
    """A real private cloud on this machine: OpenStack's APIs over real guests and real networks."""


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        result: Any = root.main(prog_name="pileus", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        click.echo("pileus: stopped", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more when it flushes
        return 1
    except (PileusError, TimeoutError, OSError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        click.echo(f"pileus: {error}", err=True)
        return exit_status(error)


def exit_status(error: Exception) -> int:
    """The exit status that stands for an error."""
    kinds: list[tuple[type[Exception], int]] = [
        (SettingError, 2),
        (NotFound, 3),
        (Conflict, 4),
        (Unauthorized, 5),
        (Forbidden, 5),
        (TimeoutError, 124),
    ]
    return next((status for kind, status in kinds if isinstance(error, kind)), 1)
