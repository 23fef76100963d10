"""What the host must be able to do for images: the contract of the drivers, and where an image's files lie.

An uploaded image is `images/<id>`, its bytes as they came; while they come it is `images/<id>.part`. What guests start from is
`base/<id>.qcow2`, made once. Of a qcow2 image that is a hard link (our inspection has seen that it stands alone): a second name costs
nothing, and the first boot need not wait. Every other format is converted once, off the request. Both are 0444, since each guest runs
under a uid of its own and all of them only read; the data folder above is 0700.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

ID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
Verb = Literal["link", "convert", "drop_base", "drop_upload", "drop_partial"]


@dataclass(frozen=True)
class Want:
    """What a row asks for."""

    id: str
    upload: Literal["keep", "receiving", "none"]  # receiving: a client is sending; its files are nobody's business but the upload's
    base: Literal["none", "link", "convert"]
    driver: str = "raw"  # QEMU's name for the format of the upload
    virtual_size: int = 0


@dataclass(frozen=True)
class Facts:
    """What the host has of an image."""

    upload: bool = False
    partial: bool = False
    base: bool = False


@dataclass(frozen=True)
class Step:
    """One thing to do. `driver` and `virtual_size` belong to convert."""

    verb: Verb
    driver: str = "raw"
    virtual_size: int = 0


@dataclass(frozen=True)
class Opinion:
    """What another program than our own inspection says of an uploaded file."""

    format: str  # QEMU's name
    virtual_size: int  # bytes


class Images(Protocol):
    """Implemented by drivers/disks (qemu-img) and drivers/fake."""

    async def observe(self, id: str | None = None) -> dict[str, Facts]:
        """What there is, by image id; of one image, or of all. An image without a trace is not in it."""
        ...

    async def apply(self, id: str, step: Step) -> None:
        """Carry out one step; doing it again is harmless. A cancelled convert leaves no half base. Raises HostError."""
        ...

    async def opinion(self, file: Path, driver: str) -> Opinion | None:
        """Read a file with other eyes, confined. None: this host has nobody to ask. Raises HostError when it cannot be read at all.

        `driver` is forced only where the format cannot be recognised by its beginning (vpc).
        """
        ...


class Folder:
    """Where the files of images lie, below the data folder."""

    def __init__(self, data: Path) -> None:
        self.uploads, self.bases = data / "images", data / "base"

    def make(self) -> None:
        """Create the folders and clear them of what a kill left half done; once, at start."""
        for folder in (self.uploads, self.bases):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            folder.chmod(0o711)  # walked through by guests under uids of their own; nobody else may list what is there
            for name in os.listdir(folder):
                if name.startswith("."):
                    (folder / name).unlink(missing_ok=True)

    def upload(self, id: str) -> Path:
        return self.uploads / _checked(id)

    def partial(self, id: str) -> Path:
        return self.uploads / f"{_checked(id)}.part"

    def base(self, id: str) -> Path:
        return self.bases / f"{_checked(id)}.qcow2"

    def uploaded(self, id: str | None = None) -> dict[str, Facts]:
        """The facts that lie in `images/`."""
        if id is not None:
            facts = Facts(self.upload(id).exists(), self.partial(id).exists())
            return {id: facts} if facts != Facts() else {}
        found: dict[str, Facts] = {}
        for name in os.listdir(self.uploads):
            stem, _, rest = name.partition(".")
            if ID.match(stem) and rest in ("", "part"):
                old = found.get(stem, Facts())
                found[stem] = Facts(old.upload or not rest, old.partial or rest == "part")
        return found

    def based(self) -> Iterator[str]:
        """The ids in `base/`."""
        for name in os.listdir(self.bases):
            stem, _, rest = name.partition(".")
            if ID.match(stem) and rest == "qcow2":
                yield stem

    def set_aside(self, id: str, verb: Verb) -> Path | None:
        """Take one file's name away, at once; returns where it is now, to be unlinked in a thread (gigabytes take long), or None."""
        path = {"drop_upload": self.upload, "drop_partial": self.partial, "drop_base": self.base}[verb](id)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return None
        return aside


def _checked(id: str) -> str:
    """An id becomes part of a path: only what looks like one may."""
    if not ID.match(id):
        raise ValueError(f"{id!r} is no image id")
    return id
