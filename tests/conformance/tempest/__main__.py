"""Runs suites that others wrote, each against a cloud of its own, and writes build/conformance/SUITE.json and the page about them.

python -m tests.conformance.tempest [SUITE...] [-k REGEX] [-v] [--log] [--page]: without a suite all those that need no guests; -k: only
the tests whose id matches; -v: the failures' texts, --log: with every request and answer; --page: then docs/reference/conformance.md
anew from what the last whole runs left in build/conformance.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from typing import Any

from tests.conformance.cloud import PILEUS, ROOT, Cloud
from tests.conformance.tempest import page, pages, settings
from tests.conformance.tempest.suites import SUITES, Suite

PYTHON = ROOT / ".venv-tempest/bin/python"
RUNNER = ROOT / "tests/conformance/tempest/forked_runner.py"
RESULTS = ROOT / "build/conformance"
LIMIT = 3600  # seconds for one suite
Outcome = dict[str, Any]


def environment(cloud: Cloud, suite: Suite, log: bool) -> dict[str, str]:
    kept = {name: value for name, value in cloud.env.items() if not name.startswith(("OS_", "PYTHON", "VIRTUAL_ENV"))}
    asked = {
        "TEMPEST_CONFIG_DIR": str(cloud.top / "tempest"),
        "TEMPEST_CONFIG": "tempest.conf",
        "OS_TEST_TIMEOUT": "1200" if suite.guests else "120",
        "COLUMNS": "200",
    }
    return kept | asked | ({"OS_LOG_CAPTURE": "1", "OS_DEBUG": "1"} if log else {})


def run(suite: Suite, cloud: Cloud, web: str = "", pattern: str = "", log: bool = False) -> tuple[int, list[Outcome]]:
    """The suite's outcomes against a cloud that is up, and how many tests it lists. On real guests the suite runs on the outside host."""
    if suite.client:
        settings.client_clouds(cloud)
    rows = once(suite, cloud, web, settings.GUESTS if suite.guests else {}, (pattern, log))
    listed = rows.pop(0)["listed"]
    if suite.raw_only and any(re.search(suite.raw_only, row["id"]) for row in rows):
        left = [row for row in rows if not re.search(suite.raw_only, row["id"])]
        rows = left + once(suite, cloud, web, settings.ANY_CONTENT, (f"(?=.*{suite.raw_only}).*{pattern}", log))[1:]
    return listed, rows


def once(suite: Suite, cloud: Cloud, web: str, more: settings.Sections, asked: tuple[str, bool]) -> list[Outcome]:
    """What the runner says, line by line, with `more` in its tempest.conf. `asked`: which tests, and whether with every request."""
    settings.tempest_conf(cloud, web, more)
    pattern, log = asked
    order = cloud.top / "order.json"
    wanted = {"packages": suite.packages, "pattern": pattern, "workers": suite.workers, "client": suite.client, "log": log}
    order.write_text(json.dumps({**wanted, "seconds": last_time(suite)}))
    errors = cloud.top / "runner.log"
    command = [*([PILEUS, "exec", "--"] if suite.guests else []), PYTHON, RUNNER, order]
    with errors.open("w") as file:
        done = subprocess.run(
            command,
            env=environment(cloud, suite, log),
            stdout=subprocess.PIPE,
            stderr=file,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT,
            check=False,
        )
    if done.returncode:
        raise AssertionError(f"the runner ended with {done.returncode}\n{errors.read_text()[-3000:]}{cloud.log()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def last_time(suite: Suite) -> dict[str, float]:
    """How many seconds each test took when the whole suite was last run here."""
    path = RESULTS / f"{suite.name}.json"
    return {row["id"]: row["seconds"] for row in json.loads(path.read_text())["rows"]} if path.exists() else {}


def report(suite: Suite, listed: int, rows: list[Outcome], seconds: float) -> dict[str, Any]:
    count = Counter(row["outcome"] for row in rows)
    return {
        "suite": suite.name,
        "listed": listed,
        "passed": count["passed"],
        "failed": count["failed"],
        "skipped": count["skipped"],
        "seconds": round(seconds, 1),
        "rows": sorted(rows, key=lambda row: str(row["id"])),
    }


def tell(found: dict[str, Any], verbose: bool) -> None:
    for row in found["rows"]:
        if row["outcome"] == "failed":
            text = row["text"].strip()
            print(f"FAILED {row['id']}\n    " + (text.replace("\n", "\n    ") if verbose else text.rpartition("\n")[2].strip()[:300]))
    for reason, count in Counter(row["text"].strip() for row in found["rows"] if row["outcome"] == "skipped").most_common():
        print(f"skipped {count}: {reason[:200]}")
    print(
        f"{found['suite']}: {found['passed']} of {found['listed']} passed, {found['failed']} failed, {found['skipped']} skipped, "
        f"{found['seconds']:.1f} s",
        flush=True,
    )


def whole(suite: Suite, options: argparse.Namespace) -> dict[str, Any]:
    """A suite against a cloud of its own, which is gone afterwards; its seconds do not count the cloud's start."""
    with pages.served() as web:
        rules = {"PILEUS_IMAGE_SOURCES": web.removeprefix("http://"), **dict(suite.settings)}
        with Cloud("linux" if suite.guests else "fake", rules) as cloud:
            if suite.guests:
                cloud.run("image", "build", "micro", timeout=900)
            began = time.monotonic()
            listed, rows = run(suite, cloud, web, options.k, options.log)
            seconds = time.monotonic() - began
    return report(suite, listed, rows, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.tempest")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("-k", default="", metavar="REGEX", help="only tests whose id matches")
    parser.add_argument("-v", action="store_true", help="the failures' texts")
    parser.add_argument("--log", action="store_true", help="with every request and answer")
    parser.add_argument("--page", action="store_true", help="write docs/reference/conformance.md")
    options = parser.parse_intermixed_args()
    if unknown := [name for name in options.suites if name not in SUITES]:
        parser.error(f"no suite {unknown[0]}; there are {', '.join(SUITES)}")
    if not PYTHON.exists():
        parser.error("the suites are not installed: tools/setup tempest")
    chosen = [SUITES[name] for name in options.suites] or [suite for suite in SUITES.values() if not suite.guests]
    failed = 0
    for suite in chosen:
        found = whole(suite, options)
        tell(found, options.v or options.log)
        failed += found["failed"]
        if not options.k:
            RESULTS.mkdir(parents=True, exist_ok=True)
            (RESULTS / f"{suite.name}.json").write_text(json.dumps(found, indent=1) + "\n")
    if options.page:
        page.write(RESULTS)
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main())
