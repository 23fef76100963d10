"""A whole cloud for one run: `pileus up --drivers fake` in a temporary home, on a free port, gone afterwards with all it made.

Not here: what is asked of it. Used by the conformance runs, the benchmarks and the documentation; it speaks to the cloud as any user does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
PILEUS = Path(sys.executable).with_name("pileus")


class Cloud:
    """A running cloud. `url` is the root that the services' prefixes hang from; `env` is what its commands and clients run with."""

    def __init__(self, drivers: str = "fake", settings: Mapping[str, str] | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.drivers, self.arguments = drivers, arguments
        self.top = Path(tempfile.mkdtemp(prefix="pileus-", dir="/tmp"))  # a short path: sockets are named below it
        home = self.top / "user"
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PILEUS_", "XDG_"))}
        kept["PILEUS_CACHE"] = self.cache()
        self.env = {**kept, "HOME": str(home), "PILEUS_HOME": str(self.top / "cloud"), **(settings or {})}
        self.url = ""
        self.token = ""

    @staticmethod
    def cache() -> str:
        """The folder of guest images: the caller's own, since they take a while to make."""
        return os.environ.get("PILEUS_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pileus")

    def run(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """One `pileus` command, as the user of this cloud."""
        done = subprocess.run(
            [PILEUS, *arguments], env=self.env, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"pileus {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}{self.log()}")
        return done

    def log(self) -> str:
        """The end of the control plane's log."""
        lines = [
            line for file in sorted((self.top / "cloud/state").glob("*.log")) for line in file.read_text(errors="replace").splitlines()
        ]
        return "\n".join(lines[-40:])

    def up(self) -> dict[str, Any]:
        """Start it; returns what `pileus status` says."""
        self.run("up", "--drivers", self.drivers, "--port", "0", *self.arguments)
        status = self.status()
        self.url = status["endpoint"].rstrip("/")
        return status

    def status(self) -> dict[str, Any]:
        """What `pileus status` says."""
        found: dict[str, Any] = json.loads(self.run("status", "-f", "json").stdout)
        return found

    @property
    def password(self) -> str:
        return (self.top / "cloud/data/admin-password").read_text().strip()

    def login(self) -> str:
        """A token of the admin in project admin."""
        user = {"name": "admin", "domain": {"id": "default"}, "password": self.password}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        request = urllib.request.Request(
            f"{self.url}/identity/v3/auth/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.token = answer.headers["X-Subject-Token"]
        return self.token

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """One request as admin: the answer's JSON (None when empty). Raises AssertionError for a status of 400 or more."""
        token = self.token or self.login()
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        sent = {"X-Auth-Token": token, "Content-Type": kind, "OpenStack-API-Version": "compute 2.79", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:400]}") from None
        return json.loads(text) if text else None

    def settled(self, server: str, wanted: tuple[str, ...] = ("ACTIVE", "SHUTOFF"), timeout: float = 60) -> dict[str, Any]:
        """Wait until a server (by id or name) has one of these states and no task under way; returns it."""
        until = time.monotonic() + timeout
        while True:
            found = [s for s in self.call("GET", "/compute/v2.1/servers/detail")["servers"] if server in (s["id"], s["name"])]
            if found and found[0]["status"] in wanted and found[0]["OS-EXT-STS:task_state"] is None:
                return dict(found[0])
            if time.monotonic() > until or (found and found[0]["status"] == "ERROR"):
                raise AssertionError(f"server {server} is not one of {wanted}: {found}")
            time.sleep(0.05)

    def down(self) -> None:
        """Stop and remove it. What cannot be taken down in words is taken down by process id."""
        try:
            self.run("destroy", "--yes", check=False)
        finally:
            shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.down()
