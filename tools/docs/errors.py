"""docs/reference/errors.md: the tree of errors.py, and what each means to a client."""

from __future__ import annotations

import inspect
import re

from pileus import errors
from tools.docs.page import code, page, table


def error_page() -> str:
    text = inspect.getdoc(errors) or ""
    lines = text.split("\n\n")[1:]  # after the title: the tree, then prose
    tree = "\n".join(line[4:] if line.startswith("    ") else line for line in lines[0].splitlines())
    rows = [(f"`{kind.__name__}`", str(kind.status), meaning(kind)) for kind in kinds() if issubclass(kind, errors.Fault)]
    return page(
        "Errors",
        "What can go wrong, and what a client sees of it. A message names the thing, says what is wrong and what to do next. Each API has "
        "its own form for a fault (Nova's `itemNotFound`, Neutron's `NeutronError`, ...); the status is the same, but for Neutron's quota, "
        "which is a 409.",
        code(tree),
        *lines[1:],
        "## What a client is told",
        table(["error", "status", "meaning"], sorted(rows, key=lambda row: row[1])),
    )


def kinds() -> list[type[errors.PileusError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.PileusError)]


def meaning(kind: type[errors.PileusError]) -> str:
    """The words beside an error in the tree; its docstring where it has more to say."""
    match = re.search(rf"[├└]── {kind.__name__} +(?:\d+ +)?(\S.*)$", inspect.getdoc(errors) or "", re.MULTILINE)
    beside = match[1] if match else ""
    own = kind.__doc__ or ""
    return own if own and own != (kind.__mro__[1].__doc__ or "") and len(own) > len(beside) else beside
