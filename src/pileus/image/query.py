"""What the query string of a list of images means: filters, visibility, sorting, the page. The result is SQL terms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pileus.errors import BadRequest
from pileus.image.resources import IMAGE, MEMBER_STATUSES, VISIBILITIES
from pileus.kit.clock import micros
from pileus.kit.context import Context
from pileus.openstack.listing import MAX_PAGE, Listing

DEFAULT_PAGE = 25  # as Glance's limit_param_default
Pairs = Sequence[tuple[str, str]]
PAGING = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "tag", "os_hidden"})
SEVERAL = ("id", "name", "status", "container_format", "disk_format")  # may say `in:a,b`
NUMBERS = {"size": "size =", "size_min": "size >=", "size_max": "size <=", "min_ram": "min_ram =", "min_disk": "min_disk ="}
TIMES = ("created_at", "updated_at")
VALUE = re.compile(r'"([^"]*)"|([^",]+)')
QUOTED = re.compile(r'("[^"]*"|[^",]+)(,("[^"]*"|[^",]+))*')  # the whole of `a,"b,c"`
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "neq": "<>"}


def listing_of(ctx: Context, pairs: Pairs) -> Listing:
    """The page that a client asks for, with everything it may not see already left out. Raises BadRequest."""
    listing = Listing(sorts=_sorts(pairs), limit=limit_of(pairs), marker=dict(pairs).get("marker"))
    _see(ctx, listing, dict(pairs))
    listing.where["os_hidden"] = int(_truth("os_hidden", dict(pairs).get("os_hidden", "false")))
    for name, value in pairs:
        if name == "tag":
            listing.terms.append(("id IN (SELECT resource_id FROM tag WHERE tag = ?)", (value,)))
        elif name not in PAGING:
            _filter(listing, name, value)
    return listing


def _filter(listing: Listing, name: str, value: str) -> None:
    """One filter; a name that is no field's is a property's."""
    if name == "changes-since":
        raise BadRequest('The "changes-since" filter is no longer available on v2.')
    if name in TIMES:
        listing.terms.append(_time(name, value))
    elif name in NUMBERS:
        listing.terms.append((f"{NUMBERS[name]} ?", (_number(name, value),)))
    elif name == "protected":
        listing.where[name] = int(_truth(name, value))
    elif name in SEVERAL and value.startswith("in:"):
        listing.where[name] = _several(name, value[3:])
    elif name in IMAGE.filters:
        listing.where[IMAGE.filters[name]] = value
    else:
        listing.terms.append(("EXISTS (SELECT 1 FROM json_each(image.properties) WHERE key = ? AND value = ?)", (name, value)))


def _several(name: str, text: str) -> list[str]:
    """`a,"b,c"`: values with commas between them; one that has a comma itself is quoted."""
    if not QUOTED.fullmatch(text):
        raise BadRequest(f"Invalid filter value {text} for {name}: values have commas between them, and quotes around those with a comma.")
    return [quoted or plain for quoted, plain in VALUE.findall(text)]


def _see(ctx: Context, listing: Listing, query: dict[str, str]) -> None:
    """Everybody's images, one's own, and those that were shared and accepted; community images only when asked for."""
    visibility, status = query.get("visibility"), query.get("member_status", "accepted")
    if visibility is not None and visibility not in (*VISIBILITIES, "all"):
        raise BadRequest(f"Invalid visibility value: {visibility}")
    if status not in (*MEMBER_STATUSES, "all"):
        raise BadRequest(f"Invalid status: {status}")
    statuses = MEMBER_STATUSES if status == "all" else (status,)
    shared = f"id IN (SELECT image_id FROM image_member WHERE member = ? AND status IN ({', '.join('?' * len(statuses))}))"  # noqa: S608
    if visibility == "community":
        listing.where["visibility"] = visibility
        return
    if visibility not in (None, "all"):
        listing.where["visibility"] = visibility
    if ctx.is_admin and visibility != "shared":
        if visibility is None:
            listing.terms.append(("visibility <> 'community' OR project_id = ?", (ctx.project_id,)))
        return
    everybodys = "('public', 'community')" if visibility == "all" else "('public')"
    terms = f"visibility IN {everybodys} OR project_id = ? OR (visibility = 'shared' AND {shared})"
    listing.terms.append((terms, (ctx.project_id, ctx.project_id, *statuses)))


def _sorts(pairs: Pairs) -> list[tuple[str, bool]]:
    """`sort=name:asc,size` or `sort_key=name&sort_dir=asc`; newest first when nothing is said."""
    given = [part for name, value in pairs if name == "sort" for part in value.split(",")]
    keys = [value for name, value in pairs if name == "sort_key"]
    directions = [value for name, value in pairs if name == "sort_dir"]
    if given and (keys or directions):
        raise BadRequest("Old and new sorting syntax cannot be combined")
    if len(directions) > 1 and len(directions) != len(keys):
        raise BadRequest("Number of sort dirs does not match the number of sort keys")
    for index, key in enumerate(keys or (["created_at"] if directions else [])):
        given.append(f"{key}:{directions[index if len(directions) > 1 else 0]}" if directions else key)
    sorts = [_sort(*part.strip().partition(":")) for part in given]
    if not any(column == "created_at" for column, _ in sorts):
        sorts.append(("created_at", True))
    return sorts


def _sort(key: str, colon: str, direction: str) -> tuple[str, bool]:
    if key not in IMAGE.sorts:
        names = ", ".join(["name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"])
        raise BadRequest(f"Invalid sort key: {key}. It must be one of the following: {names}.")
    if direction not in ("asc", "desc") and colon:
        raise BadRequest(f"Invalid sort direction: {direction}. It must be one of the following: asc, desc.")
    return IMAGE.sorts[key], direction != "asc"


def limit_of(pairs: Pairs) -> int:
    """Rows per page. Raises BadRequest."""
    text = dict(pairs).get("limit")
    if text is None:
        return DEFAULT_PAGE
    try:
        limit = int(text)
    except ValueError:
        raise BadRequest("limit param must be an integer") from None
    if limit < 0:
        raise BadRequest("limit param must be positive")
    return min(limit, MAX_PAGE)


def _number(name: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise BadRequest(f"Cannot convert filter '{name}' value '{text}' to an integer") from None
    if not 0 <= number < 2**63:
        raise BadRequest(f"Filter '{name}' value '{text}' is out of range")
    return number


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise BadRequest(f"Invalid value '{text}' for '{name}' filter: it is true or false")
    return text.lower() == "true"


def _time(name: str, text: str) -> tuple[str, tuple[Any, ...]]:
    """`gte:2026-11-24T00:32:10Z`. Stored times are finer than shown ones, so a shown second is compared as that whole second."""
    word, colon, rest = text.partition(":")
    if word not in COMPARISONS or not colon:
        word, rest = "eq", text
    try:
        moment = micros(rest.replace("Z", "+00:00"))
    except ValueError:
        raise BadRequest(f"Invalid time value: '{text}'. It is [gt|gte|lt|lte|eq|neq:]YYYY-MM-DDThh:mm:ss.") from None
    column = f"{name} / 1000000"
    return f"{column} {COMPARISONS[word]} ?", (moment // 1_000_000,)
