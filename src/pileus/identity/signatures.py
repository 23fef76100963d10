"""Signed requests: EC2's versions 0, 1, 2 and 4, and OAuth 1.0a. Whoever has the secret can make the same signature; nobody sends it.

Sources: https://docs.aws.amazon.com/general/latest/gr/signature-version-4.html, its forerunners, and RFC 5849.
Not here: whose secret it is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

DIGESTS = {"HMAC-SHA1": hashlib.sha1, "HmacSHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256, "HmacSHA256": hashlib.sha256}


def _sign(secret: bytes, text: str, digest: Any) -> bytes:
    return hmac.new(secret, text.encode(), digest).digest()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def escaped(text: str) -> str:
    """Percent-encoded as RFC 3986 has it, tilde and all."""
    return quote(text, safe="-_.~")


# -- EC2 -------------------------------------------------------------------------------------------------------------------


def ec2(given: Mapping[str, Any], secret: str) -> str | None:
    """The signature that a request, as EC2 services hand it on for checking, ought to have; None for a version that is not known.

    given  signature, verb, host, path, params, headers, body_hash
    """
    params: dict[str, str] = {str(k): str(v) for k, v in (given.get("params") or {}).items()}
    headers = {str(k).lower(): str(v) for k, v in (given.get("headers") or {}).items()}
    version = params.get("SignatureVersion")
    key = secret.encode()
    if version == "0":
        return _base64(_sign(key, params.get("Action", "") + params.get("Timestamp", ""), hashlib.sha1))
    unsigned = {name: value for name, value in params.items() if name != "Signature"}
    if version == "1":
        text = "".join(name + unsigned[name] for name in sorted(unsigned, key=str.lower))
        return _base64(_sign(key, text, hashlib.sha1))
    if version == "2":
        query = "&".join(f"{escaped(name)}={escaped(unsigned[name])}" for name in sorted(unsigned))
        text = "\n".join([str(given.get("verb")), str(given.get("host")), str(given.get("path")), query])
        return _base64(_sign(key, text, DIGESTS.get(params.get("SignatureMethod", ""), hashlib.sha1)))
    if headers.get("authorization", "").startswith("AWS4-HMAC-SHA256") or params.get("X-Amz-Algorithm") == "AWS4-HMAC-SHA256":
        return _version_4(given, params, headers, key)
    return None


def _version_4(given: Mapping[str, Any], params: Mapping[str, str], headers: Mapping[str, str], key: bytes) -> str | None:
    authorization = dict(
        part.strip().partition("=")[::2] for part in headers.get("authorization", "").partition(" ")[2].split(",") if "=" in part
    )
    scope = params.get("X-Amz-Credential") or authorization.get("Credential", "")
    signed = (params.get("X-Amz-SignedHeaders") or authorization.get("SignedHeaders", "")).split(";")
    date = params.get("X-Amz-Date") or headers.get("x-amz-date", "")
    parts = scope.split("/")[1:]
    if len(parts) != 4 or not date:
        return None
    query = "&".join(f"{escaped(name)}={escaped(params[name])}" for name in sorted(params) if name != "X-Amz-Signature")
    if given.get("verb") == "POST" and "X-Amz-Credential" not in params:
        query = ""
    seen = {**headers, "host": headers.get("host") or str(given.get("host"))}
    canonical = "\n".join(
        [
            str(given.get("verb")),
            str(given.get("path")),
            query,
            "".join(f"{name.lower()}:{seen.get(name.lower(), '').strip()}\n" for name in signed),
            ";".join(signed),
            str(given.get("body_hash") or ""),
        ]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", date, "/".join(parts), hashlib.sha256(canonical.encode()).hexdigest()])
    return _chained(key, parts, text)


def _chained(key: bytes, scope: Iterable[str], text: str) -> str:
    """Version 4 signs with a key that is derived for a day, a region and a service."""
    key = b"AWS4" + key
    for part in scope:
        key = _sign(key, part, hashlib.sha256)
    return _sign(key, text, hashlib.sha256).hex()


def ec2_access(given: Mapping[str, Any]) -> str | None:
    """Whose signature a request says it has: the access part of a key."""
    if isinstance(access := given.get("access"), str):
        return access
    credential = (given.get("params") or {}).get("X-Amz-Credential")
    return str(credential).split("/")[0] if credential else None


def s3(token: str, secret: str) -> str | None:
    """The signature of an S3 request, whose text to sign comes whole, in base64; None for what is no such text."""
    try:
        text = base64.b64decode(token, validate=True).decode()
    except ValueError:
        return None
    lines = text.split("\n")
    if lines[0] != "AWS4-HMAC-SHA256":
        return _base64(_sign(secret.encode(), text, hashlib.sha1))
    if len(lines) != 4:
        return None
    return _chained(secret.encode(), lines[2].split("/"), text)


# -- OAuth -----------------------------------------------------------------------------------------------------------------


def oauth_parameters(header: str) -> dict[str, str]:
    """The `oauth_` parameters of an Authorization header; empty when it is none of OAuth's."""
    kind, _, rest = header.partition(" ")
    if kind.lower() != "oauth":
        return {}
    pairs = (part.strip().partition("=")[::2] for part in rest.split(",") if "=" in part)
    return {unquote(name): unquote(value.strip('"')) for name, value in pairs}


def oauth(method: str, url: str, parameters: Mapping[str, str], query: Iterable[tuple[str, str]], secrets: tuple[str, str]) -> str | None:
    """The signature that a request ought to have. `secrets`: the consumer's and the token's. None for a method that is not known."""
    key = "&".join(escaped(secret) for secret in secrets)
    how = parameters.get("oauth_signature_method", "")
    if how not in ("HMAC-SHA1", "HMAC-SHA256"):
        return None
    signed = [(name, value) for name, value in parameters.items() if name not in ("realm", "oauth_signature")] + list(query)
    text = "&".join(f"{name}={value}" for name, value in sorted((escaped(name), escaped(value)) for name, value in signed))
    parts = urlsplit(url)
    place = f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path}"
    return _base64(_sign(key.encode(), "&".join(escaped(each) for each in (method.upper(), place, text)), DIGESTS[how]))


def same(left: str | None, right: str) -> bool:
    """Whether two signatures are equal, without telling by the time how far they are."""
    return left is not None and hmac.compare_digest(left.encode(), right.encode())
