"""Asks a fresh cloud on the fake drivers what a real OpenStack was asked, and prints how far the answers agree, service by service.

python -m tests.conformance.replay.run [--show] [--only SERVICE]: first the questions that differ, then the table (ask.py says what
agreement means).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conformance.cloud import Cloud

ASK = Path(__file__).with_name("ask.py")


def ask(cloud: Cloud, *options: str) -> str:
    """The report of one run against a fresh cloud."""
    command = [sys.executable, str(ASK), cloud.url, *options]
    env = {**cloud.env, "OS_PASSWORD": cloud.password}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr + cloud.log())
    return done.stdout


def agreed(report: str) -> dict[str, tuple[int, int]]:
    """Service -> (asked, agreed), from the table at the report's end."""
    table = report.rsplit("service ", 1)[1].splitlines()[1:]
    return {row[0]: (int(row[1]), int(row[3])) for row in (line.split() for line in table) if len(row) == 4}


def main() -> None:
    with Cloud() as cloud:
        report = ask(cloud, *sys.argv[1:])
    print(report, end="")
    for service, (questions, same) in agreed(report).items():
        print(f"replay {service}: {same} of {questions} agree")


if __name__ == "__main__":
    main()
