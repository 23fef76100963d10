"""The store: transactions join, what follows a commit, hiding, migrations that refuse and that keep a copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.app import migrations
from pileus.errors import SettingError
from pileus.kit.store import Migration, Store, migrations_in
from pileus.openstack.listing import Listing, fetch

TABLE = "CREATE TABLE thing (id TEXT PRIMARY KEY, a INTEGER, b TEXT, gone INTEGER NOT NULL DEFAULT 0, deleted_at INTEGER);"


def store_with(folder: Path, *sql: str, path: Path | str = ":memory:") -> Store:
    for number, text in enumerate(sql, 1):
        (folder / f"{number:03}-thing.sql").write_text(text)
    return Store(path, migrations_in(folder), synchronous="off")


def test_an_inner_transaction_joins_and_wakes_follow_the_outer_commit(tmp_path: Path) -> None:
    store = store_with(tmp_path, TABLE)
    said: list[str] = []
    with store.transaction():
        store.insert("thing", {"id": "1"})
        with store.transaction():
            store.insert("thing", {"id": "2"})
            store.after_commit(lambda: said.append("woken"))
        assert said == []
    assert said == ["woken"]
    assert store.count("thing") == 2


def test_a_rollback_takes_everything_and_wakes_nobody(tmp_path: Path) -> None:
    store = store_with(tmp_path, TABLE)
    said: list[str] = []
    with pytest.raises(RuntimeError), store.transaction():
        with store.transaction():
            store.insert("thing", {"id": "1"})
            store.after_commit(lambda: said.append("woken"))
        raise RuntimeError
    with store.transaction():
        pass
    assert (store.count("thing"), said) == (0, [])


def test_rows_that_are_gone_or_deleted_are_hidden(tmp_path: Path) -> None:
    store = store_with(tmp_path, TABLE)
    for id, gone, deleted in (("here", 0, None), ("going", 1, None), ("history", 0, 5)):
        store.insert("thing", {"id": id, "gone": gone, "deleted_at": deleted})
    assert [row["id"] for row in store.find("thing")] == ["here"]
    assert store.get("thing", "going") is None
    assert store.get("thing", "history", hidden=True) is not None
    assert store.count("thing", hidden=True) == 3


def test_a_newer_database_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store_with(tmp_path, TABLE, "ALTER TABLE thing ADD COLUMN c TEXT;", path=path).close()
    (tmp_path / "002-thing.sql").unlink()
    with pytest.raises(SettingError, match="newer Pileus"):
        Store(path, migrations_in(tmp_path))


def test_a_migration_keeps_a_copy_and_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = store_with(tmp_path, TABLE, path=path)
    store.insert("thing", {"id": "1"})
    store.close()
    with pytest.raises(Exception, match="nowhere"):
        store_with(tmp_path, TABLE, "ALTER TABLE thing ADD COLUMN c TEXT; INSERT INTO nowhere VALUES (1);", path=path)
    store = store_with(tmp_path, TABLE, "ALTER TABLE thing ADD COLUMN c TEXT;", path=path)
    assert store.find("thing")[0]["c"] is None
    assert (tmp_path / "db.before-2").exists()


def test_migrations_have_no_gaps(tmp_path: Path) -> None:
    (tmp_path / "002-thing.sql").write_text(TABLE)
    with pytest.raises(SettingError, match="without gaps"):
        migrations_in(tmp_path)


def test_ours_are_in_order_and_apply() -> None:
    found = migrations()
    assert [m.number for m in found] == list(range(1, len(found) + 1))
    assert isinstance(found[0], Migration)
    Store(":memory:", found).close()


ROWS = st.lists(st.tuples(st.integers(0, 3) | st.none(), st.sampled_from("xyz") | st.none()), max_size=14)
SORTS = st.lists(st.tuples(st.sampled_from(["a", "b", "id"]), st.booleans()), max_size=3)


@given(rows=ROWS, sorts=SORTS, limit=st.integers(1, 5))
def test_pages_put_together_are_the_whole_list(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]], sorts: list[tuple[str, bool]], limit: int
) -> None:
    store = store_with(tmp_path_factory.mktemp("sql"), TABLE)
    for i, (a, b) in enumerate(rows):
        store.insert("thing", {"id": f"{i:02}", "a": a, "b": b})
    whole, _ = fetch(store, "thing", Listing(sorts=sorts))
    found: list[str] = []
    marker = None
    for _ in range(len(rows) + 1):
        page, more = fetch(store, "thing", Listing(sorts=sorts, limit=limit), marker)
        found += [row["id"] for row in page]
        if not more:
            break
        marker = page[-1]
    assert found == [row["id"] for row in whole]
    if whole:
        back, _ = fetch(store, "thing", Listing(sorts=sorts, reverse=True), whole[-1])
        assert [row["id"] for row in back] == found[:-1]
    store.close()
