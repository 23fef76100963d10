"""The calculator lab as a plain user, with subordinate ids and with none. Apart from test_lab.py, whose cloud would stay up meanwhile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.conftest import Tell, as_student

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.mark.parametrize("map", ["subuid", "single"])
def test_the_lab_as_a_plain_user(map: str, tell: Tell) -> None:
    """The same as somebody who may do nothing to this machine, with subordinate ids and with none."""
    said = as_student(map, str(Path(__file__).with_name("test_lab.py")), "-m", "slow", "-k", "twice or without")
    assert "2 passed" in said, said
    told = re.findall(r"^calculator lab .*$", said, re.MULTILINE)
    assert told
    for line in told:
        tell(f"{line} ({map} map)")
