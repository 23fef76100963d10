"""Metering labels and their rules: which traffic of a project's routers an operator wants counted.

They are kept and shown; nothing counts by them here, and no meter is sent to anybody (docs/reference/differences.md).
"""

from __future__ import annotations

from pileus.errors import Conflict
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.network.actions import ranges
from pileus.network.actions.scope import Page, columns, find, fresh, owner, page
from pileus.network.types import invalid_input, network_of
from pileus.openstack.listing import Listing

PREFIXES = ("remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix")


@allow(PROJECT_READER, "get_metering_label")
def find_metering_label(ctx: Context, id: str) -> Row:
    """A label of the caller's project or a shared one; any for an admin. Raises NotFound."""
    return find(ctx, "metering_label", id)


@allow(PROJECT_READER, "get_metering_label")
def list_metering_labels(ctx: Context, listing: Listing) -> Page:
    """The labels that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "metering_label", listing)


@allow(ADMIN, "create_metering_label")
def create_metering_label(ctx: Context, values: Row) -> Row:
    """A label for traffic of a project."""
    row = {**fresh(ctx), "project_id": owner(ctx, values), **columns(values, {})}
    with ctx.store.transaction():
        ctx.store.insert("metering_label", row)
    return find(ctx, "metering_label", row["id"])


@allow(ADMIN, "delete_metering_label")
def delete_metering_label(ctx: Context, id: str) -> None:
    """Delete a label with its rules."""
    find(ctx, "metering_label", id)
    with ctx.store.transaction():
        ctx.store.delete("metering_label_rule", {"metering_label_id": id})
        ctx.store.delete("metering_label", {"id": id})


@allow(PROJECT_READER, "get_metering_label_rule")
def find_metering_label_rule(ctx: Context, id: str) -> Row:
    """A rule of a label of the caller's. Raises NotFound."""
    return find(ctx, "metering_label_rule", id)


@allow(PROJECT_READER, "get_metering_label_rule")
def list_metering_label_rules(ctx: Context, listing: Listing) -> Page:
    """The rules that the caller sees. Raises NotFound for a marker that is none of them."""
    return page(ctx, "metering_label_rule", listing)


@allow(ADMIN, "create_metering_label_rule")
def create_metering_label_rule(ctx: Context, values: Row) -> Row:
    """Which addresses a label is about. Raises BadRequest for none or too many, Conflict for some that another rule has."""
    label = find(ctx, "metering_label", values["metering_label_id"])
    values.pop("tenant_id", None)
    values["project_id"] = label["project_id"]
    given = [values[name] for name in PREFIXES if values.get(name)]
    if not given:
        raise invalid_input("You must define at least one of remote_ip_prefix, source_ip_prefix or destination_ip_prefix")
    if values.get("remote_ip_prefix") and len(given) > 1:
        words = "You must not use the remote_ip_prefix along with the source_ip_prefix or destination_ip_prefix"
        raise invalid_input(words, "MeteringLabelRuleNotValid")
    with ctx.store.transaction():
        same = {"metering_label_id": label["id"], "direction": values["direction"], "excluded": int(values["excluded"])}
        for rule in ctx.store.find("metering_label_rule", same):
            _check_overlap(values, rule)
        row = {**fresh(ctx), **columns(values, {})}
        ctx.store.insert("metering_label_rule", row)
    return find(ctx, "metering_label_rule", row["id"])


def _check_overlap(values: Row, rule: Row) -> None:
    here, there = (each.get("remote_ip_prefix") for each in (values, rule))
    if not here or not there:
        return
    ours, theirs = network_of(here), network_of(there)
    if ours and theirs and ours.version == theirs.version and ranges.overlap([here], [there]):
        words = f"Metering label rule with remote_ip_prefix '{here}' overlaps another."
        raise Conflict(words, type="MeteringLabelRuleOverlaps")


@allow(ADMIN, "delete_metering_label_rule")
def delete_metering_label_rule(ctx: Context, id: str) -> None:
    """Delete a rule."""
    find(ctx, "metering_label_rule", id)
    with ctx.store.transaction():
        ctx.store.delete("metering_label_rule", {"id": id})
