"""From a path to what serves it: a tree of segments, literal ones before `{names}`.

The HTTP framework's own router compiles itself and compares every template with every other; for our four hundred routes that was the
larger part of the start of a control plane. Not here: methods and versions, which routes of one path may share (kit/web.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    named: _Node | None = None  # any one segment
    place: Any = None
    names: tuple[str, ...] = ()
    template: str = ""


class Router:
    """What the framework asks for: `add_route` and `find`. A place has `methods`: HTTP method -> responder."""

    def __init__(self) -> None:
        self._root = _Node()

    def add_route(self, uri_template: str, resource: Any, **_: Any) -> None:
        """Serve a template, whose segments are literal or `{name}`. Raises ValueError for one that is there, or has half a name."""
        node, names = self._root, []
        for segment in uri_template.split("/")[1:]:
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                node.named = node.named or _Node()
                node = node.named
            elif "{" in segment:
                raise ValueError(f"a segment is literal or a name, not both: {uri_template}")
            else:
                node = node.literal.setdefault(segment, _Node())
        if node.place is not None:
            raise ValueError(f"{uri_template} is served already, as {node.template}")
        node.place, node.names, node.template = resource, tuple(names), uri_template

    def find(self, uri: str, req: object = None) -> tuple[Any, dict[str, Any], dict[str, str], str] | None:
        """(place, its methods, values of the names, template), or None."""
        values: list[str] = []
        node = _match(self._root, uri.split("/"), 1, values)
        if node is None:
            return None
        return node.place, node.place.methods, dict(zip(node.names, values, strict=True)), node.template


def _match(node: _Node, segments: list[str], at: int, values: list[str]) -> _Node | None:
    if at == len(segments):
        return node if node.place is not None else None
    literal = node.literal.get(segments[at])
    if literal is not None and (found := _match(literal, segments, at + 1, values)):
        return found
    if node.named is None:
        return None
    values.append(segments[at])
    if found := _match(node.named, segments, at + 1, values):
        return found
    values.pop()
    return None
