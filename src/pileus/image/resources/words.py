"""What Glance's field tables share: kinds of values, and refusals in the words of Python's jsonschema, through which Glance speaks."""

from __future__ import annotations

import pprint
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest, Fault, Forbidden
from pileus.kit.resource import Mismatch, Words
from pileus.kit.store import Row
from pileus.openstack.types import unexpected

UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, with or without null, as Glance's schema says it."""

    values: tuple[str | None, ...]

    def parse(self, value: Any, /) -> Any:
        if value is not None and not isinstance(value, str):
            raise Mismatch(f"{value!r} is not of type {', '.join(repr(n) for n in self._types())}", value, rule="type")
        if value not in self.values:
            raise Mismatch(f"{value!r} is not one of {list(self.values)}", value, rule="enum")
        return value

    def schema(self) -> dict[str, Any]:
        types = self._types()
        return {"type": types if len(types) > 1 else types[0], "enum": list(self.values)}

    def _types(self) -> list[str]:
        return ["null", "string"] if None in self.values else ["string"]


@dataclass(frozen=True, slots=True)
class Shown:
    """The schema of what no request may carry: it is only served."""

    served: Row

    def parse(self, value: Any, /) -> Any:
        raise Mismatch(f"{value!r} cannot be given", value)

    def schema(self) -> Row:
        return dict(self.served)


NULL_INT = Shown({"type": ["null", "integer"]})


def words(name: str, schema: Callable[[], Row], *, closed: bool = False) -> Words:
    """The refusals of one resource. `schema` is the one that Glance serves for it; `closed`: unknown keys are refused, not kept."""

    def mismatch(field: str, found: Mismatch) -> Fault:
        """The validator's report: the reason, the rule that failed, and the value, each with its place."""
        part, where, value_at = schema()["properties"].get(field), f"['properties'][{field!r}]", f"[{field!r}]"
        if part is None:
            part, where = schema().get("additionalProperties", False), "['additionalProperties']"
        for step in found.path:
            part, where = _below(part, where, step)
            value_at += f"[{step!r}]"
        return schema_fault(name, found.reason, found.rule, where, part, value_at, found.value)

    def unknown(names: list[str]) -> Fault:
        if not closed:
            return read_only(names)
        return schema_fault(name, unexpected(names), "additionalProperties", "", schema(), "", names)

    def missing(field: str, given: Mapping[str, Any]) -> Fault:
        return schema_fault(name, f"{field!r} is a required property", "required", "", schema(), "", dict(given))

    return Words(mismatch=mismatch, unknown=unknown, missing=missing, no_object=no_object, fixed=None if closed else read_only)


def _below(part: Any, where: str, step: str | int) -> tuple[Any, str]:
    """The part of a schema that an element or a key is held against."""
    if isinstance(step, int):
        return part.get("items", {}), where + "['items']"
    if step in part.get("properties", {}):
        return part["properties"][step], f"{where}['properties'][{step!r}]"
    return part.get("additionalProperties", {}) or {}, where + "['additionalProperties']"


def schema_fault(schema: str, reason: str, rule: str, where: str, part: Any, value_at: str, value: Any) -> Fault:
    """400 with the text that `str(jsonschema.ValidationError)` has."""
    shown, given = (textwrap.indent(pprint.pformat(thing, width=72, sort_dicts=True), "    ") for thing in (part, value))
    return BadRequest(
        f"Provided object does not match schema {schema!r}: {reason}\n\n"
        f"Failed validating {rule!r} in schema{where}:\n{shown}\n\nOn instance{value_at}:\n{given}"
    )


def no_object(key: str, body: Any) -> Fault:
    return schema_fault(key, f"{body!r} is not of type 'object'", "type", "", {"type": "object"}, "", body)


def read_only(names: list[str]) -> Fault:
    return Forbidden(f"Attribute '{names[0]}' is read-only.")


def collection(name: str, item: Row, links: tuple[str, ...], *, schema: bool = True) -> Row:
    """The schema of a list."""
    pages = {link: {"type": "string"} for link in links}
    described = {"rel": "describedby", "href": "{schema}"}
    properties = {name: {"type": "array", "items": item}, **pages, **({"schema": {"type": "string"}} if schema else {})}
    return {"name": name, "properties": properties, "links": [*({"rel": link, "href": f"{{{link}}}"} for link in links), described]}
