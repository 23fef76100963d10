"""The unmodified `openstack` client, kept running: run by the clients' own Python, it takes one command a line and says how each ended.

A line in is a JSON list of arguments, a line out `{"status": ..., "out": ..., "err": ...}`. To start the client anew for each command would
be most of what the tests of `pileus why` take.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from openstackclient.shell import OpenStackShell  # type: ignore[import-not-found,unused-ignore]


def run(argv: list[str]) -> dict[str, object]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        shell = OpenStackShell()
        shell.stdout, shell.stderr = out, err
        try:
            status = shell.run(argv)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    answers = sys.stdout
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)
