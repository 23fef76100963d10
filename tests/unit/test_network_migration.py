"""A cloud of the first release keeps what it shares when it is started again by this one."""

from __future__ import annotations

from pathlib import Path

from pileus.app import migrations
from pileus.kit.store import Store


def test_what_was_shared_is_shared(tmp_path: Path) -> None:
    path = tmp_path / "pileus.db"
    before = Store(path, migrations()[:5], synchronous="off")
    for id, columns in (("a", {"shared": 1}), ("b", {"external": 1}), ("c", {}), ("d", {"shared": 1, "gone": 1})):
        before.insert("network", {"id": id, "project_id": "p", "created_at": 1, "updated_at": 2, "segmentation_id": 7, **columns})
    before.close()
    after = Store(path, migrations(), synchronous="off")
    policies = after.find("rbac_policy", order="object_id")
    assert [(p["object_id"], p["action"], p["target_project"], p["project_id"]) for p in policies] == [
        ("a", "access_as_shared", "*", "p"),
        ("b", "access_as_external", "*", "p"),
    ]
    assert len({p["id"] for p in policies}) == 2
    assert all(len(p["id"]) == 36 and p["id"].count("-") == 4 for p in policies)
    assert [(s["network_id"], s["network_type"], s["segmentation_id"]) for s in after.find("segment", order="network_id")] == [
        (id, "vxlan", 7) for id in "abc"
    ]
    after.close()
