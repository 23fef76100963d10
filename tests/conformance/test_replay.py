"""A real OpenStack's answers, held against ours: what differs is written down, with its reason, and nothing else differs."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from tests.conformance.cloud import ROOT, Cloud
from tests.conformance.replay.run import agreed, ask

PAGE = ROOT / "docs/reference/differences.md"
# What agrees today. Raise a number with the change that earns it.
FLOOR = {"identity": 58, "image": 43, "compute": 145, "network": 101, "placement": 12}


def differing(report: str) -> list[str]:
    """The questions that a report says we answer otherwise, each on the line above its reason."""
    lines = report.splitlines()
    return [line for line, reason in pairwise(lines) if reason.startswith("    ") and not line.startswith("    ")]


def written_down(page: Path) -> list[str]:
    table = page.read_text().split("## Recorded answers that differ", 1)[1]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def test_answers_agree_with_the_recorded_ones() -> None:
    with Cloud() as cloud:
        report = ask(cloud)
    known = written_down(PAGE)
    assert [question for question in differing(report) if not any(question.startswith(begin) for begin in known)] == [], report
    found = agreed(report)
    assert {service: found[service][1] for service, least in FLOOR.items() if found[service][1] < least} == {}, report
