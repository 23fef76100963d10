"""Application credentials, trusts, kept secrets and EC2 keys: what acts for a user can do no more than it was given, and dies with it."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.app import App
from pileus.identity import signatures, totp
from tests.api.identity import K, alive, made, ok, password, role_id, sign_in
from tests.conftest import Client


async def user_of(api: Client, project: str = "p", user: str = "u", role: str = "manager") -> tuple[str, str]:
    """A user with a role in a project, signed in under its name. Returns the ids of both."""
    project_id = await api.member(project, user, role)
    return project_id, str((await ok(api, "GET", f"/users?name={user}"))["users"][0]["id"])


async def app_credential(api: Client, user: str, token: str = "u", **values: Any) -> Any:
    body = {"application_credential": {"name": "ac", **values}}
    return (await ok(api, "POST", f"/users/{user}/application_credentials", body, 201, token))["application_credential"]


def by_app(credential: Any, secret: str = "") -> dict[str, Any]:
    given = {"id": credential["id"], "secret": secret or credential["secret"]}
    return {"methods": ["application_credential"], "application_credential": given}


async def test_an_application_credential_has_its_roles_and_no_scope_but_its_own(api: Client) -> None:
    project, user = await user_of(api)
    made_one = await app_credential(api, user, roles=[{"name": "member"}], description="for a program")
    assert made_one["project_id"] == project
    answer = await sign_in(api, by_app(made_one), save="ac")
    assert {r["name"] for r in answer["token"]["roles"]} == {"member", "reader"}
    assert answer["token"]["project"]["id"] == project
    assert answer["token"]["application_credential"] == {"id": made_one["id"], "name": "ac", "restricted": True}
    by_name = {"name": "ac", "user": {"name": "u", "domain": {"id": "default"}}, "secret": made_one["secret"]}
    assert (await sign_in(api, {"methods": ["application_credential"], "application_credential": by_name})).status == 201
    assert (await sign_in(api, by_app(made_one, "wrong"))).status == 401
    assert (await sign_in(api, by_app(made_one), {"domain": {"id": "default"}})).status == 401
    shown = await ok(api, "GET", f"/users/{user}/application_credentials/{made_one['id']}", token="u")
    assert "secret" not in shown["application_credential"]
    again = await sign_in(api, {"methods": ["token"], "token": {"id": api.tokens["ac"]}}, save="again")
    assert again["token"]["application_credential"]["id"] == made_one["id"]
    assert {r["name"] for r in again["token"]["roles"]} == {"member", "reader"}
    await ok(api, "DELETE", f"/users/{user}/application_credentials/{made_one['id']}", status=204, token="u")
    assert not await alive(api, "ac")
    assert not await alive(api, "again")


async def test_what_an_application_credential_may_not(api: Client) -> None:
    _, user = await user_of(api)
    other_project = await api.member("q", "v")
    restricted = await app_credential(api, user)
    await sign_in(api, by_app(restricted), save="ac")
    body = {"application_credential": {"name": "further"}}
    path = f"{K}/users/{user}/application_credentials"
    assert (await api("POST", path, body, token="ac")).status == 403
    assert (await api("DELETE", f"{path}/{restricted['id']}", token="ac")).status == 403
    free = await app_credential(api, user, name="free", unrestricted=True)
    await sign_in(api, by_app(free), save="free")
    assert (await api("POST", path, body, token="free")).status == 201
    assert (await api("POST", path, body, token="free")).status == 409
    assert (await api("POST", path, {"application_credential": {"name": "x", "roles": [{"name": "admin"}]}}, token="u")).status == 400
    assert (
        await api("POST", path, {"application_credential": {"name": "x", "expires_at": "2001-01-01T00:00:00Z"}}, token="u")
    ).status == 400
    assert (await api("POST", path, body, token="v")).status == 403
    assert (await api("GET", path, token="v")).status == 403
    assert other_project


async def test_it_dies_with_the_role_it_was_made_by(api: Client) -> None:
    project, user = await user_of(api)
    credential = await app_credential(api, user)
    await sign_in(api, by_app(credential), save="ac")
    await ok(api, "DELETE", f"/projects/{project}/users/{user}/roles/{await role_id(api, 'manager')}", status=204)
    assert not await alive(api, "ac")
    assert (await sign_in(api, by_app(credential))).status == 401


async def test_access_rules_are_all_that_a_token_is_good_for(api: Client) -> None:
    _, user = await user_of(api)
    rules = [
        {"service": "network", "method": "GET", "path": "/v2.0/networks"},
        {"service": "identity", "method": "GET", "path": "/v3/users/*/access_rules/**"},
    ]
    credential = await app_credential(api, user, access_rules=rules)
    answer = await sign_in(api, by_app(credential), save="ac")
    assert len(answer["token"]["application_credential"]["access_rules"]) == 2
    rule = credential["access_rules"][1]["id"]
    assert (await api("GET", "/network/v2.0/networks", token="ac")).status == 200
    assert (await api("GET", f"{K}/users/{user}/access_rules/{rule}", token="ac")).status == 200
    for method, path in (
        ("GET", "/network/v2.0/subnets"),
        ("POST", "/network/v2.0/networks"),
        ("GET", f"{K}/users/{user}"),
        ("GET", "/image/v2/images"),
    ):
        assert (await api(method, path, token="ac")).status == 401, path
    assert (await api("DELETE", f"{K}/users/{user}/access_rules/{rule}", token="u")).status == 403
    await ok(api, "DELETE", f"/users/{user}/application_credentials/{credential['id']}", status=204, token="u")
    assert len((await ok(api, "GET", f"/users/{user}/access_rules", token="u"))["access_rules"]) == 2
    await ok(api, "DELETE", f"/users/{user}/access_rules/{rule}", status=204, token="u")
    assert len((await ok(api, "GET", f"/users/{user}/access_rules", token="u"))["access_rules"]) == 1


# -- trusts ----------------------------------------------------------------------------------------------------------------


async def trust_of(api: Client, trustor: str, trustee: str, project: str, token: str = "u", status: int = 201, **values: Any) -> Any:
    body = {
        "trustor_user_id": trustor,
        "trustee_user_id": trustee,
        "project_id": project,
        "impersonation": False,
        "roles": [{"name": "member"}],
    }
    answer = await ok(api, "POST", "/OS-TRUST/trusts", {"trust": {**body, **values}}, status, token)
    return answer.get("trust")


async def use(api: Client, trust: Any, user: str, secret: str, save: str = "trust") -> Any:
    return await sign_in(api, password(user, secret), {"OS-TRUST:trust": {"id": trust["id"]}}, save=save)


async def test_a_trust(api: Client) -> None:
    project, trustor = await user_of(api)
    _, trustee = await user_of(api, "q", "v", "reader")
    trust = await trust_of(api, trustor, trustee, project)
    answer = await use(api, trust, trustee, "v")
    token = answer["token"]
    assert {r["name"] for r in token["roles"]} == {"member", "reader"}
    assert (token["user"]["id"], token["project"]["id"]) == (trustee, project)
    assert token["OS-TRUST:trust"]["trustor_user"] == {"id": trustor}
    posing = await trust_of(api, trustor, trustee, project, impersonation=True)
    assert (await use(api, posing, trustee, "v", "posing"))["token"]["user"]["id"] == trustor
    assert (await use(api, trust, trustor, "u")).status == 403
    assert (await sign_in(api, {"methods": ["token"], "token": {"id": api.tokens["trust"]}})).status == 403
    assert len((await ok(api, "GET", f"/OS-TRUST/trusts?trustee_user_id={trustee}", token="v"))["trusts"]) == 2
    assert (await api("GET", K + "/OS-TRUST/trusts", token="v")).status == 403
    assert (await api("DELETE", f"{K}/OS-TRUST/trusts/{trust['id']}", token="v")).status == 403
    await ok(api, "DELETE", f"/OS-TRUST/trusts/{trust['id']}", status=204, token="u")
    assert not await alive(api, "trust")
    assert await alive(api, "posing")
    await ok(api, "PATCH", f"/users/{trustee}", {"user": {"enabled": False}})
    assert not await alive(api, "posing")


async def test_a_trust_can_be_used_so_often(api: Client) -> None:
    project, trustor = await user_of(api)
    _, trustee = await user_of(api, "q", "v", "reader")
    trust = await trust_of(api, trustor, trustee, project, remaining_uses=1)
    assert (await use(api, trust, trustee, "v")).status == 201
    assert (await use(api, trust, trustee, "v", "twice")).status == 401
    assert await alive(api, "trust")


async def test_a_trustor_who_loses_the_role_no_longer_stands_for_it(api: Client) -> None:
    project, trustor = await user_of(api)
    _, trustee = await user_of(api, "q", "v", "reader")
    trust = await trust_of(api, trustor, trustee, project)
    await use(api, trust, trustee, "v")
    await ok(api, "DELETE", f"/projects/{project}/users/{trustor}/roles/{await role_id(api, 'manager')}", status=204)
    assert not await alive(api, "trust")
    assert (await use(api, trust, trustee, "v")).status == 401


async def test_what_a_trust_cannot_be(api: Client) -> None:
    project, trustor = await user_of(api)
    _, trustee = await user_of(api, "q", "v", "reader")
    await trust_of(api, trustor, trustee, project, roles=[{"name": "admin"}], status=404)
    await trust_of(api, trustor, trustee, project, roles=[], status=403)
    await trust_of(api, trustor, trustee, project, expires_at="2001-01-01T00:00:00Z", status=400)
    await trust_of(api, trustor, trustee, project, expires_at="bad.123Z", status=400)
    await trust_of(api, trustor, "nobody", project, status=404)
    await trust_of(api, trustor, trustee, project, token="v", status=403)
    once = await trust_of(api, trustor, trustee, project, impersonation=True)
    await use(api, once, trustee, "v")
    await trust_of(api, trustor, trustee, project, token="trust", status=403)
    again = await trust_of(api, trustor, trustee, project, impersonation=True, allow_redelegation=True, redelegation_count=1)
    await use(api, again, trustee, "v")
    handed_on = await trust_of(api, trustor, trustee, project, token="trust")
    assert handed_on["redelegated_trust_id"] == again["id"]
    await ok(api, "DELETE", f"/OS-TRUST/trusts/{again['id']}", status=204, token="u")
    assert (await api("GET", f"{K}/OS-TRUST/trusts/{handed_on['id']}")).status == 404


# -- kept secrets ----------------------------------------------------------------------------------------------------------


async def test_credentials_are_ones_own_and_encrypted(api: Client, app: App) -> None:
    project, user = await user_of(api)
    await api.member("q", "v")
    kept = await made(api, "credential", token="u", type="cert", blob="a very secret text", project_id=project)
    assert (kept["user_id"], kept["blob"]) == (user, "a very secret text")
    assert all("a very secret" not in str(row) for row in app.store.find("credential"))
    for method, body in (("GET", None), ("PATCH", {"credential": {"blob": "x"}}), ("DELETE", None)):
        assert (await api(method, f"{K}/credentials/{kept['id']}", body, token="v")).status == 403
    assert (await ok(api, "GET", "/credentials", token="v"))["credentials"] == []
    changed = await ok(api, "PATCH", f"/credentials/{kept['id']}", {"credential": {"blob": "another", "note": "n"}}, token="u")
    assert (changed["credential"]["blob"], changed["credential"]["note"]) == ("another", "n")
    assert [c["blob"] for c in (await ok(api, "GET", "/credentials?type=cert"))["credentials"]] == ["another"]
    await ok(api, "DELETE", f"/credentials/{kept['id']}", status=204, token="u")
    assert (await api("POST", K + "/credentials", {"credential": {"type": "ec2", "blob": "no json"}}, token="u")).status == 400


async def test_ec2_keys_prove_a_signature(api: Client) -> None:
    project, user = await user_of(api)
    await api.member("q", "v")
    path = f"/users/{user}/credentials/OS-EC2"
    key = (await ok(api, "POST", path, {"tenant_id": project}, 201, "u"))["credential"]
    assert (await api("POST", K + path, {"tenant_id": project}, token="v")).status == 403
    request = {
        "verb": "GET",
        "host": "127.0.0.1",
        "path": "/",
        "params": {"SignatureVersion": "2", "SignatureMethod": "HmacSHA256", "AWSAccessKeyId": key["access"]},
    }
    signed = {**request, "access": key["access"], "signature": signatures.ec2(request, key["secret"])}
    assert (await api("POST", K + "/ec2tokens", {"ec2Credentials": signed}, token="u")).status == 403
    answer = await api("POST", K + "/ec2tokens", {"ec2Credentials": signed})
    assert answer.status == 200
    assert (answer["token"]["user"]["id"], answer["token"]["project"]["id"]) == (user, project)
    assert await alive(api, answer.headers["x-subject-token"])
    wrong = {**signed, "path": "/other"}
    assert (await api("POST", K + "/ec2tokens", {"ec2Credentials": wrong})).status == 401
    await ok(api, "DELETE", f"{path}/{key['access']}", status=204, token="u")
    assert (await api("POST", K + "/ec2tokens", {"ec2Credentials": signed})).status == 401
    assert (await ok(api, "GET", path, token="u"))["credentials"] == []


@pytest.mark.parametrize("rules", [[["password", "totp"]], [["password", "totp"], ["token"]]])
async def test_two_proofs_where_a_user_has_to_give_two(api: Client, app: App, rules: Any) -> None:
    project, user = await user_of(api)
    seed = "JBSWY3DPEHPK3PXP"
    await made(api, "credential", token="u", type="totp", blob=seed)
    await ok(api, "PATCH", f"/users/{user}", {"user": {"options": {"multi_factor_auth_rules": rules, "multi_factor_auth_enabled": True}}})
    scope = {"project": {"id": project}}
    assert (await sign_in(api, password(user, "u"), scope)).status == 401
    code = totp.passcode(seed, app.cloud.clock.now() // totp.STEP)
    both = {**password(user, "u"), "methods": ["password", "totp"], "totp": {"user": {"id": user, "passcode": code}}}
    answer = await sign_in(api, both, scope)
    assert answer["token"]["methods"] == ["password", "totp"]
    both["totp"] = {"user": {"id": user, "passcode": "000000" if code != "000000" else "111111"}}
    assert (await sign_in(api, both, scope)).status == 401


async def test_what_acts_for_a_user_cannot_make_itself_more(api: Client) -> None:
    project, trustor = await user_of(api)
    other = (await made(api, "project", name="other"))["id"]
    await ok(api, "PUT", f"/projects/{other}/users/{trustor}/roles/{await role_id(api, 'member')}", status=204)
    _, trustee = await user_of(api, "q", "v", "reader")
    trust = await trust_of(api, trustor, trustee, project, impersonation=True)
    await use(api, trust, trustee, "v")
    app = {"application_credential": {"name": "x"}}
    assert (await api("POST", f"{K}/users/{trustor}/application_credentials", app, token="trust")).status == 403
    seed = {"credential": {"type": "totp", "blob": "JBSWY3DPEHPK3PXP"}}
    assert (await api("POST", K + "/credentials", seed, token="trust")).status == 403
    path = f"/users/{trustor}/credentials/OS-EC2"
    for place, expected in ((project, 200), (other, 401)):
        key = (await ok(api, "POST", path, {"tenant_id": place}, 201, "trust"))["credential"]
        assert key["trust_id"] == trust["id"]
        request = {"verb": "GET", "host": "h", "path": "/", "params": {"SignatureVersion": "2"}}
        signed = {**request, "access": key["access"], "signature": signatures.ec2(request, key["secret"])}
        answer = await api("POST", K + "/ec2tokens", {"ec2Credentials": signed})
        assert answer.status == expected
        if expected == 200:
            assert answer["token"]["OS-TRUST:trust"]["id"] == trust["id"]
            text = answer.headers["x-subject-token"]
    await ok(api, "DELETE", f"/OS-TRUST/trusts/{trust['id']}", status=204, token="u")
    assert not await alive(api, text)
    assert (await api("POST", K + "/ec2tokens", {"ec2Credentials": signed})).status in (401, 403)


# -- OAuth -----------------------------------------------------------------------------------------------------------------


class Consumer:
    """A program that signs its requests as RFC 5849 says."""

    def __init__(self, api: Client, app: App, id: str, secret: str) -> None:
        self.api, self.app, self.id, self.secret = api, app, id, secret
        self.token: dict[str, str] = {}

    async def __call__(self, path: str, body: Any = None, headers: dict[str, str] | None = None, **more: str) -> Any:
        given = {
            "oauth_consumer_key": self.id,
            "oauth_signature_method": "HMAC-SHA1",
            "oauth_timestamp": str(self.app.cloud.clock.now() // 1_000_000),
            "oauth_nonce": "n",
            "oauth_version": "1.0",
            **more,
        }
        if self.token:
            given["oauth_token"] = self.token["oauth_token"]
        keys = self.secret, self.token.get("oauth_token_secret", "")
        given["oauth_signature"] = str(signatures.oauth("POST", f"http://127.0.0.1:5000{K}{path}", given, [], keys))
        header = "OAuth " + ", ".join(f'{name}="{signatures.escaped(value)}"' for name, value in given.items())
        return await self.api("POST", K + path, body, token=None, headers={"Authorization": header, **(headers or {})})

    def keep(self, text: bytes) -> None:
        self.token = dict(pair.split("=") for pair in text.decode().split("&"))


async def test_oauth_from_consumer_to_token(api: Client, app: App) -> None:
    project, user = await user_of(api)
    made_one = await made(api, "consumer", "OS-OAUTH1/consumers", description="a program")
    assert "secret" not in (await ok(api, "GET", f"/OS-OAUTH1/consumers/{made_one['id']}"))["consumer"]
    ask = {"Requested-Project-Id": project}
    assert (await Consumer(api, app, made_one["id"], "wrong")("/OS-OAUTH1/request_token", headers=ask)).status == 401
    consumer = Consumer(api, app, made_one["id"], made_one["secret"])
    answer = await consumer("/OS-OAUTH1/request_token", headers=ask)
    assert answer.status == 201
    consumer.keep(answer.text)
    roles = {"roles": [{"name": "member"}]}
    verifier = (await ok(api, "PUT", f"/OS-OAUTH1/authorize/{consumer.token['oauth_token']}", roles, token="u"))["token"]["oauth_verifier"]
    assert (await consumer("/OS-OAUTH1/access_token", oauth_verifier="wrong")).status == 401
    answer = await consumer("/OS-OAUTH1/access_token", oauth_verifier=verifier)
    assert answer.status == 201
    consumer.keep(answer.text)
    answer = await consumer("/auth/tokens", {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}})
    assert answer.status == 201
    token = answer["token"]
    assert (token["user"]["id"], token["OS-OAUTH1"]["consumer_id"]) == (user, made_one["id"])
    assert {r["name"] for r in token["roles"]} == {"member", "reader"}
    text = answer.headers["x-subject-token"]
    access = (await ok(api, "GET", f"/users/{user}/OS-OAUTH1/access_tokens", token="u"))["access_tokens"][0]
    path = f"/users/{user}/OS-OAUTH1/access_tokens/{access['id']}"
    assert [r["name"] for r in (await ok(api, "GET", path + "/roles", token="u"))["roles"]] == ["member"]
    await ok(api, "DELETE", path, status=204, token="u")
    assert not await alive(api, text)
