"""What every network driver must do, as scenes that take a driver on an empty host: played on the fake one (test_network_contract.py)
and on the real one (tests/kernel/test_network_contract.py)."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pileus.errors import HostError
from pileus.network.host import (
    Carrier,
    Chains,
    Floating,
    Forwarding,
    GroupWant,
    Leg,
    Limit,
    Members,
    Neighbour,
    Networks,
    NetworkWant,
    Pace,
    Pair,
    PortWant,
    Quality,
    Route,
    RouterWant,
    Rule,
    Step,
    Want,
)
from pileus.network.reconcile.plan import plan_group, plan_network, plan_port, plan_router

Plan = Callable[[Any, Any], list[Step]]
PLANS: dict[type[Want], Plan] = {NetworkWant: plan_network, PortWant: plan_port, GroupWant: plan_group, RouterWant: plan_router}
A, B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"  # groups


def new_id() -> str:
    return str(uuid.uuid4())


def changed(want: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(want, **changes)


async def bring(driver: Networks, want: Want) -> list[Step]:
    """Plan, apply, and see that nothing is left to do; every step is carried out twice, as a crash may make it. Returns the steps."""
    plan = PLANS[type(want)]
    steps = plan(want, await driver.observe(want))
    for step in steps:
        await driver.apply(want, [step])
        await driver.apply(want, [step])
    assert plan(want, await driver.observe(want)) == []
    return steps


async def bring_at_once(driver: Networks, want: Want) -> None:
    """As the reconciler does: all steps in one batch."""
    plan = PLANS[type(want)]
    await driver.apply(want, plan(want, await driver.observe(want)))
    assert plan(want, await driver.observe(want)) == []


async def bring_from_every_stop(driver: Networks, want: Want) -> None:
    """Stopped after any number of steps, another start comes to the same end; then it is taken away again, likewise."""
    plan = PLANS[type(want)]
    gone = changed(want, gone=True)
    count = len(plan(want, await driver.observe(want)))
    for stop in range(count):
        steps = plan(want, await driver.observe(want))
        await driver.apply(want, steps[:stop])
        await bring_at_once(driver, want)
        away = plan(gone, await driver.observe(gone))
        await driver.apply(gone, away[: stop % (len(away) + 1)])
        await bring_at_once(driver, gone)


async def network_of(driver: Networks, **values: Any) -> NetworkWant:
    want = NetworkWant(id=new_id(), **values)
    await bring_at_once(driver, want)
    return want


# -- the scenes -----------------------------------------------------------------------------------------------------------------


async def scene_an_empty_host(driver: Networks) -> None:
    for kind in ("network", "port", "router", "security_group"):
        assert await driver.observe_all(kind) == {}  # type: ignore[arg-type]
    assert await driver.observe(NetworkWant(id=new_id())) is None
    assert await driver.observe(RouterWant(id=new_id())) is None
    assert await driver.observe(PortWant(id=new_id(), network_id=new_id(), gone=True)) is None
    facts: Any = await driver.observe(PortWant(id=new_id(), network_id=new_id()))
    assert not facts.network
    assert await driver.observe(GroupWant(id=A)) is None
    assert await driver.flows("network", new_id()) == []
    await driver.prepare()
    await driver.prepare()


async def scene_a_network(driver: Networks) -> None:
    await driver.prepare()
    want = NetworkWant(id=new_id(), on_link=("10.0.2.0/24",))
    await bring_from_every_stop(driver, want)
    await bring(driver, want)
    changes: list[dict[str, Any]] = [
        {"mtu": 1300},
        {"up": False},
        {"up": True},
        {"addresses": ("10.0.2.2/24",), "on_link": ()},
        {"addresses": ("10.0.2.3/24", "10.0.3.3/24")},
        {"addresses": ("10.0.2.3/24", "fd00:1::2/64", "fe80::a9fe:a9fe/64")},
        {"up": False},
        {"up": True},
        {"addresses": (), "on_link": ("10.0.2.0/24", "10.0.3.0/24")},
        {"uplink": True},
        {"outside": ("2001:db8:37::fe/64", "2001:db8:1::/64 via 2001:db8:37::5", "2001:db8:2::/64 via 2001:db8:37::5")},
        {"outside": ("2001:db8:37::fe/64", "2001:db8:2::/64 via 2001:db8:37::6")},
        {"outside": ()},
        {"uplink": False},
        {"uplink": True, "outside": ("2001:db8:37::fe/64", "2001:db8:1::/64 via 2001:db8:37::5")},
    ]
    for change in changes:
        want = changed(want, **change)
        assert await bring(driver, want)
    assert (await driver.observe_all("network")).keys() == {want.id}
    gone = changed(want, gone=True)
    assert await bring(driver, gone)
    assert await driver.observe(gone) is None
    assert await driver.observe_all("network") == {}


async def scene_a_port(driver: Networks) -> None:
    network = await network_of(driver)
    want = PortWant(id=new_id(), network_id=network.id, mac="fa:16:3e:00:00:01", mtu=1400, addresses=("10.0.2.1", "fd00::1"), groups=(A, B))
    with pytest.raises(HostError, match="no tap"):
        driver.open_tap(want.id)
    await bring_from_every_stop(driver, want)
    await bring_from_every_stop(driver, changed(want, quality=Quality(egress=Limit(10_000, 1_000), ingress=Limit(9_000, 900), dscp=8)))
    await bring(driver, want)
    os.close(driver.open_tap(want.id))
    changes: list[dict[str, Any]] = [
        {"mtu": 1300},
        {"up": False},
        {"up": True},
        {"groups": (B,)},
        {"groups": ()},
        {"addresses": ("10.0.2.1", "10.0.2.7")},
        {"pairs": (Pair("10.0.2.9", want.mac), Pair("10.0.2.1", want.mac), Pair("0.0.0.0/0", want.mac), Pair("::/0", want.mac))},
        {"pairs": (Pair("10.0.2.9", "fa:16:3e:00:00:99"), Pair("fd00::9/64", "fa:16:3e:00:00:98"))},
        {"pairs": ()},
        {"stateful": False},
        {"secure": False, "groups": ()},
        {"secure": True, "groups": (A,), "stateful": True},
        {"mac": "fa:16:3e:00:00:02"},
        {"quality": Quality(egress=Limit(10_000, 1_000), ingress=Limit(3, 128))},
        {"quality": Quality(egress=Limit(20_000, 1_000), packets_out=Limit(1000, 5), packets_in=Limit(5000, 500), dscp=26)},
        {"secure": False, "groups": ()},
        {"secure": True, "groups": (A,)},
        {"quality": Quality(ingress=Limit(2_000_000_000, 65_534), packets_in=Limit(7000, 500), dscp=0)},
        {"secure": False, "groups": (), "quality": Quality(dscp=8)},
        {"secure": True, "groups": (A,)},
        {"quality": Quality()},
        {"noted": ("ACCEPT", "DROP")},
        {"noted": ("ACCEPT",), "quality": Quality(packets_in=Limit(1000, 5))},
        {"secure": False, "groups": ()},
        {"secure": True, "groups": (A,), "noted": ("DROP",), "quality": Quality()},
        {"noted": ("ACCEPT",)},
        {"noted": ()},
        {"quality": Quality(egress=Limit(64_000_000, 128), packets_in=Limit(1000, 5))},
        {"addresses": ()},
    ]
    for change in changes:
        want = changed(want, **change)
        assert await bring(driver, want), change
    found = await driver.observe_all("port")
    assert found.keys() == {f"{network.id}/{want.id[:11]}"}
    assert plan_port(want, found.popitem()[1]) == []  # type: ignore[arg-type]
    unbound = changed(want, tap=False)
    assert await bring(driver, unbound)
    assert await driver.observe_all("port") == {}
    with pytest.raises(HostError, match="no tap"):
        driver.open_tap(want.id)
    await bring_at_once(driver, want)
    assert await bring(driver, changed(want, gone=True))
    assert await driver.observe_all("port") == {}


async def scene_a_branch(driver: Networks) -> None:
    """A port that another one carries; where the kernel has no VLANs, it says what it lacks."""
    outer, inner = await network_of(driver), await network_of(driver)
    parent = PortWant(id=new_id(), network_id=outer.id, mac="fa:16:3e:00:00:01")
    want = PortWant(id=new_id(), network_id=inner.id, mac="fa:16:3e:00:00:02", carrier=Carrier(parent.id, outer.id, 5), groups=(A,))
    await bring(driver, parent)
    try:
        await bring_from_every_stop(driver, want)
    except HostError as error:
        assert "modprobe 8021q" in str(error)
        facts: Any = await driver.observe(want)
        assert facts.nothing
        return
    await bring(driver, want)
    for change in (
        {"carrier": Carrier(parent.id, outer.id, 6)},
        {"mtu": 1300},
        {"carrier": None},
        {"carrier": Carrier(parent.id, outer.id, 7)},
    ):
        want = changed(want, **change)
        assert await bring(driver, want), change
    await bring(driver, changed(want, gone=True))
    assert (await driver.observe_all("port")).keys() == {f"{outer.id}/{parent.id[:11]}"}


async def scene_a_group(driver: Networks) -> None:
    one, two = await network_of(driver), await network_of(driver)
    rules = tuple(
        sorted(
            Rule(direction=direction, version=version, **more)  # type: ignore[arg-type]
            for direction in ("ingress", "egress")
            for version in (4, 6)
            for more in ({}, {"protocol": 6, "low": 1, "high": 9}, {"protocol": 132, "low": 5, "high": 5}, {"group": B}, {"protocol": 47})
        )
    )
    icmp = (
        Rule(direction="ingress", version=4, protocol=1, low=8, high=0),
        Rule(direction="ingress", version=6, protocol=58, low=128, prefix="fd00::/8"),
        Rule(direction="egress", version=4, protocol=17, prefix="10.0.0.0/8"),
    )
    members = Members(group=B, prefixes=("10.0.2.1", "10.0.2.2", "10.0.2.0/30", "fd00::1"))
    want = GroupWant(id=A, parts={one.id: (members, Chains(group=A, rules=rules))})
    await bring(driver, want)
    want = GroupWant(id=A, parts={one.id: (members, Chains(group=A, rules=icmp)), two.id: (members, Chains(group=A))})
    await bring(driver, want)
    want = GroupWant(id=A, parts={one.id: (changed(members, prefixes=()), Chains(group=A, rules=rules))})
    steps = await bring(driver, want)
    assert Step("drop_part", (two.id, f"rules:{A}")) in steps
    facts: Any = await driver.observe_all("security_group")
    assert facts[A].parts == {one.id: {f"rules:{A}": Chains(group=A, rules=rules).digest}}
    many = changed(members, prefixes=tuple(f"10.{n >> 8}.{n & 255}.1" for n in range(1500)))
    await bring(driver, GroupWant(id=A, parts={one.id: (many, Chains(group=A, rules=rules))}))
    lots = tuple(Rule(direction="ingress", version=4, protocol=6, low=n, high=n) for n in range(1, 700))
    await bring(driver, GroupWant(id=A, parts={one.id: (Chains(group=A, rules=lots),)}))
    assert await bring(driver, GroupWant(id=A, gone=True))
    await bring(driver, GroupWant(id=B, gone=True))
    assert await driver.observe_all("security_group") == {}


async def scene_a_router(driver: Networks) -> None:
    public, inside = await network_of(driver, mtu=1500), NetworkWant(id=new_id())
    outer = Leg(port_id=new_id(), network_id=public.id, mac="fa:16:3e:00:01:01", mtu=1500, external=True, addresses=("192.168.37.5/24",))
    inner = Leg(port_id=new_id(), network_id=inside.id, mac="fa:16:3e:00:01:02", mtu=1450, addresses=("10.0.2.254/24",))
    want = RouterWant(id=new_id(), legs=(outer, inner), routes=(Route("0.0.0.0/0", "192.168.37.1"),), snat="192.168.37.5")
    facts: Any = await driver.observe(want)
    assert facts.networks == {public.id}
    assert not facts.exists
    await bring_at_once(driver, want)
    facts = await driver.observe(want)
    assert facts.legs.keys() == {outer.port_id[:11]}, "a leg waits for its network"
    await bring_at_once(driver, inside)
    await bring_from_every_stop(
        driver, changed(want, id=new_id(), legs=(changed(outer, port_id=new_id()), changed(inner, port_id=new_id())))
    )
    await bring(driver, want)
    neighbour = Neighbour(inner.port_id, "10.0.2.1", "fa:16:3e:00:00:01")
    floating = changed(outer, addresses=(*outer.addresses, "192.168.37.10/32"))
    to_one = Forwarding(address="192.168.37.10", protocol=6, low=80, high=90, fixed="10.0.2.1", fixed_low=8080, fixed_high=8080)
    to_same = changed(to_one, protocol=17, fixed_low=80, fixed_high=90)
    shifted = changed(to_one, low=1000, high=3000, fixed_low=2000, fixed_high=4000)
    changes: list[dict[str, Any]] = [
        {"neighbours": (neighbour,)},
        {"neighbours": (changed(neighbour, mac="fa:16:3e:00:00:02"), changed(neighbour, address="10.0.2.2"))},
        {"neighbours": ()},
        {"floating": (Floating("192.168.37.10", "10.0.2.1"),), "legs": (floating, inner)},
        {"floating": (Floating("192.168.37.10", "10.0.2.2"),)},
        {"floating": (), "legs": (outer, inner)},
        {"forwardings": (to_one, to_same), "legs": (floating, inner)},
        {"forwardings": (to_one, shifted)},
        {"forwardings": (), "legs": (outer, inner)},
        {"snat": ""},
        {"up": False, "routes": want.routes},
        {"up": True},
        {"routes": (*want.routes, Route("10.9.0.0/16", "10.0.2.9"))},
        {"routes": (want.routes[0], Route("10.9.0.0/16", "10.0.2.8"))},
        {"routes": want.routes},
        {"legs": (outer, changed(inner, addresses=("10.0.2.254/24", "fd00:1::1/64", "fd00:2::1/64")))},
        {"routes": (*want.routes, Route("fd00:9::/64", "fd00:1::9"), Route("::/0", "fe80::1"))},
        {"up": False},
        {"up": True},
        {"routes": want.routes, "legs": (outer, changed(inner, addresses=("10.0.2.254/24", "fe80::1/64")))},
        {"up": False},
        {"up": True},
        {"legs": (outer, changed(inner, mtu=1300, addresses=("10.0.2.253/24", "10.0.2.252/24")))},
        {"legs": (outer,)},
        {"legs": (outer, inner)},
        {"paces": (Pace(fixed="10.0.2.1", egress=Limit(1000, 128)), Pace(ingress=Limit(5, 128)))},
        {"paces": (Pace(egress=Limit(5, 128)),), "snat": ""},
        {"paces": ()},
        {"legs": (inner,), "routes": ()},
    ]
    for change in changes:
        want = changed(want, **change)
        assert await bring(driver, want), change
    assert (await driver.observe_all("router")).keys() == {want.id}
    gone = changed(want, gone=True)
    assert await bring(driver, gone)
    assert await driver.observe_all("router") == {}


async def scene_what_is_on_a_network_goes_with_it(driver: Networks) -> None:
    network = await network_of(driver)
    port = PortWant(id=new_id(), network_id=network.id, mac="fa:16:3e:00:00:01", addresses=("10.0.2.1",), groups=(A,))
    group = GroupWant(id=A, parts={network.id: (Chains(group=A),)})
    leg = Leg(port_id=new_id(), network_id=network.id, mac="fa:16:3e:00:01:02", mtu=1450, addresses=("10.0.2.254/24",))
    router = RouterWant(id=new_id(), legs=(leg,))
    for want in (port, group, router):
        await bring(driver, want)
    await bring(driver, changed(network, gone=True))
    facts: Any = await driver.observe(port)
    assert not facts.network
    assert await driver.observe_all("port") == {}
    assert await driver.observe_all("security_group") == {}
    for _ in range(100):  # the far end of a link may take the kernel a moment
        facts = await driver.observe(router)
        if not facts.legs:
            break
        await asyncio.sleep(0.02)
    assert facts.legs == {}
    await bring(driver, network)
    for want in (port, group, router):
        assert await bring(driver, want)
    with pytest.raises(HostError):
        await driver.apply(changed(port, network_id=new_id()), [Step("guard")])


SCENES = {name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")}
