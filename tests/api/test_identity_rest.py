"""Limits, domain configuration, federation's nouns, nested projects and tags, and the audit log."""

from __future__ import annotations

from typing import Any

from pileus.app import App
from tests.api.identity import K, made, ok, password, sign_in
from tests.conftest import Client


async def test_limits(api: Client) -> None:
    project = await api.member("p", "u")
    service = (await ok(api, "GET", "/services?type=compute"))["services"][0]["id"]
    of = {"service_id": service, "resource_name": "cores"}
    limit = {"limits": [{**of, "project_id": project, "resource_limit": 5}]}
    assert (await api("POST", K + "/limits", limit)).status == 403  # nothing is registered
    registered = {"registered_limits": [{**of, "default_limit": 10}, {**of, "resource_name": "ram", "default_limit": -1}]}
    first = (await ok(api, "POST", "/registered_limits", registered, 201))["registered_limits"][0]
    assert (await api("POST", K + "/registered_limits", registered)).status == 409
    assert len((await ok(api, "GET", "/registered_limits"))["registered_limits"]) == 2
    mine = (await ok(api, "POST", "/limits", limit, 201))["limits"][0]
    assert (await api("POST", K + "/limits", limit)).status == 409
    assert (await api("DELETE", f"{K}/registered_limits/{first['id']}")).status == 403
    assert (await api("PATCH", f"{K}/registered_limits/{first['id']}", {"registered_limit": {"resource_name": "disk"}})).status == 403
    await ok(api, "PATCH", f"/registered_limits/{first['id']}", {"registered_limit": {"default_limit": 20}})
    assert [e["id"] for e in (await ok(api, "GET", "/limits", token="u"))["limits"]] == [mine["id"]]
    await api.member("q", "v")
    assert (await ok(api, "GET", "/limits", token="v"))["limits"] == []
    assert (await api("GET", f"{K}/limits/{mine['id']}", token="v")).status == 403
    changed = await ok(api, "PATCH", f"/limits/{mine['id']}", {"limit": {"resource_limit": 7, "description": "d"}})
    assert (changed["limit"]["resource_limit"], changed["limit"]["description"]) == (7, "d")
    assert (await api("PATCH", f"{K}/limits/{mine['id']}", {"limit": {"resource_name": "ram"}})).status == 400
    for wrong in ({"resource_limit": -2}, {"resource_limit": "5"}, {"service_id": "none"}, {"domain_id": "default"}):
        assert (await api("POST", K + "/limits", {"limits": [{**of, "project_id": project, "resource_limit": 5, **wrong}]})).status == 400
    await ok(api, "DELETE", f"/limits/{mine['id']}", status=204)
    await ok(api, "DELETE", f"/registered_limits/{first['id']}", status=204)


