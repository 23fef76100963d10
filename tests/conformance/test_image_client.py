"""Images with the unmodified openstack client: what goes in comes out, by every way in; and `pileus image pull` from loopback."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cloud import Cloud
from tests.conformance.openstack_cli import CLIENT, Client
from tests.unit.test_inspect_hostile import qcow2
from tests.web_source import Source, serving

pytestmark = pytest.mark.skipif(not CLIENT.exists(), reason="the openstack client is not installed: make clients")
DATA = os.urandom(5 << 20) + bytes(3 << 20) + b"end"


@pytest.fixture(scope="module")
def web() -> Iterator[Source]:
    with serving() as source:
        yield source


@pytest.fixture(scope="module")
def cloud(web: Source) -> Iterator[Cloud]:
    with Cloud(settings={"PILEUS_IMAGE_SOURCES": web.host}) as cloud:
        cloud.env["PILEUS_CACHE"] = str(cloud.top / "cache")
        yield cloud


@pytest.fixture(scope="module")
def client(cloud: Cloud) -> Iterator[Client]:
    found = Client(cloud)
    (found.folder / "data").write_bytes(DATA)
    yield found
    found.close()


def say(client: Client, command: str) -> Any:
    answer = client.run(command + (" -f json" if " show " in command or " list" in command else ""))
    assert not answer["status"], answer
    return json.loads(str(answer["out"])) if " -f json" in command or " show " in command or " list" in command else str(answer["out"])


def saved(client: Client, name: str) -> Path:
    say(client, f"image save --file out-{name} {name}")
    return client.folder / f"out-{name}"


def check(client: Client, name: str, data: bytes) -> None:
    """The image is active, and what is saved has the hashes that are shown."""
    end = time.monotonic() + 30
    while "size" not in (shown := say(client, f"image show {name}")):  # an import goes on when the client has ended
        assert time.monotonic() < end, shown
    file = saved(client, name).read_bytes()
    assert (shown["status"], shown["size"]) == ("active", len(data))
    assert shown["checksum"] == hashlib.md5(file).hexdigest() == hashlib.md5(data).hexdigest()
    assert shown["properties"]["os_hash_value"] == hashlib.sha512(file).hexdigest()


def test_an_upload_is_saved_as_it_was(client: Client) -> None:
    say(client, "image create --file data --disk-format raw up")
    check(client, "up", DATA)


def empty(cloud: Cloud, name: str, disk_format: str) -> None:
    """An image without data. (The client would read its standard input, which is none, and upload nothing as its data.)"""
    cloud.call("POST", "/image/v2/images", {"name": name, "disk_format": disk_format, "container_format": "bare"})


def test_imports_by_every_method(cloud: Cloud, client: Client, web: Source) -> None:
    web.files["/disk.qcow2"] = bytes(qcow2())
    say(client, "image create --import --file data --disk-format raw direct")
    check(client, "direct", DATA)
    empty(cloud, "download", "qcow2")
    say(client, f"image import --method web-download --uri {web.url('/disk.qcow2')} --wait download")
    check(client, "download", bytes(qcow2()))
    empty(cloud, "copy", "raw")
    id = say(client, "image show direct")["id"]
    place = f"--remote-region RegionOne --remote-service-interface public --remote-image {id}"
    say(client, f"image import --method glance-download {place} --wait copy")
    check(client, "copy", DATA)
    assert "web-download" in str(say(client, "image import info -f json"))
    assert {task["Status"] for task in say(client, "image task list")} == {"success"}


def test_the_cache_and_the_definitions(client: Client) -> None:
    say(client, "image create --file data --disk-format raw kept")
    say(client, "cached image clear")
    assert say(client, "cached image list") == []
    say(client, "cached image queue kept")
    assert [image["State"] for image in say(client, "cached image list")] in (["queued"], ["cached"])
    say(client, "image metadef namespace create --public --description d Org::Test")
    say(client, "image metadef resource type association create Org::Test OS::Nova::Server")
    say(client, "image metadef object create --namespace Org::Test thing")
    schema = '{"minimum": 1}'
    say(client, f"image metadef property create --name size --title Size --type integer --schema '{schema}' Org::Test")
    assert "Org::Test" in [each["namespace"] for each in say(client, "image metadef namespace list")]
    assert say(client, "image metadef object show Org::Test thing")["name"] == "thing"
    assert "size" in [each["name"] for each in say(client, "image metadef property list Org::Test")]
    say(client, "image metadef namespace delete Org::Test")


def test_a_distributions_image_is_pulled_once(cloud: Cloud, client: Client, web: Source) -> None:
    data, folder, file = bytes(qcow2()), "/noble/current/", "noble-server-cloudimg-amd64.img"
    web.files[folder + file] = data
    web.files[folder + "SHA256SUMS"] = f"{hashlib.sha256(data).hexdigest()} *{file}\n".encode()
    for _ in range(2):
        assert "ubuntu" in cloud.run("image", "pull", "ubuntu", "--mirror", f"http://{web.host}").stdout
    assert web.asked.count(folder + file) == 1
    check(client, "ubuntu", data)
    shown = say(client, "image show ubuntu")
    assert (shown["visibility"], shown["min_disk"], shown["properties"]["os_distro"]) == ("public", 4, "ubuntu")
