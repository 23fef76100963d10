"""Declared resources: one field table gives the request decoder, the view, filters, sort keys and the reference page of every version.

Not here: SQL (the table of a resource is a migration; a test compares both) and what a field means (actions).
A version before the table's first break has no span.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from pileus.errors import Fault
from pileus.kit.clock import iso
from pileus.kit.context import Context, Version
from pileus.kit.store import Row, Store

FOREVER: Version = (99, 9999)
FIRST: Version = (0, 0)

Show = Callable[[Row, Context], Any]
unpack: Callable[[str], Any] = msgspec.json.Decoder().decode  # a column of JSON text; five times as fast as json.loads
Relation = Callable[[Store, list[Row]], None]
Verb = Literal["create", "update"]


def parse_version(text: str | None, default: Version) -> Version:
    if text is None:
        return default
    major, _, minor = text.partition(".")
    return int(major), int(minor)


class Mismatch(ValueError):
    """A value that its type refuses.

    `reason` is what JSON Schema validators say; `rule` is the schema keyword that failed; `path` leads to the part at fault.
    """

    def __init__(self, reason: str, value: Any = None, path: tuple[str | int, ...] = (), rule: str = "") -> None:
        super().__init__(reason)
        self.reason, self.value, self.path, self.rule = reason, value, path, rule


class Type(Protocol):
    """What a field's values may be. `parse` returns the value to keep, or raises Mismatch; `schema` is JSON Schema, for the reference."""

    def parse(self, value: Any, /) -> Any: ...
    def schema(self) -> dict[str, Any]: ...


class Anything:
    """Any JSON value, kept as it came."""

    def parse(self, value: Any, /) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


