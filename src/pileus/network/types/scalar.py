"""Types of one value: text, numbers, identifiers, addresses. Converted first and validated then, as in Neutron."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from pileus.kit.resource import Mismatch
from pileus.network.types.words import CONVERT
from pileus.openstack.types import is_uuid

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

LAST_PORT = 65535
LARGEST = 2**31 - 1  # what Neutron's columns hold

TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
FALSE = frozenset({"0", "f", "false", "off", "n", "no"})


def address_of(text: Any) -> IPAddress | None:
    """The address that a text is, or None. Numbers are no addresses."""
    try:
        return ipaddress.ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None


def network_of(text: Any, *, strict: bool = False) -> IPNetwork | None:
    """The range that a text is, or None; `strict`: no bits set to the right of the prefix."""
    try:
        return ipaddress.ip_network(text, strict=strict) if isinstance(text, str) and not re.search(r"\s", text) else None
    except ValueError:
        return None


def link_local_of(mac: str) -> str:
    """The link-local address that a host makes of its MAC (RFC 4291, appendix A)."""
    digits = bytes.fromhex(mac.replace(":", ""))
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes([digits[0] ^ 2]) + digits[1:3] + b"\xff\xfe" + digits[3:]))


def mac_of(link_local: str) -> str:
    """The MAC that a host made its link-local address of (RFC 4291, appendix A); empty when it did not."""
    tail = ipaddress.IPv6Address(link_local).packed[8:]
    return (bytes([tail[0] ^ 2]) + tail[1:3] + tail[5:]).hex(":") if tail[3:5] == b"\xff\xfe" else ""


@dataclass(frozen=True, slots=True)
class Text:
    """Text of at most `max` characters. `null`: null is taken and kept; `filled`: blank text is refused."""

    max: int | None = 255
    null: bool = False
    filled: bool = False

    def parse(self, value: Any, /) -> str | None:
        if value is None and self.null:
            return None
        if not isinstance(value, str):
            raise Mismatch(f"'{value}' is not a valid string", value)
        if self.max is not None and len(value) > self.max:
            raise Mismatch(f"'{value}' exceeds maximum length of {self.max}", value)
        if self.filled and not value.strip():
            raise Mismatch(f"'{value}' Blank strings are not permitted", value)
        return value

    def schema(self) -> dict[str, Any]:
        out: dict[str, Any] = {"type": ["string", "null"] if self.null else "string"}
        return out if self.max is None else {**out, "maxLength": self.max}


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean, or one of the words and digits that oslo takes for one."""

    null: bool = False

    def parse(self, value: Any, /) -> bool | None:
        if value is None and self.null:
            return None
        word = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
        if word in TRUE or word in FALSE:
            return word in TRUE
        raise Mismatch(f"'{value}' cannot be converted to boolean", value, rule=CONVERT)

    def schema(self) -> dict[str, Any]:
        return {"type": ["boolean", "string", "integer"]}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number, or text of one, in a range or among some values."""

    min: int | None = None
    max: int | None = None
    values: tuple[int, ...] = ()
    null: bool = False

    def parse(self, value: Any, /) -> int | None:
        if value is None and self.null:
            return None
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            raise Mismatch(f"'{value}' is not an integer", value, rule=CONVERT) from None
        if abs(number) > LARGEST:
            raise Mismatch(f"'{value}' is too large - must be no larger than '{LARGEST}'", value)
        if self.values and number not in self.values:
            raise Mismatch(f"{number} is not in valid_values", value)
        if self.min is not None and number < self.min:
            raise Mismatch(f"'{number}' is too small - must be at least '{self.min}'", value)
        if self.max is not None and number > self.max:
            raise Mismatch(f"'{number}' is too large - must be no larger than '{self.max}'", value)
        return number

    def schema(self) -> dict[str, Any]:
        out: dict[str, Any] = {"type": ["integer", "string"]}
        if self.values:
            out["enum"] = list(self.values)
        for key, bound in (("minimum", self.min), ("maximum", self.max)):
            if bound is not None:
                out[key] = bound
        return out


@dataclass(frozen=True, slots=True)
class Id:
    """A UUID."""

    null: bool = False

    def parse(self, value: Any, /) -> str | None:
        if value is None and self.null:
            return None
        if not is_uuid(value):
            raise Mismatch(f"'{value}' is not a valid UUID", value)
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "null"] if self.null else "string", "format": "uuid"}


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words."""

    values: tuple[str, ...]
    null: bool = False

    def parse(self, value: Any, /) -> str | None:
        if value is None and self.null:
            return None
        if value not in self.values:
            raise Mismatch(f"{value} is not in valid_values", value)
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"enum": [*self.values, None] if self.null else list(self.values)}


