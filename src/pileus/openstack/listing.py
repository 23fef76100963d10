"""Lists: filter, sort, page. Keyset paging, so that page 500 costs what page 1 costs; the link to the next page in each API's form.

Not here: which filters a resource has (its field table) and how an API refuses a bad marker (its api.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from pileus.kit.store import Row, Store, condition

MAX_PAGE = 1000


@dataclass(slots=True)
class Listing:
    """What a client wants of a table.

    where    column -> value, None or a list (see Store.find)
    terms    further conditions in SQL, each with its values
    sorts    (column, descending), most significant first; the id is added, so that the order is total
    limit    rows per page, None: all; marker: the id of the last row of the page before
    """

    where: dict[str, Any] = field(default_factory=dict)
    terms: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    sorts: list[tuple[str, bool]] = field(default_factory=list)
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False  # the page before the marker (Neutron)
    hidden: bool = False


def fetch(store: Store, table: str, listing: Listing, marker: Row | None = None) -> tuple[list[Row], bool]:
    """One page of a table and whether there is more. `marker` is the marker's row, found by the caller."""
    text, values = condition(listing.where)
    clauses, bound = [text], list(values)
    for term, more in listing.terms:
        clauses.append(f"({term})")
        bound.extend(more)
    sorts = _total(listing.sorts)
    if listing.reverse:
        sorts = [(column, not descending) for column, descending in sorts]
    if marker is not None:
        beyond, its_values = _after(sorts, marker, store.never_null(table))
        clauses.append(beyond)
        bound.extend(its_values)
    rule = "" if listing.hidden else store.visible(table)
    order = ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in sorts)
    sql = f"SELECT * FROM {table} WHERE {' AND '.join(clauses)}{rule} ORDER BY {order}"  # noqa: S608 - names are ours
    if listing.limit is not None:
        sql += f" LIMIT {listing.limit + 1}"
    rows = store.query(sql, *bound)
    more_rows = listing.limit is not None and len(rows) > listing.limit
    rows = rows[: listing.limit] if listing.limit is not None else rows
    return (rows[::-1] if listing.reverse else rows), more_rows


def _total(sorts: Iterable[tuple[str, bool]]) -> list[tuple[str, bool]]:
    unique = list(dict(sorts).items())
    if not any(column == "id" for column, _ in unique):
        unique.append(("id", unique[-1][1] if unique else False))
    return unique


def _after(sorts: list[tuple[str, bool]], marker: Row, never_null: frozenset[str]) -> tuple[str, list[Any]]:
    """The condition that a row comes after the marker. One direction throughout, without nulls, is a row value: an index answers it."""
    if all(column in never_null for column, _ in sorts) and len({descending for _, descending in sorts}) == 1:
        columns = ", ".join(column for column, _ in sorts)
        sign = "<" if sorts[0][1] else ">"
        return f"({columns}) {sign} ({', '.join('?' * len(sorts))})", [marker[column] for column, _ in sorts]
    options, bound = [], []
    for i, (column, descending) in enumerate(sorts):
        equal = [f"{c} IS ?" for c, _ in sorts[:i]]
        # null sorts first in SQLite, so it is "less" than everything
        beyond = (
            f"({column} < ? OR ({column} IS NULL AND ? IS NOT NULL))"
            if descending
            else f"({column} > ? OR (? IS NULL AND {column} IS NOT NULL))"
        )
        options.append("(" + " AND ".join([*equal, beyond]) + ")")
        bound += [marker[c] for c, _ in sorts[:i]] + [marker[column], marker[column]]
    return "(" + " OR ".join(options) + ")", bound


def next_link(url: str, pairs: Iterable[tuple[str, str]], marker: str, *, rel: str = "next", reverse: bool = False) -> Row:
    """`{rel, href}`: the same list, from `marker` on."""
    kept = [(name, value) for name, value in pairs if name not in ("marker", "page_reverse")]
    kept.append(("marker", marker))
    if reverse:
        kept.append(("page_reverse", "True"))
    return {"rel": rel, "href": f"{url}?{urlencode(kept)}"}
