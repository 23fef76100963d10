"""docs/reference/cli.md: every command's own help, as it prints it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pileus.cli.command import root
from tools.docs.page import code, page

WIDTH = 110


def walk(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[tuple[str, click.Context]]:
    """A command and all below it, with the context its help is made in."""
    context = click.Context(
        command,
        parent=parent,
        info_name=path.rsplit(" ", 1)[-1],
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    yield path, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (inner := command.get_command(context, name)) and not inner.hidden:
                yield from walk(inner, f"{path} {name}", context)


def command_page() -> str:
    parts = []
    for path, context in walk(root, "pileus"):
        parts += [f"## {path}", code(context.get_help(), "text")]
    return page(
        "The pileus command",
        "Results go to standard output, progress and warnings to standard error. Exit status: 0 ok, 1 failure, 2 usage, 3 not found, "
        "4 conflict or wrong state, 5 not authenticated or not allowed, 124 timeout.",
        *parts,
    )
