"""A real OpenStack's answers, held against ours: the number that agrees never falls, service by service."""

from __future__ import annotations

from tests.conformance.cloud import Cloud
from tests.conformance.replay.run import agreed, ask

# What agrees today. Raise a number with the change that earns it; what still differs, and why, is in docs/reference/differences.md.
FLOOR = {"identity": 57, "image": 43, "compute": 143, "network": 101, "placement": 12}


def test_answers_agree_with_the_recorded_ones() -> None:
    with Cloud() as cloud:
        report = ask(cloud)
    found = agreed(report)
    print(report[report.rindex("service ") :])
    assert {service: found[service][1] for service, least in FLOOR.items() if found[service][1] < least} == {}, report
