"""docs/reference/settings.md: the settings, from the struct that holds them and the comments beside its fields."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec

from pileus import config
from pileus.config import Paths, Settings
from tools.docs.page import page, table


def comments(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Field -> the comment at the end of its line."""
    source = inspect.getsource(config)
    said = {
        token.start[0]: token.string.lstrip("# ") for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == 61
    }
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == struct.__name__).body
    return {
        node.target.id: said.get(node.end_lineno or 0, "")
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def allowed(kind: object) -> str:
    """What a setting may be, in words."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    return {int: "a whole number", str: "text", bool: "true or false"}.get(kind, str(kind))  # type: ignore[call-overload]


def settings_page() -> str:
    words = comments(Settings)
    kinds = get_type_hints(Settings)
    rows = [
        (f"`{field.name}`", f"`PILEUS_{field.name.upper()}`", allowed(kinds[field.name]), f"`{field.default}`", words[field.name])
        for field in msgspec.structs.fields(Settings)
    ]
    folders = comments(Paths)
    return page(
        "Settings",
        "A setting is a line of `config.toml` in the configuration folder, or a variable, which wins. All have defaults that suit a "
        "laptop. `pileus up` reads them; options given to it (`--port`, `--drivers`) win over both, and are kept for this cloud.",
        table(["in config.toml", "variable", "may be", "default", "meaning"], rows),
        "## Folders",
        "`PILEUS_HOME` moves everything of a cloud but the cache below one folder (`config`, `data`, `state`, `run`), so that several run "
        "side by side. Without it the XDG base directories are used. `PILEUS_CACHE` moves the cache.",
        table(["folder", "holds"], [(f"`{name}`", text) for name, text in folders.items()]),
    )
