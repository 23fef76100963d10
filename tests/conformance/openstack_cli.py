"""Runs the rows of commands.py with the unmodified openstack client, on the fake drivers, where QEMU, nft and ip do not exist.

python -m tests.conformance.openstack_cli [--quick] [--later] [WORD...]: a line for each row; with words, only the rows that hold one of
them (and what prepares for them); --later: also those of what is not built yet.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.cloud import Cloud
from tests.conformance.commands import ROWS, Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CLIENT = ROOT / ".venv-clients/bin/python"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAiVKj+8gOmf3svQEgHRhsTVUO/L2uZe9gCoZa5VXa4K student@example\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    row: Row
    passed: bool
    seconds: float
    why: str = ""


class Client:
    """The openstack client of .venv-clients, on the cloud that `pileus up` put into clouds.yaml."""

    def __init__(self, cloud: Cloud) -> None:
        self.folder = cloud.top / "user"
        (self.folder / "img.raw").write_bytes(b"\0" * (1 << 20))
        (self.folder / "k1.pub").write_text(KEY)
        env = {name: value for name, value in cloud.env.items() if not name.startswith(("OS_", "PYTHON", "VIRTUAL_ENV"))}
        self.process = subprocess.Popen(
            [CLIENT, HERE / "forked_client.py"],
            env={**env, **environment(cloud), "COLUMNS": "400"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str) -> dict[str, object]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"argv": shlex.split(command), "cwd": str(self.folder)}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, object] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)


def environment(cloud: Cloud) -> dict[str, str]:
    """What `pileus env` exports."""
    lines = cloud.run("env").stdout.splitlines()
    return {name: shlex.split(value)[0] for name, value in (line.removeprefix("export ").split("=", 1) for line in lines if "=" in line)}


def verdict(row: Row, answer: dict[str, object]) -> str:
    """Why a row did not pass; empty when it did."""
    out, err = str(answer["out"]), str(answer["err"]).strip()
    if row.refused:
        return "" if answer["status"] and re.search(row.refused, err) else f"not refused as {row.refused!r}: {err or out}"
    if answer["status"]:
        return f"status {answer['status']}: {err or out}"
    return "" if re.search(row.says, out) else f"does not say {row.says!r}: {out}"


def run(rows: Iterable[Row]) -> Iterator[Outcome]:
    """Each row's outcome, as it comes, on a cloud of their own."""
    with Cloud() as cloud:
        client = Client(cloud)
        try:
            for row in rows:
                try:
                    if row.settle:
                        cloud.settled(row.settle)
                    answer = client.run(row.command)
                    why = verdict(row, answer)
                    yield Outcome(row, not why, float(str(answer["seconds"])), why)
                except AssertionError as error:
                    yield Outcome(row, False, 0, str(error))
        finally:
            client.close()


def chosen(quick: bool, words: list[str], later: bool = False) -> list[Row]:
    rows = [row for row in ROWS if later or not row.later]
    if quick:
        rows = [row for row in rows if row.quick]
    return [row for row in rows if row.prepares or not words or any(word in row.command for word in words)]


def main() -> int:
    words = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    quick = "--quick" in sys.argv
    if "PILEUS_WITHOUT_MACHINE" not in os.environ:
        os.environ["PILEUS_WITHOUT_MACHINE"] = "1"
        os.execv(HERE / "without_machine", [str(HERE / "without_machine"), sys.executable, "-m", __spec__.name, *sys.argv[1:]])
    passed = failed = 0
    for outcome in run(chosen(quick, words, "--later" in sys.argv)):
        mark = "passed" if outcome.passed else "FAILED"
        print(
            f"{mark} {outcome.seconds:5.2f} s  openstack {outcome.row.command}{' (prepares)' if outcome.row.prepares else ''}", flush=True
        )
        if outcome.why:
            print("    " + "\n    ".join(outcome.why[:1500].splitlines()), flush=True)
        if not outcome.row.prepares or not outcome.passed:
            passed += outcome.passed
            failed += not outcome.passed
    later = [row for row in ROWS if row.later]
    if not quick and not words:
        for row in later:
            print(f"later           openstack {row.command}: {row.later}")
    print(f"openstack client: {passed} of {passed + failed} rows passed; {len(later)} belong to what is not built yet")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
