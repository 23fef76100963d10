"""The control plane killed again and again while tenants use the APIs (M1): the end is the same as without, in the rows and on the host.

A real process on the fake drivers. Nothing restarts it by itself: the test does, and asks again for what was under way.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import sqlite3
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pileus.app import build, fake_drivers
from pileus.config import Paths, Settings
from pileus.drivers.fake.host import FakeHost
from tests.acceptance.cloud import Student, until
from tests.acceptance.conftest import Tell
from tests.acceptance.storyteller import all_steps

TENANTS = 4
KILLS = 8
MOMENT = (0.0, 0.06)  # seconds after a step has begun
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{2}\b")
DRAWN = re.compile(r"^[0-9a-f]{12,64}$|[0-9a-f]{2}(?::[0-9a-f]{2}){5}")  # digests of rules, which have ids in them; MAC addresses
TABLES = (
    "network", "subnet", "port", "fixed_ip", "port_security_group", "router", "floating_ip", "security_group", "security_group_rule",
    "image", "server", "action_record",
)  # fmt: skip
# when, and by chance: times, and what is drawn at random
VOLATILE = re.compile(r"_at$|^id$|mac_address|reservation_id|request_id|host_uid|deadline|cursor|checksum_at")
LOST = (urllib.error.URLError, ConnectionError, http.client.HTTPException, TimeoutError)  # the answer, or the way there


@pytest.fixture
def clouds() -> Iterator[Callable[[], Student]]:
    made: list[Student] = []

    def new() -> Student:
        made.append(Student(PILEUS_DRIVERS="fake"))
        made[-1].up()
        return made[-1]

    yield new
    for cloud in made:
        cloud.down()


class Killer(threading.Thread):
    """Ends the control plane a random moment after it is asked to, and has the cloud started again."""

    def __init__(self, cloud: Student, luck: random.Random) -> None:
        super().__init__(daemon=True)
        self.cloud, self.luck = cloud, luck
        self.asked, self.up, self.kills, self.over = threading.Event(), threading.Event(), 0, False
        self.failure: BaseException | None = None
        self.up.set()

    def run(self) -> None:
        try:
            pid = self.cloud.status()["pids"]["control"]
            while self.asked.wait() and not self.over:
                self.asked.clear()
                time.sleep(self.luck.uniform(*MOMENT))
                self.up.clear()
                os.kill(pid, signal.SIGKILL)
                self.kills += 1
                pid = self.cloud.up()["pids"]["control"]
                self.up.set()
        except BaseException as failure:
            self.failure = failure
            self.up.set()

    def end(self) -> None:
        self.over = True
        self.asked.set()
        self.join(90)
        assert self.failure is None, self.failure


def tell_all(cloud: Student, seed: int, killer: Killer | None = None) -> None:
    """All stories to their end, whatever happens to the control plane meanwhile."""
    steps = all_steps(cloud.call, seed, TENANTS)
    fatal = set(random.Random(seed).sample(range(len(steps)), KILLS)) if killer else set()
    for number, step in enumerate(steps):
        if killer and number in fatal:
            assert killer.up.wait(60)
            killer.asked.set()
        while True:
            try:
                step.carry_out(cloud.call)
                break
            except LOST as lost:
                assert killer, f"{step.words}: {lost}"
                assert killer.up.wait(60), f"{step.words}: the cloud does not come back"
                if killer.failure:
                    raise killer.failure from lost
    if killer:
        killer.end()
    servers = "/compute/v2.1/servers/detail"
    until(lambda: all(server["OS-EXT-STS:task_state"] is None for server in cloud.call("GET", servers)["servers"]), 60)
    until(lambda: all(port["status"] != "BUILD" for port in cloud.call("GET", "/network/v2.0/ports")["ports"]), 60)
    time.sleep(0.3)  # what a last look has woken
    cloud.run("down")


def end(cloud: Student) -> list[str]:
    """Rows and fake host of a cloud that is down, with names in place of ids and without times."""
    database = sqlite3.connect(f"file:{cloud.home}/data/pileus.db?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    rows = {table: [dict(row) for row in database.execute(f"SELECT * FROM {table}")] for table in TABLES}
    database.close()
    # an upload that broke off is on record, as it should be
    rows["action_record"] = [row for row in rows["action_record"] if row["action"] != "upload"]
    names = {row["id"]: row["name"] for table in rows.values() for row in table if row.get("name")}
    ips = {ip["port_id"]: ip["ip_address"] for ip in rows["fixed_ip"] if not ip["ip_address"].endswith(".2")}
    names |= {port["id"]: f"port {ips.get(port['id'], port['device_owner'])}" for port in rows["port"]}
    names |= {id[:11]: name for id, name in names.items() if name.startswith("port ")}  # as links are called

    def label(text: str) -> str:
        return UUID.sub(lambda found: str(names.get(found.group(), "?")), text)

    def plain(row: dict[str, Any]) -> str:
        return label(json.dumps({key: value for key, value in row.items() if not VOLATILE.search(key)}, sort_keys=True))

    host = json.loads((cloud.home / "data/fake-host.json").read_text())
    for guest in host["guests"].values():
        guest["living"] = sorted(guest["living"])
        guest.get("guest", {}).pop("uid", None)
    host.pop("pids", None)
    lines = [f"{table} {plain(row)}" for table, found in rows.items() for row in found]
    lines += [f"host {part} {label(id)} {in_order(facts, label)}" for part, found in host.items() for id, facts in found.items()]
    return sorted(lines)


def in_order(value: Any, label: Callable[[str], str]) -> Any:
    """The same without the order of things, and without what is drawn at random."""
    if isinstance(value, dict):
        return sorted([label(key), in_order(found, label)] for key, found in value.items())
    if isinstance(value, list):
        return sorted((in_order(found, label) for found in value), key=repr)
    return DRAWN.sub("#", label(value)) if isinstance(value, str) else value


async def steps_left(cloud: Student) -> list[tuple[str, str]]:
    """What a control plane that starts now would still do to the host."""
    paths = Paths.resolve(cloud.env)
    host = FakeHost(paths.data / "fake-host.json")
    app = build(Settings(drivers="fake"), paths, cloud.password, drivers=fake_drivers(Settings(), paths, host))
    await app.start()
    await app.loop.settle()
    await app.stop()
    return host.log


async def test_kills_change_nothing(clouds: Callable[[], Student], tell: Tell) -> None:
    seed = int(os.environ.get("PILEUS_SEED") or random.randrange(1 << 30))
    print(f"once more: PILEUS_SEED={seed}")
    quiet = clouds()
    began = time.monotonic()
    tell_all(quiet, seed)
    without = time.monotonic() - began
    cloud = clouds()
    killer = Killer(cloud, random.Random(seed))
    killer.start()
    began = time.monotonic()
    try:
        tell_all(cloud, seed, killer)
    finally:
        killer.end()
    seconds = time.monotonic() - began
    print(f"{killer.kills} kills in {seconds:.0f} s; without any {without:.0f} s")
    assert killer.kills >= KILLS - 2, "the moments were all but too late"
    ends = end(quiet), end(cloud)
    differing = [f"{sign} {line}" for sign, one, other in (("-", 0, 1), ("+", 1, 0)) for line in ends[one] if line not in ends[other]]
    assert ends[0] == ends[1], "\n".join(differing)
    for one in (quiet, cloud):
        assert await steps_left(one) == []
