"""A process that starts commands and keeps whatever they leave running as its own children: after them, nothing may be left in it.

`python -m tests.acceptance.nursery` reads a JSON object a line and answers with one: {"run": argv} waits for the command, {"open": argv}
leaves it running on a terminal, {"below": 1} tells what lives. Orphans come to it instead of to process 1, and are reaped as they end.
"""

from __future__ import annotations

import ctypes
import json
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from tests.acceptance.cloud import descendants

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)
ROOT = Path(__file__).resolve().parents[2]


class Nursery:
    """Its other end: the commands of one cloud, run with `env`."""

    def __init__(self, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.nursery"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def run(self, *argv: str) -> str:
        """What a command printed; it has to end well."""
        answer = self._ask(run=argv)
        assert answer["status"] == 0, f"{argv}: {answer}"
        return str(answer["out"])

    def open(self, *argv: str) -> int:
        """Start a command on a terminal and leave it; returns its pid."""
        return int(self._ask(open=argv)["pid"])

    def below(self) -> dict[int, str]:
        """What of all that was ever started lives: pid and name."""
        return {int(pid): name for pid, name in self._ask(below=1)["below"].items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


def run(argv: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out:
        pid = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out).pid
        while True:
            ended, status = os.waitpid(-1, 0)
            if ended == pid:
                break
        out.seek(0)
        return {"status": os.waitstatus_to_exitcode(status), "out": out.read().decode(errors="replace")}


def leave(argv: list[str]) -> dict[str, Any]:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    os.read(terminal, 1)  # it has said something
    return {"pid": pid}


def below() -> dict[str, Any]:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return {"below": {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in descendants(os.getpid())}}


def main() -> None:
    if ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0):
        raise OSError("this kernel gives orphans to process 1 only")
    for line in sys.stdin:
        match json.loads(line):
            case {"run": argv}:
                answer = run(argv)
            case {"open": argv}:
                answer = leave(argv)
            case _:
                answer = below()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
