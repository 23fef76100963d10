"""Small things that everything stands on: state tables, rules on actions, settings, folders, microversions."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.config import Paths, Settings
from pileus.errors import BadRequest, Busy, Forbidden, NotAcceptable, SettingError
from pileus.kit.clock import Clock, ManualClock, iso, micros
from pileus.kit.context import Cloud, Context, Credentials
from pileus.kit.policy import ACTIONS, ADMIN, PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.states import ANY, States, verb
from pileus.kit.store import Store
from pileus.openstack.microversion import Microversions

TABLE = States(
    {"start": verb({"stopped"}, task="powering-on"), "delete": verb(ANY, tasks=ANY, task="deleting")},
    state="vm_state",
    refusal="Cannot '{verb}' instance {id} while it is in {column} {value}",
)


def test_a_verb_runs_in_its_states_only() -> None:
    assert TABLE.begin({"id": "1", "vm_state": "stopped", "task_state": None}, "start") == {"task_state": "powering-on"}
    with pytest.raises(Busy, match="Cannot 'start' instance 1 while it is in vm_state active"):
        TABLE.begin({"id": "1", "vm_state": "active", "task_state": None}, "start")
    with pytest.raises(Busy, match="task_state rebooting"):
        TABLE.begin({"id": "1", "vm_state": "stopped", "task_state": "rebooting"}, "start")
    assert TABLE.begin({"id": "1", "vm_state": "error", "task_state": "spawning"}, "delete") == {"task_state": "deleting"}


def test_a_rule_on_an_action_holds_for_every_caller() -> None:
    @allow(PROJECT_MEMBER, "thing:touch")
    def touch(ctx: Context) -> str:
        return "touched"

    def ctx(*roles: str) -> Context:
        return Context(Cloud(Store(":memory:", []), Clock(), lambda kind, id: None), Credentials("u", roles=frozenset(roles)))

    assert touch(ctx("member")) == "touched"
    with pytest.raises(Forbidden) as caught:
        touch(ctx("reader"))
    assert caught.value.extra["rule"] == "thing:touch"
    assert ACTIONS[f"{touch.__module__}.{touch.__qualname__}"].rule is PROJECT_MEMBER
    assert [PROJECT_READER(ctx("reader")), ADMIN(ctx("member")), ADMIN(ctx("admin"))] == [True, False, True]


def test_folders_follow_the_environment(tmp_path: Path) -> None:
    moved = Paths.resolve({"PILEUS_HOME": str(tmp_path / "x"), "HOME": str(tmp_path)})
    assert {moved.config.parent, moved.data.parent, moved.state.parent, moved.run.parent} == {tmp_path / "x"}
    assert moved.cache == tmp_path / ".cache/pileus"
    plain = Paths.resolve({"HOME": str(tmp_path)})
    assert (plain.data, plain.run) == (tmp_path / ".local/share/pileus", tmp_path / ".local/state/pileus/run")
    assert Paths.resolve({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7"}).run == Path("/run/user/7/pileus")
    moved.make()
    assert moved.data.stat().st_mode & 0o777 == 0o700
    with pytest.raises(SettingError, match="too long"):
        Paths.resolve({"PILEUS_HOME": str(tmp_path / ("y" * 120)), "HOME": str(tmp_path)}).make()


def test_settings_come_from_the_file_and_the_environment(tmp_path: Path) -> None:
    paths = Paths.resolve({"PILEUS_HOME": str(tmp_path), "HOME": str(tmp_path)})
    paths.make()
    (paths.config / "config.toml").write_text('port = 5001\noutbound = "none"\n')
    assert Settings.load(paths, {"PILEUS_PORT": "0", "PILEUS_HOME": "/x"}) == Settings(port=0, outbound="none")
    with pytest.raises(SettingError, match="outbound"):
        Settings.load(paths, {"PILEUS_OUTBOUND": "carrier-pigeon"})
    (paths.config / "config.toml").write_text("colour = 1\n")
    with pytest.raises(SettingError, match="colour"):
        Settings.load(paths, {})
    (paths.config / "config.toml").write_text("port = [")
    with pytest.raises(SettingError, match=r"config\.toml"):
        Settings.load(paths, {})


def test_times() -> None:
    moment = micros("2026-11-24T00:32:10.5Z")
    assert iso(moment) == "2026-11-24T00:32:10Z"
    assert iso(moment, fraction=True, zone="") == "2026-11-24T00:32:10.500000"
    assert micros("2026-11-24T01:32:10+01:00") == micros("2026-11-24T00:32:10")
    clock = ManualClock()
    before = clock.now()
    clock.turn(1.5)
    assert clock.now() - before == 1_500_000


NOVA = Microversions("compute", (2, 1), (2, 79), "X-OpenStack-Nova-API-Version")


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, (2, 1)),
        ({"openstack-api-version": "compute 2.9"}, (2, 9)),
        ({"openstack-api-version": "volume 3.5, compute 2.79"}, (2, 79)),
        ({"x-openstack-nova-api-version": "2.3"}, (2, 3)),
        ({"openstack-api-version": "compute 2.9", "x-openstack-nova-api-version": "2.3"}, (2, 9)),
        ({"openstack-api-version": "compute latest"}, (2, 79)),
        ({"openstack-api-version": "volume 3.5"}, (2, 1)),
    ],
)
def test_negotiation(headers: dict[str, str], version: tuple[int, int]) -> None:
    assert NOVA.asked(headers) == version


@pytest.mark.parametrize(
    ("text", "error"), [("junk", BadRequest), ("2.080", NotAcceptable), ("2.80", NotAcceptable), ("1.5", NotAcceptable)]
)
def test_what_is_not_served_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=text):
        NOVA.asked({"openstack-api-version": f"compute {text}"})
