"""Which template serves a path, and with which values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.kit.routing import Router


@dataclass
class Place:
    name: str
    methods: dict[str, Any] = field(default_factory=dict)


def router(*templates: str) -> Router:
    made = Router()
    for template in templates:
        made.add_route(template, Place(template))
    return made


def served(made: Router, path: str) -> tuple[str, dict[str, str]] | None:
    found = made.find(path)
    return (found[0].name, found[2]) if found else None


def test_literal_segments_come_before_names() -> None:
    made = router("/servers", "/servers/{id}", "/servers/detail", "/servers/{id}/tags/{key}", "/")
    assert served(made, "/servers") == ("/servers", {})
    assert served(made, "/servers/detail") == ("/servers/detail", {})
    assert served(made, "/servers/7") == ("/servers/{id}", {"id": "7"})
    assert served(made, "/servers/7/tags/a") == ("/servers/{id}/tags/{key}", {"id": "7", "key": "a"})
    assert served(made, "/") == ("/", {})


def test_a_literal_that_leads_nowhere_is_a_name_after_all() -> None:
    made = router("/servers/detail", "/servers/{id}/tags")
    assert served(made, "/servers/detail/tags") == ("/servers/{id}/tags", {"id": "detail"})


def test_templates_may_name_the_same_segment_differently() -> None:
    made = router("/images/{id}/members/{member}", "/images/{image}/file")
    assert served(made, "/images/7/file") == ("/images/{image}/file", {"image": "7"})
    assert served(made, "/images/7/members/8") == ("/images/{id}/members/{member}", {"id": "7", "member": "8"})


@pytest.mark.parametrize("path", ["", "/nothing", "/servers/7/8", "/servers/7/tags", "//servers", "/servers/"])
def test_what_no_template_fits_is_served_by_none(path: str) -> None:
    assert served(router("/servers", "/servers/{id}/tags/{key}"), path) is None


@pytest.mark.parametrize("template", ["/servers/{other}", "/servers/a{id}", "/servers/{id}.json"])
def test_a_template_that_would_never_be_found_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"already|not both"):
        router("/servers/{id}", template)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "{x}", "{y}"]), min_size=1, max_size=4), max_size=8), st.data())
def test_a_path_made_from_a_template_is_served(shapes: list[list[str]], data: st.DataObject) -> None:
    """By that template, or by one that is more literal in the first place where they differ."""
    made, templates = Router(), []
    for shape in shapes:
        template = "/" + "/".join(shape)
        try:
            made.add_route(template, Place(template))
        except ValueError:
            continue
        templates.append(shape)
    if not templates:
        return
    shape = data.draw(st.sampled_from(templates))
    values = [data.draw(st.sampled_from(["a", "b", "c", ""])) if part.startswith("{") else part for part in shape]
    found = made.find("/" + "/".join(values))
    assert found is not None
    fitting = [
        t for t in templates if len(t) == len(values) and all(p in (v,) or p.startswith("{") for p, v in zip(t, values, strict=True))
    ]
    best = min(fitting, key=lambda t: [part.startswith("{") for part in t])
    assert found[3] == "/" + "/".join(best)
