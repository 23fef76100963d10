"""`pileus lab`: list labs, run one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click

from pileus.config import Paths
from pileus.errors import HostError
from pileus.lab import text
from pileus.lab.run import Runner


def tell(line: str) -> None:
    click.echo(line, err=True)


@click.group()
def lab() -> None:
    """Exercises whose text can be carried out and checked."""


@lab.command("list")
def list_labs() -> None:
    """The labs there are."""
    for name in text.names():
        click.echo(f"{name}\t{text.find(name).title}")


@lab.command()
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the lab's files and keys go.  [default: in the data folder]")
def run(name: str, folder: Path | None) -> None:
    """Carry out a lab: start the cloud, run every command of its text, and check what comes of it.

    A lab that was broken off goes on where it stood. The cloud is left up.

    \b
    Example:
      pileus lab run calculator
    """
    found = text.find(name)
    began = time.monotonic()
    tell(f"{found.title}\n")
    _pileus("up")
    tell(f"{time.monotonic() - began:7.1f} s  cloud: up")
    paths = Paths.resolve()
    runner = Runner(found, folder or paths.data / "labs" / found.name, tell, _environment(), began)
    try:
        passed = runner.run()
    except HostError as error:
        again = _shown(f"lab run {shlex.quote(name)}")
        raise HostError(f"{error}\nThe cloud is left as it is ({_shown('status')}). The lab goes on from here: {again}") from error
    tell(f"\n{passed} checks passed in {time.monotonic() - began:.0f} s. The cloud is up, and the lab is in it:")
    tell(f'  eval "$({_shown("env")})"      then any openstack command, e.g. openstack server list')
    tell("  " + _shown('exec curl -d "2*(3+4)" -X POST http://192.168.37.10:80'))
    tell(f"  {_shown('down')}               stop it (a power cut for the servers; `up` brings them back)")
    tell(f"  {_shown('destroy --yes')}      remove it with all its data")


def _shown(words: str) -> str:
    """A pileus command line as the user would type it here."""
    command = sys.argv[0] if not sys.argv[0].endswith("__main__.py") else "pileus"
    home = os.environ.get("PILEUS_HOME")
    return f"{f'PILEUS_HOME={shlex.quote(home)} ' if home else ''}{command} {words}"


def _pileus(*words: str) -> None:
    """Run the command line as a process of its own. Raises HostError."""
    done = subprocess.run([sys.executable, "-m", "pileus", *words], check=False, stdout=sys.stderr)
    if done.returncode:
        raise HostError(f"`pileus {' '.join(words)}` ended with status {done.returncode}")


def _environment() -> dict[str, str]:
    """The variables that make a client use this cloud, as `pileus env` prints them."""
    printed = subprocess.run([sys.executable, "-m", "pileus", "env"], check=True, stdout=subprocess.PIPE, text=True).stdout
    pairs = (word for line in printed.splitlines() for word in shlex.split(line.removeprefix("export "), comments=True))
    return dict(word.partition("=")[::2] for word in pairs if "=" in word)
