"""Run host commands: argv in, output out. Not for guests (the holder starts those) and never through a shell."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pileus.errors import HostError

SHOWN = 2000  # bytes of stderr that an error keeps


class CommandError(HostError):
    """A host command that failed. The message ends with a line that can be pasted into a terminal."""

    def __init__(self, argv: Sequence[str], status: int, stderr: str) -> None:
        self.argv, self.exit_status, self.stderr = list(argv), status, stderr[-SHOWN:]
        super().__init__(f"{argv[0]} ended with status {status}: {self.stderr.strip() or 'no message'}\n  $ {shlex.join(argv)}")


async def run(
    *argv: str, stdin: bytes | None = None, timeout: float = 60, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it printed.

    Raises CommandError when it ends with another status than 0, cannot be started (127) or takes longer than `timeout` seconds (124).
    A cancelled caller kills the command.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env=env,
        )
    except OSError as error:
        raise CommandError(argv, 127, f"{error.strerror}: {error.filename}") from None
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), timeout)
    except TimeoutError:
        raise CommandError(argv, 124, f"no answer in {timeout:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise CommandError(argv, process.returncode, err.decode(errors="replace"))
    return out.decode(errors="replace")
