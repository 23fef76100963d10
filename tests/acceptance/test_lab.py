"""The main job: the calculator lab from nothing, through the unmodified client, on real guests; and that its answers are computed."""

from __future__ import annotations

import getpass
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.acceptance.cloud import SERVERS, Student, end_state, until
from tests.acceptance.conftest import Tell
from tests.expressions import drawn

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
SIGNS = {"sumService": "+", "SubService": "-", "MulService": "*", "DivService": "/"}
EXPRESSIONS = 50


@pytest.fixture(scope="module")
def lab(tell: Tell) -> Iterator[Student]:
    """A cloud in which the lab has been carried out once."""
    cloud = Student()
    try:
        began = time.monotonic()
        out, err = cloud.lab()
        tell(f"calculator lab as {getpass.getuser()} from no data folder: {time.monotonic() - began:.0f} s")
        assert_told(out, err)
        yield cloud
    finally:
        cloud.down()


def assert_told(out: str, err: str) -> None:
    """Progress with times on stderr; the results and the services' own lines on stdout."""
    lines = out.splitlines()
    assert "result = 11" in lines
    assert "result = 28.75" in lines
    for line in ("Listening on port : 50001", "A + B = 30.75", "A - B = 28.75", "A * B = 30", "A / B = 0.75", "(5*6)+3/4-2 = 28.75"):
        assert line in lines
    stages = re.findall(r"^ *\d+\.\d s  (.+): .+ \(\d+\.\d s\)$", err, re.MULTILINE)
    assert len(stages) >= 13, err
    assert "8 checks passed" in err


def logged(cloud: Student) -> Counter[str]:
    """How many operations each service has written down, as the client shows its console."""
    return Counter({name: cloud.openstack(f"console log show {name}").count(f"\nA {sign} B = ") for name, sign in SIGNS.items()})


def test_a_second_run_makes_nothing_twice(lab: Student, tell: Tell) -> None:
    before, guests = end_state(lab), lab.guests()
    assert {row[0] for row in before["servers"]} == set(SERVERS)
    began = time.monotonic()
    out, err = lab.lab()
    tell(f"calculator lab once more: {time.monotonic() - began:.0f} s")
    assert_told(out, err)
    assert "five servers: 5 of 10 commands" in err, "only the scripts are printed again"
    assert end_state(lab) == before
    assert lab.guests() == guests


def test_fifty_expressions_agree_with_an_independent_evaluator(lab: Student, tell: Tell) -> None:
    before, used = logged(lab), Counter[str]()
    for text, wanted, signs in drawn(EXPRESSIONS):
        used += signs
        said = lab.ask(text)
        assert said.startswith("result = "), (text, said)
        assert float(said.removeprefix("result = ")) == pytest.approx(wanted, rel=1e-12), text
    assert logged(lab) - before == Counter({name: used[sign] for name, sign in SIGNS.items()})
    assert f"{text} = " in lab.openstack("console log show CalculatorService")
    tell(f"{EXPRESSIONS} expressions, {used.total()} operations ({dict(used)}): values and log lines agree")


def test_without_one_server_the_others_go_on(lab: Student, tell: Tell) -> None:
    lab.openstack("server stop MulService")
    until(lambda: "SHUTOFF" in lab.openstack("server show -c status -f value MulService"), 90)
    said = lab.ask("2*3")
    assert said.startswith("error = ")
    assert "MulService" in said
    assert lab.ask("2+3") == "result = 5"
    lab.openstack("server start MulService")
    began = time.monotonic()
    until(lambda: lab.ask("2*3") == "result = 6", 180)
    tell(f"MulService stopped: {said!r}; a product again {time.monotonic() - began:.0f} s after its start")
    assert lab.ask("2+3") == "result = 5"
