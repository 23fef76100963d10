"""Tells tenants' stories to a cloud from a process of its own: `python -m tests.acceptance.storyteller URL SEED`.

The admin's password is in OS_PASSWORD.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import urllib.error
import urllib.request
from typing import Any

from tests.acceptance.stories import Step, Tenant, shuffled


class Client:
    """The admin of project admin."""

    def __init__(self, url: str, password: str) -> None:
        self.url, self.token = url, ""
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        self.call("POST", "/identity/v3/auth/tokens", body)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        sent = {"X-Auth-Token": self.token, "Content-Type": kind, "OpenStack-API-Version": "compute 2.79"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data, sent, method=method), timeout=60) as answer:
                self.token = answer.headers.get("X-Subject-Token") or self.token
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:400]}") from None
        return json.loads(text) if text else None


def image(call: Any) -> Step:
    """An image whose upload may break off."""

    def found() -> dict[str, Any] | None:
        images = call("GET", "/image/v2/images?name=image")["images"]
        assert len(images) <= 1
        return images[0] if images else None

    def act(call: Any) -> None:
        there = found() or call("POST", "/image/v2/images", {"name": "image", "disk_format": "raw", "container_format": "bare"})
        if there["status"] == "queued":
            call("PUT", f"/image/v2/images/{there['id']}/file", bytes(1 << 20))

    def done(call: Any) -> bool:
        there = found()
        return there is not None and there["status"] == "active"

    return Step("image", done, act)


def all_steps(call: Any, seed: int, tenants: int) -> list[Step]:
    """The image, and then the stories of so many tenants."""
    luck = random.Random(seed)
    return [image(call), *shuffled([Tenant(n, luck).story("image") for n in range(tenants)], luck)]


def main() -> None:
    url, seed = sys.argv[1], int(sys.argv[2])
    client = Client(url, os.environ["OS_PASSWORD"])
    over = threading.Event()

    def look() -> None:
        """Somebody who only reads, all the while."""
        reader = Client(url, os.environ["OS_PASSWORD"])
        lists = (
            "/compute/v2.1/servers/detail",
            "/network/v2.0/ports",
            "/network/v2.0/security-groups",
            "/image/v2/images",
            "/identity/v3/users",
        )
        while not over.wait(0.01):
            for path in lists:
                reader.call("GET", path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for step in all_steps(client.call, seed, 8):
            step.carry_out(client.call)
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
