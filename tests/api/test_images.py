"""Images: create, show, list, patch, delete, tags, members, and who may do what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import Answer, Client

V21 = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
V20 = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
IMAGES = "/image/v2/images"


@pytest.fixture
async def both(api: Client) -> AsyncIterator[Client]:
    """The admin, and the users `ann` (project p1), `bob` (p2) and `rea` (a reader in p1)."""
    api.p1 = await api.member("p1", "ann")  # type: ignore[attr-defined]
    api.p2 = await api.member("p2", "bob")  # type: ignore[attr-defined]
    await api.member("p1", "rea", role="reader")
    yield api


async def make(api: Client, token: str = "admin", **fields: Any) -> dict[str, Any]:
    answer = await api("POST", IMAGES, {"disk_format": "raw", "container_format": "bare", **fields}, token=token)
    assert answer.status == 201, answer.text
    body: dict[str, Any] = answer.body
    return body


async def patch(api: Client, id: str, *changes: Any, token: str = "admin", headers: dict[str, str] = V21) -> Answer:
    return await api("PATCH", f"{IMAGES}/{id}", json.dumps(changes), token=token, headers=headers)


async def names(api: Client, query: str = "", token: str = "admin") -> list[str]:
    answer = await api("GET", f"{IMAGES}?{query}", token=token)
    assert answer.status == 200, answer.text
    return [image["name"] for image in answer["images"]]


def message(answer: Answer) -> str:
    text: str = answer.body["message"]
    return text.replace("<br /><br />", "").strip()


# -- create and show ---------------------------------------------------------------------------------------------------------


async def test_created_as_asked_and_shown_alike(api: Client) -> None:
    image = await make(api, name="n", min_disk=2, min_ram=64, tags=["b", "a"], protected=True, hw_disk_bus="virtio", kernel_id=None)
    assert (image["status"], image["visibility"], image["size"]) == ("queued", "shared", None)
    assert (image["min_disk"], image["min_ram"], image["tags"], image["protected"]) == (2, 64, ["a", "b"], True)
    assert (image["hw_disk_bus"], image["kernel_id"], "ramdisk_id" in image) == ("virtio", None, False)
    assert (await api("GET", f"{IMAGES}/{image['id']}")).body == image
    assert (await api("GET", f"{IMAGES}/{image['id'].upper()}")).body == image


async def test_an_id_of_ones_own_choice_once(api: Client) -> None:
    id = "6A1f5f0e-1111-4222-8333-444455556666"
    assert (await make(api, id=id))["id"] == id.lower()
    again = await api("POST", IMAGES, {"id": id})
    assert again.status == 409
    assert "already exists" in message(again)


REFUSED: list[tuple[Any, int, str]] = [
    ({"visibility": "secret"}, 400, "'secret' is not one of ['community', 'public', 'private', 'shared']"),
    ({"protected": "yes"}, 400, "'yes' is not of type 'boolean'"),
    ({"tags": ["x" * 256]}, 400, "is too long"),
    ({"tags": [5]}, 400, "Failed validating 'type' in schema['properties']['tags']['items']"),
    ({"tags": "x"}, 400, "'x' is not of type 'array'"),
    ({"name": "x" * 256}, 400, "is too long"),
    ({"my_prop": 5}, 400, "Failed validating 'type' in schema['additionalProperties']"),
    ({"my_prop": None}, 400, "None is not of type 'string'"),
    ({"kernel_id": "junk"}, 400, "'junk' does not match"),
    ({"min_disk": 2**40}, 400, "Cannot be greater than"),
    ({"min_disk": "1"}, 400, "'1' is not of type 'integer'"),
    ({"status": "active"}, 403, "Attribute 'status' is read-only."),
    ({"deleted": "x"}, 403, "Attribute 'deleted' is reserved."),
    ({"locations": []}, 403, "Attribute 'locations' is read-only."),
    ({"os_glance_x": "y"}, 403, "os_glance namespace"),
    ({"owner": "0" * 32}, 403, "not permitted to create images owned by"),
    ([], 400, "[] is not of type 'object'"),
    ({f"p{i}": "x" for i in range(129)}, 413, "Attempted: 129, Maximum: 128"),
    ({"tags": [str(i) for i in range(129)]}, 413, "image tags"),
]


async def test_what_is_refused_at_creation(both: Client) -> None:
    for body, status, words in REFUSED:
        answer = await both("POST", IMAGES, body, token="ann")
        assert answer.status == status, (body, answer.text)
        assert words in message(answer), body


async def test_broken_json_is_said_to_be(api: Client) -> None:
    answer = await api("POST", IMAGES, "{bad")
    assert answer.status == 400
    assert "Malformed JSON" in message(answer)


# -- who sees what -----------------------------------------------------------------------------------------------------------


async def test_visibility(both: Client) -> None:
    for visibility in ("public", "private", "shared", "community"):
        await make(both, name=f"admin's {visibility}", visibility=visibility)
    for visibility in ("private", "shared", "community"):
        await make(both, "bob", name=f"bob's {visibility}", visibility=visibility)
    assert set(await names(both, token="ann")) == {"admin's public"}
    assert set(await names(both, "visibility=community", token="ann")) == {"admin's community", "bob's community"}
    assert set(await names(both, "visibility=all", token="ann")) == {"admin's public", "admin's community", "bob's community"}
    assert set(await names(both, token="bob")) == {"admin's public", "bob's private", "bob's shared", "bob's community"}
    assert set(await names(both)) >= {"bob's private", "bob's shared", "admin's community"}
    assert "bob's community" not in await names(both)


async def test_a_strangers_image_is_not_found_and_a_public_one_is_not_for_changing(both: Client) -> None:
    private = (await make(both, "bob", visibility="private"))["id"]
    public = (await make(both, visibility="public"))["id"]
    for verb, path, extra in (("GET", "", ""), ("DELETE", "", ""), ("PUT", "/tags/x", ""), ("POST", "/actions/deactivate", "")):
        hidden = await both(verb, f"{IMAGES}/{private}{path}{extra}", token="ann")
        assert hidden.status == 404, (verb, path)
        if verb != "GET":
            seen = await both(verb, f"{IMAGES}/{public}{path}", token="ann")
            assert seen.status == 403, (verb, path)
            assert "You are not authorized to complete" in message(seen)
    assert (await patch(both, public, {"op": "replace", "path": "/name", "value": "mine"}, token="ann")).status == 403


async def test_a_reader_reads(both: Client) -> None:
    image = await make(both, "ann", name="n")
    assert (await both("GET", f"{IMAGES}/{image['id']}", token="rea")).status == 200
    for verb, path, body in (("POST", "", {}), ("DELETE", f"/{image['id']}", None), ("PUT", f"/{image['id']}/tags/x", None)):
        assert (await both(verb, IMAGES + path, body, token="rea")).status == 403, verb
    assert (await patch(both, image["id"], {"op": "replace", "path": "/name", "value": "x"}, token="rea")).status == 403


async def test_publicizing_is_for_admins_by_patch_too(both: Client) -> None:
    image = await make(both, "ann")
    answer = await patch(both, image["id"], {"op": "replace", "path": "/visibility", "value": "public"}, token="ann")
    assert answer.status == 403
    assert message(answer) == "You are not authorized to complete publicize_image action."
    assert (await patch(both, image["id"], {"op": "replace", "path": "/visibility", "value": "public"})).status == 200
    assert (await patch(both, image["id"], {"op": "replace", "path": "/name", "value": "n"}, token="ann")).status == 200


# -- lists -------------------------------------------------------------------------------------------------------------------


async def test_filters(both: Client) -> None:
    await make(both, name="a", tags=["red", "big"], os_distro="debian", min_ram=64)
    await make(both, name="b", tags=["red"], disk_format="qcow2", protected=True)
    await make(both, name="c", os_hidden=True)
    cases = {
        "name=a": ["a"],
        "name=in:a,b": ["b", "a"],
        "name=in:%22a%22,b": ["b", "a"],
        "name=in:%22a,b%22": [],
        "name=nope": [],
        "tag=red": ["b", "a"],
        "tag=red&tag=big": ["a"],
        "os_distro=debian": ["a"],
        "os_distro=fedora": [],
        "no_such_property=x": [],
        "disk_format=qcow2": ["b"],
        "protected=true": ["b"],
        "protected=False": ["a"],
        "os_hidden=true": ["c"],
        "min_ram=64": ["a"],
        "size_min=1": [],
        "status=queued": ["b", "a"],
        "status=active": [],
        "created_at=gte:2020-01-01T00:00:00Z": ["b", "a"],
        "created_at=lt:2020-01-01T00:00:00Z": [],
        "owner=nobody": [],
        "sort=name:asc": ["a", "b"],
        "sort=name:desc": ["b", "a"],
        "sort_key=name&sort_dir=asc": ["a", "b"],
        "sort=size,name:asc": ["a", "b"],
    }
    for query, expected in cases.items():
        assert await names(both, query) == expected, query


async def test_a_filter_is_never_sql(api: Client) -> None:
    await make(api, name="a")
    for query in ("name=a'%20OR%201=1--", "x'%20OR%20'1'='1=1", "a%22.b=1", "tag=a')%20OR%201=1--"):
        assert await names(api, query) == []


BAD_QUERIES = [
    "limit=x",
    "limit=-1",
    "sort=name:up",
    "sort=nope",
    "sort=name&sort_key=name",
    "visibility=secret",
    "member_status=maybe",
    "protected=maybe",
    "size_min=x",
    "name=in:%22a",
    "name=in:a,,b",
    "name=in:",
    "size_max=99999999999999999999",
    "created_at=gte:yesterday",
    "changes-since=2020-01-01",
]


async def test_a_bad_query_is_refused(api: Client) -> None:
    for query in BAD_QUERIES:
        answer = await api("GET", f"{IMAGES}?{query}")
        assert answer.status == 400, (query, answer.text)
        assert message(answer)


async def test_pages_lead_through_all_and_end(api: Client) -> None:
    for i in range(7):
        await make(api, name=f"i{i}")
    seen: list[str] = []
    path, pages = f"{IMAGES}?limit=3&sort=name:asc", 0
    while path:
        answer = await api("GET", path)
        seen += [image["name"] for image in answer["images"]]
        path = "/image" + answer["next"] if "next" in answer.body else ""
        pages += 1
    assert (seen, pages) == ([f"i{i}" for i in range(7)], 3)
    for i in range(20):
        await make(api, name=f"j{i}")
    answer = await api("GET", IMAGES)
    assert (len(answer["images"]), answer["first"]) == (25, "/v2/images")
    assert (await api("GET", f"{IMAGES}?limit=0"))["images"] == []


# -- patches -----------------------------------------------------------------------------------------------------------------


async def test_a_patch_in_both_forms(api: Client) -> None:
    image = await make(api, name="n", mine="1", tags=["t"])
    answer = await patch(
        api,
        image["id"],
        {"op": "replace", "path": "/name", "value": None},
        {"op": "add", "path": "/a~1b~0c", "value": "odd"},
        {"op": "remove", "path": "/mine"},
        {"op": "replace", "path": "/tags", "value": ["x", "y"]},
        {"op": "add", "path": "/min_ram", "value": 128},
        {"op": "add", "path": "/kernel_id", "value": image["id"]},
        {"op": "replace", "path": "/disk_format", "value": "qcow2"},
        {"op": "replace", "path": "/protected", "value": True},
    )
    assert answer.status == 200, answer.text
    assert (answer["name"], answer["a/b~c"], answer["tags"], answer["min_ram"]) == (None, "odd", ["x", "y"], 128)
    assert (answer["kernel_id"], answer["disk_format"], answer["protected"], "mine" in answer.body) == (image["id"], "qcow2", True, False)
    old = await patch(api, image["id"], {"replace": "/name", "value": "m"}, {"add": "/new", "value": "v"}, headers=V20)
    assert (old["name"], old["new"]) == ("m", "v")
    assert (await patch(api, image["id"], {"add": "/new", "value": "v"}, headers=V20)).status == 409
    assert (await patch(api, image["id"], {"op": "add", "path": "/new", "value": "w"}))["new"] == "w"


BAD_CHANGES: list[tuple[Any, int, str]] = [
    ("x", 400, "Operations must be JSON objects."),
    ({"op": "replace"}, 400, "Unable to find 'path'"),
    ({"path": "/name", "value": 1}, 400, "Unable to find 'op'"),
    ({"op": "move", "path": "/name", "value": "x"}, 400, "Invalid operation: `move`"),
    ({"op": "replace", "path": "/name"}, 400, 'requires a member named "value"'),
    ({"op": "replace", "path": "name", "value": "x"}, 400, 'does not start with "/"'),
    ({"op": "replace", "path": "//name", "value": "x"}, 400, "adjacent"),
    ({"op": "replace", "path": "/na~me", "value": "x"}, 400, "escape sequence"),
    ({"op": "replace", "path": "/tags/0", "value": "x"}, 400, "Invalid JSON pointer"),
    ({"op": "replace", "path": 5, "value": "x"}, 400, "does not start with"),
    ({"op": "replace", "path": "/name", "value": 5}, 400, "5 is not of type 'null', 'string'"),
    ({"op": "add", "path": "/mine", "value": 5}, 400, "5 is not of type 'string'"),
    ({"op": "replace", "path": "/min_disk", "value": -1}, 400, "Cannot be a negative value"),
    ({"op": "replace", "path": "/owner", "value": None}, 400, "owner"),
    ({"op": "remove", "path": "/name"}, 403, "Property name may not be removed."),
    ({"op": "replace", "path": "/status", "value": "active"}, 403, "Attribute 'status' is read-only."),
    ({"op": "add", "path": "/deleted", "value": "1"}, 403, "Attribute 'deleted' is reserved."),
    ({"op": "replace", "path": "/locations", "value": []}, 403, "change locations"),
    ({"op": "add", "path": "/locations/-", "value": {}}, 403, "change locations"),
    ({"op": "replace", "path": "/nope", "value": "x"}, 409, "Property nope does not exist."),
]


async def test_a_bad_patch_changes_nothing(api: Client) -> None:
    image = await make(api, name="n")
    for change, status, words in BAD_CHANGES:
        answer = await patch(api, image["id"], {"op": "add", "path": "/first", "value": "x"}, change)
        assert answer.status == status, (change, answer.text)
        assert words in message(answer), change
    assert (await api("GET", f"{IMAGES}/{image['id']}")).body == image


async def test_only_an_admin_gives_an_image_away(both: Client) -> None:
    image = await make(both, "ann")
    change = {"op": "replace", "path": "/owner", "value": both.p2}  # type: ignore[attr-defined]
    assert (await patch(both, image["id"], change, token="ann")).status == 403
    assert (await patch(both, image["id"], change)).status == 200
    assert (await both("GET", f"{IMAGES}/{image['id']}", token="bob")).status == 200
    assert (await both("GET", f"{IMAGES}/{image['id']}", token="ann")).status == 404


# -- deletion, tags, states --------------------------------------------------------------------------------------------------


async def test_a_protected_image_stays(api: Client) -> None:
    image = await make(api, protected=True)
    answer = await api("DELETE", f"{IMAGES}/{image['id']}")
    assert (answer.status, message(answer)) == (403, f"Image {image['id']} is protected and cannot be deleted.")
    await patch(api, image["id"], {"op": "replace", "path": "/protected", "value": False})
    assert (await api("DELETE", f"{IMAGES}/{image['id']}")).status == 204
    assert (await api("GET", f"{IMAGES}/{image['id']}")).status == 404
    assert (await api("DELETE", f"{IMAGES}/{image['id']}")).status == 404
    assert image["id"] not in [i["id"] for i in (await api("GET", IMAGES))["images"]]
    await api.app.loop.settle()
    assert api.app.store.count("image", hidden=True) == 0


async def test_tags(api: Client) -> None:
    image = await make(api, tags=["a"])
    path = f"{IMAGES}/{image['id']}/tags"
    for tag in ("b", "b", "two%20words"):
        assert (await api("PUT", f"{path}/{tag}")).status == 204
    assert (await api("GET", f"{IMAGES}/{image['id']}"))["tags"] == ["a", "b", "two words"]
    assert (await api("DELETE", f"{path}/b")).status == 204
    assert (await api("DELETE", f"{path}/b")).status == 404
    assert (await api("PUT", f"{path}/{'x' * 256}")).status == 400


async def test_only_what_has_data_is_deactivated(api: Client) -> None:
    image = await make(api)
    path = f"{IMAGES}/{image['id']}/actions"
    answer = await api("POST", f"{path}/deactivate")
    assert (answer.status, message(answer)) == (403, "Not allowed to deactivate image in status 'queued'")
    await api("PUT", f"{IMAGES}/{image['id']}/file", b"abc")
    for verb, status in (("deactivate", "deactivated"), ("deactivate", "deactivated"), ("reactivate", "active"), ("reactivate", "active")):
        assert (await api("POST", f"{path}/{verb}")).status == 204
        assert (await api("GET", f"{IMAGES}/{image['id']}"))["status"] == status


# -- members -----------------------------------------------------------------------------------------------------------------


async def test_sharing(both: Client) -> None:
    p2 = both.p2  # type: ignore[attr-defined]
    image = await make(both, "ann", name="ann's")
    path = f"{IMAGES}/{image['id']}/members"
    assert (await both("GET", f"{IMAGES}/{image['id']}", token="bob")).status == 404
    made = await both("POST", path, {"member": p2}, token="ann")
    assert (made.status, made["status"], made["member_id"]) == (200, "pending", p2)
    assert (await both("POST", path, {"member": p2}, token="ann")).status == 409
    assert (await both("GET", f"{IMAGES}/{image['id']}", token="bob")).status == 200  # known by its id already
    assert await names(both, token="bob") == []
    assert await names(both, "visibility=shared&member_status=pending", token="bob") == ["ann's"]
    assert (await both("PUT", f"{path}/{p2}", {"status": "accepted"}, token="ann")).status == 403
    assert (await both("PUT", f"{path}/{p2}", {"status": "maybe"}, token="bob")).status == 400
    assert (await both("PUT", f"{path}/{p2}", {"status": "accepted"}, token="bob"))["status"] == "accepted"
    assert await names(both, token="bob") == ["ann's"]
    assert [m["member_id"] for m in (await both("GET", path, token="ann"))["members"]] == [p2]
    assert (await both("GET", f"{path}/{p2}", token="bob"))["status"] == "accepted"
    assert (await both("POST", path, {"member": "x"}, token="bob")).status == 403
    assert (await both("DELETE", f"{path}/{p2}", token="bob")).status == 403
    assert (await both("DELETE", f"{path}/{p2}", token="ann")).status == 204
    assert (await both("DELETE", f"{path}/{p2}", token="ann")).status == 404
    assert (await both("GET", f"{IMAGES}/{image['id']}", token="bob")).status == 404


async def test_only_shared_images_have_members(both: Client) -> None:
    image = await make(both, "ann", visibility="private")
    answer = await both("POST", f"{IMAGES}/{image['id']}/members", {"member": "x"}, token="ann")
    assert (answer.status, message(answer)) == (403, "Only shared images have members.")
    assert (await both("POST", f"{IMAGES}/{(await make(both, 'ann'))['id']}/members", {}, token="ann")).status == 400


# -- discovery ---------------------------------------------------------------------------------------------------------------


async def test_schemas(api: Client) -> None:
    for name in ("image", "images", "member", "members"):
        assert (await api("GET", f"/image/v2/schemas/{name}"))["name"] == name
    assert (await api("GET", "/image/v2/schemas/nope")).status == 404


async def test_what_is_shown_is_in_the_schema(api: Client) -> None:
    image = await make(api)
    assert image.keys() <= (await api("GET", "/image/v2/schemas/image"))["properties"].keys()
