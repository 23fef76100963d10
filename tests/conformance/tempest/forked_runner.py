"""Runs test modules of a suite that others wrote: imports them once, then a fork for each worker, and a class of tests at a time for each.

Run by the Python of .venv-tempest with one argument, a file of JSON: {"packages", "pattern", "workers", "client", "log", "seconds"}.
Each line out is one outcome: {"id", "outcome": "passed" | "failed" | "skipped", "text", "seconds"}; the first says how many are listed.
"""

import gc
import importlib
import importlib.metadata
import json
import logging
import multiprocessing
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
import time
import unittest


def modules(package):
    """The package's test modules, or the module itself."""
    top = importlib.import_module(package)
    if not hasattr(top, "__path__"):
        return [top]
    found = pkgutil.walk_packages(top.__path__, package + ".")
    return [importlib.import_module(info.name) for info in found if info.name.rsplit(".", 1)[1].startswith("test_")]


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def name_of(test):
    """The test's id without what Tempest adds to it in brackets: attributes and an id of its own. Scenarios keep theirs."""
    return re.sub(r"\[[^]]*\bid-[0-9a-f-]{36}[^]]*\]", "", test.id())


def classes(packages, pattern, seconds):
    """Tests by class, those that took longest the last time first, so that no worker is left with a long one at the end."""
    loader = unittest.TestLoader()
    found = {}
    for package in packages:
        for module in modules(package):
            for test in flat(loader.loadTestsFromModule(module)):
                if re.search(pattern, test.id()):
                    found.setdefault(type(test), []).append(test)
    return sorted(found.values(), key=lambda tests: (sum(seconds.get(name_of(test), 0) for test in tests), len(tests)), reverse=True)


class Outcomes(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.rows = []
        self.began = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def note(self, test, outcome, text=""):
        self.rows.append({"id": name_of(test), "outcome": outcome, "text": text, "seconds": round(time.monotonic() - self.began, 3)})
        self.began = time.monotonic()

    def addSuccess(self, test):
        self.note(test, "passed")

    def addError(self, test, error):
        self.note(test, "failed", self._exc_info_to_string(error, test))

    addFailure = addError

    def addSkip(self, test, reason):
        self.note(test, "skipped", reason)

    def addExpectedFailure(self, test, error):
        self.note(test, "passed")

    def addUnexpectedSuccess(self, test):
        self.note(test, "failed", "passed, and was expected to fail")


def of_class(test, row):
    """The class fixture's outcome said as the test's own."""
    where = f"{row['id'].split(' ')[0]}: " if row["outcome"] == "failed" else ""
    return {**row, "id": name_of(test), "text": where + row["text"], "seconds": 0.0}


def run(tests):
    """One class, with its fixtures. What stops the class before its tests is said of each of them."""
    result = Outcomes()
    unittest.TestSuite(tests).run(result)
    said = {row["id"]: row for row in result.rows}
    before = next((row for row in result.rows if row["id"].startswith(("setUpClass", "setUpModule"))), None)
    rows = [of_class(test, before) if before and name_of(test) not in said else said.get(name_of(test)) for test in tests]
    return [row for row in rows if row] + [row for row in result.rows if row["id"].startswith("tearDown")]


GROUPS = []


def run_number(number):
    return run(GROUPS[number])


def quiet():
    """A worker's own output goes nowhere: what a test has to say is in its outcome."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


class ForkedClient:
    """In the place of `subprocess.Popen` for the tests of openstackclient: the command `openstack` is a fork that has imported it already.

    A fork does what the installed script does; it spares the second and a half that the imports take.
    """

    def __init__(self, argv, env=None, **pipes):
        assert argv[0] == "openstack", argv
        self.files = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self.child = os.fork()
        if self.child == 0:
            os._exit(self.shell(argv, env))

    def shell(self, argv, env):
        status = 70
        try:
            os.dup2(self.files[0].fileno(), 1)
            os.dup2(self.files[1].fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os.environ.clear()
            os.environ.update(env)
            logging.disable(logging.NOTSET)
            sys.argv = argv
            from openstackclient.shell import main

            status = main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return status

    def communicate(self):
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return texts


class ForkedSubprocess:
    """`subprocess` as the tests' module sees it."""

    PIPE = subprocess.PIPE
    Popen = ForkedClient


def load_client():
    """Import what every command imports: all the client's plug-ins, as it names them itself."""
    groups = [name for name in importlib.metadata.entry_points().groups if name.startswith(("openstack.", "cliff.", "keystoneauth1."))]
    for point in [point for name in groups for point in importlib.metadata.entry_points(group=name)]:
        try:
            point.load()
        except Exception:
            continue  # a plug-in whose own needs are not installed: the command passes it over as well
    for name in ("openstack.connection", "openstack.config", "keystoneclient.v3.client"):
        importlib.import_module(name)
    importlib.import_module("keystoneauth1.loading").get_available_plugin_names()
    importlib.import_module("openstackclient.tests.functional.base").subprocess = ForkedSubprocess


def main():
    with open(sys.argv[1]) as file:
        order = json.load(file)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a suite prints while it is loaded is not an outcome
    if not order["log"]:
        logging.disable(logging.INFO)  # every request and answer in full: a fifth of the time
    if order["client"]:
        load_client()
    GROUPS.extend(classes(order["packages"], order["pattern"], order["seconds"]))
    out.write(json.dumps({"listed": sum(map(len, GROUPS))}) + "\n")
    out.flush()
    if not GROUPS:
        return
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(min(order["workers"], len(GROUPS)), quiet) as pool:
        for rows in pool.imap_unordered(run_number, range(len(GROUPS))):
            for row in rows:
                out.write(json.dumps(row) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
