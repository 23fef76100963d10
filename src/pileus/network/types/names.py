"""Names in DNS: what one may be, and what a port is called that was given none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pileus.kit.resource import Mismatch

DOMAIN = "openstacklocal"  # Neutron's default dns_domain: where the names of ports are
LONGEST = 255
_LABEL = re.compile(r"[a-z0-9-]{1,63}")


def plain_name(address: str) -> str:
    """The name of a port that was given none: `host-10-0-2-1`."""
    return "host-" + address.replace(".", "-").replace(":", "-")


def within(dns_name: str) -> str:
    """A port's name within DOMAIN, also when it was given in full."""
    return dns_name.removesuffix(".").removesuffix(f".{DOMAIN}") if dns_name.endswith(".") else dns_name


def _check(text: str) -> None:
    """Raise Mismatch unless the text is a name, in Neutron's words."""
    trimmed = text.removesuffix(".")
    labels = trimmed.split(".")
    reason = ""
    if len(trimmed) > LONGEST:
        reason = f"'{trimmed}' exceeds the {LONGEST} character FQDN limit"
    elif "" in labels:
        reason = "Encountered an empty component"
    elif wrong := next((label for label in labels if label.startswith("-") or label.endswith("-")), ""):
        reason = f"Name '{wrong}' must not start or end with a hyphen"
    elif wrong := next((label for label in labels if not _LABEL.fullmatch(label)), ""):
        reason = f"Name '{wrong}' must be 1-63 characters long, each of which can only be alphanumeric or a hyphen"
    elif len(labels) > 1 and labels[-1].isdigit():
        reason = f"TLD '{labels[-1]}' must not be all numeric"
    if reason:
        raise Mismatch(f"'{text}' not a valid PQDN or FQDN. Reason: {reason}", text)


@dataclass(frozen=True, slots=True)
class DnsName:
    """A host's name, in lower case; empty for none. `domain`: a whole domain's, with its last dot; `relative`: never with one."""

    domain: bool = False
    relative: bool = False

    def parse(self, value: Any, /) -> str:
        if not isinstance(value, str):
            raise Mismatch(f"'{value}' is not a valid string", value)
        text = value.lower()
        if not text:
            return text
        if self.domain and not text.endswith("."):
            raise Mismatch(f"'{text}' is not a FQDN", value)
        if self.relative and text.endswith("."):
            raise Mismatch(f"'{text}' is a FQDN. It should be a relative domain name", value)
        _check(text)
        if not (self.domain or self.relative) and text.endswith(".") and not text.endswith(f".{DOMAIN}."):
            words = (
                "The dns_name passed is a FQDN. Its higher level labels must be equal to the dns_domain option in neutron.conf, that has"
            )
            rest = f"been set to '{DOMAIN}'. It must also include one or more valid DNS labels to the left of '{DOMAIN}.'"
            raise Mismatch(f"{words} {rest}", value)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": LONGEST}
