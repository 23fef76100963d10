"""Microversion negotiation: which version a client asked for, and the headers that say so.

Source: https://specs.openstack.org/openstack/api-sig/guidelines/microversion_specification.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pileus.errors import BadRequest, NotAcceptable
from pileus.kit.context import Version


@dataclass(frozen=True, slots=True)
class Microversions:
    """What a service serves. `service` is the word in `OpenStack-API-Version: compute 2.79`; `legacy`: an older header."""

    service: str
    minimum: Version
    maximum: Version
    legacy: str = ""

    def asked(self, headers: Mapping[str, str]) -> Version:
        """The version a request asks for; the minimum when it does not say. Raises BadRequest (no version), NotAcceptable (not served)."""
        text = self._find(headers)
        if text is None:
            return self.minimum
        if text == "latest":
            return self.maximum
        return self._served(text)

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - there is one of these per service, for as long as the process lives
    def _served(self, text: str) -> Version:
        match = re.fullmatch(r"(\d+)\.(\d+)", text)
        if match is None or (len(match[1]) > 1 and match[1][0] == "0"):
            raise BadRequest(f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.", version=None)
        version = int(match[1]), int(match[2])
        if not self.minimum <= version <= self.maximum:
            raise NotAcceptable(
                f"Version {text} is not supported by the API. Minimum is {dotted(self.minimum)} and maximum is {dotted(self.maximum)}.",
                version=version,
            )
        return version

    def headers(self, version: Version) -> dict[str, str]:
        """What every answer in a version carries."""
        text = dotted(version)
        signed = {"OpenStack-API-Version": f"{self.service} {text}", "Vary": "OpenStack-API-Version"}
        if self.legacy:
            signed[self.legacy] = text
            signed["Vary"] = f"OpenStack-API-Version, {self.legacy}"
        return signed

    def _find(self, headers: Mapping[str, str]) -> str | None:
        for part in headers.get("openstack-api-version", "").split(","):
            name, _, text = part.strip().partition(" ")
            if name.lower() == self.service and text:
                return text.strip()
        return headers.get(self.legacy.lower()) if self.legacy else None


def dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
