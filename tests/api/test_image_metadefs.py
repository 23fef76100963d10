"""Metadata definitions: who writes and who reads, and that what was written is what is read."""

from __future__ import annotations

from typing import Any

from tests.api.test_images import message
from tests.conftest import Answer, Client

META = "/image/v2/metadefs"
SPACES = META + "/namespaces"
SIZE = {"title": "Size", "type": "string", "enum": ["S", "L"], "description": "d"}


async def space(api: Client, name: str = "Org::Shirt", **fields: Any) -> Answer:
    answer = await api("POST", SPACES, {"namespace": name, **fields})
    assert answer.status == 201, answer.text
    return answer


async def test_a_new_cloud_says_what_its_guests_heed(api: Client) -> None:
    answer = await api("GET", f"{SPACES}/Pileus::Boot")
    assert (answer["visibility"], answer["protected"]) == ("public", True)
    assert set(answer["properties"]) == {"kernel_id", "ramdisk_id", "os_command_line"}
    assert [each["name"] for each in answer["resource_type_associations"]] == ["OS::Glance::Image"]
    types = [each["name"] for each in (await api("GET", f"{META}/resource_types"))["resource_types"]]
    assert {"OS::Nova::Server", "OS::Glance::Image"} <= set(types)


async def test_a_namespace_with_all_that_is_in_it(api: Client) -> None:
    given = {
        "display_name": "Shirts",
        "description": "What people wear",
        "visibility": "public",
        "properties": {"size": SIZE},
        "objects": [{"name": "button", "description": "b", "required": ["colour"], "properties": {"colour": SIZE}}],
        "tags": [{"name": "wool"}, {"name": "silk"}],
        "resource_type_associations": [{"name": "OS::Nova::Server", "prefix": "shirt_"}, {"name": "Org::Wardrobe"}],
    }
    made = await space(api, **given)
    assert made.headers["location"].endswith("/image/v2/metadefs/namespaces/Org::Shirt")
    shown = await api("GET", f"{SPACES}/Org::Shirt")
    assert shown.body == made.body
    assert (shown["display_name"], shown["protected"], shown["owner"]) == ("Shirts", False, made["owner"])
    assert shown["properties"] == {"size": SIZE}
    assert {tag["name"] for tag in shown["tags"]} == {"wool", "silk"}
    [thing] = shown["objects"]
    assert (thing["name"], thing["required"], thing["self"]) == ("button", ["colour"], "/v2/metadefs/namespaces/Org::Shirt/objects/button")
    assert {each["name"] for each in shown["resource_type_associations"]} == {"OS::Nova::Server", "Org::Wardrobe"}
    prefixed = await api("GET", f"{SPACES}/Org::Shirt?resource_type=OS::Nova::Server")
    assert set(prefixed["properties"]) == {"shirt_size"}
    assert prefixed["objects"][0]["required"] == ["shirt_colour"]
    assert (await api("GET", f"{SPACES}/Org::Shirt?resource_type=OS::Cinder::Volume")).status == 404
    assert "Org::Wardrobe" in [each["name"] for each in (await api("GET", f"{META}/resource_types"))["resource_types"]]
    assert (await api("DELETE", f"{SPACES}/Org::Shirt")).status == 204
    for table in ("object", "property", "tag", "association"):
        assert api.app.store.query(f"SELECT * FROM metadef_{table} WHERE namespace_id NOT IN (SELECT id FROM metadef_namespace)") == []


async def test_all_or_nothing(api: Client) -> None:
    answer = await api("POST", SPACES, {"namespace": "n", "tags": [{"name": "a"}, {"name": "a"}]})
    assert answer.status == 409
    assert (await api("GET", f"{SPACES}/n")).status == 404


async def test_namespaces_are_renamed_protected_and_private(api: Client) -> None:
    await api.member("p1", "ann")
    await space(api, "n", visibility="public", protected=True, description="d")
    again = await api("POST", SPACES, {"namespace": "n"})
    assert (again.status, message(again)) == (409, "The metadata definition namespace=n already exists.")
    refused = await api("DELETE", f"{SPACES}/n")
    assert (refused.status, "is protected" in message(refused)) == (403, True)
    assert (await api("GET", f"{SPACES}/n", token="ann")).status == 200
    changed = await api("PUT", f"{SPACES}/n", {"namespace": "m", "display_name": "M"})
    assert (changed.status, changed["namespace"], changed["visibility"], changed["protected"]) == (200, "m", "private", False)
    assert "description" not in changed.body
    hidden = await api("GET", f"{SPACES}/m", token="ann")
    assert (hidden.status, message(hidden)) == (404, "Metadata definition namespace=m was not found.")
    assert "m" not in [each["namespace"] for each in (await api("GET", SPACES, token="ann"))["namespaces"]]
    assert (await api("DELETE", f"{SPACES}/m")).status == 204
    assert (await api("PUT", f"{SPACES}/m", {"namespace": "m"})).status == 404


