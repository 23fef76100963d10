"""Who is given which address: never one that is taken, every free one in turn, and none twice."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.app import migrations
from pileus.errors import Conflict
from pileus.kit.clock import ManualClock
from pileus.kit.context import Cloud, Context, internal
from pileus.kit.store import Store
from pileus.network.actions import addresses
from pileus.network.actions.networks import create_network
from pileus.network.actions.ports import create_port, delete_port
from pileus.network.actions.security_groups import default_security_group
from pileus.network.actions.subnets import create_subnet


def new_context() -> Context:
    return internal(Cloud(Store(":memory:", migrations(), synchronous="off"), ManualClock(), lambda kind, id: None))


@pytest.fixture
def ctx() -> Iterator[Context]:
    made = new_context()
    yield made
    made.store.close()


def subnet(ctx: Context, cidr: str, **values: Any) -> dict[str, Any]:
    network = create_network(ctx, {"project_id": "p", "name": "n"})
    version = 6 if ":" in cidr else 4
    return create_subnet(
        ctx, {"project_id": "p", "network_id": network["id"], "ip_version": version, "cidr": cidr, "enable_dhcp": False, **values}
    )


def port(ctx: Context, made: dict[str, Any], **values: Any) -> tuple[str, str]:
    """A port's id and its first address."""
    row = create_port(ctx, {"project_id": "", "network_id": made["network_id"], **values})
    return row["id"], addresses.addresses_of(ctx.store, [row["id"]])[row["id"]][0].address


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.0.0.0/24", "10.0.0.1", [("10.0.0.2", "10.0.0.254")]),
        ("10.0.0.0/24", "10.0.0.254", [("10.0.0.1", "10.0.0.253")]),
        ("10.0.0.0/24", "10.0.0.100", [("10.0.0.1", "10.0.0.99"), ("10.0.0.101", "10.0.0.254")]),
        ("10.0.0.0/24", "192.168.0.1", [("10.0.0.1", "10.0.0.254")]),
        ("10.0.0.0/31", None, [("10.0.0.0", "10.0.0.1")]),
        ("10.0.0.7/32", None, [("10.0.0.7", "10.0.0.7")]),
        ("10.0.0.7/32", "10.0.0.7", []),
        ("fd00::/126", "fd00::1", [("fd00::2", "fd00::3")]),
    ],
)
def test_default_pools(cidr: str, gateway: str | None, pools: list[tuple[str, str]]) -> None:
    assert [(pool["start"], pool["end"]) for pool in addresses.default_pools(cidr, gateway)] == pools


def test_eui64() -> None:
    # the example of RFC 4291, appendix A: 34-56-78-9A-BC-DE
    assert addresses.eui64({"cidr": "fd00:1::/64"}, "34:56:78:9a:bc:de") == "fd00:1::3656:78ff:fe9a:bcde"


def test_in_turn() -> None:
    pools = [(2, 4), (8, 9)]
    assert list(addresses._in_turn(pools, None)) == [2, 3, 4, 8, 9]
    assert list(addresses._in_turn(pools, 3)) == [4, 8, 9, 2, 3]
    assert list(addresses._in_turn(pools, 9)) == [2, 3, 4, 8, 9]
    assert list(addresses._in_turn(pools, 7)) == [2, 3, 4, 8, 9]


def test_a_fresh_address_is_not_the_one_just_left(ctx: Context) -> None:
    made = subnet(ctx, "10.0.0.0/24")
    first, address = port(ctx, made)
    delete_port(ctx, first)
    ctx.store.delete("port", {"id": first})
    assert address == "10.0.0.2"
    assert port(ctx, made)[1] == "10.0.0.3"


