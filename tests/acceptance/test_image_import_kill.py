"""A control plane that is killed in the middle of an import ends it when it is started again; memory stays flat while it lasts."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time

import pytest

from tests.conformance.cloud import Cloud
from tests.web_source import serving

SIZE = 96 << 20  # bytes
LARGER = 40  # MB that the control plane may grow by while so much is fetched
pytestmark = pytest.mark.slow


def resident(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def control(cloud: Cloud) -> int:
    return int(json.loads(cloud.run("status", "-f", "json").stdout)["pids"]["control"])


def test_an_import_survives_a_kill() -> None:
    with serving() as web, Cloud(settings={"PILEUS_IMAGE_SOURCES": web.host}) as cloud:
        web.files["/disk"] = data = os.urandom(1 << 20) * (SIZE >> 20)
        web.slow = 0.01
        image = cloud.call("POST", "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"})["id"]
        method = {"name": "web-download", "uri": web.url("/disk")}
        cloud.call("POST", f"/image/v2/images/{image}/import", {"method": method})
        part = cloud.top / "cloud/data/images" / f"{image}.part"
        end = time.monotonic() + 60
        while not part.exists() or part.stat().st_size < 1 << 20:
            assert time.monotonic() < end
            time.sleep(0.05)
        os.kill(control(cloud), signal.SIGKILL)
        cloud.up()
        assert cloud.call("GET", f"/image/v2/images/{image}")["status"] == "importing"
        web.slow = 0
        pid = control(cloud)
        before, most = resident(pid), 0.0
        end = time.monotonic() + 120
        while (shown := cloud.call("GET", f"/image/v2/images/{image}"))["status"] != "active":
            assert time.monotonic() < end, shown
            most = max(most, resident(pid))
            time.sleep(0.05)
        assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
        assert most - before < LARGER
        assert sorted(file.name for file in part.parent.iterdir()) == [image]
