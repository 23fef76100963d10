"""Compute's tables against each other: fields and columns, verbs and words, gates and spans; and its small pure functions."""

from __future__ import annotations

import pytest

from pileus.app import migrations
from pileus.compute import states, versions
from pileus.compute.actions.create import host_name
from pileus.compute.api import ROUTES
from pileus.compute.api.server_list import ADMIN_ONLY, EVERYBODY, SORT_WORDS, SORTS
from pileus.compute.api.server_verbs import TABLE
from pileus.compute.resources.flavors import FLAVOR
from pileus.compute.resources.keypairs import KEYPAIR
from pileus.compute.resources.servers import SERVER
from pileus.errors import Busy
from pileus.kit.resource import Resource
from pileus.kit.store import Store

RELATED = {"addresses", "tags", "server_groups"}  # what relations add to a row


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(":memory:", migrations(), synchronous="off")


def columns(store: Store, table: str) -> set[str]:
    return {row["name"] for row in store.query(f"PRAGMA table_info({table})")}


@pytest.mark.parametrize("resource", [SERVER, FLAVOR, KEYPAIR], ids=lambda resource: resource.key)
def test_what_is_shown_is_a_column(store: Store, resource: Resource) -> None:
    shown = {field.show for field in resource.fields if isinstance(field.show, str)}
    assert shown - columns(store, resource.table) - RELATED == set()


def test_what_lists_filter_and_sort_by_is_a_column(store: Store) -> None:
    assert {*EVERYBODY.values(), *ADMIN_ONLY.values(), *SORTS.values()} <= columns(store, "server")
    assert set(SORTS) <= set(SORT_WORDS)


def test_a_flavor_is_written_as_it_is_decoded(store: Store) -> None:
    taken = {field.key for field in FLAVOR.fields if field.create}
    assert taken <= columns(store, "flavor")


@pytest.mark.parametrize(
    ("vm_state", "task", "word"),
    [
        ("active", None, "ACTIVE"),
        ("active", "rebooting", "REBOOT"),
        ("active", "deleting", "ACTIVE"),
        ("stopped", None, "SHUTOFF"),
        ("stopped", "powering-on", "SHUTOFF"),
        ("error", None, "ERROR"),
        ("shelved_offloaded", None, "SHELVED_OFFLOADED"),
        ("something", None, "UNKNOWN"),
    ],
)
def test_words_of_states(vm_state: str, task: str | None, word: str) -> None:
    assert states.status_of(vm_state, task) == word


def test_every_word_leads_back_to_its_states() -> None:
    for vm_state, (word, by_task) in states.STATUS.items():
        assert (vm_state, None) in states.states_of(word)
        for task, other in by_task.items():
            assert (vm_state, task) in states.states_of(other)
            assert states.status_of(vm_state, task) == other
    assert states.states_of("BOGUS") == []


def test_verbs_begin_only_where_the_table_lets_them() -> None:
    def row(vm_state: str, task: str | None = None) -> dict[str, str | None]:
        return {"id": "x", "vm_state": vm_state, "task_state": task}

    assert states.SERVER.begin(row("stopped"), "start") == {"task_state": "powering-on"}
    assert states.SERVER.begin(row("building", "spawning"), "delete") == {"task_state": "deleting"}
    assert states.HARD.begin(row("active", "rebooting_hard"), "reboot") == {"task_state": "rebooting_hard"}
    for name, at, words in (
        ("start", row("active"), "Cannot 'start' instance x while it is in vm_state active"),
        ("stop", row("active", "rebooting"), "Cannot 'stop' instance x while it is in task_state rebooting"),
        ("pause", row("building"), "Cannot 'pause' instance x while it is in vm_state building"),
    ):
        with pytest.raises(Busy) as caught:
            states.SERVER.begin(at, name)
        assert str(caught.value) == words


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("vm1", "vm1"),
        ("My Web_server.example", "my-web-server-example"),
        ("-x-", "x"),
        ("日本", "server-ID"),
        ("a" * 100, "a" * 63),
        ("ünter 1", "nter-1"),
        ("a/b!c", "abc"),
    ],
)
def test_names_of_guests(name: str, host: str) -> None:
    assert host_name(name, "ID") == host


def test_gates_and_spans_lie_within_what_is_served() -> None:
    gates = [gate for gate in vars(versions).values() if isinstance(gate, tuple)]
    assert len(gates) > 20
    assert all(versions.VERSIONS.minimum < gate <= versions.VERSIONS.maximum for gate in gates)
    for actions in TABLE.values():
        spans = [(action.since, action.until) for action in actions]
        assert spans[-1][1] is None or len(spans) == 1, "what ends and comes again comes to stay"


def test_routes_do_not_share_a_place_and_a_version() -> None:
    places: dict[tuple[str, str], int] = {}
    for route in ROUTES:
        if route.since is None and route.until is None:
            places[route.method, route.path] = places.get((route.method, route.path), 0) + 1
    assert [place for place, count in places.items() if count > 1] == []


def test_every_route_says_what_it_is_for() -> None:
    assert [f"{route.method} {route.path}" for route in ROUTES if not (route.doc or route.handler.__doc__)] == []