async def test_lists_and_pages(api: Client) -> None:
    for i in range(5):
        await space(api, f"n{i}", visibility="public" if i % 2 else "private", resource_type_associations=[{"name": f"T{i % 2}"}])
    seen, path = [], f"{SPACES}?limit=2&sort_key=namespace&sort_dir=asc"
    while path:
        answer = await api("GET", path)
        seen += [each["namespace"] for each in answer["namespaces"]]
        path = "/image" + answer["next"] if "next" in answer.body else ""
    assert seen == ["Pileus::Boot", "n0", "n1", "n2", "n3", "n4"]
    kinds = [each["namespace"] for each in (await api("GET", f"{SPACES}?resource_types=T1,T9&visibility=public"))["namespaces"]]
    assert kinds == ["n3", "n1"]
    for query, status in (("limit=x", 400), ("sort_key=x", 400), ("visibility=x", 400), ("marker=none", 404)):
        assert (await api("GET", f"{SPACES}?{query}")).status == status, query


async def test_objects(api: Client) -> None:
    await space(api, "n")
    path = f"{SPACES}/n/objects"
    made = await api("POST", path, {"name": "o", "properties": {"size": SIZE}, "required": ["size"]})
    assert (made.status, made["schema"], made["self"]) == (201, "/v2/schemas/metadefs/object", f"{path[6:]}/o")
    again = await api("POST", path, {"name": "o"})
    assert message(again) == "A metadata definition object with name=o already exists in namespace=n."
    sent_back = {**made.body, "name": "p", "description": "d"}
    assert (await api("PUT", f"{path}/o", sent_back))["name"] == "p"
    assert (await api("GET", f"{path}/p"))["properties"] == {"size": SIZE}
    gone = await api("GET", f"{path}/o")
    assert (gone.status, message(gone)) == (404, "The metadata definition object with name=o was not found in namespace=n.")
    await api("POST", path, {"name": "q"})
    listed = await api("GET", f"{path}?limit=1")
    assert ([each["name"] for each in listed["objects"]], listed["schema"]) == (["q"], "/v2/schemas/metadefs/objects")
    assert [each["name"] for each in (await api("GET", "/image" + listed["next"]))["objects"]] == ["p"]
    assert (await api("DELETE", f"{path}/p")).status == 204
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path))["objects"] == []


async def test_properties(api: Client) -> None:
    await space(api, "n", resource_type_associations=[{"name": "T", "prefix": "t_"}])
    path = f"{SPACES}/n/properties"
    made = await api("POST", path, {"name": "size", **SIZE, "default": "S"})
    assert (made.status, made.body) == (201, {"name": "size", **SIZE, "default": "S"})
    assert (await api("POST", path, {"name": "size", **SIZE})).status == 409
    assert (await api("GET", f"{path}/t_size?resource_type=T"))["name"] == "t_size"
    assert (await api("GET", f"{path}/size?resource_type=T")).status == 404
    assert (await api("PUT", f"{path}/size", {"name": "width", "title": "W", "type": "integer", "minimum": 1}))["minimum"] == 1
    assert set((await api("GET", path))["properties"]) == {"width"}
    assert (await api("DELETE", f"{path}/size")).status == 404
    assert (await api("DELETE", f"{path}/width")).status == 204
    await api("POST", path, {"name": "size", **SIZE})
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path)).body == {"properties": {}}


async def test_tags(api: Client) -> None:
    await space(api, "n")
    path = f"{SPACES}/n/tags"
    made = await api("POST", path, {"tags": [{"name": "a"}, {"name": "b"}]})
    assert (made.status, made.body) == (201, {"tags": [{"name": "a"}, {"name": "b"}]})
    assert (await api("POST", path, {"tags": [{"name": "c"}]}, headers={"X-OpenStack-Append": "True"})).status == 201
    assert {each["name"] for each in (await api("GET", path))["tags"]} == {"a", "b", "c"}
    assert (await api("POST", path, {"tags": [{"name": "d"}]})).status == 201
    assert (await api("GET", path))["tags"] == [{"name": "d"}]
    assert (await api("POST", f"{path}/e")).status == 201
    assert (await api("POST", f"{path}/e")).status == 409
    assert (await api("PUT", f"{path}/e", {"name": "f"}))["name"] == "f"
    assert (await api("GET", f"{path}/f"))["name"] == "f"
    assert (await api("GET", f"{path}/e")).status == 404
    assert (await api("DELETE", f"{path}/f")).status == 204
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path))["tags"] == []


