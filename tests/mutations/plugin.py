"""A pytest plugin that makes the product a mutant before any test is collected: `pytest -p tests.mutations.plugin`, PILEUS_MUTATION=name.

The product knows nothing of this: it is changed from outside, in the process of the test run.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

Mutation = Callable[[], None]


def rule_off(action: str) -> Mutation:
    """Whoever has a token may do this."""

    def mutate() -> None:
        import pileus.app  # noqa: F401 - declares all actions
        from pileus.kit.policy import ACTIONS, ANYONE

        assert ACTIONS[action].rule is not ANYONE, "the mutation changes nothing"
        ACTIONS[action] = dataclasses.replace(ACTIONS[action], rule=ANYONE)

    return mutate


def row_off(table: str, verb: str) -> Mutation:
    """A server's verb may run in any state, whatever else is under way."""

    def mutate() -> None:
        from pileus.compute import states
        from pileus.kit.states import ANY

        rows: dict[str, Any] = getattr(states, table).table
        assert rows[verb].states is not ANY, "the mutation changes nothing"
        rows[verb] = dataclasses.replace(rows[verb], states=ANY, tasks=ANY)

    return mutate


def upload_row_off() -> None:
    from pileus.image import states
    from pileus.kit.states import ANY

    rows: Any = states.UPLOADS.table
    rows["upload"] = dataclasses.replace(rows["upload"], states=ANY)


def antispoof_off() -> None:
    from pileus.drivers.linuxnet import rules

    rules.antispoof = lambda want: ["accept"]


def chain_off(way: str) -> Mutation:
    """A port's chain for one way lets everything pass."""

    def mutate() -> None:
        from pileus.drivers.linuxnet import rules

        real = rules._judgement
        rules._judgement = lambda want, its_way: ["accept"] if its_way == way else real(want, its_way)  # type: ignore[assignment]

    return mutate


API, KERNEL = "tests/api/", "tests/kernel/"
# name -> (what is switched off, the test that is to notice)
MUTATIONS: dict[str, tuple[Mutation, str]] = {
    "rule off: create a server": (
        rule_off("pileus.compute.actions.create.create_servers"),
        API + "test_compute_create.py::test_only_members_create",
    ),
    "rule off: stop a server": (
        rule_off("pileus.compute.actions.verbs.stop_server"),
        API + "test_compute_verbs.py::test_a_reader_runs_no_verb",
    ),
    "rule off: create a network": (
        rule_off("pileus.network.actions.networks.create_network"),
        API + "test_network_networks.py::test_a_reader_reads",
    ),
    "rule off: create an image": (
        rule_off("pileus.image.actions.images.create_image"),
        API + "test_images.py::test_a_reader_reads",
    ),
    "rule off: create a role": (
        rule_off("pileus.identity.actions.roles.create_role"),
        API + "test_identity_tokens.py::test_a_reader_may_read_itself_and_no_more",
    ),
    "rule off: any one of them": (
        rule_off("pileus.network.actions.routers.delete_router"),
        "tests/mutations/test_every_rule.py",
    ),
    "state row off: start": (row_off("SERVER", "start"), API + "test_compute_verbs.py::test_refusals"),
    "state row off: stop": (row_off("SERVER", "stop"), API + "test_compute_verbs.py::test_stop_and_start"),
    "state row off: hard reboot": (row_off("HARD", "reboot"), API + "test_compute_verbs.py::test_reboot"),
    "state row off: upload": (upload_row_off, API + "test_image_data.py"),
    "anti-spoof off": (antispoof_off, KERNEL + "test_network_spoofing.py::test_nobody_speaks_as_another"),
    "chain off: in": (chain_off("in"), KERNEL + "test_network_packets.py::test_scene[default_deny_and_stateful_answers]"),
    "chain off: out": (chain_off("out"), KERNEL + "test_network_packets.py::test_scene[egress_rules]"),
}


def pytest_configure() -> None:
    if name := os.environ.get("PILEUS_MUTATION"):
        MUTATIONS[name][0]()
