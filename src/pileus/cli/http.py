"""A small HTTP client with the admin's credentials: what the command line needs of the cloud's own APIs, and no more."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pileus.errors import BadRequest, Conflict, Fault, Forbidden, HostError, NotFound, Unauthorized, Unavailable

TIMEOUT = 60.0  # seconds for one answer
MICROVERSION = "2.79"
KINDS: dict[int, type[Fault]] = {400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 503: Unavailable}


class Answer(NamedTuple):
    """A good answer. `body` is its JSON, or None."""

    status: int
    headers: Mapping[str, str]
    body: Any


def answers(endpoint: str, timeout: float) -> bool:
    """Whether something that speaks HTTP is at `endpoint`, within `timeout` seconds."""
    where = urlsplit(endpoint)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout)
    try:
        connection.request("GET", "/identity/v3")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


class Client:
    """The APIs at `endpoint`, as user admin in project admin. Every call raises the Fault that the answer means, or HostError."""

    def __init__(self, endpoint: str, password: str) -> None:
        self.endpoint, self._password = endpoint, password
        where = urlsplit(endpoint)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=TIMEOUT)
        self._token = ""

    def get(self, path: str) -> Any:
        """The JSON behind a path, which begins with the service's prefix."""
        return self.call("GET", path).body

    def post(self, path: str, body: Any) -> Any:
        return self.call("POST", path, body).body

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: Iterable[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; `body` is sent as JSON, `data` (all bytes or pieces of them) as it is."""
        sent = {"X-Auth-Token": self._token or self._login(), "Accept": "application/json"}
        sent["OpenStack-API-Version"] = f"compute {MICROVERSION}"
        if data is not None:
            sent["Content-Type"] = "application/octet-stream"
        elif body is not None:
            sent["Content-Type"] = "application/json"
        return self._exchange(method, path, data if data is not None else encoded(body), {**sent, **(headers or {})})

    def _login(self) -> str:
        domain = {"id": "default"}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": domain, "password": self._password}}},
            "scope": {"project": {"name": "admin", "domain": domain}},
        }
        answer = self._exchange("POST", "/identity/v3/auth/tokens", encoded({"auth": auth}), {"Content-Type": "application/json"})
        self._token = answer.headers["x-subject-token"]
        return self._token

    def _exchange(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        try:
            self._connection.request(method, path, body, dict(headers))
            response = self._connection.getresponse()
            content = response.read()
        except TimeoutError:
            self._connection.close()
            raise TimeoutError(f"{method} {self.endpoint}{path}: no answer in {TIMEOUT:g} s") from None
        except (OSError, socket.gaierror, http.client.HTTPException) as error:
            self._connection.close()
            raise HostError(f"the cloud at {self.endpoint} does not answer ({error}): look at `pileus status`") from None
        value = _decoded(content)
        if response.status >= 400:
            kind = KINDS.get(response.status, Fault)
            raise kind(f"{method} {path}: {response.status} {_message(value) or response.reason}")
        return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, value)


def encoded(body: Any) -> bytes | None:
    """A body as it goes over the wire."""
    return None if body is None else json.dumps(body).encode()


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _message(value: Any) -> str:
    """The words in an error body: each service wraps them in a key of its own."""
    for inner in value.values() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and "message" in inner:
            return str(inner["message"])
    return ""
