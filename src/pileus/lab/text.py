"""A lab is a Markdown file: its fenced blocks are what is carried out (`sh {step=...}`) and what is checked (`check {id=...}`).

Not here: running them.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from pileus.errors import SettingError

_FENCE = re.compile(r"^```(\w+) \{([^}]*)\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEYS = {"run", "expect", "contains", "status", "show"}


@dataclass(frozen=True)
class Step:
    """Commands to carry out, a line each."""

    id: str
    title: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """A command, and what must come of it: all that it prints (`expect`), a part (`contains`), or its exit status.

    wait   seconds in which it may fail before it counts
    show   a pattern: the lines of the output that are shown; empty: all
    """

    id: str
    title: str
    run: str
    expect: str | None = None
    contains: str | None = None
    status: int = 0
    show: str = ""
    wait: float = 0


@dataclass(frozen=True)
class Lab:
    name: str
    title: str
    folder: Path
    blocks: tuple[Step | Check, ...]

    @property
    def files(self) -> Path:
        return self.folder / "files"


def labs_folder() -> Path:
    """Where the labs that come with Pileus are: beside the source, or in the installed package."""
    here = Path(__file__).resolve()
    return next((folder for folder in (here.parents[3] / "labs", here.parent / "labs") if folder.is_dir()), here.parents[3] / "labs")


def find(name: str) -> Lab:
    """The lab with this name, or in this folder. Raises SettingError that lists the names there are."""
    folder = Path(name) if "/" in name else labs_folder() / name
    if not (folder / "lab.md").is_file():
        raise SettingError(f"there is no lab {name!r}; there are: {', '.join(names()) or 'none'}")
    return parse((folder / "lab.md").read_text(), folder)


def names() -> list[str]:
    return sorted(file.parent.name for file in labs_folder().glob("*/lab.md"))


def parse(text: str, folder: Path) -> Lab:
    """Read a lab's text. Raises SettingError that names the block at fault."""
    title = next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), folder.name)
    blocks: list[Step | Check] = []
    for kind, words, body in _FENCE.findall(text):
        given = dict(word.partition("=")[::2] for word in shlex.split(words))
        if kind == "sh" and "step" in given:
            commands = tuple(line for line in body.splitlines() if line.strip() and not line.startswith("#"))
            blocks.append(Step(given["step"], given.get("title", given["step"]), commands))
        elif kind == "check" and "id" in given:
            blocks.append(_check(given, body))
        else:
            raise SettingError(f"{folder / 'lab.md'}: a block ```{kind} {{{words}}} is neither a step nor a check")
    return Lab(folder.name, title, folder, tuple(blocks))


def _check(given: dict[str, str], body: str) -> Check:
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in body.splitlines() if line.strip())}
    if unknown := fields.keys() - KEYS or (set() if "run" in fields else {"no run"}):
        raise SettingError(f"check {given['id']}: {', '.join(sorted(unknown))}")
    return Check(
        id=given["id"],
        title=given.get("title", given["id"]),
        run=fields["run"],
        expect=fields.get("expect"),
        contains=fields.get("contains"),
        status=int(fields.get("status", 0)),
        show=fields.get("show", ""),
        wait=float(given.get("wait", 0)),
    )
