"""SIGKILL of the control plane at 20 random moments, during the lab and after: `pileus up` and the lab again go on from there.

Nothing restarts it by itself. The end is as without kills: no second server, port or network; the same guests, never booted again, and
the calculator has answered throughout.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cloud import ADDRESS, LAB_SECONDS, SERVERS, Student, end_state, until
from tests.acceptance.conftest import Tell
from tests.conformance.cloud import PILEUS

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
RUNS, KILLS = (5, 5, 5), 5  # kills in each run of the lab, and after the last
PART = 0.3  # of a whole run's time: until a kill at the latest, so that even the last comes before the lab is done


def kill(cloud: Student, guests: dict[str, tuple[int, int]]) -> None:
    """End the control plane; whatever guests there are have to live on."""
    before = cloud.guests()
    cloud.kill_control()
    until(lambda: cloud.status()["state"] == "crashed", 10)
    assert before.items() <= cloud.guests().items()
    guests |= before


def carry_on(cloud: Student, guests: dict[str, tuple[int, int]], kills: int, seconds: float, luck: random.Random) -> list[str]:
    """The lab, with so many kills on its way; returns when they came."""
    moments = []
    for _ in range(kills):
        wait = luck.uniform(0.5, PART * seconds)
        lab = cloud.start_lab()
        with contextlib.suppress(subprocess.TimeoutExpired):
            lab.wait(wait)
        until(lambda: cloud.status()["pids"]["control"], 60)
        kill(cloud, guests)
        moments.append(f"{wait:.0f}")
        _, err = lab.communicate(timeout=LAB_SECONDS)
        time.sleep(1)
        assert cloud.status()["state"] == "crashed", f"nothing restarts it\n{err}"
        cloud.up()
    cloud.lab()
    return moments


@contextlib.contextmanager
def asking(cloud: Student, folder: Path) -> Iterator[Path]:
    """The calculator is asked all the while, from the outside host; what it answers is in a file."""
    answers = folder / "answers"
    script = f'while :; do echo "$(curl -s -m 20 -d "7*6" http://{ADDRESS}:80)"; sleep 0.2; done'
    with answers.open("w") as out:
        process = subprocess.Popen([PILEUS, "exec", "sh", "-c", script], env=cloud.env, stdin=subprocess.DEVNULL, stdout=out)
        try:
            until(lambda: answers.read_text().count("42") >= 2, 60)
            yield answers
        finally:
            process.kill()
            process.wait()


def boots_seen(cloud: Student) -> dict[str, int]:
    """How often each server's console tells of a service that begins: once a boot."""
    return {name: cloud.openstack(f"console log show {name}").count("Listening on port") for name in SERVERS}


def kills_after(cloud: Student, folder: Path, luck: random.Random) -> int:
    """Kills of a cloud in which the lab is done; returns how often the calculator answered meanwhile."""
    boots, guests, wanted = cloud.boots(), cloud.guests(), end_state(cloud)
    with asking(cloud, folder) as answers:
        for _ in range(KILLS):
            time.sleep(luck.uniform(0, 2))
            kill(cloud, guests)
            time.sleep(luck.uniform(0, 2))
            cloud.up()
        said = answers.read_text().splitlines()
    cloud.lab()
    assert set(said) == {"result = 42"}
    assert end_state(cloud) == wanted
    assert cloud.guests() == guests
    assert cloud.boots() == boots
    return len(said)


def test_twenty_kills(tell: Tell, tmp_path: Path) -> None:
    seed = int(os.environ.get("PILEUS_SEED") or random.randrange(1 << 30))
    luck = random.Random(seed)
    cloud, told = Student(), []
    try:
        began = time.monotonic()
        cloud.lab()
        seconds = time.monotonic() - began
        wanted = end_state(cloud)
        answers = kills_after(cloud, tmp_path, luck)
        for kills in RUNS:
            cloud.run("destroy", "--yes")
            guests: dict[str, tuple[int, int]] = {}
            told += carry_on(cloud, guests, kills, seconds, luck)
            assert end_state(cloud) == wanted
            assert len(cloud.guests()) == len(SERVERS)
            assert guests.items() <= cloud.guests().items(), "a guest was started again"
            assert boots_seen(cloud) == dict.fromkeys(SERVERS, 1)
    finally:
        cloud.down()
    on_the_way = f"{len(told)} kills in {len(RUNS)} lab runs (after {' '.join(told)} s, of {seconds:.0f}; seed {seed})"
    tell(f"{on_the_way}, {KILLS} after one: same end state, same guests, same boot ids; {answers} answers meanwhile, all right")