async def test_configuration_of_a_domain(api: Client, app: App) -> None:
    domain = (await made(api, "domain", name="d"))["id"]
    path = f"/domains/{domain}/config"
    assert (await api("GET", K + path)).status == 404
    config = {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://x", "password": "s3cret"}}
    shown = (await ok(api, "PUT", path, {"config": config}, 201))["config"]
    assert shown == {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://x"}}
    assert all("s3cret" not in str(row) for row in app.store.find("domain_config"))
    await ok(api, "PUT", path, {"config": config}, 200)
    assert (await ok(api, "GET", path + "/ldap/url"))["config"] == {"url": "ldap://x"}
    changed = await ok(api, "PATCH", path + "/ldap/url", {"config": {"url": "ldap://y"}})
    assert changed["config"]["ldap"] == {"url": "ldap://y"}
    for wrong in ({"nova": {"x": 1}}, {"ldap": {"nope": 1}}, {}, {"ldap": "x"}):
        assert (await api("PUT", K + path, {"config": wrong})).status == 403, wrong
    assert (await api("PATCH", K + path + "/ldap", {"config": {"identity": {"driver": "x"}}})).status == 403
    await ok(api, "DELETE", path + "/ldap/url", status=204)
    assert (await api("GET", K + path + "/ldap/url")).status == 404
    await ok(api, "DELETE", path, status=204)
    assert (await api("DELETE", K + path)).status == 404
    assert (await ok(api, "GET", "/domains/config/identity/driver/default"))["config"] == {"driver": "sql"}


async def test_federations_nouns(api: Client) -> None:
    provider = "/OS-FEDERATION/identity_providers/acme"
    shown = (await ok(api, "PUT", provider, {"identity_provider": {"remote_ids": ["a"], "enabled": True}}, 201))["identity_provider"]
    assert (await ok(api, "GET", f"/domains/{shown['domain_id']}"))["domain"]["name"] == "acme"
    assert (await api("PUT", K + provider, {"identity_provider": {}})).status == 409
    other = {"identity_provider": {"remote_ids": ["a"]}}
    assert (await api("PUT", K + provider + "2", other)).status == 409
    mapping = {"rules": [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "UserName"}]}]}
    await ok(api, "PUT", "/OS-FEDERATION/mappings/m", {"mapping": mapping}, 201)
    assert (await api("PUT", K + "/OS-FEDERATION/mappings/n", {"mapping": {"rules": []}})).status == 400
    assert (await api("PUT", f"{K}{provider}/protocols/saml2", {"protocol": {"mapping_id": "none"}})).status == 400
    await ok(api, "PUT", f"{provider}/protocols/saml2", {"protocol": {"mapping_id": "m"}}, 201)
    assert [p["id"] for p in (await ok(api, "GET", f"{provider}/protocols"))["protocols"]] == ["saml2"]
    await ok(api, "PATCH", provider, {"identity_provider": {"remote_ids": ["b", "c"]}})
    assert (await ok(api, "GET", provider))["identity_provider"]["remote_ids"] == ["b", "c"]
    sp = {"service_provider": {"auth_url": "https://x.example/v3", "sp_url": "https://x.example/sso"}}
    await ok(api, "PUT", "/OS-FEDERATION/service_providers/x", sp, 201)
    await ok(api, "DELETE", provider, status=204)
    assert (await api("GET", f"{K}{provider}/protocols/saml2")).status == 404


async def test_a_tree_of_projects(api: Client) -> None:
    line = [await made(api, "project", name="p0")]
    for n in range(1, 5):
        line.append(await made(api, "project", name=f"p{n}", parent_id=line[-1]["id"]))
    assert (await api("POST", K + "/projects", {"project": {"name": "p5", "parent_id": line[-1]["id"]}})).status == 403
    top, bottom = line[0]["id"], line[-1]["id"]
    assert (await api("PATCH", f"{K}/projects/{top}", {"project": {"enabled": False}})).status == 403
    for project in reversed(line):
        await ok(api, "PATCH", f"/projects/{project['id']}", {"project": {"enabled": False}})
    assert (await api("PATCH", f"{K}/projects/{bottom}", {"project": {"enabled": True}})).status == 403
    assert (await api("POST", K + "/projects", {"project": {"name": "x", "parent_id": top}})).status == 403
    shown = (await ok(api, "GET", f"/projects/{top}?subtree_as_ids"))["project"]["subtree"]
    assert shown == {line[1]["id"]: {line[2]["id"]: {line[3]["id"]: {bottom: None}}}}
    assert (await ok(api, "GET", f"/projects/{bottom}?parents_as_list"))["project"]["parents"] == []  # the admin has no role in them
    assert (await api("GET", f"{K}/projects/{top}?parents_as_ids&parents_as_list")).status == 400
    assert (await api("DELETE", f"{K}/projects/{top}")).status == 403
    other = await made(api, "domain", name="other")
    assert (await api("POST", K + "/projects", {"project": {"name": "x", "parent_id": top, "domain_id": other["id"]}})).status == 400
    assert (await api("POST", K + "/projects", {"project": {"name": "x", "parent_id": "nowhere"}})).status == 404