async def test_associations(api: Client) -> None:
    await space(api, "n")
    path = f"{SPACES}/n/resource_types"
    made = await api("POST", path, {"name": "T", "prefix": "t_", "properties_target": "image"})
    assert (made.status, made["prefix"]) == (201, "t_")
    assert "already exists" in message(await api("POST", path, {"name": "T"}))
    assert [each["name"] for each in (await api("GET", path))["resource_type_associations"]] == ["T"]
    assert (await api("DELETE", f"{path}/T")).status == 204
    assert "was not found" in message(await api("DELETE", f"{path}/T"))


REFUSED: list[tuple[str, str, Any, str]] = [
    ("POST", "", [], "is not of type 'object'"),
    ("POST", "", {}, "'namespace' is a required property"),
    ("POST", "", {"namespace": "x" * 81}, "is too long"),
    ("POST", "", {"namespace": "x", "visibility": "shared"}, "'shared' is not one of ['public', 'private']"),
    ("POST", "", {"namespace": "x", "nope": 1}, "('nope' was unexpected)"),
    ("POST", "", {"namespace": "x", "properties": {"p": {"type": "magic", "title": "t"}}}, "'magic' is not one of"),
    ("POST", "", {"namespace": "x", "properties": {"p": {"type": "string"}}}, "'title' is a required property"),
    ("PUT", "/n", {"display_name": "x"}, "'namespace' is a required property"),
    ("POST", "/n/objects", {}, "'name' is a required property"),
    ("PUT", "/n/objects/o", {}, "'name' is a required property"),
    ("POST", "/n/objects", {"name": "o", "properties": []}, "is not of type 'object'"),
    ("POST", "/n/properties", {"name": "p", "type": "string"}, "'title' is a required property"),
    ("POST", "/n/properties", {"name": "p", "type": "string", "title": "t", "pattern": "("}, "is not a 'regex'"),
    ("POST", "/n/properties", {"name": "p", "type": "string", "title": "t", "minimum": "1"}, "is not of type 'number'"),
    ("POST", "/n/tags", {}, "'tags' is a required property"),
    ("POST", "/n/tags", {"tags": ["x"]}, "'name' is a required property"),
    ("POST", "/n/resource_types", {"prefix": "x"}, "'name' is a required property"),
]


async def test_what_cannot_be_meant_is_refused(api: Client) -> None:
    await space(api, "n")
    for method, path, body, words in REFUSED:
        answer = await api(method, SPACES + path, body)
        assert (answer.status, words in message(answer)) == (400, True), (path, body, answer.text)


async def test_only_an_admin_writes(api: Client) -> None:
    await api.member("p1", "ann")
    await space(api, "n", visibility="public")
    bodies: dict[str, Any] = {
        "": {"namespace": "x"},
        "/n/objects": {"name": "o"},
        "/n/properties": {"name": "p", **SIZE},
        "/n/tags": {"tags": []},
        "/n/tags/t": None,
        "/n/resource_types": {"name": "T"},
    }
    for path, body in bodies.items():
        assert (await api("POST", SPACES + path, body, token="ann")).status == 403, path
    for path, body in {"/n": {"namespace": "n"}, "/n/objects/o": {"name": "o"}, "/n/tags/t": {"name": "t"}}.items():
        assert (await api("PUT", SPACES + path, body, token="ann")).status == 403, path
    for path in ("/n", "/n/objects", "/n/properties", "/n/tags", "/n/resource_types/T"):
        assert (await api("DELETE", SPACES + path, token="ann")).status == 403, path
    for path in ("", "/n", "/n/objects", "/n/properties", "/n/tags", "/n/resource_types"):
        assert (await api("GET", SPACES + path, token="ann")).status == 200, path


async def test_schemas(api: Client) -> None:
    names = {
        "namespace": "namespace", "namespaces": "namespaces", "object": "object", "objects": "objects", "property": "property",
        "properties": "properties", "tag": "tag", "tags": "tags", "resource_type": "resource_type_association",
        "resource_types": "resource_type_associations",
    }  # fmt: skip
    for path, name in names.items():
        assert (await api("GET", f"/image/v2/schemas/metadefs/{path}"))["name"] == name
    assert (await api("GET", "/image/v2/schemas/metadefs/nope")).status == 404
