"""What the host must be able to do for images: the contract of the drivers, and where an image's files lie.

    images/<id>            the image, its bytes as they came
    images/<id>.part       while they come
    images/<id>.stage      what was staged for an import, or fetched by it
    images/<id>.converted  the same in the format that this cloud keeps
    base/<id>.qcow2        what guests start from

A base is made once. Of a qcow2 image it is a hard link (our inspection has seen that it stands alone): a second name costs nothing, and
the first boot need not wait. Every other format is converted, off the request. Image and base are 0444, since each guest runs under a uid
of its own and all of them only read; the data folder above is 0700.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

ENDS = {"": "upload", ".part": "partial", ".stage": "stage", ".converted": "converted"}  # of a file's name -> its fact
ID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
Verb = Literal["link", "convert", "convert_stage", "drop_base", "drop_upload", "drop_partial", "drop_stage", "drop_converted"]


@dataclass(frozen=True)
class Want:
    """What a row asks for."""

    id: str
    # receiving: a client is sending, importing: an import is under way; their files are nobody's business but theirs
    upload: Literal["keep", "receiving", "staged", "importing", "none"]
    base: Literal["none", "link", "convert"]
    driver: str = "raw"  # QEMU's name for the format of the upload
    virtual_size: int = 0


@dataclass(frozen=True)
class Facts:
    """What the host has of an image."""

    upload: bool = False
    partial: bool = False
    base: bool = False
    stage: bool = False
    converted: bool = False


@dataclass(frozen=True)
class Step:
    """One thing to do. `driver` and `virtual_size` belong to conversions, `target` (qcow2 or raw) to that of what was staged."""

    verb: Verb
    driver: str = "raw"
    virtual_size: int = 0
    target: str = "qcow2"


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
        """Carry out one step; doing it again is harmless. A cancelled conversion leaves no half file. Raises HostError."""
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

    def stage(self, id: str) -> Path:
        return self.uploads / f"{_checked(id)}.stage"

    def converted(self, id: str) -> Path:
        return self.uploads / f"{_checked(id)}.converted"

    def base(self, id: str) -> Path:
        return self.bases / f"{_checked(id)}.qcow2"

    def uploaded(self, id: str | None = None) -> dict[str, Facts]:
        """The facts that lie in `images/`."""
        if id is None:
            names = os.listdir(self.uploads)
        else:
            names = [name for name in (_checked(id) + end for end in ENDS) if (self.uploads / name).exists()]
        found: dict[str, Facts] = {}
        for name in names:
            stem, _, rest = name.partition(".")
            end = f".{rest}" if rest else ""
            if ID.match(stem) and end in ENDS:
                found[stem] = replace(found.get(stem, Facts()), **{ENDS[end]: True})
        return found

    def based(self) -> Iterator[str]:
        """The ids in `base/`."""
        for name in os.listdir(self.bases):
            stem, _, rest = name.partition(".")
            if ID.match(stem) and rest == "qcow2":
                yield stem

    def set_aside(self, id: str, verb: Verb) -> Path | None:
        """Take one file's name away, at once; returns where it is now, to be unlinked in a thread (gigabytes take long), or None."""
        places = {"drop_upload": self.upload, "drop_partial": self.partial, "drop_stage": self.stage, "drop_converted": self.converted}
        path = {**places, "drop_base": self.base}[verb](id)
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
