"""Imports: staging, the four methods, tasks, locations, and what the cache and the usage say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pileus.app import build
from pileus.config import Paths, Settings
from pileus.image.host import Folder
from tests.api.test_images import IMAGES, make, message, names, patch
from tests.conftest import PASSWORD, Answer, Client
from tests.unit.test_inspect_hostile import HOSTILE, qcow2
from tests.web_source import Source, serving


async def cloud(paths: Paths, **settings: Any) -> Client:
    app = build(Settings(drivers="fake", synchronous="off", **settings), paths, PASSWORD, memory=True)
    await app.start()
    client = Client(app)
    await client.sign_in("admin", PASSWORD, {"project": {"name": "admin", "domain": {"id": "default"}}}, save="admin")
    return client


@pytest.fixture
def source() -> Any:
    with serving() as found:
        yield found


@pytest.fixture
async def web(paths: Paths, source: Source) -> AsyncIterator[Client]:
    """A cloud that may fetch from `source`."""
    client = await cloud(paths, image_sources=(source.host,))
    yield client
    await client.app.stop()


async def stage(api: Client, id: str, data: bytes, **more: Any) -> Answer:
    return await api("PUT", f"{IMAGES}/{id}/stage", data, **more)


async def ask(api: Client, id: str, method: str, *, token: str = "admin", settle: bool = True, **parameters: Any) -> Answer:
    answer = await api("POST", f"{IMAGES}/{id}/import", {"method": {"name": method, **parameters}}, token=token)
    if settle:
        await api.app.loop.settle()
    return answer


async def show(api: Client, id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await api("GET", f"{IMAGES}/{id}")).body
    return body


async def tasks(api: Client, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api("GET", f"{IMAGES}/{id}/tasks"))["tasks"]
    return found


# -- glance-direct -----------------------------------------------------------------------------------------------------------


async def test_what_was_staged_becomes_the_image(api: Client) -> None:
    image, data = await make(api), b"some bytes" * 1000
    assert (await stage(api, image["id"], data)).status == 204
    assert (await show(api, image["id"]))["status"] == "uploading"
    assert (await api("GET", f"{IMAGES}/{image['id']}/file")).status == 204
    answer = await ask(api, image["id"], "glance-direct")
    assert answer.status == 202
    shown = await show(api, image["id"])
    assert (shown["status"], shown["size"], shown["virtual_size"]) == ("active", len(data), len(data))
    assert (shown["checksum"], shown["os_hash_algo"]) == (hashlib.md5(data).hexdigest(), "sha512")
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert (await api("GET", f"{IMAGES}/{image['id']}/file")).text == data
    assert sorted(path.name for path in Folder(api.app.drivers.images.folder.uploads.parent).uploads.iterdir()) == [image["id"]]  # type: ignore[attr-defined]
    [task] = await tasks(api, image["id"])
    assert (task["type"], task["status"], task["image_id"]) == ("api_image_import", "success", image["id"])
    assert task["request_id"] == answer.headers["x-openstack-request-id"]
    assert task["input"]["import_req"]["method"]["name"] == "glance-direct"
    assert (task["deleted"], task["deleted_at"], "self" in task) == (False, None, False)


async def test_content_that_is_refused_goes_back_to_queued_and_may_be_tried_again(api: Client) -> None:
    declared, forge, check, _ = HOSTILE["backing file"]
    image = await make(api, disk_format=declared)
    await stage(api, image["id"], bytes(forge()))
    await ask(api, image["id"], "glance-direct")
    shown = await show(api, image["id"])
    assert (shown["status"], shown["size"]) == ("queued", None)
    [task] = await tasks(api, image["id"])
    assert (task["status"], check in task["message"]) == ("failure", True)
    assert list(api.app.drivers.images.folder.uploads.iterdir()) == []  # type: ignore[attr-defined]
    assert (await stage(api, image["id"], bytes(qcow2()))).status == 204
    await ask(api, image["id"], "glance-direct")
    assert (await show(api, image["id"]))["status"] == "active"
    assert [task["status"] for task in await tasks(api, image["id"])] == ["failure", "success"]


async def test_the_order_of_states(api: Client) -> None:
    image = await make(api)
    cases = [
        ("glance-direct", {}, "Image needs to be staged before 'glance-direct' method can be used"),
        ("copy-image", {}, "Only images with status active can be targeted for copying"),
    ]
    for method, parameters, words in cases:
        answer = await ask(api, image["id"], method, **parameters)
        assert (answer.status, message(answer)) == (409, words)
    await stage(api, image["id"], b"abc")
    again = await stage(api, image["id"], b"abc")
    assert (again.status, message(again)) == (409, "Image status transition from uploading to uploading is not allowed")
    upload = await api("PUT", f"{IMAGES}/{image['id']}/file", b"abc")
    assert (upload.status, message(upload)) == (409, "Image status transition from uploading to saving is not allowed")
    answer = await ask(api, image["id"], "web-download", uri="http://x/")
    assert (answer.status, message(answer)) == (409, "Image needs to be in 'queued' state to use 'web-download' method")
    await ask(api, image["id"], "glance-direct")
    answer = await ask(api, image["id"], "glance-direct")
    assert (answer.status, message(answer)) == (409, "Image with status active cannot be target for import")
    assert (await ask(api, image["id"], "copy-image")).status == 202  # there is one store, and it is there
    half = await make(api, container_format=None)
    await stage(api, half["id"], b"abc")
    answer = await ask(api, half["id"], "glance-direct")
    assert (answer.status, message(answer)) == (409, "'container_format' needs to be set before import")


async def test_requests_that_cannot_be_meant(api: Client) -> None:
    image = await make(api)
    for body, words in (
        ({}, "requires a 'method' field"),
        ({"method": "x"}, "requires a 'method' field"),
        ({"method": {}}, "requires a 'name' field"),
        ({"method": {"name": "magic"}}, "Unknown import method name 'magic'."),
        ([], "must be a JSON object"),
    ):
        answer = await api("POST", f"{IMAGES}/{image['id']}/import", body)
        assert (answer.status, words in message(answer)) == (400, True), body
    assert (await ask(api, "none", "glance-direct")).status == 404


async def test_who_may_import(api: Client) -> None:
    await api.member("p1", "ann")
    await api.member("p1", "rea", role="reader")
    await api.member("p2", "bob")
    image = await make(api, "ann")
    assert (await stage(api, image["id"], b"abc", token="rea")).status == 403
    assert (await stage(api, image["id"], b"abc", token="bob")).status == 404
    assert (await stage(api, image["id"], b"abc", token="ann")).status == 204
    assert (await ask(api, image["id"], "glance-direct", token="bob")).status == 404
    assert (await ask(api, image["id"], "glance-direct", token="rea")).status == 403
    assert (await ask(api, image["id"], "glance-direct", token="ann")).status == 202
    assert (await ask(api, image["id"], "copy-image", token="ann")).status == 403  # an admin's, as in Glance
    public = await make(api, visibility="public")
    await stage(api, public["id"], b"abc")
    assert (await ask(api, public["id"], "glance-direct", token="ann")).status == 403
    assert (await show(api, public["id"]))["status"] == "uploading"


async def test_an_image_that_is_deleted_on_the_way_leaves_nothing(api: Client) -> None:
    image = await make(api)
    await stage(api, image["id"], b"abc")
    await ask(api, image["id"], "glance-direct", settle=False)
    assert (await api("DELETE", f"{IMAGES}/{image['id']}")).status == 204
    await api.app.loop.settle()
    assert list(api.app.drivers.images.folder.uploads.iterdir()) == []  # type: ignore[attr-defined]
    task = api.app.store.first("image_task", {"image_id": image["id"]})
    assert task
    assert (task["status"], task["message"]) == ("failure", "The image was deleted.")


# -- conversion --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "given"), [("qcow2", "raw"), ("raw", "qcow2")])
async def test_imports_are_converted_where_the_operator_says_so(paths: Paths, target: str, given: str) -> None:
    api = await cloud(paths, image_conversion=target)
    data = bytes(1 << 20) if given == "raw" else bytes(qcow2())
    image = await make(api, disk_format=given)
    await stage(api, image["id"], data)
    await ask(api, image["id"], "glance-direct")
    shown = await show(api, image["id"])
    assert (shown["status"], shown["disk_format"]) == ("active", target)
    assert shown["virtual_size"] == ((1 << 20) if given == "raw" else (64 << 20))
    kept = (await api("GET", f"{IMAGES}/{image['id']}/file")).text
    assert (shown["size"], shown["checksum"]) == (len(kept), hashlib.md5(kept).hexdigest())
    upload = await make(api, disk_format=given)
    await api("PUT", f"{IMAGES}/{upload['id']}/file", data)
    assert (await show(api, upload["id"]))["disk_format"] == given  # what is uploaded stays as it is
    cd = await make(api, disk_format="aki", container_format="aki")
    await stage(api, cd["id"], b"a kernel")
    await ask(api, cd["id"], "glance-direct")
    assert (await show(api, cd["id"]))["disk_format"] == "aki"
    await api.app.stop()


# -- web-download ------------------------------------------------------------------------------------------------------------


async def test_from_a_listed_host(web: Client, source: Source) -> None:
    source.files["/disk"] = bytes(qcow2())
    image = await make(web, disk_format="qcow2")
    assert (await ask(web, image["id"], "web-download", uri=source.url("/disk"))).status == 202
    shown = await show(web, image["id"])
    assert (shown["status"], shown["checksum"]) == ("active", hashlib.md5(source.files["/disk"]).hexdigest())


async def test_from_nowhere_else(api: Client, web: Client, source: Source) -> None:
    image = await make(web)
    for uri in (None, "http://127.0.0.1:1/x", "http://169.254.169.254/", "file:///etc/passwd", "http://localhost/"):
        answer = await ask(web, image["id"], "web-download", uri=uri)
        assert (answer.status, message(answer)) == (400, f"URI for web-download does not pass filtering: {uri}")
    image = await make(api)
    assert (await ask(api, image["id"], "web-download", uri=source.url("/disk"))).status == 400  # no host is listed by default
    assert source.asked == []


async def test_what_does_not_come_is_said_and_may_be_asked_again(web: Client, source: Source) -> None:
    image = await make(web)
    source.moved["/away"] = "http://127.0.0.1:1/"
    for path, words in (("/nope", "answers 404"), ("/away", "none of the hosts")):
        await ask(web, image["id"], "web-download", uri=source.url(path))
        assert (await show(web, image["id"]))["status"] == "queued"
        task = (await tasks(web, image["id"]))[-1]
        assert (task["status"], words in task["message"]) == ("failure", True), task
    source.files["/nope"] = b"now"
    await ask(web, image["id"], "web-download", uri=source.url("/nope"))
    assert (await show(web, image["id"]))["size"] == 3


# -- glance-download ---------------------------------------------------------------------------------------------------------


async def test_from_another_image(api: Client) -> None:
    await api.member("p1", "ann")
    source = await make(api, visibility="public", hw_cpu_cores="5", os_distro="debian", speed="88mph")
    await api("PUT", f"{IMAGES}/{source['id']}/file", b"the data")
    image = await make(api, "ann", disk_format="iso", container_format="ovf", hw_cpu_cores="1", mine="x")
    place = {"glance_image_id": source["id"], "glance_region": "RegionOne", "glance_service_interface": None}
    assert (await ask(api, image["id"], "glance-download", token="ann", **place)).status == 202
    shown = await show(api, image["id"])
    assert (shown["status"], shown["disk_format"], shown["container_format"]) == ("active", "raw", "bare")
    assert (shown["hw_cpu_cores"], shown["os_distro"], shown["mine"], "speed" in shown) == ("5", "debian", "x", False)
    assert (await api("DELETE", f"{IMAGES}/{source['id']}")).status == 204
    await api.app.loop.settle()
    assert (await api("GET", f"{IMAGES}/{image['id']}/file", token="ann")).text == b"the data"


async def test_another_image_that_is_not_to_be_had(api: Client) -> None:
    await api.member("p1", "ann")
    private = await make(api, visibility="private")
    await api("PUT", f"{IMAGES}/{private['id']}/file", b"secret")
    image = await make(api, "ann")
    place = {"glance_image_id": private["id"], "glance_region": "RegionOne"}
    bad = await ask(api, image["id"], "glance-download", token="ann", glance_image_id="foo", glance_region="RegionOne")
    assert (bad.status, "image id does not look like a UUID" in message(bad)) == (400, True)
    assert (await ask(api, image["id"], "glance-download", token="ann", glance_region="RegionOne")).status == 400
    for change in ({}, {"glance_region": "Elsewhere"}, {"glance_service_interface": "nope"}):
        assert (await ask(api, image["id"], "glance-download", token="ann", **{**place, **change})).status == 202
        assert (await show(api, image["id"]))["status"] == "queued"
    assert {task["status"] for task in await tasks(api, image["id"])} == {"failure"}


# -- locations ---------------------------------------------------------------------------------------------------------------


async def test_a_location_is_fetched_once_and_its_hash_held_against_what_was_said(web: Client, source: Source) -> None:
    source.files["/a"] = data = b"the data"
    good, bad = hashlib.sha256(data).hexdigest(), "0" * 64
    image = await make(web)
    path = f"{IMAGES}/{image['id']}/locations"
    for body, words in (
        ({}, "has a url"),
        ({"url": "http://169.254.169.254/"}, "does not pass filtering"),
        ({"url": source.url("/a"), "validation_data": {"os_hash_value": good}}, "needs os_hash_algo and os_hash_value"),
        ({"url": source.url("/a"), "validation_data": {"os_hash_algo": "md5", "os_hash_value": good}}, "is one of"),
        ({"url": source.url("/a"), "validation_data": {"os_hash_algo": "sha512", "os_hash_value": good}}, "128 hexadecimal"),
    ):
        answer = await web("POST", path, body)
        assert (answer.status, words in message(answer)) == (400, True), body
    for value, status in ((bad, "queued"), (good, "active")):
        body = {"url": source.url("/a"), "validation_data": {"os_hash_algo": "sha256", "os_hash_value": value}}
        assert (await web("POST", path, body)).status == 202
        await web.app.loop.settle()
        assert (await show(web, image["id"]))["status"] == status
    shown = await show(web, image["id"])
    assert (shown["os_hash_algo"], shown["os_hash_value"], shown["checksum"]) == ("sha256", good, hashlib.md5(data).hexdigest())
    assert (await web("POST", path, {"url": source.url("/a")})).status == 409
    [location] = (await web("GET", path)).body
    assert location["url"].endswith(f"/image/v2/images/{image['id']}/file")
    assert [task["type"] for task in await tasks(web, image["id"])] == ["location_import"] * 2


# -- tasks -------------------------------------------------------------------------------------------------------------------


async def test_tasks_are_an_admins(web: Client, source: Source) -> None:
    await web.member("p1", "ann")
    source.files["/disk"] = bytes(qcow2())
    given = {"import_from": source.url("/disk"), "import_from_format": "qcow2", "image_properties": {"name": "n", "visibility": "public"}}
    answer = await web("POST", "/image/v2/tasks", {"type": "import", "input": given})
    assert answer.status == 201, answer.text
    assert answer.headers["location"].endswith(f"/image/v2/tasks/{answer['id']}")
    assert (answer["status"], answer["input"], "expires_at" in answer.body) == ("pending", given, False)
    await web.app.loop.settle()
    done = await web("GET", f"/image/v2/tasks/{answer['id']}")
    assert (done["status"], done["schema"], "expires_at" in done.body) == ("success", "/v2/schemas/task", True)
    assert (await show(web, done["result"]["image_id"]))["status"] == "active"
    assert await names(web, "name=n") == ["n"]
    listed = await web("GET", "/image/v2/tasks?status=success&type=import")
    assert ([task["id"] for task in listed["tasks"]], listed["first"]) == ([done["id"]], "/v2/tasks?status=success&type=import")
    assert "input" not in listed["tasks"][0]
    assert (await web("GET", "/image/v2/tasks?status=failure"))["tasks"] == []
    for path in ("/image/v2/tasks", f"/image/v2/tasks/{done['id']}"):
        assert (await web("GET", path, token="ann")).status == 403
    assert (await web("GET", "/image/v2/tasks/none")).status == 404
    assert (await web("DELETE", f"/image/v2/tasks/{done['id']}")).status == 405
    for query in ("status=x", "sort_dir=up", "sort_key=x", "limit=x", "marker=none"):
        assert (await web("GET", f"/image/v2/tasks?{query}")).status == 400, query


async def test_pages_of_tasks(api: Client) -> None:
    for _ in range(3):
        image = await make(api)
        await stage(api, image["id"], b"abc")
        await ask(api, image["id"], "glance-direct")
    seen, path = [], "/image/v2/tasks?limit=2"
    while path:
        answer = await api("GET", path)
        seen += [task["id"] for task in answer["tasks"]]
        path = "/image" + answer["next"] if "next" in answer.body else ""
    assert len(set(seen)) == 3


async def test_bad_tasks(web: Client, source: Source) -> None:
    good = {"import_from": source.url("/a"), "import_from_format": "raw", "image_properties": {}}
    for body, words in (
        ({}, "Task 'type' is required"),
        ({"type": "import"}, "Task 'input' is required"),
        ({"type": "magic", "input": {}}, "'magic' is not one of"),
        ({"type": "export", "input": {}}, "cannot be asked for here"),
        ({"type": "import", "input": {}}, "Input does not contain 'import_from' field"),
        ({"type": "import", "input": {**good, "import_from": "http://dummy/x"}}, "does not pass filtering"),
        ({"type": "import", "input": {**good, "image_properties": []}}, "is an object"),
        ({"type": "import", "input": {**good, "image_properties": {"disk_format": "nope"}}}, "'nope' is not one of"),
    ):
        answer = await web("POST", "/image/v2/tasks", body)
        assert (answer.status, words in message(answer)) == (400, True), (body, answer.text)
    assert await names(web) == []


async def test_a_finished_task_is_forgotten_after_its_time(api: Client) -> None:
    image = await make(api)
    await stage(api, image["id"], b"abc")
    await ask(api, image["id"], "glance-direct")
    api.app.store.execute("UPDATE image_task SET expires_at = 1")
    assert (await api("GET", "/image/v2/tasks"))["tasks"] == []
    other = await make(api)
    await stage(api, other["id"], b"abc")
    await ask(api, other["id"], "glance-direct")
    assert api.app.store.count("image_task") == 1


# -- the cache ---------------------------------------------------------------------------------------------------------------


async def test_the_cache_is_the_base_disks(api: Client) -> None:
    await api.member("p1", "ann")
    image, images = await make(api), api.app.drivers.images
    assert (await api("PUT", f"/image/v2/cache/{image['id']}")).status == 400
    assert (await api("PUT", "/image/v2/cache/none")).status == 404
    assert (await api("DELETE", f"/image/v2/cache/{image['id']}")).status == 404
    await api("PUT", f"{IMAGES}/{image['id']}/file", b"abc")
    await api.app.loop.settle()
    cache = await api("GET", "/image/v2/cache")
    [entry] = cache["cached_images"]
    assert (entry["image_id"], entry["size"], entry["hits"], cache["queued_images"]) == (image["id"], 3, 0, [])
    assert entry["last_modified"] > 1e9
    for method, path in (("GET", ""), ("DELETE", ""), ("PUT", f"/{image['id']}"), ("DELETE", f"/{image['id']}")):
        assert (await api(method, f"/image/v2/cache{path}", token="ann")).status == 403
    assert (await api("DELETE", "/image/v2/cache", headers={"x-image-cache-clear-target": "all"})).status == 400
    assert (await api("DELETE", "/image/v2/cache", headers={"x-image-cache-clear-target": "queue"})).status == 204
    assert (await images.observe(image["id"]))[image["id"]].base
    assert (await api("DELETE", f"/image/v2/cache/{image['id']}")).status == 204
    await api.app.loop.settle()
    assert not (await images.observe(image["id"]))[image["id"]].base
    assert (await api("GET", "/image/v2/cache")).body == {"cached_images": [], "queued_images": []}
    assert (await api("PUT", f"/image/v2/cache/{image['id']}")).status == 202
    await api.app.loop.settle()
    assert (await images.observe(image["id"]))[image["id"]].base


async def test_a_server_has_its_image_cached_again(api: Client) -> None:
    image = await make(api, visibility="public")
    await api("PUT", f"{IMAGES}/{image['id']}/file", b"abc")
    await api.app.loop.settle()
    assert (await api("DELETE", "/image/v2/cache")).status == 204
    await api.app.loop.settle()
    flavor = (await api("POST", "/compute/v2.1/flavors", {"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}}))["flavor"]["id"]
    body = {"server": {"name": "s", "flavorRef": flavor, "imageRef": image["id"], "networks": "none"}}
    made = await api("POST", "/compute/v2.1/servers", body, version="2.37")
    assert made.status == 202, made.text
    await api.app.loop.settle()
    assert (await api("GET", f"/compute/v2.1/servers/{made['server']['id']}"))["server"]["status"] == "ACTIVE"
    [entry] = (await api("GET", "/image/v2/cache"))["cached_images"]
    assert (entry["image_id"], entry["hits"]) == (image["id"], 1)


# -- what the service says of itself ------------------------------------------------------------------------------------------


async def test_usage(api: Client) -> None:
    assert (await api("GET", "/image/v2/info/usage"))["usage"]["image_count_total"] == {"usage": 0, "limit": -1}
    image = await make(api)
    await stage(api, image["id"], bytes(2 << 20))
    other = await make(api)
    await api("PUT", f"{IMAGES}/{other['id']}/file", bytes(3 << 20))
    usage = (await api("GET", "/image/v2/info/usage"))["usage"]
    assert {name: each["usage"] for name, each in usage.items()} == {
        "image_size_total": 3, "image_stage_total": 2, "image_count_total": 2, "image_count_uploading": 1,
    }  # fmt: skip


async def test_limits_that_an_admin_registers_with_keystone_hold(api: Client) -> None:
    project = await api.member("p1", "ann")
    services = (await api("GET", "/identity/v3/services"))["services"]
    service = next(each["id"] for each in services if each["type"] == "image")
    limits = {"image_size_total": 1, "image_stage_total": 1, "image_count_total": 4, "image_count_uploading": 1}
    body = [{"service_id": service, "resource_name": name, "default_limit": limit} for name, limit in limits.items()]
    assert (await api("POST", "/identity/v3/registered_limits", {"registered_limits": body})).status == 201
    usage = (await api("GET", "/image/v2/info/usage", token="ann"))["usage"]
    assert {name: each["limit"] for name, each in usage.items()} == limits
    one, two, three, four = [await make(api, "ann") for _ in range(4)]
    more = await api("POST", IMAGES, {"name": "fifth"}, token="ann")
    assert (more.status, "image_count_total is over limit of 4" in message(more)) == (413, True)
    assert (await stage(api, one["id"], bytes(2 << 20), token="ann")).status == 204
    refused = await stage(api, two["id"], b"abc", token="ann")
    assert (refused.status, "image_stage_total is over limit of 1" in message(refused)) == (413, True)
    assert (await api("PUT", f"{IMAGES}/{three['id']}/file", b"abc", token="ann")).status == 413  # one upload at a time
    await ask(api, one["id"], "glance-direct", token="ann")
    refused = await api("PUT", f"{IMAGES}/{three['id']}/file", b"abc", token="ann")
    assert (refused.status, "image_size_total is over limit of 1" in message(refused)) == (413, True)
    own = [{"service_id": service, "project_id": project, "resource_name": "image_size_total", "resource_limit": 10}]
    assert (await api("POST", "/identity/v3/limits", {"limits": own})).status == 201
    assert (await api("PUT", f"{IMAGES}/{three['id']}/file", b"abc", token="ann")).status == 204
    assert (await api("PUT", f"{IMAGES}/{(await make(api))['id']}/file", b"abc")).status == 204  # another project's is its own
    assert four["status"] == "queued"


async def test_import_methods_are_announced(api: Client) -> None:
    methods = (await api("GET", "/image/v2/info/import"))["import-methods"]["value"]
    assert methods == ["glance-direct", "web-download", "glance-download", "copy-image"]
    answer = await api("POST", IMAGES, {"name": "n"})
    assert answer.headers["openstack-image-import-methods"] == ",".join(methods)
    for method, path in (("GET", "/info/stores"), ("GET", "/info/stores/detail"), ("DELETE", "/stores/file/x")):
        refused = await api(method, f"/image/v2{path}")
        assert (refused.status, message(refused)) == (404, "Multi backend is not supported at this site.")


async def test_an_empty_id_is_no_list(api: Client) -> None:
    assert (await api("GET", f"{IMAGES}/")).status == 404
    assert (await api("DELETE", f"{IMAGES}/")).status == 404
    assert (await api("GET", IMAGES)).status == 200


async def test_staged_data_survives_what_else_is_done_to_the_image(api: Client) -> None:
    image = await make(api)
    await stage(api, image["id"], b"abc")
    assert (await patch(api, image["id"], {"op": "replace", "path": "/name", "value": "x"})).status == 200
    api.app.loop.wake("image", image["id"])
    await api.app.loop.settle()
    await ask(api, image["id"], "glance-direct")
    assert (await show(api, image["id"]))["size"] == 3
    assert json.loads(api.app.store.query("SELECT result FROM image_task")[0]["result"]) == {"image_id": image["id"]}