async def test_tags(api: Client) -> None:
    project = (await made(api, "project", name="p", tags=["a", "b"]))["id"]
    await made(api, "project", name="q", tags=["b"])
    path = f"/projects/{project}/tags"
    await ok(api, "PUT", path + "/c", status=201)
    assert (await ok(api, "GET", path))["tags"] == ["a", "b", "c"]
    assert (await api("GET", K + path + "/c")).status == 204
    assert (await api("GET", K + path + "/d")).status == 404
    assert (await api("PUT", K + path, {"tags": ["x", "x"]})).status == 400
    for query, names in (
        ("tags=a,b", {"p"}),
        ("tags-any=a,b", {"p", "q"}),
        ("not-tags=a,b&tags-any=b", {"q"}),
        ("not-tags-any=a&tags=b", {"q"}),
    ):
        assert {p["name"] for p in (await ok(api, "GET", f"/projects?{query}"))["projects"]} == names, query
    await ok(api, "DELETE", path + "/a", status=204)
    assert (await ok(api, "PUT", path, {"tags": ["z"]}))["tags"] == ["z"]
    await ok(api, "DELETE", path, status=204)
    assert (await ok(api, "GET", path))["tags"] == []


async def test_a_project_that_acts_as_a_domain(api: Client) -> None:
    project = await made(api, "project", name="d", is_domain=True)
    assert (project["is_domain"], project["domain_id"], project["parent_id"]) == (True, None, None)
    assert (await ok(api, "GET", f"/domains/{project['id']}"))["domain"]["name"] == "d"
    assert (await api("DELETE", f"{K}/projects/{project['id']}")).status == 403
    await ok(api, "PATCH", f"/projects/{project['id']}", {"project": {"enabled": False}})
    await ok(api, "DELETE", f"/projects/{project['id']}", status=204)
    assert (await api("DELETE", K + "/domains/default")).status == 403
    chosen = await made(api, "domain", name="e", explicit_domain_id="0" * 32)
    assert chosen["id"] == "0" * 32
    assert (await api("POST", K + "/domains", {"domain": {"name": "f", "explicit_domain_id": "0" * 32}})).status == 409


async def events(api: Client, query: str = "") -> list[Any]:
    return list((await ok(api, "GET", f"/audit_events?{query}"))["audit_events"])


async def test_the_audit_log(api: Client) -> None:
    user = await made(api, "user", name="u", password="u")
    me = (await ok(api, "GET", "/users?name=admin"))["users"][0]["id"]
    newest = (await events(api))[0]
    assert (newest["event_type"], newest["outcome"]) == ("identity.user.created", "success")
    assert newest["target"] == {"type": "user", "id": user["id"]}
    assert newest["initiator"]["user_id"] == me
    assert (await sign_in(api, password(user["id"], "wrong"))).status == 401
    assert (await sign_in(api, password(user["id"], "u"), {"domain": {"id": "default"}})).status == 401
    assert (await sign_in(api, password(user["id"], "u"))).status == 201
    of_user = [(e["outcome"], e["reason"]) for e in await events(api, f"user_id={user['id']}&event_type=identity.user.authenticated")]
    assert of_user == [("success", None), ("failure", "no role in the scope"), ("failure", "Unauthorized")]
    await ok(api, "DELETE", f"/users/{user['id']}", status=204)
    assert [e["event_type"] for e in await events(api, f"target_id={user['id']}&limit=1")] == ["identity.user.deleted"]
    everything = await events(api, "limit=1000")
    answer = await ok(api, "GET", "/audit_events?limit=2")
    read = list(answer["audit_events"])
    while following := answer["links"]["next"]:
        answer = (await api("GET", following.removeprefix("http://127.0.0.1:5000"))).body
        read += answer["audit_events"]
    assert [e["id"] for e in read] == [e["id"] for e in everything]
    assert await events(api, "since=2999-01-01T00:00:00Z") == []
    for wrong in ("limit=x", "since=yesterday"):
        assert (await api("GET", f"{K}/audit_events?{wrong}")).status == 400
    assert all("wrong" not in str(e) for e in everything)  # no password
