"""Look before you create: which of a lab's commands have been carried out already, as the cloud itself says.

A command that was broken off may have been carried out all the same; only the cloud knows. So a `create` is preceded by a `list`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Run = Callable[[list[str]], str]  # argv -> what it printed; raises when it fails

# what a `create` makes -> the column of its list that holds its name
NAMED = {
    "network": "Name",
    "subnet": "Name",
    "router": "Name",
    "security group": "Name",
    "keypair": "Name",
    "server": "Name",
    "image": "Name",
}
# answers of a command that has been carried out before
DONE = ("already exists", "already has a port on subnet")


@dataclass
class Looker:
    """Asks the cloud, once per kind and step: what a step has made is remembered until the next."""

    run: Run
    folder: Path  # where the commands put their files
    _seen: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def forget(self) -> None:
        self._seen.clear()

    def done(self, command: str) -> bool:
        """Whether what the command would create is there."""
        argv = shlex.split(command)
        if argv[:3] == ["pileus", "image", "build"]:
            return "--name" in argv and any(
                row["Name"] == argv[argv.index("--name") + 1] and row["Status"] == "active" for row in self._list("image")
            )
        if argv[:1] != ["openstack"] or "create" not in argv:
            return False
        noun = " ".join(argv[1 : argv.index("create")])
        if noun == "keypair" and "--private-key" in argv and not self._has(argv[argv.index("--private-key") + 1]):
            self._withdraw(argv[-1])
            return False
        if noun in NAMED:
            return any(row[NAMED[noun]] == argv[-1] for row in self._list(noun))
        if noun == "floating ip" and "--floating-ip-address" in argv:
            wanted = argv[argv.index("--floating-ip-address") + 1]
            return any(row["Floating IP Address"] == wanted for row in self._list(noun))
        return False

    def _has(self, file: str) -> bool:
        path = self.folder / file
        return path.exists() and path.stat().st_size > 0

    def _withdraw(self, keypair: str) -> None:
        """A private key is told once: if that answer was lost, its public half is of no use."""
        if any(row["Name"] == keypair for row in self._list("keypair")):
            self.run(["openstack", "keypair", "delete", keypair])

    def _list(self, noun: str) -> list[dict[str, Any]]:
        if noun not in self._seen:
            self._seen[noun] = json.loads(self.run(["openstack", *noun.split(), "list", "-f", "json"]))
        return self._seen[noun]


def was_done(message: str) -> bool:
    """Whether an error says that the command had been carried out before."""
    return any(words in message for words in DONE)
