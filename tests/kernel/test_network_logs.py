"""The journal of security groups: packets in, lines out; of the ports that a log is kept of, and of no others."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.lan import Guest, Lan, play
from tests.kernel.test_network_packets import PING, tcp

pytestmark = pytest.mark.kernel
FILE = "security-groups.log"


async def lines(lan: Lan, *words: str) -> list[str]:
    """The lines with all of these words, when there was time to write them; the rest is forgotten."""
    await asyncio.sleep(0.3)
    found = _taken(lan.options["journal"])
    return [line for line in found if all(word in line for word in words)]


def _taken(path: Path) -> list[str]:
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


async def pair(lan: Lan, first: str, second: str) -> tuple[Guest, Guest]:
    """Two guests that say nothing by themselves."""
    guests = await lan.pair([first], [second])
    for guest in guests:
        guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    return guests


async def keep(lan: Lan, guest: Guest, event: str, **values: Any) -> str:
    log = lan.insert("network_log", resource_type="security_group", event=event, **{"target_id": guest.port_id, **values})
    await lan.settle(("port", guest.port_id))
    return log


async def scene_what_is_dropped(lan: Lan) -> None:
    group = lan.group(tcp(80))
    one, two = await pair(lan, group, group)
    two.listen(80)
    log = await keep(lan, two, "DROP")
    assert one.reaches(two.ip, 80)
    assert await lines(lan) == [], "what passes is not written down"
    assert not await asyncio.to_thread(one.reaches, two.ip, 81, 0.3)
    [line, *_] = await lines(lan)
    ends = f"ipv4(src={one.ip},dst={two.ip},proto=6)"
    for word in ("action=DROP", "direction=ingress", f"vm_port={two.port_id}", f"['{log}']", ends, "dst_port=81"):
        assert word in line, line
    assert not await asyncio.to_thread(two.reaches, one.ip, 81, 0.3)
    assert await lines(lan) == [], "no log is kept of the other port"
    lan.store.update("network_log", log, {"enabled": 0})
    await lan.settle(("port", two.port_id))
    assert not await asyncio.to_thread(one.reaches, two.ip, 81, 0.3)
    assert await lines(lan) == []


async def scene_what_passes(lan: Lan) -> None:
    """A line for each flow, not for each packet, and none for answers."""
    group = lan.group(PING, tcp(80))
    one, two = await pair(lan, group, group)
    two.listen(80)
    await keep(lan, two, "ACCEPT", resource_id=group)
    assert await asyncio.to_thread(lambda: one.pings(two.ip, count=4))
    assert len(await lines(lan, "action=ACCEPT", "direction=ingress", "icmp(type=8,code=0)")) == 1
    assert await asyncio.to_thread(one.reaches, two.ip, 80)
    assert await asyncio.to_thread(two.reaches, one.ip, 80, 0.3) is False
    found = await lines(lan)
    assert ["direction=ingress" in line for line in found] == [True, False], found
    assert "dst_port=80" in found[1]


async def scene_everything_and_no_more_than_so_much(lan: Lan) -> None:
    group = lan.group(egress=False)
    one, two = await pair(lan, group, lan.group({}))
    await keep(lan, one, "ALL", target_id=None, resource_id=group)
    ping = await asyncio.to_thread(one.run, "ping", "-n", "-q", "-f", "-c", "400", "-w", "2", two.ip)
    assert " 0 received" in ping.stdout
    found = await lines(lan, "action=DROP", "direction=egress")
    assert 20 <= len(found) <= 350, len(found)


async def scene_a_new_control_plane_listens_again(lan: Lan) -> None:
    group = lan.group()
    one, two = await pair(lan, group, group)
    await keep(lan, two, "ALL", resource_id=None, target_id=None)
    lan.live.stop()
    lan.build()
    await lan.start()
    assert not await asyncio.to_thread(one.reaches, two.ip, 81, 0.3)
    assert await lines(lan, "action=DROP", two.port_id, "dst_port=81")


SCENES = {name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")}


@pytest.mark.parametrize("name", SCENES)
def test_scene(inside: Any, name: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        play(inside, SCENES[name], journal=Path(folder, FILE))


@pytest.mark.parametrize("map", ["subuid"])
def test_the_same_as_a_plain_user(as_user: Any, map: str) -> None:
    print(as_user(map, __file__, "not plain_user", timeout=200))
