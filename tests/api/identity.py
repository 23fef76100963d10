"""What the tests of identity share: asking and being answered, and people with roles in domains."""

from __future__ import annotations

from typing import Any

from tests.conftest import Answer, Client

K = "/identity/v3"


async def ok(api: Client, method: str, path: str, body: Any = None, status: int = 200, token: str | None = "admin") -> Any:
    """The body of an answer that has to have this status."""
    answer = await api(method, K + path, body, token=token)
    assert answer.status == status, f"{method} {path}: {answer.status} {answer.text!r}"
    return answer.body


async def made(api: Client, noun: str, plural: str = "", token: str | None = "admin", **values: Any) -> Any:
    """A new thing of this kind."""
    return (await ok(api, "POST", f"/{plural or noun + 's'}", {noun: values}, 201, token))[noun]


async def role_id(api: Client, name: str) -> str:
    return str((await ok(api, "GET", f"/roles?name={name}"))["roles"][0]["id"])


async def sign_in(api: Client, identity: dict[str, Any], scope: Any = None, save: str = "") -> Answer:
    """The answer to a request for a token; remembered as `save` when there is one."""
    auth: dict[str, Any] = {"identity": identity}
    if scope is not None:
        auth["scope"] = scope
    answer = await api("POST", K + "/auth/tokens", {"auth": auth}, token=None)
    if answer.status == 201 and save:
        api.tokens[save] = answer.headers["x-subject-token"]
    return answer


def password(user_id: str, secret: str) -> dict[str, Any]:
    return {"methods": ["password"], "password": {"user": {"id": user_id, "password": secret}}}


async def person(api: Client, name: str, role: str, *, domain: str = "default", on: str = "domain") -> str:
    """A user with a role on its domain (or the system), signed in there under its name. Returns its id."""
    user = await made(api, "user", name=name, password=name, domain_id=domain)
    place = "/system" if on == "system" else f"/domains/{domain}"
    await ok(api, "PUT", f"{place}/users/{user['id']}/roles/{await role_id(api, role)}", status=204)
    scope = {"system": {"all": True}} if on == "system" else {"domain": {"id": domain}}
    assert (await sign_in(api, password(user["id"], name), scope, save=name)).status == 201
    return str(user["id"])


async def alive(api: Client, token: str) -> bool:
    answer = await api("GET", K + "/auth/projects", token=token)
    assert answer.status in (200, 401)
    return answer.status == 200
