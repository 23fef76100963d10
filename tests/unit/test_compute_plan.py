"""The plan for a guest: pure, whatever is there; and it ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pileus.compute.host import GIB, NOTHING, Disk, Facts, Guest, Nic, Process, Step, Want, name_of, parse_name, plan

ID = "00000000-0000-0000-0000-000000000001"
DISK, GUEST = Disk("00000000-0000-0000-0000-000000000002", 2), Guest("one", 128, 1)
generations = st.integers(1, 3)
wants = st.builds(
    Want,
    st.just(ID),
    st.sampled_from(["on", "off", "gone"]),
    generations,
    disk=st.just(DISK),
    guest=st.just(GUEST),
    drive=st.sampled_from([None, {"a": b"b"}]),
    soft=st.booleans(),
)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Any state that a host can be in: at most one guest lives, since they share a disk."""
    living = draw(st.dictionaries(generations, st.just(Process(1, 1)), max_size=1))
    ended = {g: s for g, s in draw(st.dictionaries(generations, st.sampled_from([0, 1, -9]), max_size=2)).items() if g not in living}
    folder = bool(living) or draw(st.booleans())
    disk = draw(st.sampled_from([GIB, 2 * GIB] if living else [None, GIB, 2 * GIB])) if folder else None
    return Facts(folder, disk, folder and draw(st.booleans()), living, ended)


def after(facts: Facts, step: Step, *, answers: bool = True) -> Facts:
    """What a host makes of a step."""
    living, ended = dict(facts.living), dict(facts.ended)
    folder, disk, drive = facts.folder, facts.disk, facts.drive
    match step.verb:
        case "make_disk" | "grow_disk":
            assert step.disk
            assert step.verb == "make_disk" or not living, "the disk of a living guest is not touched"
            folder, disk = True, step.disk.gib * GIB
        case "write_drive":
            folder = drive = True
        case "start":
            assert disk is not None, "nothing to start from"
            assert not living, "two guests on one disk"
            assert step.generation not in ended, "the name is not free yet"
            living[step.generation] = Process(2, 2)
        case "ask" if answers:
            ended[step.generation] = 0
            del living[step.generation]
        case "stop":
            if living.pop(step.generation, None):
                ended[step.generation] = 0
        case "forget":
            ended.pop(step.generation, None)
        case "remove":
            assert not living, "the files of a living guest are not removed"
            folder, disk, drive = False, None, False
    return Facts(folder, disk, drive, living, ended)


def carried_out(want: Want, facts: Facts, *, answers: bool = True) -> Facts:
    for step in plan(want, facts):
        facts = after(facts, step, answers=answers)
    return facts


@given(wants, facts())
def test_two_plans_bring_any_host_to_any_want(want: Want, facts: Facts) -> None:
    """One, but for a guest that has to be asked before the next can start."""
    end = carried_out(want, carried_out(want, facts))
    assert plan(want, end) == []
    assert list(end.living) == ([want.generation] if want.power == "on" else [])
    if want.power == "gone":
        assert end == NOTHING
    if want.power == "on":
        assert end.disk == 2 * GIB or want.generation in facts.living
        assert end.drive or want.drive is None


@given(wants, facts(), st.integers(0, 8))
def test_a_plan_cut_short_anywhere_is_made_again(want: Want, facts: Facts, cut: int) -> None:
    half = facts
    for step in plan(want, facts)[:cut]:
        half = after(half, step)
    end = carried_out(want, carried_out(want, half))
    assert plan(want, end) == []
    assert list(end.living) == ([want.generation] if want.power == "on" else [])


@given(wants, facts())
def test_a_guest_that_does_not_answer_is_only_asked(want: Want, facts: Facts) -> None:
    if not want.soft or want.power == "gone":
        return
    end = carried_out(want, facts, answers=False)
    assert set(facts.living) - {want.generation if want.power == "on" else None} <= set(end.living)


@given(wants, facts())
def test_a_guest_that_is_wanted_is_left_alone(want: Want, facts: Facts) -> None:
    if want.power == "on" and want.generation in facts.living:
        assert {step.verb for step in plan(want, facts)} <= {"forget", "write_drive"}


def test_a_new_server() -> None:
    want = Want(ID, "on", 1, disk=DISK, guest=GUEST, drive={"a": b"b"})
    assert [step.verb for step in plan(want, NOTHING)] == ["make_disk", "write_drive", "start"]


def test_names() -> None:
    assert parse_name(name_of(ID, 12)) == (ID, 12)
    assert parse_name("server-1.2") is None
    assert parse_name("dnsmasq") is None


# -- network cards -------------------------------------------------------------------------------------------------------------


def test_cards_of_a_guest_that_runs() -> None:
    one, two, three = (Nic(name, f"fa:16:3e:00:00:0{n}", 1450) for n, name in enumerate(("one", "two", "three"), 1))
    guest = Guest("one", 128, 1, (two, three))
    on = Want(ID, "on", 2, disk=DISK, guest=guest)
    living = {2: Process(1, 1)}
    facts = Facts(True, 2 * GIB, living=living, nics=frozenset({one.port, two.port}))
    assert plan(on, facts) == [Step("unplug", 2, port="one"), Step("plug", 2, nic=three)], "what leaves makes room"
    assert plan(on, Facts(True, 2 * GIB, living=living, nics=frozenset({"two", "three"}))) == []
    assert plan(on, Facts(True, 2 * GIB, living=living)) == [], "nothing is known of them"
    verbs = [step.verb for step in plan(Want(ID, "on", 3, disk=DISK, guest=guest), facts)]
    assert verbs == ["stop", "forget", "start"], "a new guest is given its own"
    assert [step.verb for step in plan(Want(ID, "off", 2, disk=DISK, guest=guest), facts)] == ["stop", "forget"]
