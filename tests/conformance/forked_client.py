"""The unmodified openstack client, with its imports done once: a line of JSON on standard input is one command line, run in a fork.

Run by the Python of .venv-clients. Each line in, `{"argv": [...], "cwd": "..."}`, is answered by one line out: `{"status", "out", "err",
"seconds"}`. A fork does what the installed `openstack` script does, and nothing of one command is left for the next; what it spares is
the second and a half that the imports take.
"""

import importlib
import json
import os
import sys
import tempfile
import time

MODULES = [
    "openstackclient.shell",
    "openstackclient.common.clientmanager",
    "openstackclient.identity.client",
    "openstackclient.image.client",
    "openstackclient.compute.client",
    "openstackclient.network.client",
    "openstackclient.compute.v2.server",
    "openstackclient.network.v2.network",
    "openstackclient.image.v2.image",
    "openstack.config",
    "openstack.connection",
]


def run(argv: list[str], cwd: str, out: int, err: int) -> int:
    """The child's exit status; its output goes to the two open files."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(cwd)
        sys.argv = ["openstack", *argv]
        from openstackclient.shell import main

        status = main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    for name in MODULES:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            began = time.monotonic()
            status = run(order["argv"], order["cwd"], out.fileno(), err.fileno())
            seconds = time.monotonic() - began
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        answers.write(json.dumps({"status": status, "out": texts[0], "err": texts[1], "seconds": seconds}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
