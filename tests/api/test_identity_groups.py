"""Groups, inherited and implied roles: what a token has by them, and what ends it."""

from __future__ import annotations

from typing import Any

from tests.api.identity import K, alive, made, ok, password, role_id, sign_in
from tests.conftest import Client


async def token_roles(api: Client, user: str, project: str, save: str = "t") -> set[str]:
    answer = await sign_in(api, password(user, "u"), {"project": {"id": project}}, save=save)
    return {role["name"] for role in answer["token"]["roles"]} if answer.status == 201 else set()


async def test_what_a_group_may_its_members_may(api: Client) -> None:
    user, project, group = (
        await made(api, "user", name="u", password="u"),
        await made(api, "project", name="p"),
        await made(api, "group", name="g"),
    )
    member = await role_id(api, "member")
    await ok(api, "PUT", f"/projects/{project['id']}/groups/{group['id']}/roles/{member}", status=204)
    assert await token_roles(api, user["id"], project["id"]) == set()
    path = f"/groups/{group['id']}/users/{user['id']}"
    assert (await api("HEAD", K + path)).status == 404
    await ok(api, "PUT", path, status=204)
    await ok(api, "PUT", path, status=204)  # twice is once
    assert (await api("HEAD", K + path)).status == 204
    assert [u["id"] for u in (await ok(api, "GET", f"/groups/{group['id']}/users"))["users"]] == [user["id"]]
    assert [g["id"] for g in (await ok(api, "GET", f"/users/{user['id']}/groups"))["groups"]] == [group["id"]]
    assert await token_roles(api, user["id"], project["id"]) == {"member", "reader"}
    assert [p["id"] for p in (await ok(api, "GET", "/auth/projects", token="t"))["projects"]] == [project["id"]]
    await ok(api, "DELETE", path, status=204)
    assert not await alive(api, "t")
    await ok(api, "PUT", path, status=204)
    assert await token_roles(api, user["id"], project["id"])
    await ok(api, "DELETE", f"/groups/{group['id']}", status=204)
    assert not await alive(api, "t")
    assert (await ok(api, "GET", "/role_assignments"))["role_assignments"]
    assert not (await ok(api, "GET", f"/role_assignments?group.id={group['id']}"))["role_assignments"]


async def test_names_of_groups(api: Client) -> None:
    other = await made(api, "domain", name="other")
    group = await made(api, "group", name="g", description="d", colour="red")
    assert (group["domain_id"], group["colour"]) == ("default", "red")
    assert (await api("POST", K + "/groups", {"group": {"name": "g"}})).status == 409
    await made(api, "group", name="g", domain_id=other["id"])
    await made(api, "group", name="h")
    assert (await api("PATCH", f"{K}/groups/{group['id']}", {"group": {"name": "h"}})).status == 409
    changed = await ok(api, "PATCH", f"/groups/{group['id']}", {"group": {"name": "i"}})
    assert changed["group"]["name"] == "i"
    assert {g["name"] for g in (await ok(api, "GET", "/groups?domain_id=default"))["groups"]} == {"i", "h"}
    assert {g["name"] for g in (await ok(api, "GET", "/groups?name__startswith=i"))["groups"]} == {"i"}
    assert (await api("GET", K + "/groups/nowhere")).status == 404


async def test_inherited_roles_hold_below_and_not_where_they_were_given(api: Client) -> None:
    user, top = await made(api, "user", name="u", password="u"), await made(api, "project", name="top")
    below = await made(api, "project", name="below", parent_id=top["id"])
    deep = await made(api, "project", name="deep", parent_id=below["id"])
    grant = f"/OS-INHERIT/projects/{top['id']}/users/{user['id']}/roles/{await role_id(api, 'member')}/inherited_to_projects"
    assert (await api("HEAD", K + grant)).status == 404
    await ok(api, "PUT", grant, status=204)
    assert (await api("HEAD", K + grant)).status == 204
    assert not (await ok(api, "GET", f"/projects/{top['id']}/users/{user['id']}/roles"))["roles"]
    assert await token_roles(api, user["id"], top["id"]) == set()
    for project in (below, deep):
        assert await token_roles(api, user["id"], project["id"]) == {"member", "reader"}
    shown = (await ok(api, "GET", f"/role_assignments?user.id={user['id']}"))["role_assignments"]
    assert shown[0]["scope"] == {"project": {"id": top["id"]}, "OS-INHERIT:inherited_to": "projects"}
    assert shown[0]["links"]["assignment"].endswith("/inherited_to_projects")
    found = await ok(api, "GET", f"/role_assignments?user.id={user['id']}&effective&scope.project.id={deep['id']}")
    assert len(found["role_assignments"]) == 2
    await ok(api, "DELETE", grant, status=204)
    assert not await alive(api, "t")
    whole = f"/OS-INHERIT/domains/default/users/{user['id']}/roles/{await role_id(api, 'reader')}/inherited_to_projects"
    await ok(api, "PUT", whole, status=204)
    for project in (top, below, deep):
        assert await token_roles(api, user["id"], project["id"]) == {"reader"}
    await ok(api, "DELETE", whole, status=204)
    assert await token_roles(api, user["id"], top["id"]) == set()


