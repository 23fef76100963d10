"""Projects, domains, users, roles and assignments: what is kept, what is refused, what goes with what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import PASSWORD, Client

K = "/identity/v3"


async def ok(api: Client, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await api(method, K + path, body)
    assert answer.status == status, answer.text
    return answer.body


async def test_unknown_keys_are_kept_and_merged(api: Client) -> None:
    made = (await ok(api, "POST", "/projects", {"project": {"name": "p", "colour": "blue"}}, 201))["project"]
    assert made["colour"] == "blue"
    path = f"/projects/{made['id']}"
    changed = (await ok(api, "PATCH", path, {"project": {"size": 3, "tags": ["b", "a"]}}))["project"]
    assert (changed["colour"], changed["size"], changed["tags"]) == ("blue", 3, ["a", "b"])
    await ok(api, "PATCH", path, {"project": {"colour": None, "description": "d"}})
    shown = (await ok(api, "GET", path))["project"]
    assert "colour" not in shown
    assert shown["description"] == "d"


@pytest.mark.parametrize(
    ("noun", "body"),
    [
        ("project", {}),
        ("project", {"name": ""}),
        ("project", {"name": "x" * 65}),
        ("project", {"name": "x", "tags": ["a", "a"]}),
        ("project", {"name": "x", "tags": ["a/b"]}),
        ("project", {"name": "x", "options": {"nope": True}}),
        ("user", {"name": "x", "enabled": "yes"}),
        ("user", {"name": 5}),
        ("role", {"name": ["x"]}),
        ("domain", {"description": "no name"}),
    ],
)
async def test_bodies_that_do_not_fit(api: Client, noun: str, body: Any) -> None:
    answer = await api("POST", f"{K}/{noun}s", {noun: body})
    assert answer.status == 400
    assert "Failed validating" in answer["error"]["message"]
    assert (await api("POST", f"{K}/{noun}s", {})).status == 400
    assert (await api("POST", f"{K}/{noun}s", "{bad")).status == 400


async def test_names_are_unique_in_their_domain(api: Client) -> None:
    other = (await ok(api, "POST", "/domains", {"domain": {"name": "other"}}, 201))["domain"]["id"]
    for noun, extra in (("project", {}), ("user", {"password": "x"})):
        await ok(api, "POST", f"/{noun}s", {noun: {"name": "n", **extra}}, 201)
        assert (await api("POST", f"{K}/{noun}s", {noun: {"name": "n", **extra}})).status == 409
        await ok(api, "POST", f"/{noun}s", {noun: {"name": "n", "domain_id": other, **extra}}, 201)
    assert (await api("POST", f"{K}/domains", {"domain": {"name": "other"}})).status == 409
    assert (await api("POST", f"{K}/projects", {"project": {"name": "z", "domain_id": "nowhere"}})).status == 404


async def test_a_domain_goes_with_all_that_is_in_it(api: Client) -> None:
    domain = (await ok(api, "POST", "/domains", {"domain": {"name": "d"}}, 201))["domain"]["id"]
    user = (await ok(api, "POST", "/users", {"user": {"name": "u", "password": "u", "domain_id": domain}}, 201))["user"]["id"]
    project = (await ok(api, "POST", "/projects", {"project": {"name": "p", "domain_id": domain}}, 201))["project"]["id"]
    assert (await api("DELETE", f"{K}/domains/{domain}")).status == 403
    await ok(api, "PATCH", f"/domains/{domain}", {"domain": {"enabled": False}})
    await ok(api, "DELETE", f"/domains/{domain}", status=204)
    for path in (f"/domains/{domain}", f"/users/{user}", f"/projects/{project}"):
        assert (await api("GET", K + path)).status == 404


async def test_a_project_below_another(api: Client) -> None:
    top = (await ok(api, "POST", "/projects", {"project": {"name": "top"}}, 201))["project"]
    below = (await ok(api, "POST", "/projects", {"project": {"name": "below", "parent_id": top["id"]}}, 201))["project"]
    assert below["parent_id"] == top["id"]
    shown = (await ok(api, "GET", f"/projects/{below['id']}?parents_as_ids"))["project"]
    assert shown["parents"] == {top["id"]: {"default": None}}
    assert (await api("DELETE", f"{K}/projects/{top['id']}")).status == 403
    assert (await api("PATCH", f"{K}/projects/{below['id']}", {"project": {"parent_id": "default"}})).status == 403
    await ok(api, "DELETE", f"/projects/{below['id']}", status=204)
    await ok(api, "DELETE", f"/projects/{top['id']}", status=204)


async def test_what_is_immutable_stays(api: Client) -> None:
    admin = next(r for r in (await ok(api, "GET", "/roles"))["roles"] if r["name"] == "admin")
    assert (await api("DELETE", f"{K}/roles/{admin['id']}")).status == 403
    assert (await api("PATCH", f"{K}/roles/{admin['id']}", {"role": {"name": "x"}})).status == 403
    role = (await ok(api, "POST", "/roles", {"role": {"name": "r", "options": {"immutable": True}}}, 201))["role"]["id"]
    assert (await api("DELETE", f"{K}/roles/{role}")).status == 403
    await ok(api, "PATCH", f"/roles/{role}", {"role": {"options": {"immutable": False}}})
    await ok(api, "DELETE", f"/roles/{role}", status=204)


async def test_grants_on_project_domain_and_system(api: Client) -> None:
    project = (await ok(api, "POST", "/projects", {"project": {"name": "p"}}, 201))["project"]["id"]
    user = (await ok(api, "POST", "/users", {"user": {"name": "u", "password": "u"}}, 201))["user"]["id"]
    role = (await ok(api, "POST", "/roles", {"role": {"name": "r"}}, 201))["role"]["id"]
    for base in (f"/projects/{project}/users/{user}", f"/domains/default/users/{user}", f"/system/users/{user}"):
        path = f"{base}/roles/{role}"
        assert (await api("HEAD", K + path)).status == 404
        for _ in range(2):
            await ok(api, "PUT", path, status=204)
        assert (await api("HEAD", K + path)).status == 204
        assert [r["name"] for r in (await ok(api, "GET", f"{base}/roles"))["roles"]] == ["r"]
    found = (await ok(api, "GET", f"/role_assignments?user.id={user}&include_names"))["role_assignments"]
    assert sorted(next(iter(a["scope"])) for a in found) == ["domain", "project", "system"]
    assert {a["role"]["name"] for a in found} == {"r"}
    await ok(api, "DELETE", f"/roles/{role}", status=204)
    assert (await ok(api, "GET", f"/role_assignments?user.id={user}"))["role_assignments"] == []
    assert (await api("PUT", f"{K}/projects/{project}/users/{user}/roles/none")).status == 404
    assert (await api("PUT", f"{K}/projects/none/users/{user}/roles/{role}")).status == 404


async def test_a_manager_is_a_member_and_a_reader(api: Client) -> None:
    project = await api.member("p", "m", "manager", save="m")
    user = (await ok(api, "GET", "/users?name=m"))["users"][0]["id"]
    found = (await ok(api, "GET", f"/role_assignments?user.id={user}&effective&include_names"))["role_assignments"]
    assert [a["role"]["name"] for a in found] == ["manager", "member", "reader"]
    token = (await api("GET", f"{K}/auth/tokens", headers={"X-Subject-Token": api.tokens["m"]}))["token"]
    assert token["project"]["id"] == project
    assert {r["name"] for r in token["roles"]} == {"manager", "member", "reader"}


async def test_a_default_project_is_where_one_lands(api: Client) -> None:
    project = await api.member("p", "u")
    user = (await ok(api, "GET", "/users?name=u"))["users"][0]["id"]
    await ok(api, "PATCH", f"/users/{user}", {"user": {"default_project_id": project}})
    text = await api.sign_in("u", "u")
    token = (await api("GET", f"{K}/auth/tokens", headers={"X-Subject-Token": text}))["token"]
    assert token["project"]["id"] == project


async def test_the_catalog_can_be_read_and_is_whole(api: Client) -> None:
    services = (await ok(api, "GET", "/services"))["services"]
    endpoints = (await ok(api, "GET", "/endpoints"))["endpoints"]
    assert len(endpoints) == 3 * len(services)
    for service in services:
        assert (await ok(api, "GET", f"/services/{service['id']}"))["service"] == service
        url = next(e["url"] for e in endpoints if e["service_id"] == service["id"] and e["interface"] == "public")
        assert (await api("GET", url.removeprefix("http://127.0.0.1:5000"))).status in (200, 300), url
    assert [r["id"] for r in (await ok(api, "GET", "/regions"))["regions"]] == ["RegionOne"]
    assert (await api("GET", f"{K}/services/none")).status == 404


async def test_no_answer_has_a_password(api: Client) -> None:
    made = await api("POST", f"{K}/users", {"user": {"name": "u", "password": "s3cret!"}})
    listed = await api("GET", f"{K}/users")
    for answer in (made, listed):
        assert b"s3cret!" not in answer.text
        assert b"argon2" not in answer.text
        assert PASSWORD.encode() not in answer.text