class PortRange:
    """Ports as `80:90`, or one of them; kept as the first and the last. Null is none."""

    def parse(self, value: Any, /) -> tuple[int, int] | None:
        if value is None:
            return None
        ports = str(value).split(":")
        if len(ports) > 2 or not all(ports):
            raise Mismatch("Port range must be two integers separated by a colon", value)
        for port in ports:
            if not (port.isascii() and port.isdigit() and int(port) <= LAST_PORT):
                raise Mismatch(f"Invalid port: {port}", value)
            if int(port) < 1:
                raise Mismatch(f"Invalid port: {port}, the port must be in the range [1, {LAST_PORT}]", value)
        first, last = int(ports[0]), int(ports[-1])
        if first > last:
            raise Mismatch("First port in a port range must be lower than the second port", value)
        return first, last

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "null"], "pattern": "^[0-9]+(:[0-9]+)?$"}


@dataclass(frozen=True, slots=True)
class Mac:
    """A hardware address, kept in lower case with colons. All zeros and the broadcast address are refused."""

    null: bool = False

    def parse(self, value: Any, /) -> str | None:
        if value is None and self.null:
            return None
        digits = re.sub(r"[-:.]", "", value).lower() if isinstance(value, str) else ""
        groups = r"([0-9a-fA-F]{2}([-:])[0-9a-fA-F]{2}(\2[0-9a-fA-F]{2}){4}|([0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}|[0-9a-fA-F]{12})"
        if not re.fullmatch(groups, value if isinstance(value, str) else "") or digits in ("0" * 12, "f" * 12):
            raise Mismatch(f"'{value}' is not a valid MAC address", value)
        return ":".join(digits[i : i + 2] for i in range(0, 12, 2))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"}


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address; IPv6 in its shortest form."""

    null: bool = False

    def parse(self, value: Any, /) -> str | None:
        if value is None and self.null:
            return None
        address = address_of(value)
        if address is None:
            raise Mismatch(f"'{value}' is not a valid IP address", value)
        return str(address)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "null"] if self.null else "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}, {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class Cidr:
    """A range of addresses. Bits to the right of the prefix are dropped."""

    def parse(self, value: Any, /) -> str:
        network = network_of(value)
        if network is None:
            raise Mismatch(f"{value} is not in a CIDR format", value, rule=CONVERT)
        return str(network)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "cidr"}


class PlainPrefix:
    """A range of addresses with its prefix length; null is none. Bits to the right of the prefix are dropped."""

    def parse(self, value: Any, /) -> str | None:
        if value is None:
            return None
        network = network_of(value)
        if network is None or "/" not in value:
            raise Mismatch(f"'{value}' is not a valid IP subnet", value)
        return str(network)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "null"], "format": "cidr"}


class ObjectType:
    """A kind of thing that can be shared, in any case."""

    VALUES = ("address_group", "address_scope", "network", "qos_policy", "security_group", "subnetpool")

    def parse(self, value: Any, /) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in self.VALUES:
            raise Mismatch(f"'{value}' is not a valid RBAC object type", value, rule=CONVERT)
        return word

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.VALUES)}
