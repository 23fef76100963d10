"""Flavors: seeds, creation, lists, extra specs, access; and key pairs."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from pileus.compute.actions import seed
from tests.api.compute import ONE, C, boot, client_of, message, show
from tests.conftest import Client

SIZE = {"ram": 64, "vcpus": 1, "disk": 1}


@pytest.fixture
def nova() -> Client:
    return client_of()


async def flavor(nova: Client, token: str = "admin", version: str | None = None, **fields: Any) -> Any:
    return await nova("POST", f"{C}/flavors", {"flavor": {"name": "f", **SIZE, **fields}}, token=token, version=version)


async def listed(nova: Client, query: str = "", token: str = "alice") -> list[str]:
    return [each["name"] for each in (await nova("GET", f"{C}/flavors?{query}", token=token))["flavors"]]


async def test_the_seed(nova: Client) -> None:
    found = {each["name"]: each for each in (await nova("GET", f"{C}/flavors/detail", token="alice"))["flavors"]}
    sizes = {name: (each["vcpus"], each["ram"], each["disk"]) for name, each in found.items()}
    assert sizes == {
        "nano": (1, 128, 1), "tiny": (1, 256, 1), "small": (1, 512, 2), "small2": (1, 1024, 4), "m1.nano": (1, 128, 1),
        "m1.micro": (1, 192, 1), "m1.tiny": (1, 512, 1), "m1.small": (1, 2048, 20), "m1.medium": (2, 4096, 40),
        "m1.large": (4, 8192, 80), "m1.xlarge": (8, 16384, 160), "cirros256": (1, 256, 1),
    }  # fmt: skip
    assert (found["m1.tiny"]["id"], found["m1.nano"]["id"], found["cirros256"]["id"]) == ("1", "42", "c1")
    await nova("DELETE", f"{C}/flavors/nano")
    seed(nova.app.cloud)
    assert "nano" not in await listed(nova), "what an admin deleted stays deleted"


async def test_spans(nova: Client) -> None:
    base = {"id", "name", "ram", "disk", "swap", "OS-FLV-EXT-DATA:ephemeral", "OS-FLV-DISABLED:disabled", "vcpus", "links", "rxtx_factor"}
    base.add("os-flavor-access:is_public")
    for version, more, swap in (("2.1", set(), ""), ("2.55", {"description"}, ""), ("2.61", {"description", "extra_specs"}, "")):
        shown = (await nova("GET", f"{C}/flavors/nano", token="alice", version=version))["flavor"]
        assert (set(shown), shown["swap"]) == (base | more, swap)
    assert (await nova("GET", f"{C}/flavors/nano", token="alice", version="2.75"))["flavor"]["swap"] == 0
    assert "was unexpected" in message(await flavor(nova, version="2.54", description="d"))
    made = await flavor(nova, version="2.55", description="d")
    assert made["flavor"]["description"] == "d"
    path = f"{C}/flavors/{made['flavor']['id']}"
    assert (await nova("PUT", path, {"flavor": {"description": "e"}}, version="2.54")).status == 404
    assert (await nova("PUT", path, {"flavor": {"description": "e"}}, version="2.55"))["flavor"]["description"] == "e"
    assert (await nova("PUT", path, {"flavor": {"ram": 1}}, version="2.55")).status == 400


async def test_creation(nova: Client) -> None:
    made = await flavor(nova, ram="64", vcpus="1", swap="0", id="auto", rxtx_factor="1.5")
    assert (made.status, made["flavor"]["id"], made["flavor"]["ram"], made["flavor"]["rxtx_factor"]) == (200, "auto", 64, 1.5)
    same = await flavor(nova)
    assert (same.status, message(same)) == (409, "Flavor with name f already exists.")
    taken = await flavor(nova, name="g", id="auto")
    assert (taken.status, message(taken)) == (409, "Flavor with ID auto already exists.")
    small = await flavor(nova, name="h", ram=0)
    assert message(small) == "Invalid input for field/attribute ram. Value: 0. 0 is less than the minimum of 1"
    member = await flavor(nova, "alice", name="h")
    assert (member.status, message(member)) == (403, "Policy doesn't allow os_compute_api:os-flavor-manage:create to be performed.")
    assert (await nova("DELETE", f"{C}/flavors/auto")).status == 202
    gone = await nova("GET", f"{C}/flavors/auto")
    assert (gone.status, message(gone)) == (404, "Flavor auto could not be found.")


async def test_lists(nova: Client) -> None:
    assert (await listed(nova))[:3] == ["m1.tiny", "m1.small", "m1.medium"]
    assert (await listed(nova, "minRam=8192&sort_key=memory_mb&sort_dir=desc")) == ["m1.xlarge", "m1.large"]
    assert (await listed(nova, "minDisk=160")) == ["m1.xlarge"]
    assert (await listed(nova, "limit=1")) == ["m1.tiny"]
    assert (await listed(nova, "limit=1&marker=1")) == ["m1.small"]
    for query, words in (("minRam=x", "Invalid minRam filter [x]"), ("marker=none", "marker [none] not found")):
        answer = await nova("GET", f"{C}/flavors?{query}", token="alice")
        assert (answer.status, message(answer)) == (400, words)


async def test_private_flavors(nova: Client) -> None:
    private: dict[str, Any] = {"os-flavor-access:is_public": False}
    made = (await flavor(nova, **private))["flavor"]
    path = f"{C}/flavors/{made['id']}"
    assert "f" not in await listed(nova, "is_public=None")
    assert await listed(nova, "is_public=false", "admin") == ["f"]
    assert "f" not in await listed(nova, "", "admin")
    assert {"f", "nano"} <= set(await listed(nova, "is_public=None", "admin"))
    hidden = await nova("GET", path, token="alice")
    assert (hidden.status, message(hidden)) == (404, f"Flavor {made['id']} could not be found.")
    add = {"addTenantAccess": {"tenant": ONE}}
    assert (await nova("POST", f"{path}/action", add, token="alice")).status == 403
    answer = await nova("POST", f"{path}/action", add)
    assert {"flavor_id": made["id"], "tenant_id": ONE} in answer["flavor_access"]
    assert (await nova("POST", f"{path}/action", add)).status == 409
    assert (await nova("GET", path, token="alice")).status == 200
    assert (await nova("GET", f"{path}/os-flavor-access")).status == 200
    assert (await nova("POST", f"{path}/action", {"removeTenantAccess": {"tenant": ONE}})).status == 200
    assert (await nova("POST", f"{path}/action", {"removeTenantAccess": {"tenant": ONE}})).status == 404
    assert (await nova("GET", path, token="alice")).status == 404
    public = await nova("GET", f"{C}/flavors/nano/os-flavor-access")
    assert (public.status, message(public)) == (404, "Access list not available for public flavors.")
    assert (await nova("POST", f"{C}/flavors/nano/action", add, version="2.7")).status == 409


async def test_extra_specs(nova: Client) -> None:
    path = f"{C}/flavors/nano/os-extra_specs"
    assert (await nova("GET", path, token="alice")).body == {"extra_specs": {}}
    assert (await nova("POST", path, {"extra_specs": {"a": "b"}}, token="alice")).status == 403
    assert (await nova("POST", path, {"extra_specs": {"a": "b"}})).body == {"extra_specs": {"a": "b"}}
    assert (await nova("PUT", f"{path}/c", {"c": "d"})).body == {"c": "d"}
    assert message(await nova("PUT", f"{path}/c", {"x": "d"})) == "Request body and URI mismatch"
    assert (await nova("GET", f"{path}/c", token="alice")).body == {"c": "d"}
    assert (await nova("DELETE", f"{path}/c")).status == 200
    missing = await nova("GET", f"{path}/c")
    assert (missing.status, message(missing)) == (404, "Flavor nano has no extra specs with key c.")
    id = await boot(nova)
    assert (await show(nova, id, version="2.47"))["flavor"]["extra_specs"] == {"a": "b"}
    await nova("DELETE", f"{path}/a")
    assert (await show(nova, id, version="2.47"))["flavor"]["extra_specs"] == {"a": "b"}, "a server keeps its copy"


# -- key pairs -----------------------------------------------------------------------------------------------------------------


async def keypair(nova: Client, token: str = "alice", version: str | None = None, **fields: Any) -> Any:
    return await nova("POST", f"{C}/os-keypairs", {"keypair": {"name": "k", **fields}}, token=token, version=version)


def line(key: Any) -> str:
    return str(key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()) + " me@host"


async def test_a_pair_that_is_made(nova: Client) -> None:
    made = await keypair(nova)
    assert made.status == 200
    assert set(made["keypair"]) == {"name", "public_key", "fingerprint", "user_id", "private_key"}
    private = serialization.load_pem_private_key(made["keypair"]["private_key"].encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    assert made["keypair"]["public_key"] == f"{public} Generated-by-Nova"
    kept = nova.app.store.find("keypair")
    assert made["keypair"]["private_key"] not in str(kept)
    assert "PRIVATE" not in str(kept)
    later = await keypair(nova, version="2.2", name="k2", type="ssh")
    assert (later.status, later["keypair"]["type"]) == (201, "ssh")


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())], ids=["ed25519", "ecdsa"])
async def test_a_pair_that_is_brought(nova: Client, key: Any) -> None:
    import base64
    import hashlib

    text = line(key)
    made = await keypair(nova, public_key=text)
    assert set(made["keypair"]) == {"name", "public_key", "fingerprint", "user_id"}
    assert made["keypair"]["public_key"] == text
    digest = hashlib.md5(base64.b64decode(text.split()[1]), usedforsecurity=False).hexdigest()
    assert made["keypair"]["fingerprint"].replace(":", "") == digest
    same = await keypair(nova, public_key=text)
    assert (same.status, message(same)) == (409, "Key pair 'k' already exists.")


async def test_what_is_no_key(nova: Client) -> None:
    for junk in ("junk", "ssh-rsa AAAA", "ssh-ed25519 " + "A" * 68, ""):
        answer = await keypair(nova, public_key=junk)
        assert (answer.status, message(answer)) == (400, "Keypair data is invalid: failed to generate fingerprint")
    slash = await keypair(nova, name="a/b")
    assert message(slash).startswith("An invalid 'name' value was provided. The name must be: Only expected characters: [_- 0123")
    assert "was unexpected" in message(await keypair(nova, type="ssh"))


async def test_lists_show_and_deletion(nova: Client) -> None:
    text = line(ed25519.Ed25519PrivateKey.generate())
    for name in ("b", "a", "c"):
        await keypair(nova, name=name, public_key=text)
    found = await nova("GET", f"{C}/os-keypairs", token="alice")
    assert [set(each["keypair"]) for each in found["keypairs"]] == [{"name", "public_key", "fingerprint"}] * 3
    page = await nova("GET", f"{C}/os-keypairs?limit=1&marker=a", token="alice", version="2.35")
    assert [each["keypair"]["name"] for each in page["keypairs"]] == ["b"]
    assert page["keypairs_links"][0]["rel"] == "next"
    shown = await nova("GET", f"{C}/os-keypairs/a", token="alice", version="2.2")
    assert set(shown["keypair"]) == {
        "name", "type", "public_key", "fingerprint", "user_id", "created_at", "deleted", "deleted_at", "id", "updated_at",
    }  # fmt: skip
    assert (await nova("GET", f"{C}/os-keypairs", token="bob"))["keypairs"] == []
    assert (await nova("DELETE", f"{C}/os-keypairs/a", token="alice")).status == 202
    assert (await nova("DELETE", f"{C}/os-keypairs/b", token="alice", version="2.2")).status == 204
    missing = await nova("DELETE", f"{C}/os-keypairs/a", token="alice")
    assert (missing.status, message(missing)) == (404, f"Keypair a not found for user {'alice' * 4}")


async def test_an_admin_speaks_for_others_from_2_10_on(nova: Client) -> None:
    text, alice = line(ed25519.Ed25519PrivateKey.generate()), "alice" * 4
    assert (await keypair(nova, "admin", "2.10", public_key=text, user_id=alice)).status == 201
    assert (await nova("GET", f"{C}/os-keypairs/k", token="alice")).status == 200
    assert (await nova("GET", f"{C}/os-keypairs/k?user_id={alice}", version="2.10")).status == 200
    assert (await nova("GET", f"{C}/os-keypairs/k?user_id={alice}", version="2.9")).status == 404
    assert (await nova("GET", f"{C}/os-keypairs/k?user_id={alice}", token="bob", version="2.10")).status == 403
    assert (await keypair(nova, "bob", "2.10", public_key=text, user_id=alice)).status == 403


async def test_the_quota_of_keys(nova: Client) -> None:
    await nova("PUT", f"{C}/os-quota-sets/{ONE}", {"quota_set": {"key_pairs": 1}})
    text = line(ed25519.Ed25519PrivateKey.generate())
    assert (await keypair(nova, public_key=text)).status == 200
    full = await keypair(nova, name="more", public_key=text)
    assert (full.status, message(full)) == (403, "Quota exceeded, too many key pairs.")
