"""The cloud named `pileus` in clouds.yaml, where every OpenStack client looks; the password beside it in secure.yaml.

The files belong to the user: only a marked block in them is ours, all else stays as it is, byte for byte. A cloud that PILEUS_HOME moved
elsewhere writes files of its own below it, which `pileus env` points clients to, so that several clouds never fight over one name.
Not here: reading YAML. What cannot be edited line by line is left alone, and the user is told what to add.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from pileus.cli.cloud import Cloud

NAME = "pileus"
BEGIN, END = "# >>> pileus: written by `pileus up`, removed by `pileus destroy`", "# <<< pileus"
CLOUDS = re.compile(r"^clouds:[ \t]*(#.*)?\r?$", re.MULTILINE)


def files(cloud: Cloud) -> tuple[Path, Path]:
    """clouds.yaml and secure.yaml of this cloud."""
    if os.environ.get("PILEUS_HOME"):
        folder = cloud.paths.config
    elif named := os.environ.get("OS_CLIENT_CONFIG_FILE"):
        secure = os.environ.get("OS_CLIENT_SECURE_FILE")
        return Path(named), Path(secure) if secure else Path(named).with_name("secure.yaml")
    else:
        folder = cloud.paths.config.parent / "openstack"
    return folder / "clouds.yaml", folder / "secure.yaml"


def entry(cloud: Cloud, endpoint: str) -> str:
    """The cloud as a client needs it, without the password; not indented."""
    return f"""\
{NAME}:
  auth:
    auth_url: {endpoint}/identity/v3
    username: admin
    project_name: admin
    user_domain_id: default
    project_domain_id: default
  region_name: {cloud.settings.region}
  identity_api_version: 3
  interface: public
"""


def install(cloud: Cloud, endpoint: str) -> list[str]:
    """Write both blocks; returns lines for the user when a file could not be edited."""
    clouds, secure = files(cloud)
    written = entry(cloud, endpoint)
    lines = _put(clouds, written, None)
    if lines:
        return [*lines, "or use `pileus openrc`. The lines to add below `clouds:` are", *("  " + line for line in written.splitlines())]
    password = f"{NAME}:\n  auth:\n    password: {cloud.password()}\n"
    return _put(secure, password, 0o600)


def remove(cloud: Cloud) -> None:
    """Take both blocks out again; a file in which nothing else was ever said goes too."""
    for file in files(cloud):
        with contextlib.suppress(FileNotFoundError):
            text = _read(file)
            rest = without(text)
            if rest == text:
                continue
            if rest.strip() in ("", "clouds:"):
                file.unlink()
            else:
                _write(file, rest, file.stat().st_mode & 0o777)


def _put(file: Path, block: str, mode: int | None) -> list[str]:
    try:
        text = _read(file)
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        return [f"{file} cannot be read ({error}): add this cloud yourself,"]
    new = with_block(text, block)
    if new is None:
        return [f"{file} is written in a way that Pileus does not edit, or has a cloud `{NAME}` of your own: add this cloud yourself,"]
    if new != text or mode:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file, new, mode or (file.stat().st_mode & 0o777 if file.exists() else 0o600))
    return []


def _read(file: Path) -> str:
    with file.open(newline="") as source:  # line endings stay as they are
        return source.read()


def _write(file: Path, text: str, mode: int) -> None:
    target = file.resolve()  # a link stays a link
    new = target.with_name(target.name + ".pileus")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w", newline="") as out:
        os.fchmod(fd, mode)
        out.write(text)
        out.flush()
        os.fsync(fd)
    new.replace(target)


def without(text: str) -> str:
    """The text without our block."""
    kept, ours = [], False
    for line in text.splitlines(keepends=True):
        if line.strip() == BEGIN:
            ours = True
        elif ours and line.strip() == END:
            ours = False
        elif not ours:
            kept.append(line)
    if ours:  # somebody took the end mark away: cutting off the rest of the file is worse than leaving ours
        return text
    rest = "".join(kept)
    added = re.search(r"(\r?\n)?clouds: # pileus\r?\n\Z", rest)
    return rest[: added.start()] if added else rest


def with_block(text: str, block: str) -> str | None:
    """The text with our block in it, in place of the one that was there; None when it cannot be put in safely."""
    text = without(text)
    if BEGIN in text or re.search(rf"^[ \t]+[\"']?{NAME}[\"']?:", text, re.MULTILINE):
        return None
    newline = "\r\n" if "\r\n" in text else "\n"
    if found := CLOUDS.search(text):
        rest = text[found.end() :].removeprefix("\n")
        return text[: found.end()] + "\n" + _indent(block, _indentation(rest), newline) + rest
    if re.search(r"^[\"']?clouds\b", text, re.MULTILINE) or re.search(r"^(\{|\.\.\.|%)", text, re.MULTILINE):
        return None
    gap = newline if text else ""  # taken away again by `without`
    return f"{text}{gap}clouds: # pileus{newline}" + _indent(block, "  ", newline)


def _indentation(rest: str) -> str:
    """How the first cloud below `clouds:` is indented."""
    for line in rest.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return line[: len(line) - len(line.lstrip())] or "  "
    return "  "


def _indent(block: str, by: str, newline: str) -> str:
    return "".join(f"{by}{line}{newline}" for line in (BEGIN, *block.splitlines(), END))
