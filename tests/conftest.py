"""What most tests share: a cloud in this process on the fake drivers, and a client that speaks to it without a socket."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import falcon.testing
import hypothesis
import pytest

from pileus.app import App, build
from pileus.config import Paths, Settings

PASSWORD = "a password for tests"

hypothesis.settings.register_profile("pileus", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("pileus")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any
    text: bytes

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


@dataclass
class Client:
    """Speaks HTTP to a cloud in this process. `token` names one of `tokens`, or is a token itself; None sends none."""

    app: App
    tokens: dict[str, str] = field(default_factory=dict)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "admin",
        headers: dict[str, str] | None = None,
        version: str | None = None,
    ) -> Answer:
        sent = {"Accept": "application/json", **(headers or {})}
        if token:
            sent["X-Auth-Token"] = self.tokens.get(token, token)
        if version:
            sent["OpenStack-API-Version"] = f"compute {version}"
        data = body if isinstance(body, bytes | str) else None if body is None else json.dumps(body)
        if data is not None and "Content-Type" not in sent:
            sent["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        path, _, query = path.partition("?")
        async with falcon.testing.ASGIConductor(self.app.web.app) as conductor:
            host = sent.pop("Host", "127.0.0.1:5000")
            result = await conductor.simulate_request(method, path, query_string=query, body=data, headers=sent, host=host)
        try:
            decoded = json.loads(result.content) if result.content else None
        except ValueError:
            decoded = None
        return Answer(result.status_code, {k.lower(): v for k, v in result.headers.items()}, decoded, result.content)

    async def sign_in(self, name: str, password: str, scope: Any = None, *, save: str | None = None) -> str:
        """A token for a user of the default domain, remembered as `save`."""
        auth: dict[str, Any] = {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": name, "domain": {"id": "default"}, "password": password}},
            }
        }
        if scope is not None:
            auth["scope"] = scope
        answer = await self("POST", "/identity/v3/auth/tokens", {"auth": auth}, token=None)
        assert answer.status == 201, answer.text
        text = answer.headers["x-subject-token"]
        self.tokens[save or name] = text
        return text

    async def member(self, project: str, user: str, role: str = "member", *, save: str | None = None) -> str:
        """Make a project and a user with a role in it (each if absent), sign in, and return the project's id."""
        found = (await self("GET", f"/identity/v3/projects?name={project}"))["projects"]
        project_id = (
            found[0]["id"] if found else (await self("POST", "/identity/v3/projects", {"project": {"name": project}}))["project"]["id"]
        )
        made = await self("POST", "/identity/v3/users", {"user": {"name": user, "password": user}})
        assert made.status == 201, made.text
        roles = {r["name"]: r["id"] for r in (await self("GET", "/identity/v3/roles"))["roles"]}
        path = f"/identity/v3/projects/{project_id}/users/{made['user']['id']}/roles/{roles[role]}"
        assert (await self("PUT", path)).status == 204
        await self.sign_in(user, user, {"project": {"id": project_id}}, save=save or user)
        return str(project_id)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder of this test. pytest's own has a long name, and socket paths end at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pt-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.resolve({"PILEUS_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "PILEUS_CACHE": str(tmp_path / "cache")})
    found.make()
    return found


@pytest.fixture
async def app(paths: Paths) -> AsyncIterator[App]:
    """A cloud on the fake drivers, over a database in memory."""
    made = build(Settings(drivers="fake", synchronous="off"), paths, PASSWORD, memory=True)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def api(app: App) -> Client:
    """A client of that cloud, signed in as the admin."""
    client = Client(app)
    await client.sign_in("admin", PASSWORD, {"project": {"name": "admin", "domain": {"id": "default"}}}, save="admin")
    return client
