"""The reference says all there is: every route, field, setting, error, rule and lab has words, and the pages are fresh."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from pileus.config import Paths, Settings
from pileus.kit import policy
from tools.docs import api, errors, settings
from tools.docs.__main__ import stale

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("labs/**/*.md"), *ROOT.glob("changes/*.md")])


@pytest.mark.parametrize("service", api.SERVICES)
def test_every_route_says_what_it_does(service: str) -> None:
    assert api.served(service), f"{service} serves nothing"
    silent = [api.request(route) for route in api.served(service) if not api.route_meaning(service, route)]
    assert not silent, "give each a doc=, its handler a docstring, or a line in tools/docs/words.toml"


@pytest.mark.parametrize("service", api.SERVICES)
def test_every_field_says_what_it_means(service: str) -> None:
    resources = api.resources(service)
    assert resources
    silent = [f"{r.key}.{field.name}" for r in resources for field in r.fields if not api.meaning(r, field)]
    assert not silent, "give each a doc=, or a line in tools/docs/words.toml"


def test_every_action_of_a_server_says_what_it_does() -> None:
    assert set(api.actions()) == set(api.words()["action"]["server"])


def test_no_word_is_about_nothing() -> None:
    """Words whose field or route has gone would be believed by whoever reads them."""
    fields = {(r.key, f.name) for service in api.SERVICES for r in api.resources(service) for f in r.fields}
    names = {name for _, name in fields}
    dead = [
        f"field.{key}.{name}" for key, said in api.words()["field"].items() for name in said if (key, name) not in fields and key != "all"
    ]
    dead += [f"field.all.{name}" for name in api.words()["field"]["all"] if name not in names]
    routes = {(service, api.request(route)) for service in api.SERVICES for route in api.served(service)}
    dead += [f"route.{service}.{at}" for service, said in api.words()["route"].items() for at in said if (service, at) not in routes]
    assert not dead


def test_every_setting_and_folder_has_a_comment() -> None:
    for struct in (Settings, Paths):
        said = settings.comments(struct)
        assert [f.name for f in msgspec.structs.fields(struct) if not said.get(f.name)] == []


def test_every_error_has_words() -> None:
    page = errors.error_page()
    for kind in errors.kinds():
        assert errors.meaning(kind), kind
        assert kind.__name__ in page


def test_every_action_has_a_rule_with_a_name() -> None:
    assert api.dialects()
    assert policy.ACTIONS
    assert [name for name, allowed in policy.ACTIONS.items() if not allowed.rule.name or not allowed.policy] == []


def test_every_lab_is_listed() -> None:
    labs = [path.parent.name for path in ROOT.glob("labs/*/lab.md")]
    listing = (ROOT / "docs/howto/README.md").read_text() + (ROOT / "README.md").read_text()
    assert labs
    assert [lab for lab in labs if lab not in listing] == []


def test_pages_are_what_the_code_says() -> None:
    assert [str(path.relative_to(ROOT)) for path in stale()] == [], "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_glossary_has_each_word_once_and_every_table_of_the_database() -> None:
    text = (ROOT / "docs/reference/glossary.md").read_text()
    words = re.findall(r"^\| ([a-z -]+) \|", text, re.MULTILINE)
    assert [word for word, count in Counter(words).items() if count > 1 and word not in ("word",)] == []
    tables = {name for sql in ROOT.glob("src/pileus/*/*.sql") for name in re.findall(r"CREATE TABLE (\w+)", sql.read_text())}
    nouns = {table.replace("_", " ") for table in tables}
    assert {noun for noun in nouns if not any(noun == word or noun.startswith((f"{word} ", "action ")) for word in words)} == set()
