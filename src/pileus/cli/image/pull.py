"""`pileus image pull NAME`: fetch a distribution's cloud image, hold it against its published digest, and add it to the cloud."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from pileus.cli import http as cloud_http
from pileus.cli.cloud import Cloud
from pileus.cli.image.sources import SHORT, SOURCES, Source, digest_in
from pileus.cli.image.upload import VERSION, ensure, present
from pileus.cli.progress import Progress
from pileus.errors import BadRequest, HostError, NotFound

BLOCK = 1 << 20
SECONDS = 30  # without a byte, until a server is given up
LIST_MAX = 4 << 20  # bytes of a list of digests
MIRROR = "PILEUS_IMAGE_MIRROR"


@click.command(
    epilog="""\b
Examples:
  pileus image pull                     what there is
  pileus image pull debian-12
  pileus image pull ubuntu --name jump --mirror http://mirror.lan/images"""
)
@click.argument("name", required=False)
@click.option("--name", "called", help="What the image is called in the cloud.  [default: the name asked for]")
@click.option("--mirror", envvar=MIRROR, help=f"Fetch from below this URL instead of from the distributor's host.  [${MIRROR}]")
@click.option("--no-register", is_flag=True, help="Only fetch it, into the cache.")
def pull(name: str | None, called: str | None, mirror: str | None, no_register: bool) -> None:
    """Fetch a distribution's cloud image and add it to the cloud, for all projects.

    Every image is held against a digest: a pinned one where the release never changes, else the one that its distributor publishes beside
    it. What is in the cache, or in the cloud, with that digest already is not fetched again.
    """
    if name is None:
        for key, each in SOURCES.items():
            click.echo(f"{key:<14}  {each.about}; {each.algorithm} {'pinned' if each.pinned else 'as published'}")
        return
    source = SOURCES.get(SHORT.get(name, name))
    if source is None:
        raise NotFound(
            f"there is no image {name} to pull; there are {', '.join((*SOURCES, *SHORT))}. Others: openstack image create --file"
        )
    cloud, progress = Cloud.of_environment(), Progress()
    client = None if no_register else cloud_http.Client(cloud.running().endpoint, cloud.password())
    try:
        digest = source.pinned or _published(source, mirror)
        formats = {"disk_format": "qcow2", "container_format": "bare", "min_disk": source.min_disk, "min_ram": source.min_ram}
        properties: dict[str, Any] = {VERSION: digest, **formats, **source.properties}
        id = present(client, called or name, properties) if client else None
        if id is None:
            file = _fetched(source, mirror, digest, cloud.paths.cache / "images", progress)
            if client is None:
                click.echo(file)
                return
            id = ensure(client, called or name, file, progress, **properties)
    finally:
        progress.finish()
    click.echo(f"{called or name}  {id}")


def _url(source: Source, file: str, mirror: str | None) -> str:
    base = source.base
    if mirror:
        if urlsplit(mirror).scheme not in ("http", "https"):
            raise BadRequest(f"a mirror is an http or https URL, not {mirror}")
        base = mirror.rstrip("/") + urlsplit(base).path
    return base + file


def _published(source: Source, mirror: str | None) -> str:
    """The digest that is published beside the file. Raises HostError."""
    url = _url(source, source.digests, mirror)
    with _opened(url) as answer:
        text = answer.read(LIST_MAX).decode(errors="replace")
    digest = digest_in(text, source.file, hashlib.new(source.algorithm).digest_size * 2)
    if digest is None:
        raise HostError(f"{url} does not name {source.file}: it has moved; look at {source.base} with a browser")
    return digest


def _fetched(source: Source, mirror: str | None, digest: str, folder: Path, progress: Progress) -> Path:
    """The image in the cache, with this digest. Raises HostError."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{digest[:16]}-{source.file}"
    if file.exists():
        return file
    url, half = _url(source, source.file, mirror), file.with_name(f".{file.name}.{os.getpid()}")
    try:
        found = _stream(url, half, hashlib.new(source.algorithm), progress, f"fetch {source.file[:32]}")
        if found != digest:
            raise HostError(
                f"what came from {url} is not what was announced: its {source.algorithm} is {found}, and {digest} was expected. "
                "It was thrown away. Try again later, or with another --mirror."
            )
        half.replace(file)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostError(f"{folder} is full: {url} does not fit. Make room, or set PILEUS_CACHE to a larger disk.") from None
        raise
    finally:
        half.unlink(missing_ok=True)
    return file


def _stream(url: str, half: Path, digest: Any, progress: Progress, stage: str) -> str:
    with _opened(url) as answer, half.open("wb") as out:
        announced = int(answer.headers.get("Content-Length") or 0)
        size = 0
        progress(stage, 0)
        while block := answer.read(BLOCK):
            digest.update(block)
            out.write(block)
            size += len(block)
            progress(stage, size / announced if announced else 0)
        if announced and size != announced:
            raise HostError(f"{url} ended after {size} of {announced} bytes. Try again.")
    return str(digest.hexdigest())


class _Upright(urllib.request.HTTPRedirectHandler):
    """Mirrors are redirected to; never from HTTPS to what anybody on the way could change."""

    def redirect_request(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise HostError(f"{req.full_url} leads to {newurl}, which is not HTTPS: not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _opened(url: str) -> Iterator[http.client.HTTPResponse]:
    """An answer to read. Whatever goes wrong is said in words, with what else can be done."""
    request = urllib.request.Request(url, headers={"User-Agent": "pileus", "Accept-Encoding": "identity"})  # noqa: S310 - http(s), see _url
    try:
        with urllib.request.build_opener(_Upright).open(request, timeout=SECONDS) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        raise HostError(f"{url} answers {error.code} {error.reason}: it has moved, or the mirror has it not") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        host = urlsplit(url).hostname
        if isinstance(reason, socket.gaierror):
            reason = "this machine finds no address for it, so it has no way to the internet"
        raise HostError(
            f"{host} cannot be reached: {reason or type(error).__name__}.\n"
            "  Without the internet: `pileus image build micro` makes a guest image from Debian packages; --mirror URL fetches\n"
            "  from a server that you can reach; a file brought from elsewhere goes in by\n"
            "  `openstack image create --disk-format qcow2 --container-format bare --public --file FILE NAME`."
        ) from None
