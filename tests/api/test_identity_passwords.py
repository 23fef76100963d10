"""Rules about passwords: none unless set; then history, age, expiry, form, and a door that closes after wrong ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pileus.app import build
from pileus.config import Paths, Settings
from pileus.kit.clock import ManualClock
from tests.api.identity import K, made, ok, password, sign_in
from tests.conftest import PASSWORD, Client

DAY = 86_400


@asynccontextmanager
async def cloud(paths: Paths, **settings: Any) -> AsyncIterator[tuple[Client, ManualClock]]:
    """A cloud with these rules, and its clock."""
    clock = ManualClock()
    app = build(Settings(drivers="fake", synchronous="off", token_hours=24 * 365, **settings), paths, PASSWORD, memory=True, clock=clock)
    await app.start()
    api = Client(app)
    await api.sign_in("admin", PASSWORD, {"project": {"name": "admin", "domain": {"id": "default"}}})
    try:
        yield api, clock
    finally:
        await app.stop()


async def change(api: Client, user: str, old: str, new: str) -> int:
    body = {"user": {"original_password": old, "password": new}}
    return (await api("POST", f"{K}/users/{user}/password", body, token=None)).status


async def enters(api: Client, user: str, secret: str) -> bool:
    return (await sign_in(api, password(user, secret))).status == 201


async def test_without_rules_there_are_none(paths: Paths) -> None:
    async with cloud(paths) as (api, clock):
        user = await made(api, "user", name="u", password="a")
        assert user["password_expires_at"] is None
        for _ in range(20):
            assert not await enters(api, user["id"], "wrong")
        assert await enters(api, user["id"], "a")
        assert await change(api, user["id"], "a", "a") == 204
        clock.turn(300 * DAY)
        assert await enters(api, user["id"], "a")


async def test_a_door_that_closes(paths: Paths) -> None:
    async with cloud(paths, lockout_failure_attempts=3, lockout_duration=60) as (api, clock):
        user = (await made(api, "user", name="u", password="a"))["id"]
        spared = await made(api, "user", name="v", password="a", options={"ignore_lockout_failure_attempts": True})
        for _ in range(2):
            assert not await enters(api, user, "wrong")
        assert await enters(api, user, "a")  # and the count begins anew
        for _ in range(3):
            assert not await enters(api, user, "wrong")
            assert not await enters(api, spared["id"], "wrong")
        assert not await enters(api, user, "a")
        assert await change(api, user, "a", "b") == 401
        assert await enters(api, spared["id"], "a")
        clock.turn(61)
        assert await enters(api, user, "a")
        for _ in range(3):
            assert not await enters(api, user, "wrong")
        await ok(api, "PATCH", f"/users/{user}", {"user": {"enabled": True}})
        assert await enters(api, user, "a")


async def test_history(paths: Paths) -> None:
    async with cloud(paths, unique_last_password_count=2) as (api, _):
        user = (await made(api, "user", name="u", password="a"))["id"]
        assert await change(api, user, "a", "a") == 400
        assert await change(api, user, "a", "b") == 204
        assert await change(api, user, "b", "a") == 400
        assert await change(api, user, "b", "c") == 204
        assert await change(api, user, "c", "a") == 204
        await ok(api, "PATCH", f"/users/{user}", {"user": {"password": "a"}})  # an admin may


async def test_age_and_expiry(paths: Paths) -> None:
    async with cloud(paths, password_expires_days=10, minimum_password_age=2) as (api, clock):
        user = await made(api, "user", name="u", password="a")
        assert user["password_expires_at"] == "2023-11-24T22:13:20.000000"
        spared = await made(api, "user", name="v", password="a", options={"ignore_password_expiry": True})
        assert spared["password_expires_at"] is None
        assert await change(api, user["id"], "a", "b") == 400
        clock.turn(11 * DAY)
        answer = await sign_in(api, password(user["id"], "a"))
        assert (answer.status, "expired" in answer["error"]["message"]) == (401, True)
        assert await enters(api, spared["id"], "a")
        found = (await ok(api, "GET", "/users?password_expires_at=lt:2023-12-01T00:00:00Z"))["users"]
        assert user["id"] in [each["id"] for each in found]
        assert await change(api, user["id"], "a", "b") == 204  # without a token, since there is none to be had
        assert await enters(api, user["id"], "b")


async def test_form_lock_and_inactivity(paths: Paths) -> None:
    async with cloud(paths, password_regex=r"^(?=.*\d).{4,}$", disable_user_account_days_inactive=30) as (api, clock):
        assert (await api("POST", K + "/users", {"user": {"name": "u", "password": "short"}})).status == 400
        user = (await made(api, "user", name="u", password="long1"))["id"]
        assert await change(api, user, "long1", "long") == 400
        assert await change(api, user, "long1", "long2") == 204
        await ok(api, "PATCH", f"/users/{user}", {"user": {"options": {"lock_password": True}}})
        assert await change(api, user, "long2", "long3") == 403
        clock.turn(29 * DAY)
        assert await enters(api, user, "long2")
        clock.turn(29 * DAY)
        assert await enters(api, user, "long2")
        clock.turn(31 * DAY)
        assert not await enters(api, user, "long2")
        await ok(api, "PATCH", f"/users/{user}", {"user": {"enabled": True}})


async def test_options_there_are_not(paths: Paths) -> None:
    async with cloud(paths) as (api, _):
        assert (await api("POST", K + "/users", {"user": {"name": "u", "options": {"nope": True}}})).status == 400
        assert (await api("POST", K + "/users", {"user": {"name": "u", "options": {"multi_factor_auth_rules": "password"}}})).status == 400
