"""Image's tables against each other: fields and columns, statuses and what may be done in them, methods and what they are."""

from __future__ import annotations

import pytest

from pileus.app import migrations
from pileus.drivers.fake.images import empty_qcow2
from pileus.image import states
from pileus.image.actions import METHODS
from pileus.image.host import ENDS, Facts, Want
from pileus.image.reconcile import plan, want_of
from pileus.image.resources import IMAGE, MEMBER, SCHEMAS
from pileus.image.resources.metadefs import ASSOCIATION, NAMESPACE, OBJECT, RESOURCE_TYPE, TAG
from pileus.image.resources.tasks import TASK
from pileus.kit.resource import Resource
from pileus.kit.store import Store

ADDED = {"tags"}  # what relations add to a row


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(":memory:", migrations(), synchronous="off")


@pytest.mark.parametrize("resource", [IMAGE, MEMBER, TASK, NAMESPACE, OBJECT, TAG, ASSOCIATION, RESOURCE_TYPE], ids=lambda one: one.key)
def test_what_is_shown_is_a_column(store: Store, resource: Resource) -> None:
    columns = {row["name"] for row in store.query(f"PRAGMA table_info({resource.table})")}
    shown = {field.show for field in resource.fields if isinstance(field.show, str)}
    assert columns
    assert shown - columns - ADDED == set()


def test_every_status_that_a_verb_asks_for_is_one() -> None:
    verbs = [*states.UPLOADS.table.values(), *states.STAGES.table.values(), *states.IMPORTS.values(), states.BOOT, states.DOWNLOAD]
    assert {status for verb in verbs for status in verb.states} <= set(states.STATUSES)
    assert tuple(states.IMPORTS) == METHODS


def test_schemas_are_called_what_their_paths_say() -> None:
    for path, schema in SCHEMAS.items():
        assert schema["name"].startswith(path.rpartition("/")[2].removesuffix("s").replace("ie", "y")[:6])
        assert schema["properties"]


@pytest.mark.parametrize(
    ("status", "staged", "kept"),
    [
        ("queued", None, ()),
        ("saving", None, ("upload", "partial", "stage", "converted")),
        ("uploading", None, ("upload", "partial", "stage", "converted")),
        ("uploading", 3, ("stage",)),
        ("importing", None, ("upload", "partial", "stage", "converted")),
        ("active", None, ("upload", "base")),
        ("deactivated", None, ("upload", "base")),
    ],
)
def test_which_files_each_status_keeps(status: str, staged: int | None, kept: tuple[str, ...]) -> None:
    row = {"id": "i", "gone": 0, "status": status, "staged": staged, "disk_format": "raw", "container_format": "bare", "cached": 1}
    every = Facts(**dict.fromkeys((*ENDS.values(), "base"), True))
    dropped = {step.verb.removeprefix("drop_") for step in plan(want_of("i", {**row, "size": 3, "virtual_size": 3}), every)}
    assert dropped == {*ENDS.values(), "base"} - set(kept)


def test_taken_out_of_the_cache_is_a_base_less() -> None:
    row = {"id": "i", "gone": 0, "status": "active", "staged": None, "disk_format": "raw", "container_format": "bare", "size": 3}
    want = want_of("i", {**row, "virtual_size": 3, "cached": 0})
    assert want == Want("i", "keep", "none", "raw", 3)
    assert [step.verb for step in plan(want, Facts(upload=True, base=True))] == ["drop_base"]


def test_the_fake_machines_disk_is_one(tmp_path: object) -> None:
    for size in (0, 512, 5 << 30, 3 << 40):
        data = empty_qcow2(size)
        assert (data[:4], int.from_bytes(data[24:32], "big"), len(data) % (1 << 16)) == (b"QFI\xfb", size, 0)
