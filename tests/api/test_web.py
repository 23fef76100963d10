"""The one error boundary: what every dialect answers when something is wrong, and that no traceback reaches a client."""

from __future__ import annotations

import pytest

from pileus.app import App
from pileus.kit import web
from tests.conftest import Client

LISTS = ("/identity/v3/projects", "/image/v2/images", "/network/v2.0/networks", "/compute/v2.1/servers", "/placement/resource_providers")


async def test_the_root_names_the_services(api: Client) -> None:
    answer = await api("GET", "/", token=None)
    assert answer.status == 200
    assert set(answer["services"]) == {"identity", "image", "network", "compute", "placement"}
    assert (await api("GET", "/healthz", token=None)).status == 200
    assert (await api("GET", "/nowhere/at/all", token=None)).status == 404


@pytest.mark.parametrize("path", LISTS)
async def test_every_service_asks_for_a_token_and_signs_its_answers(api: Client, path: str) -> None:
    for token in (None, "nonsense"):
        answer = await api("GET", path, token=token)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Keystone uri=")
    answer = await api("GET", path)
    assert answer.status == 200
    assert answer.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize("path", LISTS)
async def test_a_page_on_the_web_cannot_reach_the_cloud_by_another_name(api: Client, path: str) -> None:
    assert (await api("GET", path, headers={"Host": "evil.example:5000"})).status == 404
    for host in ("127.0.0.1:5000", "localhost:5000", "localhost", "[::1]:5000"):
        assert (await api("GET", path, headers={"Host": host})).status == 200


@pytest.mark.parametrize("path", LISTS)
async def test_a_defect_is_an_error_without_a_traceback(api: Client, app: App, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(app.store, "query", broken)
    monkeypatch.setattr(app.store, "find", broken)
    monkeypatch.setattr(app.store, "count", broken)
    answer = await api("GET", path)
    assert answer.status == 500
    assert b"secret of the inside" not in answer.text
    assert b"Traceback" not in answer.text
    assert answer.body is not None


async def test_a_body_that_is_too_large_is_not_read(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_MAX", 100)
    assert (await api("POST", "/identity/v3/projects", "x" * 200)).status == 413
    assert (await api("POST", "/network/v2.0/networks", "x" * 200)).status == 413


@pytest.mark.parametrize("body", ["", "[]", "5", "null", '"x"', "{", "\x00", '{"server": []}', '{"network": 5}', "[" * 3000])
async def test_bodies_of_every_kind_are_refused_in_words(api: Client, body: str) -> None:
    for path in ("/identity/v3/users", "/network/v2.0/networks", "/compute/v2.1/servers", "/compute/v2.1/os-keypairs", "/image/v2/images"):
        answer = await api("POST", path, body)
        assert 400 <= answer.status < 500 or path.startswith("/image"), (path, answer.status, answer.text)
        assert answer.status < 500
