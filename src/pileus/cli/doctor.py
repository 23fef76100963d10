"""`pileus doctor`: what this machine lacks for a cloud of real guests, and what to do about it."""

from __future__ import annotations

import json

import click

from pileus.cli.cloud import Cloud

MARKS = {"ok": "ok", "limited": "less", "missing": "MISSING"}


@click.command(
    epilog="""\b
Verdicts: ok; less (something is slower or not there, guests run all the same); MISSING (no guests without it).
Exit status 1 when something is missing. `pileus up --drivers fake` needs none of this."""
)
@click.option("-f", "--format", "format", type=click.Choice(["table", "json"]), default="table", show_default=True)
def doctor(format: str) -> int:
    """Look at this machine: what is missing, and what to do."""
    from pileus.cli.probe import all_findings

    findings = all_findings(Cloud.of_environment())
    if format == "json":
        click.echo(json.dumps([one._asdict() for one in findings], indent=2))
    else:
        width = max(len(one.probe) for one in findings)
        for one in findings:
            click.echo(f"{MARKS[one.verdict]:<8}{one.probe:<{width}}  {one.detail}")
            if one.advice:
                click.echo(f"{'':<{width + 8}}  -> {one.advice}")
    return 1 if any(one.verdict == "missing" for one in findings) else 0