def test_an_address_is_taken_until_the_host_is_seen_without_it(ctx: Context) -> None:
    made = subnet(ctx, "10.0.0.0/29", allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.2"}])
    first, _ = port(ctx, made)
    delete_port(ctx, first)
    with pytest.raises(Conflict) as caught:
        port(ctx, made)
    assert caught.value.type == "IpAddressGenerationFailure"
    with pytest.raises(Conflict) as caught:
        port(ctx, made, fixed_ips=[{"ip_address": "10.0.0.2"}])
    assert caught.value.type == "IpAddressAlreadyAllocated"
    ctx.store.delete("port", {"id": first})
    assert port(ctx, made)[1] == "10.0.0.2"


def test_the_second_subnet_when_the_first_is_full(ctx: Context) -> None:
    made = subnet(ctx, "10.0.0.0/30")
    network = {"project_id": "p", "network_id": made["network_id"], "ip_version": 4, "enable_dhcp": False}
    create_subnet(ctx, {**network, "cidr": "10.0.1.0/24"})
    assert [port(ctx, made)[1] for _ in range(3)] == ["10.0.0.2", "10.0.1.2", "10.0.1.3"]


def test_subnets_for_some_devices_only(ctx: Context) -> None:
    made = subnet(ctx, "10.0.0.0/24", service_types=["compute:nova"])
    network = {"project_id": "p", "network_id": made["network_id"], "ip_version": 4, "enable_dhcp": False}
    create_subnet(ctx, {**network, "cidr": "10.0.1.0/24", "service_types": ["network:router_gateway"]})
    assert port(ctx, made, device_owner="compute:nova")[1] == "10.0.0.2"
    assert port(ctx, made, device_owner="network:router_gateway")[1] == "10.0.1.2"


def test_a_large_pool_is_not_searched_from_its_start(ctx: Context) -> None:
    made = subnet(ctx, "10.0.0.0/16")
    taken = [str(ipaddress.ip_address("10.0.0.2") + i) for i in range(5000)]
    owner, _ = port(ctx, made, fixed_ips=[{"ip_address": "10.0.255.254"}])
    for address in taken:
        ctx.store.insert("fixed_ip", {"port_id": owner, "subnet_id": made["id"], "network_id": made["network_id"], "ip_address": address})
    ctx.store.update("subnet", made["id"], {"cursor": taken[-1]})
    asked: list[str] = []
    ctx.store._db.set_trace_callback(asked.append)
    assert port(ctx, made)[1] == "10.0.19.138"
    assert sum("fixed_ip" in sql and sql.startswith("SELECT") for sql in asked) <= 4


steps = st.lists(st.tuples(st.sampled_from(["give", "ask", "delete", "seen"]), st.integers(0, 7)), max_size=25)


@given(steps)
@settings(max_examples=60)
def test_nobody_is_given_what_another_has(todo: list[tuple[str, int]]) -> None:
    ctx = new_context()
    made = subnet(ctx, "10.0.0.0/29")  # six hosts, one of them the gateway
    holding: dict[str, str] = {}
    leaving: dict[str, str] = {}
    for verb, n in todo:
        if verb in ("give", "ask"):
            asked = {"fixed_ips": [{"ip_address": f"10.0.0.{n}"}]} if verb == "ask" else {}
            taken = {*holding.values(), *leaving.values()}
            try:
                id, address = port(ctx, made, **asked)
            except Exception:
                free = {f"10.0.0.{i}" for i in range(2, 7)} - taken
                assert (verb == "give" and not free) or (verb == "ask" and (f"10.0.0.{n}" in taken or n in (0, 7)))
                continue
            assert address not in taken
            holding[id] = address
        elif verb == "delete" and holding:
            id = sorted(holding)[n % len(holding)]
            delete_port(ctx, id)
            leaving[id] = holding.pop(id)
        elif verb == "seen" and leaving:
            id = sorted(leaving)[n % len(leaving)]
            ctx.store.delete("port", {"id": id})
            del leaving[id]
    rows = ctx.store.find("fixed_ip")
    assert sorted(row["ip_address"] for row in rows) == sorted([*holding.values(), *leaving.values()])
    ctx.store.close()


def test_a_default_group_belongs_to_a_project(ctx: Context) -> None:
    assert default_security_group(ctx, "") is None
    found = default_security_group(ctx, "p")
    assert found
    assert json.dumps(found) == json.dumps(default_security_group(ctx, "p"))