async def test_implied_roles(api: Client) -> None:
    user, project = await made(api, "user", name="u", password="u"), await made(api, "project", name="p")
    first, second, third = [await made(api, "role", name=name) for name in ("first", "second", "third")]
    await ok(api, "PUT", f"/projects/{project['id']}/users/{user['id']}/roles/{first['id']}", status=204)
    rule = f"/roles/{first['id']}/implies/{second['id']}"
    assert (await api("GET", K + rule)).status == 404
    shown = (await ok(api, "PUT", rule, status=201))["role_inference"]
    assert (shown["prior_role"]["name"], shown["implies"]["name"]) == ("first", "second")
    await ok(api, "PUT", f"/roles/{second['id']}/implies/{third['id']}", status=201)
    assert await token_roles(api, user["id"], project["id"]) == {"first", "second", "third"}
    assert [r["name"] for r in (await ok(api, "GET", f"/roles/{first['id']}/implies"))["role_inference"]["implies"]] == ["second"]
    rules = {r["prior_role"]["name"] for r in (await ok(api, "GET", "/role_inferences"))["role_inferences"]}
    assert {"first", "second", "admin", "manager", "member"} <= rules
    await ok(api, "DELETE", rule, status=204)
    assert await token_roles(api, user["id"], project["id"]) == {"first"}
    assert (await api("PUT", f"{K}/roles/{first['id']}/implies/{await role_id(api, 'admin')}")).status == 403


async def test_domain_roles_are_in_no_token_but_what_they_imply_is(api: Client) -> None:
    user, project = await made(api, "user", name="u", password="u"), await made(api, "project", name="p")
    own = await made(api, "role", name="own", domain_id="default")
    reader = await role_id(api, "reader")
    assert (await api("PUT", f"{K}/roles/{reader}/implies/{own['id']}")).status == 403
    await ok(api, "PUT", f"/projects/{project['id']}/users/{user['id']}/roles/{own['id']}", status=204)
    assert await token_roles(api, user["id"], project["id"]) == set()
    await ok(api, "PUT", f"/roles/{own['id']}/implies/{reader}", status=201)
    assert await token_roles(api, user["id"], project["id"]) == {"reader"}
    assert [r["name"] for r in (await ok(api, "GET", "/roles?domain_id=default"))["roles"]] == ["own"]
    assert "own" not in [r["name"] for r in (await ok(api, "GET", "/roles"))["roles"]]


async def test_questions_about_assignments(api: Client) -> None:
    user, group = await made(api, "user", name="u", password="u"), await made(api, "group", name="g")
    top = await made(api, "project", name="top")
    below = await made(api, "project", name="below", parent_id=top["id"])
    reader = await role_id(api, "reader")
    await ok(api, "PUT", f"/groups/{group['id']}/users/{user['id']}", status=204)
    for path in (f"/projects/{below['id']}/users/{user['id']}", f"/domains/default/groups/{group['id']}", f"/system/groups/{group['id']}"):
        await ok(api, "PUT", f"{path}/roles/{reader}", status=204)

    async def asked(query: str) -> list[Any]:
        return list((await ok(api, "GET", f"/role_assignments?{query}"))["role_assignments"])

    assert [a["scope"] for a in await asked(f"scope.project.id={top['id']}")] == []
    assert [a["user"]["id"] for a in await asked(f"scope.project.id={top['id']}&include_subtree=true")] == [user["id"]]
    assert len(await asked(f"group.id={group['id']}")) == 2
    assert [a["group"]["id"] for a in await asked(f"scope.system=all&role.id={reader}")] == [group["id"]]
    named = await asked(f"scope.domain.id=default&group.id={group['id']}&include_names")
    assert named[0]["scope"]["domain"] == {"id": "default", "name": "Default"}
    assert named[0]["group"]["domain"]["name"] == "Default"
    by_group = [a for a in await asked(f"user.id={user['id']}&effective=true") if "membership" in a["links"]]
    assert {next(iter(a["scope"])) for a in by_group} == {"domain", "system"}
    for wrong in (
        f"user.id={user['id']}&group.id={group['id']}",
        f"scope.project.id={top['id']}&scope.domain.id=default",
        f"effective&group.id={group['id']}",
        "include_subtree=true",
        "effective&scope.domain.id=default&scope.OS-INHERIT:inherited_to=projects",
    ):
        assert (await api("GET", f"{K}/role_assignments?{wrong}")).status == 400, wrong
