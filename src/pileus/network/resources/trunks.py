"""Field table of trunks: a parent port that carries other ports' frames, each under a tag."""

from __future__ import annotations

from typing import Any

from pileus.kit.context import Context
from pileus.kit.resource import Field, Mismatch, Resource, children, flag
from pileus.kit.store import Row, Store
from pileus.network.resources.fields import head, tail
from pileus.network.types import WORDS, Flag, Id
from pileus.openstack.types import is_uuid

PARTS = ("port_id", "segmentation_type", "segmentation_id")


class SubPorts:
    """`[{port_id, segmentation_type, segmentation_id}]`, each port and each segment once."""

    def parse(self, value: Any, /) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise Mismatch(f"Invalid data format for subports: '{value}' is not a list", value)
        ids: set[str] = set()
        segments: set[tuple[Any, str]] = set()
        for item in value:
            self._check(item)
            if item["port_id"] in ids:
                raise Mismatch(f"Non unique UUID for subport: '{item['port_id']}'", value)
            ids.add(item["port_id"])
            segment = (item.get("segmentation_type"), str(item.get("segmentation_id")))
            if segment in segments and segment[0] is not None:
                raise Mismatch(f"Segmentation ID '{segment[1]}' for '{item['port_id']}' is not unique", value)
            segments.add(segment)
        return value

    @staticmethod
    def _check(item: Any) -> None:
        if not isinstance(item, dict):
            raise Mismatch(f"Invalid data format for subport: '{item}' is not a dict", item)
        if "port_id" not in item:
            raise Mismatch("A valid port UUID must be specified", item)
        if not is_uuid(item["port_id"]):
            raise Mismatch(f"Invalid UUID for subport: '{item['port_id']}'", item)
        if len(item) > 1 and (not item.get("segmentation_type") or item.get("segmentation_id") is None):
            raise Mismatch(missing(item), item)
        if not isinstance(item.get("segmentation_type", ""), str):
            raise Mismatch(f"Invalid data format for subport: '{item}'", item)

    def schema(self) -> dict[str, Any]:
        parts = {"port_id": Id().schema(), "segmentation_type": {"enum": ["vlan"]}, "segmentation_id": {"type": "integer"}}
        return {"type": "array", "items": {"type": "object", "properties": parts, "required": ["port_id"]}}


def missing(item: dict[str, Any]) -> str:
    """What is said of a sub-port without its segment; no full stop."""
    words = f"Invalid subport details '{item}': missing segmentation information."
    return f"{words} Must specify both segmentation_id and segmentation_type"


def sub_ports_of(store: Store, rows: list[Row]) -> None:
    """Relation: `sub_ports` of each trunk, and of its ports what its status comes from."""
    found = children(store, "sub_port", "trunk_id", rows)
    ids = {row["port_id"] for row in rows} | {each["port_id"] for some in found.values() for each in some}
    ports = {port["id"]: port for port in store.find("port", {"id": list(ids)})}
    for row in rows:
        row["sub_ports"] = [{part: each[part] for part in PARTS} for each in found.get(row["id"], ())]
        row["parent"] = ports.get(row["port_id"])
        row["carried"] = [ports[each["port_id"]] for each in row["sub_ports"] if each["port_id"] in ports]


def status(row: Row, ctx: Context) -> str:
    """DOWN while no guest has the parent; DEGRADED when the host cannot carry some of the sub-ports; BUILD until it carries all."""
    parent = row["parent"]
    if not parent or not parent["device_id"]:
        return "DOWN"
    if any(port["host_error"] for port in row["carried"]):
        return "DEGRADED"
    ready = all(port["status"] == "ACTIVE" or not port["admin_state_up"] for port in (parent, *row["carried"]))
    return "ACTIVE" if ready or not row["admin_state_up"] else "BUILD"


TRUNK = Resource(
    "trunk",
    "trunks",
    [
        *head(),
        Field("admin_state_up", Flag(), show=flag("admin_state_up"), create=True, update=True, default=True, filter=True, sort=True),
        Field("port_id", Id(), show="port_id", create="required", filter=True, sort=True, alias="trunk"),
        Field("status", show=status),
        Field("sub_ports", SubPorts(), show="sub_ports", create=True, default=list, relation=sub_ports_of),
        *tail(),
    ],
    words=WORDS,
)


_DETAILS = """
SELECT t.id AS trunk_id, t.port_id AS parent_id, s.port_id, s.segmentation_type, s.segmentation_id, p.mac_address
FROM trunk t LEFT JOIN sub_port s ON s.trunk_id = t.id LEFT JOIN port p ON p.id = s.port_id
"""


def details_of(store: Store, rows: list[Row]) -> None:
    """Relation: `trunk_details` of those ports that are a trunk's parent, null of others; one query."""
    ids = [row["id"] for row in rows]
    marks = ", ".join("?" * len(ids))
    found: dict[str, dict[str, Any]] = {}
    for line in store.query(f"{_DETAILS} WHERE t.port_id IN ({marks}) ORDER BY s.rowid", *ids):
        details = found.setdefault(line.pop("parent_id"), {"trunk_id": line.pop("trunk_id"), "sub_ports": []})
        line.pop("trunk_id", None)
        if line["port_id"]:
            details["sub_ports"].append(line)
    for row in rows:
        row["trunk_details"] = found.get(row["id"])
