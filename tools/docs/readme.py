"""The transcript on the README's first screen: commands that are really run, between two marks, with what they really print.

Not here: the rest of the README. It is taken where the calculator lab can run (guests, networks); elsewhere the one that is there stays.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.conformance.cloud import ROOT, Cloud

BEGIN, END = "<!-- transcript: written by `make docs` -->", "<!-- end of transcript -->"
SECONDS = 900

# What of the lab's own output is shown: a line for each stage, and what the calculator was asked and answered.
FILTER = r" 2>&1 | grep -E ' s  .*(: up|: done)|^\$ pileus exec|^result'"
# Shown as typed by somebody in a checkout with .venv/bin and .venv-clients/bin on the path.
COMMANDS = (
    "pileus up",
    "pileus lab run calculator" + FILTER,
    'eval "$(pileus env)"',
    "openstack server list -c Name -c Status -c Networks",
    'pileus exec curl -s -d "2*(3+4)" http://192.168.37.10',
    "openstack console log show MulService | tail -n 3",
    "pileus down",
)


def able() -> bool:
    """Whether the lab can run here."""
    return bool(shutil.which("qemu-system-x86_64")) and (ROOT / ".venv-clients/bin/openstack").exists()


def play() -> str:
    """The commands with their output, from one shell, on a cloud that is gone afterwards."""
    lines = ["set -euo pipefail", f'export PATH="{ROOT}/.venv/bin:{ROOT}/.venv-clients/bin:$PATH" COLUMNS=100']
    for command in COMMANDS:
        lines += [f"printf '%s\\n' {quoted('$ ' + command)}", command]
    cloud = Cloud("linux")
    try:
        cloud.env["PILEUS_PORT"] = "0"
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            cwd=ROOT,
            env=cloud.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the transcript's commands failed:\n{done.stdout}\n{done.stderr}\n{cloud.log()}")
        return tidy(done.stdout, cloud)
    finally:
        cloud.down()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def tidy(text: str, cloud: Cloud) -> str:
    """Without what is only of this machine: the temporary home, the free port, colours, spaces at line ends."""
    text = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", text).replace("\r", "")
    text = (
        text.replace(str(cloud.top / "user"), "~").replace(str(cloud.top / "cloud"), "~/.local/share/pileus").replace(str(ROOT), "~/pileus")
    )
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:5000", text)
    text = text.replace(FILTER, "")  # it only leaves out lines in between
    return "\n".join(line.rstrip() for line in text.splitlines())


def transcribe(readme: Path) -> bool:
    """Put a fresh transcript into the README. False where there are no guests, or when it is the same as before."""
    if not able():
        return False
    before = readme.read_text()
    head, rest = before.split(BEGIN)
    after = f"{head}{BEGIN}\n\n```console\n{play()}\n```\n\n{END}{rest.split(END)[1]}"
    readme.write_text(after)
    return after != before
