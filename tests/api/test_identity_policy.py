"""Who may what by role and scope: an admin, the system's reader, a domain's manager and reader, who reach no further than it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.identity import K, made, ok, password, person, role_id, sign_in
from tests.conftest import Client


class Two:
    """Two domains, `one` with people of its own, and something of each kind in both."""

    def __init__(self, api: Client) -> None:
        self.api = api
        self.domain: dict[str, str] = {}
        self.inside: dict[str, dict[str, str]] = {}

    async def build(self) -> Two:
        api = self.api
        for name in ("one", "two"):
            domain = (await made(api, "domain", name=name))["id"]
            self.domain[name] = domain
            self.inside[name] = {
                noun: (await made(api, noun, name=f"{noun}-{name}", domain_id=domain))["id"] for noun in ("user", "project", "group")
            }
        await person(api, "manager", "manager", domain=self.domain["one"])
        await person(api, "reader", "reader", domain=self.domain["one"])
        await person(api, "auditor", "reader", on="system")
        return self


@pytest.fixture
async def two(api: Client) -> Two:
    return await Two(api).build()


async def status(api: Client, who: str, method: str, path: str, body: Any = None) -> int:
    return (await api(method, K + path, body, token=who)).status


@pytest.mark.parametrize("noun", ["user", "project", "group"])
async def test_reach_of_a_domain(api: Client, two: Two, noun: str) -> None:
    mine, theirs = two.inside["one"][noun], two.inside["two"][noun]
    for who, own, other in (("manager", 200, 403), ("reader", 200, 403), ("auditor", 200, 200), ("admin", 200, 200)):
        assert await status(api, who, "GET", f"/{noun}s/{mine}") == own
        assert await status(api, who, "GET", f"/{noun}s/{theirs}") == other
    names = [each["name"] for each in (await ok(api, "GET", f"/{noun}s", token="reader"))[f"{noun}s"]]
    assert f"{noun}-one" in names
    assert f"{noun}-two" not in names
    assert (await ok(api, "GET", f"/{noun}s?domain_id={two.domain['two']}", token="reader"))[f"{noun}s"] == []
    change = {noun: {"description": "changed"}}
    for who, own, other in (("reader", 403, 403), ("auditor", 403, 403), ("manager", 200, 403), ("admin", 200, 200)):
        assert await status(api, who, "PATCH", f"/{noun}s/{mine}", change) == own, who
        assert await status(api, who, "PATCH", f"/{noun}s/{theirs}", change) == other, who
    new = {noun: {"name": "new"}}
    elsewhere = {noun: {"name": "new", "domain_id": two.domain["two"]}}
    assert await status(api, "reader", "POST", f"/{noun}s", new) == 403
    assert await status(api, "auditor", "POST", f"/{noun}s", new) == 403
    assert await status(api, "manager", "POST", f"/{noun}s", elsewhere) == 403
    fresh = (await ok(api, "POST", f"/{noun}s", new, 201, "manager"))[noun]
    assert fresh["domain_id"] == two.domain["one"]
    assert await status(api, "manager", "DELETE", f"/{noun}s/{theirs}") == 403
    assert await status(api, "reader", "DELETE", f"/{noun}s/{mine}") == 403
    assert await status(api, "manager", "DELETE", f"/{noun}s/{fresh['id']}") == 204
    assert await status(api, "manager", "GET", f"/{noun}s/nowhere") == 403  # who may not know is not told
    assert await status(api, "admin", "GET", f"/{noun}s/nowhere") == 404


async def test_a_manager_gives_what_is_not_admin_and_only_at_home(api: Client, two: Two) -> None:
    one, other = two.inside["one"], two.inside["two"]
    member, admin = await role_id(api, "member"), await role_id(api, "admin")
    assert await status(api, "manager", "PUT", f"/projects/{one['project']}/users/{one['user']}/roles/{member}") == 204
    assert await status(api, "manager", "PUT", f"/domains/{two.domain['one']}/groups/{one['group']}/roles/{member}") == 204
    for path in (
        f"/projects/{one['project']}/users/{one['user']}/roles/{admin}",
        f"/projects/{other['project']}/users/{one['user']}/roles/{member}",
        f"/projects/{one['project']}/users/{other['user']}/roles/{member}",
        f"/domains/{two.domain['two']}/users/{one['user']}/roles/{member}",
        f"/system/users/{one['user']}/roles/{member}",
    ):
        assert await status(api, "manager", "PUT", path) == 403, path
    assert await status(api, "reader", "GET", f"/projects/{one['project']}/users/{one['user']}/roles") == 200
    assert await status(api, "reader", "DELETE", f"/projects/{one['project']}/users/{one['user']}/roles/{member}") == 403
    seen = (await ok(api, "GET", "/role_assignments", token="reader"))["role_assignments"]
    assert {two.domain["one"], one["project"]} == {next(iter(a["scope"].values()))["id"] for a in seen}
    assert await status(api, "manager", "PUT", f"/groups/{one['group']}/users/{one['user']}") == 204
    assert await status(api, "manager", "PUT", f"/groups/{one['group']}/users/{other['user']}") == 403
    assert await status(api, "reader", "DELETE", f"/groups/{one['group']}/users/{one['user']}") == 403


async def test_a_manager_does_not_become_an_admin(api: Client, two: Two) -> None:
    one = two.inside["one"]
    admin, boss = await role_id(api, "admin"), await made(api, "user", name="boss", password="boss", domain_id=two.domain["one"])
    await ok(api, "PUT", f"/system/users/{boss['id']}/roles/{admin}", status=204)
    await ok(api, "PUT", f"/domains/{two.domain['one']}/groups/{one['group']}/roles/{admin}", status=204)
    new_password = {"user": {"password": "mine"}}
    assert await status(api, "manager", "PATCH", f"/users/{boss['id']}", new_password) == 403
    assert await status(api, "manager", "DELETE", f"/users/{boss['id']}") == 403
    assert await status(api, "manager", "PUT", f"/groups/{one['group']}/users/{one['user']}") == 403
    assert await status(api, "manager", "DELETE", f"/groups/{one['group']}") == 403
    await ok(api, "PUT", f"/groups/{one['group']}/users/{one['user']}", status=204)
    assert await status(api, "manager", "PATCH", f"/users/{one['user']}", new_password) == 403
    assert await status(api, "manager", "DELETE", f"/groups/{one['group']}/users/{one['user']}") == 403
    await ok(api, "DELETE", f"/domains/{two.domain['one']}/groups/{one['group']}/roles/{admin}", status=204)
    assert await status(api, "manager", "PATCH", f"/users/{one['user']}", new_password) == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/domains", {"domain": {"name": "x"}}),
        ("/roles", {"role": {"name": "x"}}),
        ("/services", {"service": {"type": "x"}}),
        ("/regions", {"region": {"id": "x"}}),
        ("/policies", {"policy": {"type": "x", "blob": "{}"}}),
        ("/OS-EP-FILTER/endpoint_groups", {"endpoint_group": {"name": "x", "filters": {"interface": "public"}}}),
        ("/OS-OAUTH1/consumers", {"consumer": {}}),
        ("/registered_limits", {"registered_limits": [{"service_id": "x", "resource_name": "x", "default_limit": 1}]}),
    ],
)
async def test_what_is_the_whole_clouds_is_an_admins(api: Client, two: Two, path: str, body: Any) -> None:
    for who in ("manager", "reader", "auditor"):
        assert await status(api, who, "POST", path, body) == 403, who
    sees = await status(api, "auditor", "GET", path)
    assert sees == 200
    assert await status(api, "admin", "POST", path, body) in (201, 400)


async def test_who_sees_the_audit_log(api: Client, two: Two) -> None:
    for who, expected in (("admin", 200), ("auditor", 200), ("manager", 403), ("reader", 403)):
        assert await status(api, who, "GET", "/audit_events") == expected


async def test_domains_that_are_seen(api: Client, two: Two) -> None:
    assert [d["name"] for d in (await ok(api, "GET", "/domains", token="reader"))["domains"]] == ["one"]
    assert await status(api, "reader", "GET", f"/domains/{two.domain['two']}") == 403
    assert {d["name"] for d in (await ok(api, "GET", "/domains", token="auditor"))["domains"]} == {"Default", "one", "two"}
    assert await status(api, "manager", "PATCH", f"/domains/{two.domain['one']}", {"domain": {"description": "x"}}) == 403


async def test_a_member_of_a_project_sees_itself_and_its_project(api: Client, two: Two) -> None:
    user = await made(api, "user", name="m", password="m", domain_id=two.domain["one"])
    project = two.inside["one"]["project"]
    await ok(api, "PUT", f"/projects/{project}/users/{user['id']}/roles/{await role_id(api, 'member')}", status=204)
    await sign_in(api, password(user["id"], "m"), {"project": {"id": project}}, save="m")
    for path, expected in (
        (f"/users/{user['id']}", 200),
        (f"/projects/{project}", 200),
        (f"/users/{user['id']}/projects", 200),
        (f"/users/{user['id']}/groups", 200),
        (f"/domains/{two.domain['one']}", 200),
        ("/regions", 200),
        ("/limits", 200),
        ("/registered_limits", 200),
        (f"/users/{two.inside['one']['user']}", 403),
        (f"/projects/{two.inside['two']['project']}", 403),
        ("/users", 403),
        ("/groups", 403),
        ("/services", 403),
        ("/roles", 403),
        ("/role_assignments", 403),
        (f"/users/{two.inside['one']['user']}/projects", 403),
    ):
        assert await status(api, "m", "GET", path) == expected, path
