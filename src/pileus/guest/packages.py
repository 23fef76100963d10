"""Debian packages as raw material: which ones (the host's apt decides), fetched into the cache, read member by member; never installed.

Not here: what a guest is made of (recipe.py) and where the files go (rootfs.py).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
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
URI = re.compile(r"'(?P<uri>\S+)' (?P<file>\S+\.deb) (?P<size>\d+)")
STATUS = "Package: {}\nStatus: install ok installed\nArchitecture: {}\nVersion: 99999\nMaintainer: none\nDescription: none\n{}\n"


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

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """The packages that `names` need, themselves included, recommendations left out.

        Raises HostError when apt is missing, a name is not a package name, or apt knows no such package even after an update of our own
        copy of its lists.
        """
        require(NEEDED, "apt-get install apt dpkg (guest images are made of Debian packages)")
        if bad := [name for name in names if not NAME.match(name)]:
            raise HostError(f"not the name of a Debian package: {', '.join(map(repr, bad))}")
        self._prepare()
        ask = ["--print-uris", "-y", "install", *names]
        nowhere = self.archives / "none"  # an empty archive folder: else apt leaves out what is fetched already
        (nowhere / "partial").mkdir(parents=True, exist_ok=True)
        try:
            out = run(self._apt(nowhere, *ask))
        except CommandError as error:
            if "Unable to locate" not in error.stderr and "no installation candidate" not in error.stderr:
                raise
            self._update()
            out = run(self._apt(nowhere, *ask))
        return [package(match) for line in out.splitlines() if (match := URI.match(line))]

    def fetch(self, packages: Sequence[Package], names: Sequence[str], progress: Progress) -> None:
        """Download what is not in the cache yet, checked by apt against the archive's signed hashes."""
        missing = [p for p in packages if not self._complete(p)]
        if not missing:
            return
        progress("download", 0.0)
        total = sum(p.size for p in packages)
        process = subprocess.Popen(
            self._apt(self.archives, "-y", "--download-only", "install", *names),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=english(),
        )  # fmt: skip
        try:
            while process.poll() is None:
                progress("download", min(1.0, folder_size(self.archives) / max(total, 1)))
                try:
                    process.wait(0.3)
                except subprocess.TimeoutExpired:
                    continue
            assert process.stderr is not None
            if process.returncode:
                raise CommandError(process.args, process.returncode, process.stderr.read())  # type: ignore[arg-type]
        finally:
            process.kill()
            process.wait()
        if lost := [p.file for p in packages if not self._complete(p)]:
            raise HostError(f"apt-get ended well but did not bring {', '.join(lost)}; try again, or remove {self.archives}")

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
        machine = run(["dpkg-deb", "--version"]) and architecture()
        text = "".join(STATUS.format(n, machine, f"Provides: {p}\n" if p else "") for n, p in self.provided.items())
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


def architecture() -> str:
    return {"x86_64": "amd64"}.get(os.uname().machine, os.uname().machine)


def require(commands: Sequence[str], advice: str) -> None:
    """Raise HostError naming every command that the machine lacks, and what to do."""
    if missing := [c for c in commands if not shutil.which(c, path=search_path())]:
        raise HostError(f"cannot build a guest image, this machine lacks: {', '.join(missing)}. Needed: {advice}")


def run(argv: list[str], *, stdin: bytes | None = None, env: dict[str, str] | None = None, timeout: float = 300) -> str:
    """What a command printed. Raises CommandError."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, env=english(env), timeout=timeout)
    except OSError as error:
        raise CommandError(argv, 127, f"{error.strerror}: {error.filename}") from None
    except subprocess.TimeoutExpired:
        raise CommandError(argv, 124, f"no answer in {timeout:g} s") from None
    if done.returncode:
        raise CommandError(argv, done.returncode, done.stderr.decode(errors="replace"))
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
