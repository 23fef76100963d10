"""Debian packages as raw material: which ones (the host's apt decides), fetched into the cache, read member by member; never installed.

Not here: what a guest is made of (recipe.py) and where the files go (rootfs.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pileus.errors import HostError
from pileus.kit.shell import CommandError

Progress = Callable[[str, float], None]
NEEDED = ("apt-get", "dpkg-deb")
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")  # https://www.debian.org/doc/debian-policy/ch-controlfields.html#source
UNKNOWN = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate")
URI = re.compile(r"'(?P<uri>\S+)' (?P<file>\S+\.deb) (?P<size>\d+)")
STATUS = (
    "Package: {}\nStatus: install ok installed\nArchitecture: {}\nMulti-Arch: allowed\nVersion: 99:99\n"
    "Maintainer: none\nDescription: none\n{}\n"
)


@dataclass(frozen=True)
class Package:
    """One binary package as apt resolved it."""

    name: str
    version: str
    file: str  # file name in the archive folder
    size: int  # bytes to fetch


class Packages:
    """The host's apt, pointed at folders of our own, so that it needs no root and never sees what the host has installed."""

    def __init__(self, cache: Path, provided: dict[str, str]) -> None:
        """`provided`: packages the guest does without (name -> names it stands for); apt takes them as installed."""
        self.archives = cache / "archives"
        self.lists = cache / "lists"
        self.status = cache / "status"
        self.provided = provided

    def obtain(self, names: Sequence[str], progress: Progress) -> list[Package]:
        """The packages that `names` need, themselves included and recommendations left out, all of them in the archive folder afterwards.

        Raises HostError when apt is missing, a name is not a package name, or apt knows no such package or cannot fetch it even after an
        update of our own copy of its lists.
        """
        require(NEEDED, "a Debian with apt and dpkg, since guest images are made of Debian's packages")
        if bad := [name for name in names if not NAME.match(name)]:
            raise HostError(f"not the name of a Debian package: {', '.join(map(repr, bad))}")
        self._prepare()
        progress("resolve", 0.0)
        try:
            return self._fetch(self._resolve(names), names, progress)
        except CommandError:  # lists that are empty, or so old that the archive has moved on
            self._update()
        try:
            return self._fetch(self._resolve(names), names, progress)
        except CommandError as error:
            if unknown := [a or b for a, b in UNKNOWN.findall(error.stderr)]:
                raise HostError(f"apt knows no package named {', '.join(unknown)} (guest images are made of Debian's packages)") from None
            raise

    def _resolve(self, names: Sequence[str]) -> list[Package]:
        nowhere = self.archives / "none"  # an empty archive folder: else apt leaves out what is fetched already
        (nowhere / "partial").mkdir(parents=True, exist_ok=True)
        out = run(self._apt(nowhere, "--print-uris", "-y", "install", *names))
        return [package(match) for line in out.splitlines() if (match := URI.match(line))]

    def _fetch(self, packages: list[Package], names: Sequence[str], progress: Progress) -> list[Package]:
        """Download what is not in the cache yet, checked by apt against the archive's signed hashes."""
        if all(map(self._complete, packages)):
            return packages
        total = max(1, sum(p.size for p in packages))
        argv = self._apt(self.archives, "-y", "--download-only", "install", *names)
        with tempfile.TemporaryFile("w+") as said:
            with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, env=english()) as process:
                try:
                    while process.poll() is None:
                        progress("download", min(1.0, folder_size(self.archives) / total))
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(0.3)
                finally:
                    process.kill()
            if process.returncode:
                said.seek(0)
                raise CommandError(argv, process.returncode, said.read())
        if lost := [p.file for p in packages if not self._complete(p)]:
            raise HostError(f"apt-get ended well but did not bring {', '.join(lost)}; try again, or remove {self.archives}")
        return packages

    @contextmanager
    def open(self, package: Package) -> Iterator[tarfile.TarFile]:
        """The package's files, as a tar archive to be read once from front to back."""
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(self.archives / package.file)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                yield archive
            process.stdout.read()  # tar's padding; without it dpkg-deb dies of a broken pipe
        if process.returncode:
            raise HostError(f"{package.file} is damaged; remove it from {self.archives} and build again")

    def _complete(self, package: Package) -> bool:
        file = self.archives / package.file
        return file.exists() and file.stat().st_size == package.size

    def _prepare(self) -> None:
        (self.archives / "partial").mkdir(parents=True, exist_ok=True)
        text = "".join(STATUS.format(n, "amd64", f"Provides: {p}\n" if p else "") for n, p in self.provided.items())
        self.status.write_text(text)

    def _update(self) -> None:
        (self.lists / "partial").mkdir(parents=True, exist_ok=True)
        run(self._apt(self.archives, "update"))

    def _apt(self, archives: Path, *words: str) -> list[str]:
        options = {
            "Dir::State::status": self.status,
            "Dir::Cache::archives": archives,
            "Dir::Cache::pkgcache": "",  # root's cache of the lists is none of our business
            "Dir::Cache::srcpkgcache": "",
            "Debug::NoLocking": "1",
            "APT::Sandbox::User": "root",  # as root, apt would drop to _apt, who cannot write to our cache
            "APT::Install-Recommends": "0",
            "Dpkg::Use-Pty": "0",
        }
        if (self.lists / "partial").exists():  # made by _update: the host's own lists did not do
            options["Dir::State::Lists"] = self.lists
        return ["apt-get", "-qq" if "update" in words else "-q", *(w for k, v in options.items() for w in ("-o", f"{k}={v}")), *words]


def package(match: re.Match[str]) -> Package:
    name, version, _ = match["file"].split("_")
    return Package(name, unquote(version), match["file"], int(match["size"]))


def require(commands: Sequence[str], advice: str) -> None:
    """Raise HostError naming every command that the machine lacks, and what to do."""
    if missing := [c for c in commands if not shutil.which(c, path=search_path())]:
        raise HostError(f"cannot build a guest image, this machine lacks: {', '.join(missing)}. Needed: {advice}")


def run(argv: list[str], *, stdin: bytes | None = None, env: dict[str, str] | None = None, banner: str = "", timeout: float = 300) -> str:
    """What a command printed. Raises CommandError.

    `banner`: for commands that end with status 0 whatever happens (debugfs): any other line on stderr than one that begins so is a failure.
    """
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, env=english(env), timeout=timeout)
    except OSError as error:
        raise CommandError(argv, 127, f"{error.strerror}: {error.filename}") from None
    except subprocess.TimeoutExpired:
        raise CommandError(argv, 124, f"no answer in {timeout:g} s") from None
    said = done.stderr.decode(errors="replace")
    if done.returncode or (banner and any(not line.startswith(banner) for line in said.splitlines())):
        raise CommandError(argv, done.returncode, done.stdout.decode(errors="replace")[-1000:] + said)
    return done.stdout.decode(errors="replace")


def english(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment for commands whose words are read: C locale, and the administrator's commands in reach of a plain user."""
    return {**os.environ, "LC_ALL": "C", "PATH": search_path(), **(extra or {})}


def search_path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def folder_size(folder: Path) -> int:
    total = 0
    for path in [*folder.glob("*.deb"), *folder.glob("partial/*")]:
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # apt renames a file as soon as it is whole
            continue
    return total
