"""docs/reference/conformance.md, from the results of the last whole runs: each suite's figures, and every failure and skip by name."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.conformance.cloud import ROOT
from tests.conformance.tempest.suites import SUITES, Suite

PAGE = ROOT / "docs/reference/conformance.md"
HEAD = """# Suites that others wrote

Written by `make conformance` from its own results; not by hand. Tempest and the functional tests of python-openstackclient run
unmodified, each suite against a fresh cloud on loopback, with a `tempest.conf` that says what the cloud itself says: extensions as
advertised, features as built. The scenarios run on real guests and networks (`python -m tests.conformance.tempest scenario --page`),
the others on the fake drivers.

Where a cloud has to be set up for what is tested: rules for passwords are on for the identity suite, which tests them; images may
be fetched from a web server on loopback; tests of lists of images, which upload random bytes as every format there is, know raw only,
since this cloud refuses content that is not what it says to be. `PASSWORDS`, `ANY_CONTENT` and `GUESTS` in `tests/conformance/tempest`
are all of it.

A real OpenStack's figures are from a single machine of the same kind, with everything on it. Passed / listed; seconds are the suite's
wall time.

| suite | passed | failed | skipped | seconds | real OpenStack | its seconds |
|---|---|---|---|---|---|---|
"""
FIXTURE = re.compile(r"(setUpClass|tearDownClass) \((.*)\)")


def write(results: Path) -> None:
    """Write the page; suites without a result are said to be without one."""
    found = {name: json.loads(path.read_text()) for name in SUITES if (path := results / f"{name}.json").exists()}
    text = HEAD + "".join(figures(suite, found.get(name)) for name, suite in SUITES.items())
    text += "".join(details(SUITES[name], result) for name, result in found.items())
    PAGE.write_text(text)


def figures(suite: Suite, found: dict[str, Any] | None) -> str:
    real = f"{suite.passed} / {suite.listed}" if suite.listed else ""
    seconds = f"{suite.seconds:.0f}" if suite.seconds else ""
    if found is None:
        return f"| {suite.title} | not run | | | | {real} | {seconds} |\n"
    numbers = f"{found['passed']} / {found['listed']} | {found['failed']} | {found['skipped']} | {found['seconds']:.0f}"
    return f"| {suite.title} | {numbers} | {real} | {seconds} |\n"


def details(suite: Suite, found: dict[str, Any]) -> str:
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in found["rows"]:
        if row["outcome"] != "passed":
            grouped[row["outcome"], reason(row["text"])].append(short(row["id"], suite))
    text = f"\n## {suite.title}\n\n"
    if not grouped:
        return text + "All pass.\n"
    for outcome in ("failed", "skipped"):
        rows = {why: names for (what, why), names in grouped.items() if what == outcome}
        if rows:
            text += f"| {outcome} | why |\n|---|---|\n"
            text += "".join(f"| {'<br>'.join(f'`{name}`' for name in names)} | {why} |\n" for why, names in sorted(rows.items()))
            text += "\n"
    return text.rstrip("\n") + "\n"


def short(name: str, suite: Suite) -> str:
    """The test's name below the suite's own packages."""
    fixture = FIXTURE.match(name)
    name = f"{fixture[2]}.{fixture[1]}" if fixture else name
    for package in suite.packages:
        name = name.removeprefix(package.rsplit(".", 1)[0] + ".").removeprefix(suite.name + ".")
    return name


def reason(text: str) -> str:
    """The last line, without what differs from run to run: ids, ports, random names, times."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    line = lines[-1] if lines else "no reason given"
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b", "ID", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z?", "TIME", line)
    line = re.sub(r"(tempest-[A-Za-z-]+-?)\d+", r"\1N", line)
    return line[:300].replace("|", "\\|").replace("<", "&lt;")
