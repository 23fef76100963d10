"""`pileus image pull`: what is fetched is what was announced, or it is not kept; and without a network it says what else can be done."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pileus.cli.image import sources
from pileus.cli.image.pull import _Upright, pull
from pileus.cli.image.sources import SOURCES, digest_in
from pileus.errors import HostError, NotFound
from tests.web_source import Source, serving

DATA = os.urandom(3 << 20)
DEBIAN = "/images/cloud/bookworm/latest/"


@pytest.fixture
def web() -> Iterator[Source]:
    with serving() as found:
        found.files[DEBIAN + "debian-12-generic-amd64.qcow2"] = DATA
        found.files[DEBIAN + "SHA512SUMS"] = f"{hashlib.sha512(DATA).hexdigest()}  debian-12-generic-amd64.qcow2\n".encode()
        yield found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {"PILEUS_HOME": tmp_path / "home", "PILEUS_CACHE": tmp_path / "cache", "HOME": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "images"


def call(*arguments: str) -> str:
    done = CliRunner().invoke(pull, [*arguments, "--no-register"] if arguments else [], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.stdout


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_what_there_is() -> None:
    said = call()
    for name in SOURCES:
        assert name in said
    assert "cirros          CirrOS" in said
    with pytest.raises(NotFound, match="there is no image windows"):
        call("windows")


def test_it_is_fetched_once_and_held_against_what_is_published(web: Source, cache: Path) -> None:
    for _ in range(2):
        file = Path(call("debian", "--mirror", f"http://{web.host}").strip())
        assert (file.read_bytes(), file.parent) == (DATA, cache)
    assert web.asked == [DEBIAN + "SHA512SUMS", DEBIAN + "debian-12-generic-amd64.qcow2", DEBIAN + "SHA512SUMS"]
    assert left(cache) == [file.name]


def test_what_is_not_what_was_announced_is_thrown_away(web: Source, cache: Path) -> None:
    web.files[DEBIAN + "debian-12-generic-amd64.qcow2"] = DATA[:-1] + b"x"
    with pytest.raises(HostError, match="is not what was announced"):
        call("debian-12", "--mirror", f"http://{web.host}/")
    assert left(cache) == []


def test_a_pinned_one_is_held_against_what_is_written_here_whatever_a_mirror_says(
    web: Source, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/0.6.3/cirros-0.6.3-x86_64-disk.img"] = DATA
    with pytest.raises(HostError, match="7d6355852aeb6dbcd191bcda7cd74f1536cfe5cbf8a10495a7283a8396e4b75b was expected"):
        call("cirros", "--mirror", f"http://{web.host}")
    monkeypatch.setitem(sources.SOURCES, "cirros", replace(SOURCES["cirros"], pinned=hashlib.sha256(DATA).hexdigest()))
    assert Path(call("cirros", "--mirror", f"http://{web.host}").strip()).read_bytes() == DATA


def test_it_ends_before_its_end(web: Source, cache: Path) -> None:
    web.short.add(DEBIAN + "debian-12-generic-amd64.qcow2")
    with pytest.raises(HostError, match=r"ended after|cannot be reached"):
        call("debian-12", "--mirror", f"http://{web.host}")
    assert left(cache) == []


def test_what_has_moved_is_said_to_have_moved(web: Source, cache: Path) -> None:
    with pytest.raises(HostError, match="answers 404"):
        call("ubuntu", "--mirror", f"http://{web.host}")
    web.files[DEBIAN + "SHA512SUMS"] = b"nothing of that name\n"
    with pytest.raises(HostError, match="does not name debian-12"):
        call("debian", "--mirror", f"http://{web.host}")


@pytest.mark.parametrize("mirror", ["http://127.0.0.1:1", "http://no-such-host.invalid"])
def test_without_a_network_it_says_what_else_can_be_done(cache: Path, mirror: str) -> None:
    with pytest.raises(HostError, match="cannot be reached") as error:
        call("debian", "--mirror", mirror)
    for words in ("pileus image build micro", "--mirror URL", "openstack image create"):
        assert words in str(error.value)


def test_https_never_leads_to_http() -> None:
    request = urllib.request.Request("https://images.example.org/a")
    with pytest.raises(HostError, match="not HTTPS"):
        _Upright().redirect_request(request, None, 302, "", {}, "http://images.example.org/a")


def test_every_source_is_complete() -> None:
    for name, source in SOURCES.items():
        assert source.base.startswith("https://"), name
        assert source.base.endswith("/"), name
        assert bool(source.pinned) != bool(source.digests), name
        assert not source.pinned or len(source.pinned) == hashlib.new(source.algorithm).digest_size * 2
        assert source.min_disk
        assert source.properties["os_admin_user"]


H = "ab" * 32


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{H}  a.img\n", H),
        (f"{H} *a.img\n", H),
        (f"{H}  ./a.img\n", H),
        (f"{H.upper()}  a.img\n", H),
        (f"SHA256 (a.img) = {H}\n", H),
        (f"{H}\n", H),
        (f"{'cd' * 32}  b.img\n{H}  a.img\n", H),
        (f"{H}  b.img\n", None),
        (f"{H}{H}  a.img\n", None),
        (f"x{H}  a.img\n", None),
        ("", None),
    ],
)
def test_published_lists(text: str, found: str | None) -> None:
    assert digest_in(text, "a.img", 64) == found


def test_help() -> None:
    assert "pileus image pull debian-12" in pull.get_help(click.Context(pull))
