"""Types of many values: lists, and objects with parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pileus.errors import BadRequest
from pileus.kit.resource import Mismatch, Type
from pileus.network.types.scalar import Address, Cidr, Flag, Id, Mac, PlainPrefix, address_of, network_of
from pileus.network.types.words import CONVERT, invalid_input, malformed
from pileus.openstack.types import is_uuid


def _unique(items: Sequence[Any]) -> list[Any]:
    """The items that come more than once."""
    twice: list[Any] = []
    for i, item in enumerate(items):
        if item in items[:i] and item not in twice:
            twice.append(item)
    return twice


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of different items of one type; null is the empty list. `merge`: items that come twice are one (a port's groups)."""

    of: Type
    merge: bool = False

    def parse(self, value: Any, /) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Mismatch(f"'{value}' is not a list", value)
        if (twice := _unique(value)) and not self.merge:
            raise Mismatch(f"Duplicate items in the list: '{', '.join(map(str, twice))}'", value)
        items = [self.of.parse(item) for item in value]
        return list(dict.fromkeys(items)) if self.merge else items

    def schema(self) -> dict[str, Any]:
        return {"type": ["array", "null"], "items": self.of.schema(), "uniqueItems": not self.merge}


class Pools:
    """Allocation pools: `[{start, end}]`."""

    def parse(self, value: Any, /) -> list[dict[str, str]]:
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(pool, dict) for pool in value):
            raise Mismatch("Invalid data format for allocation pools", value, rule=CONVERT)
        pools = []
        for pool in value:
            wrong_keys(pool, ("start", "end"))
            ends = {}
            for key in ("start", "end"):
                if (address := address_of(pool[key])) is None:
                    raise Mismatch(f"'{pool[key]}' is not a valid IP address", value)
                ends[key] = str(address)
            pools.append(ends)
        return pools

    def schema(self) -> dict[str, Any]:
        pool = {"type": "object", "properties": {"start": Address().schema(), "end": Address().schema()}, "required": ["start", "end"]}
        return {"type": "array", "items": pool}


def wrong_keys(given: Any, expected: tuple[str, ...]) -> None:
    """Raise Mismatch unless `given` is an object with exactly these keys."""
    if not isinstance(given, dict):
        raise Mismatch(f"Invalid input. '{given}' must be a dictionary with keys: {list(expected)}", given)
    if set(given) != set(expected):
        listed = ", ".join(repr(key) for key in sorted(expected))
        provided = ", ".join(repr(key) for key in sorted(given))
        reason = f"Validation of dictionary's keys failed. Expected keys: {{{listed}}} Provided keys: {{{provided}}}"
        raise Mismatch(reason, given)


class Prefixes:
    """Different ranges of addresses, each with its prefix length. Bits to the right of a prefix are dropped."""

    def parse(self, value: Any, /) -> list[str]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Mismatch(f"'{value}' is not a list", value)
        if twice := _unique(value):
            raise Mismatch(f"Duplicate items in the list: '{', '.join(map(str, twice))}'", value)
        found = [str(PlainPrefix().parse(item if item is not None else "")) for item in value]
        return list(dict.fromkeys(found))

    def schema(self) -> dict[str, Any]:
        return {"type": ["array", "null"], "items": Cidr().schema(), "uniqueItems": True}


class PoolPrefixes(Prefixes):
    """The same for a pool, where one range alone needs no list."""

    def parse(self, value: Any, /) -> list[str]:
        return super().parse([value] if isinstance(value, str) else value)


class Nameservers:
    """Different IP addresses."""

    def parse(self, value: Any, /) -> list[str]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Mismatch(f"Invalid data format for nameserver: '{value}'", value)
        for i, host in enumerate(value):
            if address_of(host) is None:
                raise Mismatch(f"'{host}' is not a valid nameserver. '{host}' is not a valid IP address", value)
            if host in value[:i]:
                raise Mismatch(f"Duplicate nameserver '{host}'", value)
        return [str(address_of(host)) for host in value]

    def schema(self) -> dict[str, Any]:
        return {"type": ["array", "null"], "items": Address().schema(), "uniqueItems": True}


