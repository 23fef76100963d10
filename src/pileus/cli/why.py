"""`pileus why` and `pileus mend`: why a packet does not arrive, and building anew what somebody's hand has changed on the host."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import click

from pileus.cli import http
from pileus.cli.cloud import Cloud, tell

STOPPED = 6  # the exit status when something stops the packet
FORMATS = ("table", "json", "yaml", "csv", "value")
MARKS = {"ok": "ok", "stop": "XX", "differs": "!!", "unknown": "??"}
KINDS = ("network", "port", "router", "security-group", "wire")


@click.command(
    epilog="""\b
Examples:
  pileus why web db --tcp 5432         from server web to server db
  pileus why outside web --tcp 80      from your own computer, by web's floating IP
  pileus why web 8.8.8.8               a ping to the Internet
  pileus why web deb.debian.org        by name: whom web asks for it, and what is said
  pileus why 10.0.2.5 10.0.3.7 --udp 53 -f json

\b
Exit status: 0 the packet and its answer pass, as far as can be seen; 6 something stops them; else as of any pileus command.
Marks: ok passes, XX stops here, !! differs from what the cloud wants, ?? cannot be seen."""
)
@click.argument("source", metavar="SOURCE")
@click.argument("destination", metavar="DESTINATION")
@click.option("--tcp", type=click.IntRange(1, 65535), metavar="PORT", help="A connection to this TCP port.")
@click.option("--udp", type=click.IntRange(1, 65535), metavar="PORT", help="A datagram to this UDP port.")
@click.option("--icmp", is_flag=True, help="A ping, which it is anyway when no port is given.")
@click.option(
    "--size", type=click.IntRange(0, 65535), default=0, metavar="BYTES", help="How large the packet is; it may not be cut in pieces."
)
@click.option("-f", "--format", "format", type=click.Choice(FORMATS), default="table", show_default=True)
def why(source: str, destination: str, tcp: int | None, udp: int | None, icmp: bool, size: int, format: str) -> int:
    """Follow a packet from SOURCE to DESTINATION and its answer back; name the first thing that stops it, and the command that mends it.

    SOURCE and DESTINATION: a server (name or id), a port (id or name), an address, or `outside`, your own computer; DESTINATION also a
    name in DNS. The host itself is looked at, not only what the cloud has written down.
    """
    if sum(map(bool, (tcp, udp, icmp))) > 1:
        raise click.UsageError("one of --tcp, --udp and --icmp")
    cloud = Cloud.of_environment()
    client = http.Client(cloud.running().endpoint, cloud.password())
    wish = {"source": source, "destination": destination, "size": size, **({"tcp": tcp} if tcp else {}), **({"udp": udp} if udp else {})}
    found = client.post("/pileus/v1/traces", wish)["trace"]
    _show(found, format)
    return STOPPED if found["verdict"]["passes"] is False else 0


def _show(trace: dict[str, Any], format: str) -> None:
    if format == "json":
        click.echo(json.dumps(trace, indent=2))
    elif format == "yaml":
        _yaml(trace)
    elif format == "table":
        _table(trace)
    else:
        _rows(trace, csv.writer(sys.stdout, lineterminator="\n") if format == "csv" else None)


def _table(trace: dict[str, Any]) -> None:
    click.echo(f"{trace['source']} -> {trace['destination']}, {trace['packet']}")
    places = [f"{hop['place']} {hop['name']}".strip() for hop in trace["hops"]]
    width = max(map(len, places), default=0)
    way = "there"
    for hop, place in zip(trace["hops"], places, strict=True):
        if hop["way"] != way:
            click.echo("and back:")
            way = hop["way"]
        click.echo(f"  {MARKS[hop['mark']]}  {place:<{width}}  {hop['words']}")
    verdict = trace["verdict"]
    word = {True: "Passes", False: f"Stopped ({verdict['cause']})", None: "Passes as far as can be seen"}[verdict["passes"]]
    click.echo(f"{word}: {verdict['words']}")
    if verdict["mend"]:
        click.echo("To mend it:")
        for line in verdict["mend"]:
            click.echo(f"  {line}")


def _rows(trace: dict[str, Any], writer: Any) -> None:
    """One line each: hops, then the verdict, then the commands."""
    lines = [["way", "mark", "place", "name", "words"]] if writer else []
    lines += [[hop["way"], hop["mark"], hop["place"], hop["name"], hop["words"]] for hop in trace["hops"]]
    verdict = trace["verdict"]
    said = {True: "ok", False: "stop", None: "unknown"}[verdict["passes"]]
    lines.append(["verdict", said, verdict["cause"], "", verdict["words"]])
    lines += [["mend", "", "", "", line] for line in verdict["mend"]]
    for line in lines:
        if writer:
            writer.writerow(line)
        else:
            click.echo("\t".join(line))


def _yaml(value: Any, indent: int = 0) -> None:
    """Maps and lists as YAML's blocks; JSON's scalars are YAML's."""
    space = " " * indent
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            click.echo(f"{space}{name}:")
            _yaml(inner, indent + 2)
        elif isinstance(inner, list) and inner:
            click.echo(f"{space}{name}:")
            for item in inner:
                fields = item.items() if isinstance(item, dict) else [("", item)]
                for place, (key, field) in enumerate(fields):
                    head = f"{space}- " if place == 0 else f"{space}  "
                    click.echo(f"{head}{f'{key}: ' if key else ''}{json.dumps(field)}")
        else:
            click.echo(f"{space}{name}: {json.dumps(inner)}")


@click.command(
    epilog="""\b
Examples:
  pileus mend port 1c5b6b2e-...      as `pileus why` prints it
  pileus mend wire                   the public network's wire"""
)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("id", required=False)
def mend(kind: str, id: str | None) -> int:
    """Compare an object with the host thoroughly, and have what differs built anew: for what was changed by hand, outside the APIs."""
    if (id is None) != (kind == "wire"):
        raise click.UsageError("the wire has no id; anything else needs one")
    cloud = Cloud.of_environment()
    client = http.Client(cloud.running().endpoint, cloud.password())
    told = client.post("/pileus/v1/mends", {"kind": kind, "id": id})["mend"]
    for words in told["found"]:
        click.echo(f"Was otherwise: {words}")
    if not told["found"]:
        click.echo("Nothing differed; it was written anew all the same")
    for words in told["left"]:
        tell(f"Still otherwise: {words}")
    return 1 if told["left"] else 0
