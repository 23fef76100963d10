"""The metadata service as a guest sees it at http://169.254.169.254: a path in, a listing or a document out.

Not here: the socket and which network a request came from (network/live), and what the documents say (content.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pileus.compute.live.content import BRANCHES, HAVANA, OPENSTACK, Server, Tree, describe, openstack_branch
from pileus.kit.context import Cloud
from pileus.kit.store import Row

PASSWORD_MAX = 1020  # bytes, nova/api/metadata/password.py
TEXT, JSON = "text/plain; charset=UTF-8", "application/json"
_NAMES = (*OPENSTACK, "latest")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = TEXT

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": self.content_type}


NOT_FOUND = Answer(404, b"404 Not Found: The resource could not be found.\n")


class Metadata:
    """Answers what guests ask."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def answer(self, port: Row, method: str, path: str, body: bytes = b"") -> Answer:
        """Answer one request that came from a port (its row); 404 when no server has it."""
        row = self.cloud.store.get("server", port["device_id"])
        if row is None:
            return NOT_FOUND
        path = path.partition("?")[0]
        parts = [part for part in path.split("/") if part]
        if method == "POST" and len(parts) == 3 and parts[0] == "openstack" and parts[2] == "password":
            return self._post_password(row, parts[1], body)
        if method not in ("GET", "HEAD"):
            return Answer(405, b"405 Method Not Allowed\n")
        return find(describe(self.cloud.store, row), parts)

    def _post_password(self, row: Row, version: str, body: bytes) -> Answer:
        """A guest leaves the password it made, encrypted with its owner's key; once."""
        if version not in _NAMES or version < HAVANA:
            return NOT_FOUND
        if row["password"]:
            return Answer(409, b"409 Conflict: the password has been set already.\n")
        if len(body) > PASSWORD_MAX:
            return Answer(400, f"400 Bad Request: the password is longer than {PASSWORD_MAX} bytes.\n".encode())
        with self.cloud.store.transaction():
            self.cloud.store.update("server", row["id"], {"password": body.decode(errors="replace")})
        return Answer(200, b"")


def find(server: Server, parts: list[str]) -> Answer:
    """What is at a path: a document, or the names below it."""
    if not parts:
        return _listing({name: {} for name in BRANCHES}, folders=False)
    if parts[0] == "openstack":
        if len(parts) == 1:
            return _listing({name: {} for name in _NAMES}, folders=False)
        if parts[1] not in (*_NAMES, "content"):
            return NOT_FOUND
        return _walk(openstack_branch(parts[1])(server), parts[2:], listing=parts[1] != "content")
    branch = BRANCHES.get(parts[0])
    return _walk(branch(server), parts[1:]) if branch else NOT_FOUND


def _walk(tree: Tree, parts: list[str], *, listing: bool = True) -> Answer:
    here: Any = tree
    for part in parts:
        if not isinstance(here, dict) or not part or part not in here:
            return NOT_FOUND
        here = here[part]
    if isinstance(here, dict):
        return _listing(here) if listing else NOT_FOUND
    body = here.encode() if isinstance(here, str) else here
    return Answer(200, body, JSON if parts and parts[-1].endswith(".json") else TEXT)


def _listing(tree: Tree, *, folders: bool = True) -> Answer:
    """Names, one a line; a folder ends in a slash. A tree may word its own, under the name ''."""
    text = tree.get("") or "\n".join(name + "/" * (folders and isinstance(child, dict)) for name, child in tree.items())
    return Answer(200, text.encode())