class Routes:
    """`[{destination, nexthop}]`: host routes of a subnet, extra routes of a router."""

    def parse(self, value: Any, /) -> list[dict[str, str]]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Mismatch(f"Invalid data format for hostroute: '{value}'", value)
        for i, route in enumerate(value):
            wrong_keys(route, ("destination", "nexthop"))
            destination = network_of(route["destination"], strict=True)
            if destination is None or "/" not in route["destination"]:
                raise Mismatch(f"'{route['destination']}' is not a valid CIDR", value)
            if destination.is_loopback:
                raise Mismatch(f"'{route['destination']}' is not a routable CIDR", value)
            if address_of(route["nexthop"]) is None:
                raise Mismatch(f"'{route['nexthop']}' is not a valid IP address", value)
            if route in value[:i]:
                raise Mismatch(f"Duplicate hostroute '{route}'", value)
        return [dict(route) for route in value]

    def schema(self) -> dict[str, Any]:
        parts = {"destination": Cidr().schema(), "nexthop": Address().schema()}
        return {"type": ["array", "null"], "items": {"type": "object", "properties": parts, "required": list(parts)}}


class FixedIps:
    """`[{subnet_id, ip_address}]`, either or both: the addresses a port is to have."""

    def parse(self, value: Any, /) -> list[dict[str, str]] | None:
        if not isinstance(value, list):
            raise Mismatch(f"Invalid data format for fixed IP: '{value}'", value)
        seen: list[str] = []
        parsed = []
        for item in value:
            if not isinstance(item, dict):
                raise Mismatch(f"Invalid data format for fixed IP: '{item}'", value)
            clean = {key: item[key] for key in ("subnet_id", "ip_address") if item.get(key) is not None}
            if (text := clean.get("ip_address")) is not None:
                address = address_of(text)
                if text in seen:
                    raise Mismatch(f"Duplicate IP address '{text}'", value)
                if address is None:
                    raise Mismatch(f"'{text}' is not a valid IP address", value)
                seen.append(text)
                clean["ip_address"] = str(address)
            if "subnet_id" in clean and not is_uuid(clean["subnet_id"]):
                raise Mismatch(f"'{clean['subnet_id']}' is not a valid UUID", value)
            parsed.append(clean)
        return parsed

    def schema(self) -> dict[str, Any]:
        parts = {"subnet_id": Id().schema(), "ip_address": Address().schema()}
        return {"type": "array", "items": {"type": "object", "properties": parts}}


class AddressPairs:
    """`[{ip_address, mac_address}]`: what a port may send from besides its own; an address may be a range."""

    MAX = 10

    def parse(self, value: Any, /) -> list[dict[str, str]]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise malformed("Allowed address pairs must be a list.")
        if len(value) > self.MAX:
            raise BadRequest(f"The number of allowed address pair exceeds the maximum {self.MAX}.", type="AllowedAddressPairExhausted")
        parsed = [self._pair(item) for item in value]
        for pair in _unique(parsed):
            raise BadRequest(
                f"Request contains duplicate address pair: mac_address {pair.get('mac_address')} ip_address {pair['ip_address']}.",
                type="DuplicateAddressPairInRequest",
            )
        return parsed

    def _pair(self, item: Any) -> dict[str, str]:
        if not isinstance(item, dict):
            raise Mismatch(f"'{item}' is not a dictionary", item)
        pair: dict[str, str] = {}
        if item.get("mac_address") is not None:
            try:
                pair["mac_address"] = str(Mac().parse(item["mac_address"]))
            except Mismatch as mismatch:
                raise malformed(mismatch.reason) from None
        if "ip_address" not in item:
            raise BadRequest("AllowedAddressPair must contain ip_address", type="AllowedAddressPairsMissingIP")
        if unknown := set(item) - {"mac_address", "ip_address"}:
            raise malformed(f"Unrecognized attribute(s) '{', '.join(sorted(unknown))}'")
        text = item["ip_address"]
        if isinstance(text, str) and "/" in text:
            if network_of(text) is None:
                raise malformed(f"'{text}' is not a valid IP subnet")
        elif address_of(text) is None:
            raise malformed(f"'{text}' is not a valid IP address")
        pair["ip_address"] = text
        return pair

    def schema(self) -> dict[str, Any]:
        parts = {"ip_address": {"type": "string"}, "mac_address": Mac().schema()}
        return {"type": ["array", "null"], "items": {"type": "object", "properties": parts, "required": ["ip_address"]}}


