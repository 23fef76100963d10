"""What a list request asks for: filters, order, page and fields, in Neutron's words where it makes no sense.

Not here: what the caller may see (actions/scope.py) and how a page is read (openstack/listing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pileus.errors import BadRequest
from pileus.kit.clock import micros
from pileus.kit.context import Context
from pileus.kit.resource import Mismatch, Resource
from pileus.kit.store import Row
from pileus.kit.web import Request
from pileus.network.types import Flag, Mac, Whole, bad_request, invalid_input, malformed
from pileus.openstack.listing import Listing

Term = tuple[str, tuple[Any, ...]]
Filter = Callable[[list[str]], Term]


@dataclass(frozen=True, slots=True)
class OfCaller:
    """A filter that depends on who asks."""

    term: Callable[[Context, list[str]], Term]


Special = Filter | OfCaller
CONTROLS = frozenset({"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"})
MOST_DIGITS = 15  # of a limit; more things than that there are not
CONVERTED = (Flag, Whole, Mac)  # types that Neutron converts in a filter too


@dataclass(slots=True)
class Asked:
    """A list request: what to fetch, and of each thing which fields (none: all)."""

    listing: Listing
    fields: list[str]


def asked(request: Request, resource: Resource, special: Mapping[str, Special]) -> Asked:
    """Read the query. Raises BadRequest."""
    given: dict[str, list[str]] = {}
    for name, value in request.pairs:
        given.setdefault(name, []).append(value)
    listing = Listing(sorts=_sorts(given, resource), limit=_limit(given))
    if listing.limit:
        listing.marker = given["marker"][-1] if "marker" in given else None
        listing.reverse = given.get("page_reverse", [""])[-1].lower() == "true"
    filters = {name: values for name, values in given.items() if name not in CONTROLS}
    _filter(listing, filters, resource, {name: _bound(each, request.ctx) for name, each in special.items()})
    return Asked(listing, wanted_fields(request))


def _bound(special: Special, ctx: Context) -> Filter:
    return (lambda values: special.term(ctx, values)) if isinstance(special, OfCaller) else special


def wanted_fields(request: Request) -> list[str]:
    return [value for name, value in request.pairs if name == "fields" and value]


def _limit(given: dict[str, list[str]]) -> int | None:
    text = given.get("limit", ["0"])[-1]
    if not (text.isascii() and text.isdigit()):
        raise bad_request("limit", f"Limit must be an integer 0 or greater and not '{text}'")
    return (int(text) if len(text) < MOST_DIGITS else 10**MOST_DIGITS) or None


def _sorts(given: dict[str, list[str]], resource: Resource) -> list[tuple[str, bool]]:
    keys, directions = ([value for value in given.get(name, []) if value] for name in ("sort_key", "sort_dir"))
    if len(keys) != len(directions):
        raise malformed("The number of sort_keys and sort_dirs must be same")
    if unknown := [key for key in keys if key not in resource.sorts]:
        raise malformed(f"{unknown} is invalid attribute for sort_keys")
    if wrong := [way for way in directions if way not in ("asc", "desc")]:
        raise malformed(f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
    return [(resource.sorts[key], way == "desc") for key, way in zip(keys, directions, strict=True)]


# -- filters ---------------------------------------------------------------------------------------------------------------


def _filter(listing: Listing, given: dict[str, list[str]], resource: Resource, special: dict[str, Filter]) -> None:
    known = {**TAGS, **special}
    if unknown := [name for name in given if name not in resource.filters and name not in known]:
        raise malformed(f"{unknown} is invalid attribute for filtering")
    if "tenant_id" in given and "project_id" in given and given["tenant_id"] != given["project_id"]:
        raise BadRequest("Both tenant_id and project_id passed as filters.", type="TenantIdProjectIdFilterConflict")
    types = {f.name: f.type for f in resource.fields}
    for name, values in given.items():
        if name in known:
            listing.terms.append(known[name](values))
            continue
        kind = types[name]
        converted = [_convert(name, kind, value) for value in values] if isinstance(kind, CONVERTED) else values
        listing.where[resource.filters[name]] = converted if len(converted) > 1 else converted[0]


def _convert(name: str, kind: Any, value: str) -> Any:
    try:
        return kind.parse(value)
    except Mismatch as mismatch:
        raise invalid_input(mismatch.reason) from None


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _tags(values: list[str]) -> list[str]:
    return list(dict.fromkeys(tag for value in values for tag in value.split(",")))


def _all_tags(values: list[str]) -> Term:
    tags = _tags(values)
    sql = f"SELECT resource_id FROM tag WHERE tag IN ({marks(tags)}) GROUP BY resource_id HAVING count(*) = {len(tags)}"  # noqa: S608
    return f"id IN ({sql})", tuple(tags)


def _any_tag(values: list[str]) -> Term:
    tags = _tags(values)
    return f"id IN (SELECT resource_id FROM tag WHERE tag IN ({marks(tags)}))", tuple(tags)  # noqa: S608


def _inverse(of: Filter) -> Filter:
    def term(values: list[str]) -> Term:
        sql, bound = of(values)
        return f"NOT ({sql})", bound

    return term


def _changed_since(values: list[str]) -> Term:
    try:
        return "updated_at >= ?", (micros(values[-1]),)
    except (ValueError, OverflowError):
        raise invalid_input(f"The input '{values[-1]}' is not a valid time; use the form YYYY-MM-DDTHH:MM:SSZ") from None


TAGS: dict[str, Filter] = {
    "tags": _all_tags,
    "tags-any": _any_tag,
    "not-tags": _inverse(_all_tags),
    "not-tags-any": _inverse(_any_tag),
    "changed_since": _changed_since,
}


def by_status(values: list[str]) -> Term:
    """A network or router is ACTIVE unless the host could not do it."""
    hits = [term for word, term in (("ACTIVE", "host_status != 'ERROR'"), ("ERROR", "host_status = 'ERROR'")) if word in values]
    return " OR ".join(hits) or "0", ()


def by_network_shared(values: list[str]) -> Term:
    """A subnet is shared as its network is."""
    flags = [int(_convert("shared", Flag(), value)) for value in values]
    return f"network_id IN (SELECT id FROM network WHERE shared IN ({marks(flags)}))", tuple(flags)  # noqa: S608


def by_sharing(object_type: str) -> OfCaller:
    """Shared means: with the caller's project or with everybody."""
    sql = "SELECT object_id FROM rbac_policy WHERE action = 'access_as_shared' AND target_project IN (?, '*') AND object_type = ?"

    def term(ctx: Context, values: list[str]) -> Term:
        flags = {bool(_convert("shared", Flag(), value)) for value in values}
        if len(flags) > 1:
            return "1", ()
        return f"id {'IN' if True in flags else 'NOT IN'} ({sql})", (ctx.project_id, object_type)

    return OfCaller(term)


