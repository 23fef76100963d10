"""Results on stdout, in the format the user asked for: the same names in all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

FORMATS = ("table", "json", "yaml", "value")


def formatted(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options -f and -c (it takes `format` and `columns`)."""
    command = click.option("-c", "--column", "columns", multiple=True, help="Only this one; may be repeated.")(command)
    return click.option("-f", "--format", "format", type=click.Choice(FORMATS), default="table", show_default=True)(command)


def show(facts: Mapping[str, Any], format: str, columns: tuple[str, ...] = ()) -> None:
    """Print facts. json keeps what is nested; the others name it `outer.inner`."""
    flat = dict(_flat(facts))
    unknown = [name for name in columns if name not in flat and name not in facts]
    if unknown:
        raise click.UsageError(f"no column {unknown[0]}; there are {', '.join(flat)}")
    if columns:
        flat = {name: value for name, value in flat.items() if name in columns or name.split(".")[0] in columns}
        facts = {name: value for name, value in facts.items() if name in columns} | {name: flat[name] for name in columns if "." in name}
    if format == "json":
        click.echo(json.dumps(facts, indent=2))
    elif format == "value":
        for value in flat.values():
            click.echo(_text(value))
    elif format == "yaml":
        for name, value in flat.items():
            click.echo(f"{name}: {json.dumps(value)}")  # JSON's scalars are YAML's
    else:
        width = max(map(len, flat), default=0)
        for name, value in flat.items():
            click.echo(f"{name:<{width}}  {_text(value)}")


def _flat(facts: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in facts.items():
        pairs += _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else [(before + name, value)]
    return pairs


def _text(value: Any) -> str:
    return "" if value is None else str(value)