class DhcpOptions:
    """`[{opt_name, opt_value, ip_version}]`; a value of null, at update, takes the option away."""

    def parse(self, value: Any, /) -> list[dict[str, Any]]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise invalid_input(f"'{value}' is not a list")
        if twice := _unique(value):
            raise invalid_input(f"Duplicate items in the list: '{', '.join(map(str, twice))}'")
        return [self._option(item) for item in value]

    def _option(self, item: Any) -> dict[str, Any]:
        refusal = invalid_input(f"No valid key specs matched for: {item}")
        if not isinstance(item, dict) or not {"opt_name", "opt_value"} <= set(item) <= {"opt_name", "opt_value", "ip_version"}:
            raise refusal
        name, text, version = item["opt_name"], item["opt_value"], item.get("ip_version", 4)
        blank_allowed = name in ("router", "classless-static-route")
        fits = isinstance(name, str) and name.strip() and len(name) <= 64 and "\n" not in name
        if text is not None:
            fits = fits and isinstance(text, str) and len(text) <= 255 and "\n" not in text and bool(text.strip() or blank_allowed)
        if not fits or str(version) not in ("4", "6"):
            raise refusal
        return {"opt_name": name, "opt_value": text, "ip_version": int(version)}

    def schema(self) -> dict[str, Any]:
        parts = {"opt_name": {"type": "string"}, "opt_value": {"type": ["string", "null"]}, "ip_version": {"enum": [4, 6]}}
        return {"type": ["array", "null"], "items": {"type": "object", "properties": parts, "required": ["opt_name", "opt_value"]}}


class Gateway:
    """A router's `external_gateway_info`: null or `{}` for none, else `{network_id, enable_snat, external_fixed_ips}`."""

    def parse(self, value: Any, /) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Mismatch(f"'{value}' is not a dictionary", value)
        if not value:
            return {}
        if unknown := set(value) - {"network_id", "enable_snat", "external_fixed_ips", "qos_policy_id"}:
            listed = "network_id, enable_snat, external_fixed_ips"
            raise Mismatch(f"Unexpected keys supplied: {', '.join(sorted(unknown))}; known are {listed}", value)
        if "network_id" not in value:
            raise Mismatch("Validation of dictionary's keys failed. Expected keys: {'network_id'} Provided keys: " + str(set(value)), value)
        parsed: dict[str, Any] = {"network_id": Id().parse(value["network_id"])}
        if value.get("enable_snat") is not None:
            parsed["enable_snat"] = Flag().parse(value["enable_snat"])
        if value.get("external_fixed_ips") is not None:
            parsed["external_fixed_ips"] = FixedIps().parse(value["external_fixed_ips"])
        if "qos_policy_id" in value:
            parsed["qos_policy_id"] = Id(null=True).parse(value["qos_policy_id"])
        return parsed

    def schema(self) -> dict[str, Any]:
        parts = {"network_id": Id().schema(), "enable_snat": Flag().schema(), "external_fixed_ips": FixedIps().schema()}
        return {"type": ["object", "null"], "properties": {**parts, "qos_policy_id": Id(null=True).schema()}}


class Metainfo:
    """What a driver is told: text, or JSON kept as text."""

    MAX = 4096

    def parse(self, value: Any, /) -> str:
        if value is None:
            return ""
        text = value if isinstance(value, str) else json.dumps(value)
        if len(text) > self.MAX:
            raise Mismatch(f"'{text[:32]}...' exceeds maximum length of {self.MAX}", value)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "object", "null"], "maxLength": self.MAX}


class Anyhow:
    """An object, kept as it came; null is the empty one."""

    def parse(self, value: Any, /) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Mismatch(f"'{value}' is not a dictionary", value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": ["object", "null"]}
