"""Fetching image data from the web, for an import: which URLs may be asked at all, and the asking.

Whoever may create an image may name a URL here, and the control plane sees more of the network than they do: loopback, other clouds,
metadata services of a provider. So nothing is fetched but from the hosts that the setting `image_sources` lists (none, by default), a
redirect is a new URL that is held against the same list, and an address that a listed *name* leads to is refused when it is this machine or
its link. The environment's proxies are not used. Not here: what becomes of the bytes.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, urljoin, urlsplit

from pileus.errors import HostError

PORTS = {"http": 80, "https": 443}
REDIRECTS = 3
CONNECT_SECONDS, READ_SECONDS = 10, 30
BLOCK = 1 << 20
MOVED = (301, 302, 303, 307, 308)
LONGEST = 2048  # characters of a URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotFetched(HostError):
    """What was asked for did not come; the message says why, without anything of the answer's body."""


def passes(url: object, sources: Sequence[str]) -> bool:
    """Whether a URL may be asked: http or https, without a user in it, at a listed host.

    A source is a host, which stands for its ports 80 and 443, or `host:port`.
    """
    if not isinstance(url, str) or len(url) > LONGEST or any(ord(c) <= 32 or ord(c) == 127 for c in url) or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        host, port = _place(parts)
    except ValueError:
        return False
    if not host or "@" in parts.netloc or "%" in host or parts.scheme not in PORTS:
        return False
    given = [source.lower().strip() for source in sources]
    return f"{host}:{port}" in given or (host in given and port == PORTS[parts.scheme])


def _place(parts: SplitResult) -> tuple[str, int]:
    """Host (IPv6 in brackets) and port. Raises ValueError."""
    host = (parts.hostname or "").rstrip(".")
    return f"[{host}]" if ":" in host else host, parts.port or PORTS.get(parts.scheme, 0)


def fetch(url: str, sources: Sequence[str], write: Callable[[bytes], None], wanted: Callable[[], bool], limit: int) -> None:
    """Hand the bytes at a URL to `write`, in blocks. For a thread: it blocks, and looks at `wanted` between blocks.

    Raises NotFetched; InterruptedError when it is wanted no more; what `write` raises.
    """
    for _ in range(REDIRECTS + 1):
        if not passes(url, sources):
            raise NotFetched(f"it leads to {url}, which is at none of the hosts that image_sources lists")
        answer, connection = _ask(url)
        try:
            if answer.status in MOVED and (there := answer.headers.get("Location")):
                url = urljoin(url, there)
                continue
            _read(answer, url, write, wanted, limit)
            return
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, InterruptedError):
                raise
            raise NotFetched(f"reading {url} failed: {error or type(error).__name__}") from None
        finally:
            connection.close()
    raise NotFetched(f"it was redirected more than {REDIRECTS} times, last to {url}")


def _ask(url: str) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
    parts = urlsplit(url)
    host, port = _place(parts)
    connection = http.client.HTTPConnection(host, port, timeout=READ_SECONDS)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.sock = _connect(parts.scheme, host.strip("[]"), port)
        connection.request("GET", path, headers={"User-Agent": "pileus", "Accept": "*/*", "Accept-Encoding": "identity"})
        return connection.getresponse(), connection
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise NotFetched(f"{url} does not answer: {error or type(error).__name__}") from None


def _connect(scheme: str, host: str, port: int) -> socket.socket:
    """A connection to an address that was looked at: the name is not asked a second time, when it could say something else."""
    named = _literal(host) is None
    last: OSError = OSError(f"{host} has no address")
    for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if named and _own(address):
            last = OSError(f"{host} is {address}, which is this machine or its own link")
            continue
        try:
            plain = socket.create_connection((str(place[0]), port), timeout=CONNECT_SECONDS)
        except OSError as error:
            last = error
            continue
        plain.settimeout(READ_SECONDS)
        if scheme == "http":
            return plain
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
    raise last


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _own(address: Address) -> bool:
    """An address that no name on the web should lead to: this machine, its link, nobody, everybody."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast or address.is_reserved


def _read(answer: http.client.HTTPResponse, url: str, write: Callable[[bytes], None], wanted: Callable[[], bool], limit: int) -> None:
    if answer.status != 200:
        raise NotFetched(f"{url} answers {answer.status} {answer.reason}")
    announced = answer.headers.get("Content-Length")
    if announced and announced.isdigit() and int(announced) > limit:
        raise NotFetched(f"{url} has {announced} bytes, and {limit} is the most")
    size = 0
    while block := answer.read(BLOCK):
        if not wanted():
            raise InterruptedError(url)
        write(block)
        size += len(block)
    if announced and announced.isdigit() and size != int(announced):
        raise NotFetched(f"{url} ended after {size} of {announced} bytes")
