"""Tokens: issued by password and by token, for each scope; what ends them."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.app import App, build
from pileus.config import Paths, Settings
from tests.conftest import PASSWORD, Client

PROJECT = {"project": {"name": "admin", "domain": {"id": "default"}}}


async def works(api: Client, token: str) -> bool:
    answer = await api("GET", "/identity/v3/auth/projects", token=token)
    assert answer.status in (200, 401)
    return answer.status == 200


async def test_scopes(api: Client) -> None:
    for scope, key in ((PROJECT, "project"), ({"system": {"all": True}}, "system")):
        token = await api.sign_in("admin", PASSWORD, scope)
        shown = (await api("GET", "/identity/v3/auth/tokens", token=token, headers={"X-Subject-Token": token}))["token"]
        assert key in shown
        assert {r["name"] for r in shown["roles"]} == {"admin", "manager", "member", "reader"}
        assert {s["type"] for s in shown["catalog"]} >= {"identity"}
    unscoped = await api.sign_in("admin", PASSWORD)
    shown = (await api("GET", "/identity/v3/auth/tokens", token=unscoped, headers={"X-Subject-Token": unscoped}))["token"]
    assert not {"project", "system", "roles", "catalog"} & shown.keys()


async def test_the_catalog_has_the_address_the_client_used(api: Client) -> None:
    answer = await api("GET", "/identity/v3/auth/catalog", headers={"Host": "127.0.0.1:5555"})
    urls = [e["url"] for s in answer["catalog"] for e in s["endpoints"]]
    assert urls
    assert all(url.startswith("http://127.0.0.1:5555/") for url in urls)


@pytest.mark.parametrize(
    "auth",
    [
        {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": {"id": "default"}, "password": "no"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"name": "no", "domain": {"id": "default"}, "password": "no"}}}},
        {"identity": {"methods": ["oauth1"]}},
        {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}},
            },
            "scope": {"project": {"name": "nowhere", "domain": {"id": "default"}}},
        },
    ],
)
async def test_who_may_not_is_not_told_why(api: Client, auth: dict[str, Any]) -> None:
    answer = await api("POST", "/identity/v3/auth/tokens", {"auth": auth}, token=None)
    assert answer.status == 401
    assert "www-authenticate" in answer.headers


async def test_a_token_that_is_none_is_not_found(api: Client) -> None:
    answer = await api(
        "POST", "/identity/v3/auth/tokens", {"auth": {"identity": {"methods": ["token"], "token": {"id": "no"}}}}, token=None
    )
    assert answer.status == 404


async def test_a_token_made_from_a_token_keeps_its_end_and_dies_with_it(api: Client) -> None:
    first = await api.sign_in("admin", PASSWORD, PROJECT)
    auth = {"identity": {"methods": ["token"], "token": {"id": first}}}
    answer = await api("POST", "/identity/v3/auth/tokens", {"auth": auth}, token=None)
    second = answer.headers["x-subject-token"]
    old = (await api("GET", "/identity/v3/auth/tokens", headers={"X-Subject-Token": first}))["token"]
    assert answer["token"]["expires_at"] == old["expires_at"]
    assert answer["token"]["methods"] == ["token", "password"]
    assert (await api("DELETE", "/identity/v3/auth/tokens", headers={"X-Subject-Token": first})).status == 204
    assert not await works(api, first)
    assert not await works(api, second)


async def test_what_ends_a_token(api: Client) -> None:
    project = await api.member("p", "u", save="u")
    user = (await api("GET", "/identity/v3/users?name=u"))["users"][0]["id"]
    roles = {r["name"]: r["id"] for r in (await api("GET", "/identity/v3/roles"))["roles"]}
    grant = f"/identity/v3/projects/{project}/users/{user}/roles/{roles['member']}"

    async def again() -> None:
        await api.sign_in("u", "u", {"project": {"id": project}})
        assert await works(api, "u")

    async def ends(method: str, path: str, body: Any = None) -> None:
        assert (await api(method, path, body)).status in (200, 204)
        assert not await works(api, "u")

    await ends("DELETE", grant)
    assert (await api("PUT", grant)).status == 204
    await again()
    await ends("PATCH", f"/identity/v3/users/{user}", {"user": {"enabled": False}})
    await api("PATCH", f"/identity/v3/users/{user}", {"user": {"enabled": True}})
    await again()
    await ends("PATCH", f"/identity/v3/projects/{project}", {"project": {"enabled": False}})
    await api("PATCH", f"/identity/v3/projects/{project}", {"project": {"enabled": True}})
    await again()
    await ends("PATCH", f"/identity/v3/users/{user}", {"user": {"password": "u"}})
    await again()
    changed = await api("POST", f"/identity/v3/users/{user}/password", {"user": {"original_password": "u", "password": "v"}}, token="u")
    assert changed.status == 204
    assert not await works(api, "u")
    await api.sign_in("u", "v", {"project": {"id": project}})
    await ends("DELETE", f"/identity/v3/projects/{project}")
    await api.sign_in("u", "v", save="unscoped")
    assert (await api("DELETE", f"/identity/v3/users/{user}")).status == 204
    assert not await works(api, "unscoped")


async def test_tokens_survive_a_restart(paths: Paths) -> None:
    settings = Settings(drivers="fake", synchronous="off")
    first = build(settings, paths, PASSWORD)
    await first.start()
    token = await Client(first).sign_in("admin", PASSWORD, PROJECT)
    await first.stop()
    second = build(settings, paths, "another password: it is not used again")
    await second.start()
    try:
        assert await works(Client(second), token)
    finally:
        await second.stop()


async def test_the_database_does_not_hold_the_token(api: Client, app: App) -> None:
    token = await api.sign_in("admin", PASSWORD, PROJECT)
    assert all(token not in str(row.values()) for row in app.store.find("token"))


async def test_a_reader_may_read_itself_and_no_more(api: Client) -> None:
    await api.member("p", "r", "reader", save="r")
    user = (await api("GET", "/identity/v3/users?name=r"))["users"][0]["id"]
    assert (await api("GET", f"/identity/v3/users/{user}", token="r")).status == 200
    for method, path, body in (
        ("GET", "/identity/v3/users", None),
        ("POST", "/identity/v3/users", {"user": {"name": "x", "password": "x"}}),
        ("DELETE", f"/identity/v3/users/{user}", None),
        ("POST", "/identity/v3/roles", {"role": {"name": "x"}}),
        ("PATCH", f"/identity/v3/users/{user}", {"user": {"enabled": True}}),
    ):
        assert (await api(method, path, body, token="r")).status == 403, path
