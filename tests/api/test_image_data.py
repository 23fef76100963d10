"""Uploads and downloads: what arrives is kept, hashed and handed out again; what is hostile, broken off or too much is not."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pileus.config import Paths
from pileus.drivers.disks.images import DiskImages
from pileus.image import actions, live
from pileus.image.actions.content import Content
from pileus.image.host import Folder
from pileus.image.inspect import Limits, Refused
from pileus.kit.context import Context, Credentials
from tests.api.test_images import IMAGES, make, message
from tests.conftest import Answer, Client
from tests.drivers.test_disks_images import CLOOP
from tests.unit.test_inspect_hostile import HOSTILE, qcow2


async def put(api: Client, id: str, data: bytes, **more: Any) -> Answer:
    return await api("PUT", f"{IMAGES}/{id}/file", data, **more)


async def show(api: Client, id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await api("GET", f"{IMAGES}/{id}")).body
    return body


@pytest.fixture
def folder(paths: Paths) -> Folder:
    return Folder(paths.data)


# -- what is kept ------------------------------------------------------------------------------------------------------------


async def test_bytes_come_back_as_they_went(api: Client, folder: Folder) -> None:
    image = await make(api)
    data = os.urandom(3 << 20) + bytes(5 << 20) + b"end"  # with a hole, and no round number
    assert (await put(api, image["id"], data)).status == 204
    shown = await show(api, image["id"])
    assert (shown["status"], shown["size"], shown["virtual_size"]) == ("active", len(data), len(data))
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert (shown["os_hash_algo"], shown["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    answer = await api("GET", f"{IMAGES}/{image['id']}/file")
    assert answer.text == data
    assert answer.headers["content-md5"] == shown["checksum"]
    assert answer.headers["content-length"] == str(len(data))
    file = folder.upload(image["id"])
    assert file.stat().st_mode & 0o777 == 0o444
    assert file.stat().st_blocks * 512 < 4 << 20  # zeros are not written


async def test_a_qcow2_has_the_size_of_its_disk(api: Client) -> None:
    image = await make(api, disk_format="qcow2")
    assert (await put(api, image["id"], bytes(qcow2()))).status == 204
    shown = await show(api, image["id"])
    assert (shown["size"], shown["virtual_size"]) == (len(qcow2()), 64 << 20)


async def test_kernels_and_packages_are_no_disks(api: Client) -> None:
    for fields in ({"disk_format": "aki", "container_format": "aki"}, {"disk_format": "vmdk", "container_format": "ova"}):
        image = await make(api, **fields)
        assert (await put(api, image["id"], b"\x7fELF and so on")).status == 204
        assert (await show(api, image["id"]))["virtual_size"] is None


async def test_nothing_at_all_is_an_image_too(api: Client) -> None:
    image = await make(api)
    assert (await put(api, image["id"], b"")).status == 204
    assert (await show(api, image["id"]))["size"] == 0
    assert (await api("GET", f"{IMAGES}/{image['id']}/file")).text == b""


async def test_parts(api: Client) -> None:
    image = await make(api)
    await put(api, image["id"], b"0123456789")
    for text, expected in {"bytes=2-4": b"234", "bytes=7-": b"789", "bytes=-3": b"789", "bytes=5-99": b"56789", "bytes=0-0": b"0"}.items():
        answer = await api("GET", f"{IMAGES}/{image['id']}/file", headers={"Range": text})
        assert (answer.status, answer.text) == (206, expected), text
        start = 10 - len(expected) if text != "bytes=2-4" and text != "bytes=0-0" else int(text[6])
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/10"
        assert "content-md5" not in answer.headers
    for text in ("bytes=10-", "bytes=5-2", "bytes=x", "bytes=-", "bytes=-0", "lines=1-2", "bytes=1-2,4-5"):
        assert (await api("GET", f"{IMAGES}/{image['id']}/file", headers={"Range": text})).status == 416, text
    assert (await api("GET", f"{IMAGES}/{image['id']}/file", headers={"Range": "bytes=0-9"})).status == 200


# -- what is refused ---------------------------------------------------------------------------------------------------------


async def test_a_hostile_upload_is_refused_in_words_and_may_be_tried_again(api: Client, folder: Folder) -> None:
    for name in (
        "backing file",
        "external data file",
        "an exabyte",
        "one cluster for all",
        "VMDK with a path",
        "a CD that is also a qcow2, as raw",
    ):
        declared, forge, check, _ = HOSTILE[name]
        image = await make(api, disk_format=declared)
        answer = await put(api, image["id"], bytes(forge()))
        assert answer.status == 415, (name, answer.text)
        assert f"check {check}:" in message(answer)
        shown = await show(api, image["id"])
        assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)
        await api.app.loop.settle()
        assert folder.uploaded(image["id"]) == {}
        record = api.app.store.first("action_record", {"resource_id": image["id"]})
        assert record
        assert record["result"] == "Error"
        assert check in record["message"]
        good = bytes(qcow2()) if declared == "qcow2" else None
        if good:
            assert (await put(api, image["id"], good)).status == 204


async def test_what_the_media_type_and_the_formats_must_be(api: Client) -> None:
    image = await make(api)
    answer = await put(api, image["id"], b"abc", headers={"Content-Type": "application/json"})
    assert answer.status == 415
    assert (await show(api, image["id"]))["status"] == "queued"
    half = await make(api, container_format=None)
    answer = await put(api, half["id"], b"abc")
    assert (answer.status, message(answer)) == (400, "Properties container_format must be set prior to saving data.")


async def test_more_than_the_limit(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(api)
    monkeypatch.setattr(files, "limits", Limits(file=5 << 20))
    image = await make(api)
    assert (await put(api, image["id"], bytes(6 << 20))).status == 413  # as announced
    assert await stream(api, image["id"], [bytes(1 << 20)] * 6) == 413  # as it comes
    assert (await show(api, image["id"]))["status"] == "queued"


def files_of(api: Client) -> live.Files:
    route = next(r for d in api.app.web.dialects if d.name == "image" for r in d.routes if r.streams)
    files: live.Files = route.handler.__closure__[0].cell_contents.__self__  # type: ignore[attr-defined]
    return files


async def test_a_full_disk_is_said_to_be_full(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    image = await make(api)
    with monkeypatch.context() as patched:
        patched.setattr(live.os, "pwrite", full)
        answer = await put(api, image["id"], b"x" * 100)
    assert (answer.status, "storage media is full" in message(answer)) == (413, True)
    assert (await put(api, image["id"], b"x" * 100)).status == 204


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img (qemu-utils) for a second opinion")
async def test_qemu_img_is_asked_and_must_agree(api: Client, paths: Paths) -> None:
    """A cloop image is nothing but bytes to our inspection, and something else to QEMU."""
    files = live.Files(paths.data, DiskImages(paths.data))

    async def send(data: bytes, **fields: Any) -> str:
        image = await make(api, **fields)
        ctx = Context(api.app.cloud, Credentials(user_id="u", project_id=image["owner"], roles=frozenset({"member"})))

        async def chunks() -> AsyncIterator[bytes]:
            yield data

        try:
            await files.upload(ctx, image["id"], chunks(), len(data))
        except Refused as refusal:
            assert (await show(api, image["id"]))["status"] == "queued"
            return refusal.message
        return str((await show(api, image["id"]))["status"])

    assert "qemu-img takes it for cloop, and this cloud for raw" in await send(CLOOP)
    assert await send(bytes(qcow2()), disk_format="qcow2") == "active"
    assert await send(b"abc") == "active"
    broken = qcow2()
    broken[72 + 24 : 72 + 28] = b"\0\0\0\7"  # a refcount order that our inspection refuses too
    assert "check qcow2-refcount-table" in await send(bytes(broken), disk_format="qcow2")
    files.close()


# -- clients that leave, images that go ---------------------------------------------------------------------------------------


async def stream(api: Client, id: str, chunks: list[bytes], *, leave: bool = False, between: Any = None, length: int | None = None) -> int:
    """Send a body piece by piece, as a server would hand it on; returns the status. `leave`: the client goes before the end."""
    sent: list[dict[str, Any]] = []
    queue = list(chunks)

    async def receive() -> dict[str, Any]:
        if not queue:
            return {"type": "http.disconnect"}
        if between:
            await between(len(chunks) - len(queue))
        chunk = queue.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(queue) or leave}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    headers = [
        (b"host", b"127.0.0.1:5000"),
        (b"x-auth-token", api.tokens["admin"].encode()),
        (b"content-type", b"application/octet-stream"),
    ]
    headers.append((b"content-length", str(length).encode()) if length is not None else (b"transfer-encoding", b"chunked"))
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "PUT", "scheme": "http",
        "path": f"{IMAGES}/{id}/file", "raw_path": b"", "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 5000),
    }  # fmt: skip
    await api.app.web.app(scope, receive, send)
    return int(sent[0]["status"])


async def test_a_chunked_upload_is_whole_when_it_ends_and_not_when_the_client_leaves(api: Client) -> None:
    image = await make(api)
    assert await stream(api, image["id"], [b"abc", b"def"], leave=True) == 400
    assert (await show(api, image["id"]))["status"] == "queued"
    assert await stream(api, image["id"], [b"abc", b"def"]) == 204
    assert (await show(api, image["id"]))["size"] == 6


async def test_an_upload_shorter_than_announced_is_refused(api: Client) -> None:
    image = await make(api)
    assert await stream(api, image["id"], [b"abc"], length=10, leave=True) == 400
    assert (await show(api, image["id"]))["status"] == "queued"


async def test_an_image_deleted_while_it_arrives_leaves_nothing(api: Client, folder: Folder) -> None:
    image = await make(api)

    async def delete(number: int) -> None:
        if number == 2:
            assert (await api("DELETE", f"{IMAGES}/{image['id']}")).status == 204
            await api.app.loop.settle()

    assert await stream(api, image["id"], [bytes(live.BATCH)] * 4, between=delete) == 404
    await api.app.loop.settle()
    assert folder.uploaded() == {}
    assert api.app.store.count("image", hidden=True) == 0


async def test_one_upload_at_a_time(api: Client) -> None:
    image = await make(api)
    statuses: list[int] = []

    async def another(number: int) -> None:
        if number == 1:
            statuses.append((await put(api, image["id"], b"other")).status)

    assert await stream(api, image["id"], [b"abc", b"def"], between=another) == 204
    assert statuses == [409]
    assert (await api("GET", f"{IMAGES}/{image['id']}/file")).text == b"abcdef"


async def test_a_format_of_another_kind_ends_the_upload_at_its_first_bytes(api: Client) -> None:
    image = await make(api, disk_format="qcow2")
    seen: list[int] = []

    async def count(number: int) -> None:
        seen.append(number)

    piece = b"\x01" * (1 << 20)
    assert await stream(api, image["id"], [piece] * 100, between=count) == 415
    assert len(seen) == 2 + live.DRAIN // len(piece) + 1  # a batch, and what is read so that the client may read the answer


async def test_a_cancelled_upload_puts_the_image_back(api: Client) -> None:
    image = await make(api)
    started = asyncio.Event()

    async def forever(number: int) -> None:
        if number == 1:
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(stream(api, image["id"], [bytes(live.BATCH)] * 3, between=forever))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await show(api, image["id"]))["status"] == "queued"


# -- what compute asks -------------------------------------------------------------------------------------------------------


async def test_what_may_be_booted(api: Client) -> None:
    p1 = await api.member("p1", "ann")
    ctx = Context(api.app.cloud, Credentials(user_id="u", project_id=p1, roles=frozenset({"member"})))

    def asked(id: str) -> str:
        try:
            return str(actions.find_bootable(ctx, id)["id"])
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    hidden = await make(api, visibility="private")
    assert asked(hidden["id"]) == f"NotFound: Image {hidden['id']} could not be found."
    assert asked("junk").startswith("NotFound")
    public = await make(api, visibility="public")
    assert asked(public["id"]) == f"BadRequest: Image {public['id']} is not active."
    assert actions.base_of(api.app.store, public["id"]).state == "failed"
    await put(api, public["id"], b"abc")
    assert actions.base_of(api.app.store, public["id"]).state == "making"
    await api.app.loop.settle()
    assert asked(public["id"]) == public["id"]
    assert actions.base_of(api.app.store, public["id"]).state == "ready"
    kernel = await make(api, "ann", disk_format="aki", container_format="aki")
    await put(api, kernel["id"], b"abc", token="ann")
    assert "is no disk to boot from" in asked(kernel["id"])
    assert actions.find_part(ctx, kernel["id"])["status"] == "active"
    await api("POST", f"{IMAGES}/{public['id']}/actions/deactivate")
    assert "is not active" in asked(public["id"])
    await api("DELETE", f"{IMAGES}/{public['id']}")
    assert actions.base_of(api.app.store, public["id"]).state == "gone"


async def test_the_end_of_an_upload_is_refused_when_the_row_moved_on(api: Client) -> None:
    image = await make(api)
    ctx = Context(api.app.cloud, Credentials(user_id="u", project_id=image["owner"], roles=frozenset({"member"})))
    with pytest.raises(Exception, match="could not be found after upload"):
        actions.finish_upload(ctx, image["id"], Content(3, "m", "s", 3))


async def test_nothing_is_left_of_the_stream_after_a_download(api: Client) -> None:
    """A client that reads a little and leaves: the file is closed."""
    image = await make(api)
    await put(api, image["id"], bytes(live.BATCH * 2))
    row = api.app.store.get("image", image["id"])
    assert row
    before = len(os.listdir("/proc/self/fd"))
    stream: AsyncIterator[bytes] = files_of(api).download(row, 0, row["size"] - 1)
    assert len(await anext(stream)) == live.BATCH
    await stream.aclose()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before