def by_security_group(values: list[str]) -> Term:
    sql = f"SELECT port_id FROM port_security_group WHERE security_group_id IN ({marks(values)})"  # noqa: S608
    return f"id IN ({sql})", tuple(values)


def by_fixed_ips(values: list[str]) -> Term:
    """`fixed_ips=ip_address=10.0.0.3`, `subnet_id=...`, `ip_address_substr=10.0`; one address must fit all kinds that are asked for."""
    asked: dict[str, list[str]] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key.strip():
            raise invalid_input(f"'{value}' is not of the form <key>=[value]")
        asked.setdefault(key.strip(), []).append(text.strip())
    terms: list[str] = []
    bound: list[str] = []
    for key in ("ip_address", "subnet_id"):
        if key in asked:
            terms.append(f"{key} IN ({marks(asked[key])})")
            bound += asked[key]
    if "ip_address_substr" in asked:
        terms.append("(" + " OR ".join(["instr(ip_address, ?)"] * len(asked["ip_address_substr"])) + ")")
        bound += asked["ip_address_substr"]
    if not terms:
        return "1", ()
    return f"id IN (SELECT port_id FROM fixed_ip WHERE {' AND '.join(terms)})", tuple(bound)  # noqa: S608


# -- answers ---------------------------------------------------------------------------------------------------------------


def chosen(shown: Row, fields: list[str]) -> Row:
    """Of a shown thing only the fields asked for; all when none is named."""
    return {name: shown[name] for name in fields if name in shown} if fields else shown


def links(request: Request, items: list[Row], listing: Listing) -> list[Row]:
    """Neutron's links to the pages beside this one: a full page may have a next, a page asked for backwards always has one."""
    url, found = f"{request.root}{request.path}", []
    full = len(items) >= (listing.limit or 0)
    kept = [(name, value) for name, value in request.pairs if name not in ("marker", "page_reverse")]
    if full or listing.reverse:
        found.append({"rel": "next", "href": f"{url}?{urlencode(kept + _at(items, -1))}"})
    if full or not listing.reverse:
        found.append({"rel": "previous", "href": f"{url}?{urlencode([*kept, *_at(items, 0), ('page_reverse', 'True')])}"})
    return found


def _at(items: list[Row], position: int) -> list[tuple[str, str]]:
    return [("marker", items[position]["id"])] if items else []