ANYTHING = Anything()


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of a resource, in the versions from `since` to `until` inclusive.

    show       a column's name, or a function of (row, context); None: never shown
    create     may be given at creation ("required": must be); update: may be changed
    column     under which key a decoded value is handed to the action; default: the shown column, else the name
    default    what creation takes when the client gives nothing (absent: nothing is handed over)
    filter     list filter: True (by the column) or another column's name; sort likewise
    who        who is shown the field (a rule); None: everybody
    alias      the extension (Neutron) that brings it
    relation   loads what `show` needs for a whole list, by one query: it adds keys to the rows
    """

    name: str
    type: Type = ANYTHING
    show: str | Show | None = None
    since: str | None = None
    until: str | None = None
    create: bool | Literal["required"] = False
    update: bool = False
    column: str | None = None
    default: Any = ...
    filter: bool | str = False
    sort: bool | str = False
    who: Callable[[Context], bool] | None = None
    alias: str | None = None
    relation: Relation | None = None
    doc: str = ""

    def lives(self, version: Version) -> bool:
        return parse_version(self.since, FIRST) <= version <= parse_version(self.until, FOREVER)

    @property
    def key(self) -> str:
        """The column, or the key in what `decode` returns."""
        return self.column or (self.show if isinstance(self.show, str) else self.name)


@dataclass(frozen=True, slots=True)
class Words:
    """How a dialect refuses a body. Each function returns the Fault to raise."""

    mismatch: Callable[[str, Mismatch], Fault]  # field name, what its type said
    unknown: Callable[[list[str]], Fault]  # names that the resource does not have (in this version, for this verb)
    missing: Callable[[str, Mapping[str, Any]], Fault]  # name, the object that lacks it
    no_object: Callable[[str, Any], Fault]  # key, what came instead of {key: {...}}
    fixed: Callable[[list[str]], Fault] | None = None  # names that exist but cannot be changed; None: as unknown


class Resource:
    """A resource's field table, compiled once, on first use, for each span of versions in which nothing changes."""

    def __init__(
        self,
        key: str,
        plural: str,
        fields: Sequence[Field],
        *,
        words: Words,
        table: str = "",
        open: bool = False,
    ) -> None:
        """`open`: unknown keys are kept, under "extra" (Keystone, Glance). `table`: the SQL table, default the key."""
        self.key, self.plural, self.fields, self.words, self.open = key, plural, list(fields), words, open
        self.table = table or key
        ends = [parse_version(f.until, FOREVER) for f in self.fields if f.until]
        self.breaks = sorted({parse_version(f.since, FIRST) for f in self.fields} | {(major, minor + 1) for major, minor in ends})
        self._views: dict[tuple[Version, tuple[bool, ...]], Callable[[Row, Context], Row]] = {}
        self._gated = tuple(dict.fromkeys(f.who for f in self.fields if f.who))
        self._writers: dict[tuple[Verb, Version], dict[str, Field]] = {}
        self.relations = tuple(dict.fromkeys(f.relation for f in self.fields if f.relation))
        self.filters = {f.name: f.filter if isinstance(f.filter, str) else f.key for f in self.fields if f.filter}
        self.sorts = {f.name: f.sort if isinstance(f.sort, str) else f.key for f in self.fields if f.sort}

    # -- spans -------------------------------------------------------------------------------------------------------------

    def span(self, version: Version) -> Version:
        """The first version of the span that `version` lies in."""
        at = bisect.bisect_right(self.breaks, version) - 1
        return self.breaks[at] if at >= 0 else FIRST

    def living(self, version: Version) -> list[Field]:
        return [f for f in self.fields if f.lives(self.span(version))]

    # -- views -------------------------------------------------------------------------------------------------------------

    def load(self, store: Store, rows: list[Row]) -> list[Row]:
        """Run each relation once for these rows."""
        if rows:
            for relation in self.relations:
                relation(store, rows)
        return rows

    def viewer(self, ctx: Context) -> Callable[[Row, Context], Row]:
        """The function that shows a (loaded) row to this caller in this version. Ask once for a list."""
        span = self.span(ctx.version)
        key = span, tuple(who(ctx) for who in self._gated)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = self._compile_view(span, dict(zip(self._gated, key[1], strict=True)))
        return view

    def view(self, row: Row, ctx: Context) -> Row:
        """One row as the client sees it; relations are loaded here."""
        self.load(ctx.store, [row])
        return self.viewer(ctx)(row, ctx)

    def views(self, rows: list[Row], ctx: Context) -> list[Row]:
        show = self.viewer(ctx)
        return [show(row, ctx) for row in self.load(ctx.store, rows)]

    def _compile_view(self, span: Version, allowed: Mapping[Any, bool]) -> Callable[[Row, Context], Row]:
        shown = [f for f in self.fields if f.show is not None and f.lives(span) and (f.who is None or allowed[f.who])]
        names: dict[str, Any] = {f"show{i}": f.show for i, f in enumerate(shown)}
        items = (
            f"{f.name!r}: row[{f.show!r}]" if isinstance(f.show, str) else f"{f.name!r}: show{i}(row, ctx)" for i, f in enumerate(shown)
        )
        # our own table becomes code once, as dataclasses does: a list of a thousand rows is then a thousand dict displays
        view: Callable[[Row, Context], Row] = eval(f"lambda row, ctx: {{{', '.join(items)}}}", names)  # noqa: S307
        return view

    # -- decoding ----------------------------------------------------------------------------------------------------------

    def decode(self, body: Any, verb: Verb, ctx: Context) -> Row:
        """`{key: {...}}` as the values an action takes, by column. Raises the dialect's Fault for what does not fit."""
        inner = body.get(self.key) if isinstance(body, dict) else None
        if not isinstance(inner, dict):
            raise self.words.no_object(self.key, body)
        return self.decode_object(inner, verb, ctx)

    def decode_object(self, given: Mapping[str, Any], verb: Verb, ctx: Context) -> Row:
        """The same for the bare object (Glance, and each element of a bulk request)."""
        writers = self._writable(verb, self.span(ctx.version))
        unknown = [name for name in given if name not in writers]
        if unknown and not self.open:
            self._refuse(unknown, verb, ctx)
        values: Row = {"extra": {name: given[name] for name in unknown}} if self.open else {}
        for name, field in writers.items():
            if name in given:
                try:
                    values[field.key] = field.type.parse(given[name])
                except Mismatch as mismatch:
                    raise self.words.mismatch(name, mismatch) from None
            elif verb == "create":
                if field.create == "required":
                    raise self.words.missing(name, given)
                if field.default is not ...:
                    values[field.key] = field.default() if callable(field.default) else field.default
        return values

    def _refuse(self, unknown: list[str], verb: Verb, ctx: Context) -> None:
        names = {f.name for f in self.living(ctx.version)}
        if self.words.fixed and (fixed := [name for name in unknown if name in names]):
            raise self.words.fixed(fixed)
        raise self.words.unknown(unknown)

    def takes(self, verb: Verb, version: Version) -> Iterable[str]:
        """The names that a body may have."""
        return self._writable(verb, self.span(version)).keys()

    def _writable(self, verb: Verb, span: Version) -> dict[str, Field]:
        at = verb, span
        if at not in self._writers:
            self._writers[at] = {f.name: f for f in self.fields if getattr(f, verb) and f.lives(span)}
        return self._writers[at]

    # -- reference ---------------------------------------------------------------------------------------------------------

    def schema(self, verb: Verb, version: Version) -> dict[str, Any]:
        """JSON Schema of the object that `verb` takes in a version."""
        writers = self._writable(verb, self.span(version))
        required = [name for name, f in writers.items() if verb == "create" and f.create == "required"]
        properties = {name: f.type.schema() for name, f in writers.items()}
        return {"type": "object", "properties": properties, "additionalProperties": self.open, "required": required}


# -- ways to show a column -------------------------------------------------------------------------------------------------


def flag(column: str) -> Show:
    """A 0/1 column as a boolean."""
    return lambda row, ctx: bool(row[column])


def when(column: str, *, fraction: bool = False, zone: str = "Z") -> Show:
    """A column of microseconds as ISO 8601 (null stays null)."""
    return lambda row, ctx: iso(row[column], fraction=fraction, zone=zone)


def unpacked(column: str) -> Show:
    """A column of JSON text as the value it holds."""
    return lambda row, ctx: unpack(row[column]) if row[column] is not None else None


def constant(value: Any) -> Show:
    """The same for every row: what this cloud has only one of."""
    return lambda row, ctx: value


def tags_of(store: Store, rows: list[Row]) -> None:
    """Relation: `tags`, the sorted tags of each row, by one query."""
    found = children(store, "tag", "resource_id", rows, "tag")
    for row in rows:
        row["tags"] = [each["tag"] for each in found.get(row["id"], ())]


def children(store: Store, table: str, parent: str, rows: Iterable[Row], order: str = "rowid") -> dict[str, list[Row]]:
    """The rows of `table` that belong to these, by the parent's id; one query."""
    grouped: dict[str, list[Row]] = {}
    for child in store.find(table, {parent: [row["id"] for row in rows]}, order=order, hidden=True):
        grouped.setdefault(child[parent], []).append(child)
    return grouped
