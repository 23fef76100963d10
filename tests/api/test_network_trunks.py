"""Trunks: what may carry what, what a port shows of it, and what may not be deleted meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, show, subnet
from tests.conftest import Client

VLAN = "vlan"


@pytest.fixture
def net() -> Client:
    return new_client()


async def ports(net: Client, count: int, **values: Any) -> list[str]:
    """Ports on networks of their own."""
    found = []
    for n in range(count):
        made = await subnet(net, f"10.{n}.0.0/24")
        found.append((await make(net, "ports", network_id=made["network_id"], **values))["id"])
    return found


def sub(port: str, number: Any = 5, kind: str = VLAN) -> dict[str, Any]:
    return {"port_id": port, "segmentation_type": kind, "segmentation_id": number}


async def change(net: Client, trunk: str, verb: str, *subs: Any) -> Any:
    return await net("PUT", f"{N}/trunks/{trunk}/{verb}_subports", {"sub_ports": list(subs)}, token="alice")


async def test_a_trunk_from_its_making_to_its_end(net: Client) -> None:
    parent, one, two = await ports(net, 3)
    trunk = await make(net, "trunks", port_id=parent, name="t", sub_ports=[sub(one)])
    assert (trunk["status"], trunk["admin_state_up"], trunk["sub_ports"], trunk["tags"]) == ("DOWN", True, [sub(one)], [])
    carried = await show(net, "ports", one)
    assert (carried["device_owner"], carried["device_id"]) == ("trunk:subport", trunk["id"])
    assert "trunk_details" not in carried
    shown = (await show(net, "ports", parent))["trunk_details"]
    assert shown == {"trunk_id": trunk["id"], "sub_ports": [{**sub(one), "mac_address": carried["mac_address"]}]}
    added = await change(net, trunk["id"], "add", sub(two, "7"))
    assert added["sub_ports"] == [sub(one), sub(two, 7)]
    assert (await net("GET", f"{N}/trunks/{trunk['id']}/get_subports"))["sub_ports"] == [sub(one), sub(two, 7)]
    removed = await change(net, trunk["id"], "remove", {"port_id": one})
    assert removed["sub_ports"] == [sub(two, 7)]
    assert (await show(net, "ports", one))["device_owner"] == ""
    for port, kind in ((parent, "PortInUseAsTrunkParent"), (two, "PortInUseAsSubPort")):
        assert error(await net("DELETE", f"{N}/ports/{port}", token="alice"))[:2] == (409, kind)
    assert (await net("DELETE", f"{N}/trunks/{trunk['id']}", token="alice")).status == 204
    assert (await show(net, "ports", two))["device_id"] == ""
    assert error(await net("GET", f"{N}/trunks/{trunk['id']}"))[2] == f"Trunk {trunk['id']} could not be found."


async def test_what_cannot_be_carried(net: Client) -> None:
    parent, one, other, busy = await ports(net, 4)
    await net("PUT", f"{N}/ports/{busy}", {"port": {"device_id": "x"}}, token="alice")
    trunk = (await make(net, "trunks", port_id=parent, sub_ports=[sub(one)]))["id"]
    await make(net, "trunks", port_id=other)
    free = (await ports(net, 1))[0]
    small = await make(net, "networks", mtu=1500 - 52)
    large = (await make(net, "ports", network_id=(await show(net, "ports", free))["network_id"]))["id"]
    assert small["mtu"] == 1448
    for item, expected in (
        (sub(one, 9), (409, "TrunkPortInUse")),
        (sub(other), (409, "ParentPortInUse")),
        (sub(parent), (409, "ParentPortInUse")),
        (sub(busy, 9), (409, "PortInUse")),
        (sub(free), (409, "DuplicateSubPort")),
        (sub(free, 4095), (400, "InvalidInput")),
        (sub(free, "x"), (400, "InvalidInput")),
        (sub(free, 9, "inherit"), (400, "InvalidInput")),
        ({"port_id": free}, (400, "InvalidInput")),
        ({"port_id": free, "segmentation_id": 9}, (400, "InvalidInput")),
        ({"port_id": "x"}, (400, "InvalidInput")),
        (sub("00000000-0000-0000-0000-000000000000", 9), (404, "PortNotFound")),
    ):
        assert error(await change(net, trunk, "add", item))[:2] == expected, item
    assert error(await change(net, trunk, "remove", {"port_id": free}))[:2] == (404, "SubPortNotFound")
    assert error(await change(net, trunk, "add", sub(free, 9), sub(large, 9)))[:2] == (400, "InvalidInput")
    answer = await net("POST", f"{N}/trunks", {"trunk": {"port_id": one}}, token="alice")
    assert error(answer)[:2] == (409, "TrunkPortInUse")
    assert (await net("GET", f"{N}/trunks/{trunk}"))["trunk"]["sub_ports"] == [sub(one)]


async def test_a_subport_is_no_larger_than_its_parent(net: Client) -> None:
    parent, one = await ports(net, 2)
    network = (await show(net, "ports", parent))["network_id"]
    await net("PUT", f"{N}/networks/{network}", {"network": {"mtu": 1400}}, token="alice")
    answer = await net("POST", f"{N}/trunks", {"trunk": {"port_id": parent, "sub_ports": [sub(one)]}}, token="alice")
    assert error(answer)[:2] == (409, "SubPortMtuGreaterThanTrunkPortMtu")
    assert (await net("GET", f"{N}/trunks"))["trunks"] == [], "nothing of it is left"


async def test_a_disabled_trunk_stays_as_it_is(net: Client) -> None:
    parent, one = await ports(net, 2)
    trunk = (await make(net, "trunks", port_id=parent, admin_state_up=False))["id"]
    for answer in (await change(net, trunk, "add", sub(one)), await net("DELETE", f"{N}/trunks/{trunk}", token="alice")):
        assert error(answer)[1:] == ("TrunkDisabled", f"Trunk {trunk} is currently disabled.")
    changed = await net("PUT", f"{N}/trunks/{trunk}", {"trunk": {"admin_state_up": True, "name": "on"}}, token="alice")
    assert changed["trunk"]["name"] == "on"
    assert (await change(net, trunk, "add", sub(one))).status == 200


async def test_whose_it_is(net: Client) -> None:
    parent, _ = await ports(net, 2)
    trunk = (await make(net, "trunks", port_id=parent))["id"]
    assert (await net("GET", f"{N}/trunks/{trunk}", token="bob")).status == 404
    assert (await net("PUT", f"{N}/trunks/{trunk}", {"trunk": {"name": "x"}}, token="ray")).status == 403
    assert (await net("GET", f"{N}/trunks/{trunk}", token="ray")).status == 200
