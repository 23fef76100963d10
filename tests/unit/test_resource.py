"""Field tables: spans, views, decoders, and each dialect's words for what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.errors import BadRequest
from pileus.kit.clock import Clock
from pileus.kit.context import Cloud, Context, Credentials
from pileus.kit.resource import Field, Resource, Words, flag
from pileus.kit.store import Row, Store
from pileus.openstack.types import Bool, Either, Enum, Int, List, Map, Obj, Str, Uuid

WORDS = Words(
    mismatch=lambda name, m: BadRequest(f"{name}: {m.reason} at {list(m.path)}"),
    unknown=lambda names: BadRequest(f"unknown {names}"),
    missing=lambda name, given: BadRequest(f"missing {name}"),
    no_object=lambda key, body: BadRequest(f"no {key}"),
    fixed=lambda names: BadRequest(f"fixed {names}"),
)
ASKED: list[int] = []


def _pets(store: Store, rows: list[Row]) -> None:
    ASKED.append(len(rows))
    for row in rows:
        row["pets"] = ["cat"]


THING = Resource(
    "thing",
    "things",
    [
        Field("id", show="id"),
        Field("name", Str(min=1, max=5), show="name", create="required", update=True, filter=True, sort=True),
        Field("shape", until="2.46", show=lambda row, ctx: "old"),
        Field("shape", since="2.47", show=lambda row, ctx: "new"),
        Field("locked", since="2.9", show=flag("locked")),
        Field("secret", show="name", who=lambda ctx: ctx.is_admin),
        Field("pets", show="pets", relation=_pets),
        Field("size", Int(min=1, loose=True), create=True, column="size_mb", default=7),
        Field("tags", List(Str(max=3)), since="2.52", create=True),
    ],
    words=WORDS,
)
ROW = {"id": "1", "name": "vm", "locked": 0}


def context(version: tuple[int, int] = (2, 1), roles: frozenset[str] = frozenset()) -> Context:
    store = Store(":memory:", [], synchronous="off")
    return Context(Cloud(store, Clock(), lambda kind, id: None), Credentials("u", roles=roles), version)


def test_spans_are_cut_where_something_changes() -> None:
    spans = {THING.span((2, i)) for i in range(1, 101)}
    assert spans == {(0, 0), (2, 9), (2, 47), (2, 52)}
    assert THING.span((1, 0)) == (0, 0)


@pytest.mark.parametrize(
    ("version", "has", "lacks"),
    [((2, 1), {"shape"}, {"locked"}), ((2, 9), {"shape", "locked"}, set()), ((2, 99), {"shape", "locked"}, set())],
)
def test_a_view_has_what_its_version_has(version: tuple[int, int], has: set[str], lacks: set[str]) -> None:
    shown = THING.view(dict(ROW), context(version))
    assert has <= shown.keys()
    assert not lacks & shown.keys()
    assert shown["shape"] == ("old" if version < (2, 47) else "new")


def test_who_may_see_a_field() -> None:
    assert "secret" not in THING.view(dict(ROW), context())
    assert THING.view(dict(ROW), context(roles=frozenset({"admin"})))["secret"] == "vm"


def test_a_relation_is_loaded_once_for_a_list() -> None:
    ASKED.clear()
    views = THING.views([dict(ROW) for _ in range(50)], context())
    assert ASKED == [50]
    assert views[49]["pets"] == ["cat"]


def test_decoding_hands_over_columns_and_defaults() -> None:
    assert THING.decode({"thing": {"name": "a", "size": "12"}}, "create", context()) == {"name": "a", "size_mb": 12}
    assert THING.decode({"thing": {"name": "a"}}, "create", context()) == {"name": "a", "size_mb": 7}
    assert THING.decode({"thing": {}}, "update", context()) == {}


@pytest.mark.parametrize(
    ("body", "verb", "version", "says"),
    [
        ({"thing": {"name": ""}}, "create", (2, 1), "name: '' is too short"),
        ({"thing": {"name": "toolong"}}, "create", (2, 1), "name: 'toolong' is too long"),
        ({"thing": {"name": 5}}, "create", (2, 1), "name: 5 is not of type 'string'"),
        ({"thing": {"name": "a", "size": 0}}, "create", (2, 1), "size: 0 is less than the minimum of 1"),
        ({"thing": {"name": "a", "tags": []}}, "create", (2, 51), "unknown ['tags']"),
        ({"thing": {"name": "a", "tags": ["a", "long"]}}, "create", (2, 52), "tags: 'long' is too long at [1]"),
        ({"thing": {}}, "create", (2, 1), "missing name"),
        ({"things": {}}, "create", (2, 1), "no thing"),
        ([], "create", (2, 1), "no thing"),
        ({"thing": {"id": "2"}}, "update", (2, 1), "fixed ['id']"),
        ({"thing": {"nope": 1}}, "update", (2, 1), "unknown ['nope']"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(body: Any, verb: Any, version: tuple[int, int], says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        THING.decode(body, verb, context(version))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Bool(), [True, False], ["yes", 1, None]),
        (Bool(loose=True), ["yes", "0", "True", False], ["maybe", 1.5, None]),
        (Int(0, 3), [0, 3], [-1, 4, True, "1", 1.0]),
        (Enum(["a", "b"]), ["a"], ["c", None]),
        (Uuid(), ["6f0d5f4e-8a53-5c0e-9f52-6b3f5e0d7c11", "6f0d5f4e8a535c0e9f526b3f5e0d7c11"], ["x", "", 5]),
        (Map(Str()), [{"a": "b"}], [{"a": 1}, {"ä" * 300: "x"}, []]),
        (Obj({"a": Int()}, required=("a",)), [{"a": 1}], [{}, {"a": "x"}, {"a": 1, "b": 2}]),
        (List(Int(), max=2, unique=True), [[1, 2]], [[1, 1], [1, 2, 3], "x"]),
        (Either((Int(), Str(max=1))), [1, "x"], ["xx", None]),
    ],
)
def test_types(kind: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        kind.parse(value)
    for value in bad:
        with pytest.raises(ValueError, match=r"."):
            kind.parse(value)
    assert isinstance(kind.schema(), dict)


def test_the_schema_names_what_is_required() -> None:
    assert THING.schema("create", (2, 52))["required"] == ["name"]
    assert "tags" not in THING.schema("create", (2, 1))["properties"]
