"""The catalog is what an admin makes of it: at once, for every token, and after a restart."""

from __future__ import annotations

from typing import Any

from pileus.app import build
from pileus.config import Paths, Settings
from tests.api.identity import K, made, ok
from tests.conftest import PASSWORD, Client

PROJECT = {"project": {"name": "admin", "domain": {"id": "default"}}}


async def catalog(api: Client, token: str = "admin") -> dict[str, list[str]]:
    """type -> the public URLs."""
    found = (await ok(api, "GET", "/auth/catalog", token=token))["catalog"]
    return {each["type"]: [e["url"] for e in each["endpoints"] if e["interface"] == "public"] for each in found}


async def test_a_service_of_ones_own(api: Client) -> None:
    service = await made(api, "service", type="dns", name="mine")
    assert (await catalog(api))["dns"] == []
    body = {"service_id": service["id"], "interface": "public", "region_id": "RegionOne"}
    endpoint = await made(api, "endpoint", **body, url="http://dns.example:1/v2/%(project_id)s/$(user_id)s")
    me = (await ok(api, "GET", "/users?name=admin"))["users"][0]["id"]
    project = (await ok(api, "GET", "/projects?name=admin"))["projects"][0]["id"]
    assert (await catalog(api))["dns"] == [f"http://dns.example:1/v2/{project}/{me}"]
    await api.sign_in("admin", PASSWORD, {"system": {"all": True}}, save="system")
    assert (await catalog(api, "system"))["dns"] == []  # there is no project to fill in
    await ok(api, "PATCH", f"/endpoints/{endpoint['id']}", {"endpoint": {"enabled": False}})
    assert (await catalog(api))["dns"] == []
    await ok(api, "PATCH", f"/services/{service['id']}", {"service": {"enabled": False, "description": "d"}})
    assert "dns" not in await catalog(api)
    await ok(api, "DELETE", f"/services/{service['id']}", status=204)
    assert (await api("GET", f"{K}/endpoints/{endpoint['id']}")).status == 404


async def test_bodies_that_do_not_fit(api: Client) -> None:
    service = (await ok(api, "GET", "/services?type=image"))["services"][0]["id"]
    whole = {"service_id": service, "interface": "public", "url": "http://x.example/"}
    for wrong in ({"interface": "outer"}, {"url": "x"}, {"service_id": "none"}, {"region_id": "nowhere"}, {"enabled": "yes"}):
        assert (await api("POST", K + "/endpoints", {"endpoint": {**whole, **wrong}})).status == 400, wrong
    assert (await api("POST", K + "/services", {"service": {"name": "no type"}})).status == 400
    older = await made(api, "endpoint", **whole, region="Elsewhere")
    assert older["region_id"] == "Elsewhere"
    assert (await api("DELETE", K + "/regions/Elsewhere")).status == 403
    await ok(api, "DELETE", f"/endpoints/{older['id']}", status=204)
    await ok(api, "DELETE", "/regions/Elsewhere", status=204)


async def test_regions(api: Client) -> None:
    await made(api, "region", id="North", parent_region_id="RegionOne")
    assert (await api("POST", K + "/regions", {"region": {"id": "North"}})).status == 409
    assert (await api("POST", K + "/regions", {"region": {"parent_region_id": "nowhere"}})).status == 404
    assert len((await made(api, "region"))["id"]) == 32
    assert [r["id"] for r in (await ok(api, "GET", "/regions?parent_region_id=RegionOne"))["regions"]] == ["North"]
    assert (await api("PATCH", K + "/regions/RegionOne", {"region": {"parent_region_id": "North"}})).status == 400
    assert (await api("DELETE", K + "/regions/RegionOne")).status == 403


async def test_what_an_admin_takes_out_stays_out(paths: Paths) -> None:
    def again(region: str = "RegionOne") -> Any:
        return build(Settings(drivers="fake", synchronous="off", region=region), paths, PASSWORD)

    first = again()
    api = Client(first)
    await api.sign_in("admin", PASSWORD, PROJECT)
    placement = (await ok(api, "GET", "/services?type=placement"))["services"][0]["id"]
    await ok(api, "DELETE", f"/services/{placement}", status=204)
    first.store.close()
    second = again("Home")
    api = Client(second)
    await api.sign_in("admin", PASSWORD, PROJECT)
    assert set(await catalog(api)) == {"identity", "image", "network", "compute"}
    assert {e["region_id"] for e in (await ok(api, "GET", "/endpoints"))["endpoints"]} == {"Home"}
    second.store.close()


async def test_what_a_project_sees(api: Client) -> None:
    project = await api.member("p", "u")
    image = next(e for e in (await ok(api, "GET", "/endpoints?interface=public"))["endpoints"] if e["url"].endswith("/image"))
    group = await made(api, "endpoint_group", "OS-EP-FILTER/endpoint_groups", name="g", filters={"interface": "internal"})
    assert len(await catalog(api, "u")) == 5
    single = f"/OS-EP-FILTER/projects/{project}/endpoints/{image['id']}"
    assert (await api("HEAD", K + single)).status == 404
    await ok(api, "PUT", single, status=204)
    assert await catalog(api, "u") == {"image": [image["url"]]}
    assert len(await catalog(api)) == 5
    many = f"/OS-EP-FILTER/endpoint_groups/{group['id']}/projects/{project}"
    await ok(api, "PUT", many, status=204)
    assert len(await catalog(api, "u")) == 5
    assert len((await ok(api, "GET", f"/OS-EP-FILTER/projects/{project}/endpoints"))["endpoints"]) == 6
    assert [p["id"] for p in (await ok(api, "GET", f"/OS-EP-FILTER/endpoint_groups/{group['id']}/projects"))["projects"]] == [project]
    assert len((await ok(api, "GET", f"/OS-EP-FILTER/endpoint_groups/{group['id']}/endpoints"))["endpoints"]) == 5
    await ok(api, "PATCH", f"/OS-EP-FILTER/endpoint_groups/{group['id']}", {"endpoint_group": {"filters": {"region_id": "nowhere"}}})
    assert await catalog(api, "u") == {"image": [image["url"]]}
    await ok(api, "DELETE", f"/OS-EP-FILTER/endpoint_groups/{group['id']}", status=204)
    await ok(api, "DELETE", single, status=204)
    assert len(await catalog(api, "u")) == 5


async def test_policies_and_whose_they_are(api: Client) -> None:
    near, far = [await made(api, "policy", "policies", type="application/json", blob="{}") for _ in "ab"]
    endpoint = (await ok(api, "GET", "/endpoints"))["endpoints"][0]
    policy_of = f"/endpoints/{endpoint['id']}/OS-ENDPOINT-POLICY/policy"
    assert (await api("GET", K + policy_of)).status == 404
    await ok(api, "PUT", f"/policies/{far['id']}/OS-ENDPOINT-POLICY/services/{endpoint['service_id']}", status=204)
    assert (await ok(api, "GET", policy_of))["policy"]["id"] == far["id"]
    assert len((await ok(api, "GET", f"/policies/{far['id']}/OS-ENDPOINT-POLICY/endpoints"))["endpoints"]) == 3
    place = f"/policies/{near['id']}/OS-ENDPOINT-POLICY/services/{endpoint['service_id']}/regions/RegionOne"
    await ok(api, "PUT", place, status=204)
    assert (await ok(api, "GET", policy_of))["policy"]["id"] == near["id"]
    await ok(api, "DELETE", place, status=204)
    assert (await api("GET", K + place)).status == 404
    await ok(api, "DELETE", f"/policies/{far['id']}", status=204)
    assert (await api("GET", K + policy_of)).status == 404
