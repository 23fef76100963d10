"""Signatures and passcodes, against the examples of those who defined them; and the patterns of access rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.errors import SettingError
from pileus.identity import signatures, totp, vault
from pileus.kit.clock import Clock
from pileus.kit.context import AccessRule, Cloud
from pileus.kit.store import Store

SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # RFC 6238's: 12345678901234567890


@pytest.mark.parametrize(("seconds", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")])
def test_passcodes_of_rfc_6238(seconds: int, code: str) -> None:
    now = seconds * 1_000_000
    assert totp.passcode(SEED, now // totp.STEP) == code
    assert totp.fits(SEED, code, now)
    assert totp.fits(SEED, code, now + totp.STEP)
    assert not totp.fits(SEED, code, now + 2 * totp.STEP)
    assert not totp.fits("not base32!", code, now)


def test_oauth_as_in_rfc_5849_section_1_2() -> None:
    given = {
        "realm": "Photos",
        "oauth_consumer_key": "dpf43f3p2l4k3l03",
        "oauth_token": "nnch734d00sl2jdk",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "137131202",
        "oauth_nonce": "chapoH",
    }
    query = [("file", "vacation.jpg"), ("size", "original")]
    found = signatures.oauth("GET", "http://photos.example.net/photos", given, query, ("kd94hf93k423kf44", "pfkkdhi9sl3r4s00"))
    assert found == "MdpQcU8iPSUjWoN/UDMsK2sui9I="
    assert signatures.oauth("GET", "http://x/", {**given, "oauth_signature_method": "PLAINTEXT"}, [], ("a", "b")) is None


def test_an_oauth_header_is_read() -> None:
    header = 'OAuth realm="x", oauth_token="a%2Bb", oauth_signature="c%3D"'
    assert signatures.oauth_parameters(header) == {"realm": "x", "oauth_token": "a+b", "oauth_signature": "c="}
    assert signatures.oauth_parameters("Basic abc") == {}


def test_version_4_as_in_amazons_test_suite() -> None:
    """get-vanilla of https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html."""
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=x"
    )
    given = {
        "verb": "GET",
        "host": "example.amazonaws.com",
        "path": "/",
        "params": {},
        "headers": {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z", "Authorization": authorization},
        "body_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
    found = signatures.ec2(given, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    assert found == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    assert signatures.ec2({**given, "path": "/x"}, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY") != found


def test_versions_that_are_not_known() -> None:
    assert signatures.ec2({"params": {"SignatureVersion": "3"}}, "s") is None
    assert signatures.s3("no base64!", "s") is None
    assert not signatures.same(None, "")


@pytest.mark.parametrize(
    ("path", "asked", "allowed"),
    [
        ("/v2.1/servers", "/v2.1/servers", True),
        ("/v2.1/servers", "/v2.1/servers/1", False),
        ("/v2.1/servers/*", "/v2.1/servers/1", True),
        ("/v2.1/servers/*", "/v2.1/servers/1/ips", False),
        ("/v2.1/servers/{server_id}/ips", "/v2.1/servers/1/ips", True),
        ("/v2.1/**", "/v2.1/servers/1/ips", True),
        ("/v2.1/servers/*/ips", "/v2.1/servers//ips", False),
        ("/v2.0/a.b", "/v2x0/axb", False),
    ],
)
def test_paths_of_access_rules(path: str, asked: str, allowed: bool) -> None:
    rule = AccessRule("compute", "GET", path)
    assert rule.allows("compute", "GET", asked) is allowed
    assert not rule.allows("compute", "POST", asked)
    assert not rule.allows("image", "GET", asked)


def test_the_key_of_kept_secrets(tmp_path: Path) -> None:
    key = vault.load_key(tmp_path)
    assert vault.load_key(tmp_path) == key
    assert (tmp_path / vault.FILE).stat().st_mode & 0o777 == 0o600
    cloud = Cloud(Store(":memory:", []), Clock(), lambda kind, id: None, key=key)
    kept = vault.seal(cloud, "a secret")
    assert "secret" not in kept
    assert vault.unseal(cloud, kept) == "a secret"
    assert key.decode() not in repr(cloud)
    (tmp_path / vault.FILE).write_text("not a key")
    with pytest.raises(SettingError, match="is not a key"):
        vault.load_key(tmp_path)
