"""What may be fetched, and what comes of it: never more than the operator listed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pileus.image import fetch as module
from pileus.image.fetch import NotFetched, fetch, passes
from tests.web_source import Source, serving

LISTED = ("images.example.org", "mirror.example.org:8080", "127.0.0.1:81", "[::1]:82")

GOOD = [
    "http://images.example.org/a.img",
    "https://images.example.org/a.img",
    "https://IMAGES.example.org./a.img?x=1",
    "http://images.example.org:80/",
    "https://images.example.org:443",
    "http://mirror.example.org:8080/x",
    "https://mirror.example.org:8080/x",
    "http://127.0.0.1:81/x",
    "http://[::1]:82/x",
]
BAD: list[Any] = [
    None, 5, "", "x", "/etc/passwd", "file:///etc/passwd", "ftp://images.example.org/x", "gopher://images.example.org/",
    "http://other.example.org/x", "http://images.example.org:8080/x", "http://images.example.org.evil.org/x",
    "http://images.example.org@evil.org/x", "http://evil.org#images.example.org", "http://evil.org/images.example.org",
    "http://user@images.example.org/x", "http://user:pw@images.example.org/x", "http://mirror.example.org/x", "http://127.0.0.1/x",
    "http://127.0.0.1:82/x", "http://[::1]/x", "http://[fe80::1%25eth0]:82/x", "http://localhost:81/", "http://169.254.169.254/latest",
    "http://2130706433:81/", "http://0x7f.1:81/", "http://images.example.org\\@evil.org/", "http://images.example.org/a b",
    "http://images.example.org/\r\nHost: evil", "http://images.example.org:99999/", "http://images.example.org:x/", "http://",
    "http://images.example.org/" + "x" * 3000, "//images.example.org/x", "HTTP:images.example.org",
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_what_is_listed_passes(url: str) -> None:
    assert passes(url, LISTED)
    assert not passes(url, ())


@pytest.mark.parametrize("url", BAD, ids=str)
def test_nothing_else_does(url: Any) -> None:
    assert not passes(url, LISTED)


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as found:
        yield found


def get(source: Source, path: str, *, sources: tuple[str, ...] = (), limit: int = 1 << 30, wanted: Any = lambda: True) -> bytes:
    blocks: list[bytes] = []
    fetch(source.url(path), sources or (source.host,), blocks.append, wanted, limit)
    return b"".join(blocks)


def test_bytes_come_as_they_are(source: Source) -> None:
    source.files["/a?x=1"] = bytes(range(256)) * 20_000
    assert get(source, "/a?x=1") == source.files["/a?x=1"]


def test_a_redirect_is_held_against_the_list(source: Source) -> None:
    source.files["/there"] = b"data"
    source.moved = {
        "/here": "/there",
        "/away": "http://127.0.0.1:1/",
        "/meta": "http://169.254.169.254/",
        "/loop": "/loop",
        "/file": "file:///etc/passwd",
    }
    assert get(source, "/here") == b"data"
    for path in ("/away", "/meta", "/file"):
        with pytest.raises(NotFetched, match="at none of the hosts"):
            get(source, path)
    with pytest.raises(NotFetched, match="more than 3 times"):
        get(source, "/loop")


def test_what_went_wrong_is_said(source: Source) -> None:
    source.files = {"/short": b"abc", "/large": bytes(1000)}
    source.short.add("/short")
    with pytest.raises(NotFetched, match="answers 404"):
        get(source, "/nope")
    with pytest.raises(NotFetched, match=r"ended after 3 of 13 bytes|reading .* failed"):
        get(source, "/short")
    with pytest.raises(NotFetched, match="has 1000 bytes, and 999 is the most"):
        get(source, "/large", limit=999)
    with pytest.raises(NotFetched, match="does not answer"):
        fetch("http://127.0.0.1:1/x", ("127.0.0.1:1",), lambda block: None, lambda: True, 1)


def test_it_ends_when_it_is_wanted_no_more(source: Source) -> None:
    source.files["/a"] = bytes(5 << 20)
    with pytest.raises(InterruptedError):
        get(source, "/a", wanted=lambda: False)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.9.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "::ffff:127.0.0.1", "224.0.0.1"]
)
def test_a_listed_name_leads_nowhere_near(source: Source, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """A name that somebody else's DNS points at this machine is refused before a connection is made."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_, **__: [(family, socket.SOCK_STREAM, 6, "", (address, source.port))])
    with pytest.raises(NotFetched, match="this machine or its own link"):
        fetch(f"http://images.example.org:{source.port}/a", (f"images.example.org:{source.port}",), lambda block: None, lambda: True, 1)
    assert source.asked == []


def test_a_lan_mirror_may_be_listed_by_name() -> None:
    assert not module._own(module.ipaddress.ip_address("192.168.1.7"))
    assert not module._own(module.ipaddress.ip_address("10.0.0.1"))
