"""Rows: one SQLite connection in WAL mode, transactions that join, migrations. SQL stays in the open; this only spares its ceremony.

Not here: JSON for clients (kit/resource.py) and what a row means (each service's actions). One thread uses a store: the loop's.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pileus.errors import SettingError

Row = dict[str, Any]
Where = Mapping[str, Any]

_NAME = re.compile(r"^(\d{3})-[a-z-]+\.sql$")
HIDDEN = ("deleted_at", "gone")  # a row with either set is history or on its way out: hidden unless asked for


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    path: Path

    @property
    def sql(self) -> str:
        return self.path.read_text()


def migrations_in(*folders: Path) -> list[Migration]:
    """The `NNN-noun.sql` files of these folders, in the order of their numbers, which are unique over all of them."""
    found = [Migration(int(m[1]), file) for folder in folders for file in sorted(folder.glob("*.sql")) if (m := _NAME.match(file.name))]
    found.sort(key=lambda m: m.number)
    numbers = [m.number for m in found]
    if numbers != list(range(1, len(found) + 1)):
        raise SettingError(f"migrations must be numbered 1 to {len(found)} without gaps, not {numbers}")
    return found


def _rows(cursor: sqlite3.Cursor) -> list[Row]:
    """What a cursor has to give, as dicts. The names are looked up once: a row factory would look them up for each row."""
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=False)) for values in cursor]


class Store:
    """The database of one cloud. `path` may be ':memory:'. `synchronous` is what an API write commits with."""

    def __init__(self, path: Path | str, migrations: Iterable[Migration], *, synchronous: Literal["full", "off"] = "full") -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        self._depth = 0
        self._after: list[Callable[[], None]] = []
        self._promise, self._note = ("OFF", "OFF") if synchronous == "off" else ("FULL", "NORMAL")
        self._level = ""
        # auto checkpoints would hold the loop for as long as an fsync takes: the daemon runs them in a thread (`checkpoint`)
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "wal_autocheckpoint=0", "busy_timeout=5000", "cache_size=-8192"):
            self._db.execute(f"PRAGMA {pragma}")
        self._migrate(list(migrations))
        self._hidden = self._find_hidden()
        self._never_null: dict[str, frozenset[str]] = {}

    def close(self) -> None:
        self._db.close()

    # -- transactions ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All or nothing; an inner one joins the outer. `durable`: on disk when it returns, as an API's 2xx promises.

        What was handed to `after_commit` runs when the outermost one has committed, and is forgotten when it rolls back.
        """
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self._set_level(self._promise if durable else self._note)
        self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
        except BaseException:
            self._depth = 0
            self._after.clear()
            self._db.execute("ROLLBACK")
            raise
        self._depth = 0
        self._db.execute("COMMIT")
        after, self._after = self._after, []
        for call in after:
            call()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run `call` when the transaction under way has committed, or now when there is none."""
        if self._depth:
            self._after.append(call)
        else:
            call()

    def _set_level(self, level: str) -> None:
        if level != self._level:
            self._db.execute(f"PRAGMA synchronous={level}")
            self._level = level

    # -- rows --------------------------------------------------------------------------------------------------------------

    def query(self, sql: str, *values: Any, **named: Any) -> list[Row]:
        """The rows that a SELECT gives."""
        return _rows(self._db.execute(sql, named or values))

    def execute(self, sql: str, *values: Any, **named: Any) -> int:
        """Run a statement that writes; returns how many rows it touched."""
        return self._db.execute(sql, named or values).rowcount

    def get(self, table: str, id: str, *, hidden: bool = False) -> Row | None:
        """The row with this id; hidden ones (deleted, or on their way out) only when asked for."""
        rule = "" if hidden else self._hidden.get(table, "")
        return self._one(f"SELECT * FROM {table} WHERE id = ?{rule}", (id,))  # noqa: S608 - table names are ours

    def first(self, table: str, where: Where, *, hidden: bool = False) -> Row | None:
        """One row that matches, or None."""
        return next(iter(self.find(table, where, hidden=hidden, limit=1)), None)

    def find(self, table: str, where: Where | None = None, *, order: str = "", limit: int | None = None, hidden: bool = False) -> list[Row]:
        """Rows whose columns equal `where`: a value, None (is null), or a list, set or tuple of values (any of them)."""
        text, values = condition(where or {})
        rule = "" if hidden else self._hidden.get(table, "")
        sql = f"SELECT * FROM {table} WHERE {text}{rule}"  # noqa: S608 - table and column names are ours
        if order:
            sql += f" ORDER BY {order}"
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        return _rows(self._db.execute(sql, values))

    def count(self, table: str, where: Where | None = None, *, hidden: bool = False) -> int:
        text, values = condition(where or {})
        rule = "" if hidden else self._hidden.get(table, "")
        row = self._one(f"SELECT count(*) AS n FROM {table} WHERE {text}{rule}", values)  # noqa: S608
        return int(row["n"]) if row else 0

    def insert(self, table: str, row: Where) -> None:
        marks = ", ".join("?" * len(row))
        self._db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))  # noqa: S608

    def update(self, table: str, id: str, changes: Where) -> int:
        """Set columns of one row; returns 1, or 0 when there is none."""
        if not changes:
            return 0
        pairs = ", ".join(f"{column} = ?" for column in changes)
        return self._db.execute(f"UPDATE {table} SET {pairs} WHERE id = ?", (*changes.values(), id)).rowcount  # noqa: S608

    def delete(self, table: str, where: Where) -> int:
        text, values = condition(where)
        return self._db.execute(f"DELETE FROM {table} WHERE {text}", values).rowcount  # noqa: S608

    def visible(self, table: str) -> str:
        """The condition, starting with AND, that hides what `get` hides; for hand-written SQL."""
        return self._hidden.get(table, "")

    def never_null(self, table: str) -> frozenset[str]:
        """The columns of a table that hold no nulls: those declared so, and the id."""
        if table not in self._never_null:
            columns = self.query(f"PRAGMA table_info({table})")
            self._never_null[table] = frozenset(row["name"] for row in columns if row["notnull"] or row["pk"])
        return self._never_null[table]

    def _one(self, sql: str, values: tuple[Any, ...]) -> Row | None:
        return next(iter(_rows(self._db.execute(sql, values))), None)

    # -- upkeep ------------------------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Move the WAL into the database. Blocks for as long as the disk takes: call it in a thread; it opens a connection of its own."""
        if str(self.path) == ":memory:":
            return
        with contextlib.closing(sqlite3.connect(self.path, timeout=1)) as other:
            other.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _find_hidden(self) -> dict[str, str]:
        rules: dict[str, str] = {}
        for table in (row["name"] for row in self.query("SELECT name FROM sqlite_schema WHERE type = 'table'")):
            columns = {row["name"] for row in self.query(f"PRAGMA table_info({table})")}
            terms = [f" AND {column} IS NULL" if column == "deleted_at" else f" AND {column} = 0" for column in HIDDEN if column in columns]
            if terms:
                rules[table] = "".join(terms)
        return rules

    def _migrate(self, migrations: list[Migration]) -> None:
        version = int(self.query("PRAGMA user_version")[0]["user_version"])
        newest = migrations[-1].number if migrations else 0
        if version > newest:
            raise SettingError(
                f"{self.path} was written by a newer Pileus (layout {version}; this one knows {newest}). "
                "Install that version, or set PILEUS_HOME to another folder."
            )
        todo = [m for m in migrations if m.number > version]
        if not todo:
            return
        if version and str(self.path) != ":memory:":
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy2(self.path, f"{self.path}.before-{newest}")
        for migration in todo:
            try:
                self._db.executescript(f"BEGIN IMMEDIATE;\n{migration.sql}\n;PRAGMA user_version={migration.number};\nCOMMIT;")
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                self._db.close()
                raise


def condition(where: Where) -> tuple[str, tuple[Any, ...]]:
    """`{a: 1, b: [2, 3], c: None}` as SQL and its values; an empty one is true, an empty list matches nothing."""
    terms: list[str] = []
    values: list[Any] = []
    for column, value in where.items():
        if value is None:
            terms.append(f"{column} IS NULL")
        elif isinstance(value, list | tuple | set | frozenset):
            terms.append(f"{column} IN ({', '.join('?' * len(value))})")
            values.extend(value)
        else:
            terms.append(f"{column} = ?")
            values.append(value)
    return " AND ".join(terms) or "1", tuple(values)
